//! The tenants of a server, changed while they are found.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tenantry::state::{Answer, Directory, Entry, Meters, Reloaded, Stage, TenantDirectory, Usage};
use tenantry_core::registry::{Registry, Row};

fn row(id: &str, welcome: &str) -> String {
    format!(r#"{{"id":"{id}","name":"n","welcome":"{welcome}"}}"#) + "\n"
}

fn registry(text: &str) -> Registry {
    Registry::parse(text.as_bytes())
        .expect("good rows")
        .registry
}

fn one(id: &str, welcome: &str) -> Row {
    registry(&row(id, welcome)).into_rows().remove(0)
}

fn find(directory: &Arc<Directory>, id: &str) -> Option<Arc<Entry>> {
    match directory.find(id) {
        Answer::Now(found) => found.expect("in memory"),
        Answer::Later(_) => panic!("memory answers at once"),
    }
}

fn list(directory: &Arc<Directory>) -> String {
    match directory.tenant_list() {
        Answer::Now(list) => String::from_utf8(list.expect("in memory").to_vec()).expect("JSON"),
        Answer::Later(_) => panic!("memory answers at once"),
    }
}

#[test]
fn another_version_of_the_file_is_taken_over_as_a_whole() {
    let first = row("a", "1") + &row("b", "1") + &row("c", "1");
    let directory = Arc::new(Directory::of(registry(&first)));
    let before = ["a", "b", "c"].map(|id| find(&directory, id).expect("a tenant"));
    assert_eq!(list(&directory), r#"{"ok":true,"tenants":["a","b","c"]}"#);

    let second = row("d", "1") + &row("c", "1") + &row("a", "2");
    let reloaded = directory.replace(registry(&second));
    let expected = Reloaded {
        added: 1,
        changed: 1,
        removed: 1,
    };
    assert_eq!(reloaded, expected);
    assert_eq!(list(&directory), r#"{"ok":true,"tenants":["d","c","a"]}"#);
    assert!(find(&directory, "b").is_none());
    // Who says the same keeps its entry, and so its sandboxes; who does not, its account.
    let c = find(&directory, "c").expect("c");
    assert!(Arc::ptr_eq(&c, &before[2]));
    let a = find(&directory, "a").expect("a");
    assert_eq!(a.packed.tenant().welcome, "2");
    assert!(!Arc::ptr_eq(&a, &before[0]));
    assert!(Arc::ptr_eq(&a.account, &before[0].account));
    assert_eq!(a.key, before[0].key);
    let d = find(&directory, "d").expect("d");
    assert!(before.iter().all(|entry| entry.key != d.key));

    // What comes back is what it was.
    let reloaded = directory.replace(registry(&first));
    assert_eq!((reloaded.added, reloaded.removed), (1, 1));
    let b = find(&directory, "b").expect("b");
    assert_eq!(b.key, before[1].key);
    assert!(Arc::ptr_eq(&b.account, &before[1].account));
    assert_eq!(list(&directory), r#"{"ok":true,"tenants":["a","b","c"]}"#);
}

#[test]
fn tenants_change_one_by_one() {
    let directory = Arc::new(Directory::default());
    assert_eq!(list(&directory), r#"{"ok":true,"tenants":[]}"#);
    directory.put(7, one("b", "1"), Stage::Active);
    directory.put(3, one("a", "1"), Stage::Active);
    assert_eq!(list(&directory), r#"{"ok":true,"tenants":["a","b"]}"#);

    let same = find(&directory, "a").expect("a");
    let again = directory.put(3, one("a", "1"), Stage::Active);
    assert!(Arc::ptr_eq(&same, &again));

    directory.put(3, one("a", "1"), Stage::Suspended);
    let suspended = find(&directory, "a").expect("a");
    assert!(suspended.packed.is_suspended());
    assert!(Arc::ptr_eq(&suspended.account, &same.account));
    assert_eq!(list(&directory), r#"{"ok":true,"tenants":["a","b"]}"#);

    directory.put(3, one("a", "1"), Stage::Archived);
    assert!(find(&directory, "a").is_none());
    assert_eq!(directory.get("a").expect("a").stage, Stage::Archived);
    assert_eq!(list(&directory), r#"{"ok":true,"tenants":["b"]}"#);

    // Forgotten, and added as another tenant before and after.
    directory.put(9, one("a", "1"), Stage::Active);
    assert!(directory.forget(3).is_some());
    assert!(directory.forget(3).is_none());
    let new = find(&directory, "a").expect("a");
    assert_eq!(new.key, 9);
    assert!(!Arc::ptr_eq(&new.account, &same.account));
    assert!(directory.forget(9).is_some());
    assert!(find(&directory, "a").is_none());
    let page = directory.page(None, 10);
    assert_eq!(page.len(), 1);
    assert!(directory.page(Some(page[0].0), 10).is_empty());
}

#[test]
fn a_tenant_is_found_at_every_moment_while_others_change() {
    let directory = Arc::new(Directory::of(registry(&(row("a", "1") + &row("b", "1")))));
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let finders: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut found = 0_u64;
                    while !is_over.load(Ordering::SeqCst) || found == 0 {
                        assert!(find(&directory, "a").is_some());
                        assert!(list(&directory).starts_with(r#"{"ok":true,"tenants":["a""#));
                        found += 1;
                    }
                })
            })
            .collect();
        for n in 0..500 {
            let text = row("a", "1") + &row(&format!("t{n}"), "1");
            directory.replace(registry(&text));
            directory.put(1_000_000 + n, one(&format!("u{n}"), "1"), Stage::Active);
        }
        is_over.store(true, Ordering::SeqCst);
        for finder in finders {
            finder.join().expect("found");
        }
    });
}

#[test]
fn tenants_are_found_while_very_many_are_taken_over() {
    const ROWS: usize = 200_000;
    let many = |welcome| (0..ROWS).map(|n| row(&format!("t{n}"), welcome)).collect();
    let texts: [String; 2] = [many("1"), many("2")];
    let [first, second] = texts.map(|text| registry(&text));
    let directory = Arc::new(Directory::of(first));
    let is_over = AtomicBool::new(false);
    let mut slowest = Duration::ZERO;
    let took = thread::scope(|scope| {
        let finder = scope.spawn(|| {
            let mut slowest = Duration::ZERO;
            while !is_over.load(Ordering::SeqCst) {
                let start = Instant::now();
                assert!(find(&directory, "t77").is_some());
                assert!(list(&directory).len() > ROWS);
                slowest = slowest.max(start.elapsed());
            }
            slowest
        });
        let start = Instant::now();
        let reloaded = directory.replace(second);
        let took = start.elapsed();
        assert_eq!(reloaded.changed, ROWS);
        is_over.store(true, Ordering::SeqCst);
        slowest = finder.join().expect("found");
        took
    });
    assert!(slowest < Duration::from_secs(2), "{slowest:?} of {took:?}");
}

#[test]
fn what_is_used_is_collected_once_whoever_counts_at_the_same_time() {
    const THREADS: u64 = 4;
    const EACH: u64 = 20_000;
    let directory = Arc::new(Directory::of(registry(&(row("a", "1") + &row("b", "1")))));
    let meters = Meters::default();
    let is_over = AtomicBool::new(false);
    let mut sums = [0; 2];
    thread::scope(|scope| {
        let counters: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    for n in 0..EACH {
                        let id = if n % 3 == 0 { "a" } else { "b" };
                        let tenant = find(&directory, id).expect("a tenant");
                        let usage = Usage {
                            chats: 1,
                            ..Usage::default()
                        };
                        meters.add(&tenant, usage);
                    }
                })
            })
            .collect();
        let collect = scope.spawn(|| {
            let mut sums = [0; 2];
            loop {
                let last = is_over.load(Ordering::SeqCst);
                for collected in meters.collect() {
                    sums[usize::from(collected.tenant.id() == "b")] += collected.usage.chats;
                }
                if last {
                    return sums;
                }
            }
        });
        for counter in counters {
            counter.join().expect("counted");
        }
        is_over.store(true, Ordering::SeqCst);
        sums = collect.join().expect("collected");
    });
    let a = EACH.div_ceil(3) * THREADS;
    assert_eq!(sums, [a, THREADS * EACH - a]);
    assert!(meters.collect().is_empty());
}
