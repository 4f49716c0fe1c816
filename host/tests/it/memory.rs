//! Stores in memory under many threads at once, and their housekeeping.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tenantry::state::{
    Answer, Clock, Entry, ManualClock, MemoryLimiter, MemorySessions, RateLimiter, SessionStore,
    Stage,
};
use tenantry_core::{
    limit::Admission,
    memory::Settings,
    registry::Registry,
    session::{Lifetime, SessionId},
    tenancy::{OpenError, Owner},
};

use crate::support::client::PATIENCE;

const THREADS: usize = 8;

fn now<T>(answer: Answer<'_, T>) -> T {
    match answer {
        Answer::Now(answer) => answer,
        Answer::Later(_) => panic!("memory answers at once"),
    }
}

/// Tenants `t0`, `t1` and so on, with these limits.
fn tenants(count: u32, limits: &str) -> Vec<Entry> {
    let rows = (0..count)
        .map(|n| format!(r#"{{"id":"t{n}","name":"n","welcome":"w","limits":{limits}}}"#) + "\n");
    let text: String = rows.collect();
    let parsed = Registry::parse(text.as_bytes()).expect("rows without problems");
    let rows = (0..).zip(parsed.registry.into_rows());
    rows.map(|(key, row)| Entry::new(key, row, Stage::Active))
        .collect()
}

/// Ids that differ in all of their bits, as random ones do.
fn id(n: usize) -> SessionId {
    let high = (n as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let low = high.rotate_left(31).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    SessionId::from_u64_pair(high, low ^ (low >> 29))
}

fn sessions(settings: Settings) -> (MemorySessions, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::default());
    let store = MemorySessions::new(settings, Arc::clone(&clock) as Arc<dyn Clock>);
    (store, clock)
}

/// Runs `work` on all threads at once; each gets its number.
fn at_once(work: impl Fn(usize) + Sync) {
    let barrier = std::sync::Barrier::new(THREADS);
    thread::scope(|scope| {
        for n in 0..THREADS {
            let (barrier, work) = (&barrier, &work);
            scope.spawn(move || {
                barrier.wait();
                work(n);
            });
        }
    });
}

#[test]
fn no_session_is_lost_and_none_changes_hands_while_many_are_opened() {
    const EACH: usize = 4000;
    let tenants = tenants(THREADS as u32, "{}");
    let (store, _) = sessions(Settings::default());
    at_once(|thread| {
        for n in 0..EACH {
            let mine = thread * EACH + n;
            assert_eq!(now(store.open(&tenants[thread], id(mine))), Ok(()));
            // Neighbours' sessions, which may or may not be open yet, are never ours.
            let theirs = (mine + EACH) % (THREADS * EACH);
            let owner = now(store.owner(&tenants[thread], id(theirs)));
            assert!(matches!(owner, Ok(Owner::Another | Owner::Unknown)));
        }
    });
    assert_eq!(store.len(), THREADS * EACH);
    at_once(|thread| {
        for n in 0..THREADS * EACH {
            let expected = if n / EACH == thread {
                Owner::Mine
            } else {
                Owner::Another
            };
            assert_eq!(now(store.owner(&tenants[thread], id(n))), Ok(expected));
        }
    });
}

#[test]
fn of_all_who_want_an_id_at_once_one_gets_it_and_keeps_it() {
    const IDS: usize = 2000;
    let tenants = tenants(THREADS as u32, "{}");
    let (store, _) = sessions(Settings::default());
    let opened = AtomicUsize::new(0);
    at_once(|thread| {
        for n in 0..IDS {
            let tenant = &tenants[thread];
            match now(store.open(tenant, id(n))) {
                Ok(()) => {
                    opened.fetch_add(1, Ordering::Relaxed);
                    assert_eq!(now(store.owner(tenant, id(n))), Ok(Owner::Mine));
                }
                Err(error) => {
                    assert_eq!(error, OpenError::Exists);
                    assert_eq!(now(store.owner(tenant, id(n))), Ok(Owner::Another));
                }
            }
        }
    });
    assert_eq!(opened.into_inner(), IDS);
    assert_eq!(store.len(), IDS);
}

#[test]
fn the_bound_on_sessions_is_exact_under_races() {
    const BOUND: usize = 1000;
    let tenants = tenants(2, &format!(r#"{{"sessions":{BOUND}}}"#));
    let (store, clock) = sessions(Settings::default());
    for round in 0..3 {
        let opened = [const { AtomicUsize::new(0) }; 2];
        at_once(|thread| {
            for n in 0..BOUND {
                let tenant = thread % 2;
                let id = id((round * THREADS + thread) * BOUND + n);
                match now(store.open(&tenants[tenant], id)) {
                    Ok(()) => {
                        opened[tenant].fetch_add(1, Ordering::Relaxed);
                    }
                    Err(error) => assert_eq!(error, OpenError::Full),
                }
            }
        });
        assert_eq!(opened.map(AtomicUsize::into_inner), [BOUND; 2]);
        // All have ended, though none was swept.
        clock.advance(Duration::from_secs(25 * 60 * 60));
    }
}

#[test]
fn the_bound_is_kept_while_sessions_end_and_are_used() {
    const BOUND: usize = 64;
    const IDS: usize = 8 * BOUND;
    let tenants = tenants(1, &format!(r#"{{"sessions":{BOUND}}}"#));
    let tenant = &tenants[0];
    let lifetime = Lifetime::new(Duration::from_nanos(256 * 1000));
    let settings = Settings {
        lifetime,
        ..Settings::default()
    };
    let (store, clock) = sessions(settings);
    // Each thread moves the clock, so the others have often read it earlier than they act.
    at_once(|thread| {
        for n in 0..20_000 {
            let n = n * THREADS + thread;
            clock.advance(Duration::from_nanos(100));
            let _ = now(store.open(tenant, id(n % IDS)));
            let _ = now(store.owner(tenant, id((n * 7) % IDS)));
        }
    });
    // Time stands still: what lives, and what may still be opened, is the bound.
    let alive = (0..IDS).filter(|&n| now(store.owner(tenant, id(n))) == Ok(Owner::Mine));
    let alive = alive.count();
    let more = (IDS..).take_while(|&n| now(store.open(tenant, id(n))).is_ok());
    assert_eq!(alive + more.count(), BOUND);
}

#[test]
fn a_limit_is_exact_under_races() {
    let tenants = tenants(2, r#"{"chat_per_10s":100}"#);
    let clock = Arc::new(ManualClock::default());
    let limiter = MemoryLimiter::new(Settings::default(), Arc::clone(&clock) as Arc<dyn Clock>);
    for _ in 0..5 {
        let granted = [const { AtomicUsize::new(0) }; 2];
        at_once(|thread| {
            for _ in 0..100 {
                let tenant = thread % 2;
                match now(limiter.admit(&tenants[tenant])) {
                    Ok(Admission::Granted(_)) => {
                        granted[tenant].fetch_add(1, Ordering::Relaxed);
                    }
                    admission => assert!(matches!(admission, Ok(Admission::Refused(_)))),
                }
            }
        });
        assert_eq!(granted.map(AtomicUsize::into_inner), [100; 2]);
        clock.advance(Duration::from_secs(10));
    }
}

#[test]
fn a_sweep_looks_at_a_small_part_of_the_sessions() {
    const COUNT: usize = 20_000;
    let tenants = tenants(1, "{}");
    let (store, clock) = sessions(Settings::default());
    for n in 0..COUNT {
        assert_eq!(now(store.open(&tenants[0], id(n))), Ok(()));
    }
    store.sweep(0);
    assert_eq!(store.len(), COUNT, "none has ended");
    clock.advance(Duration::from_secs(25 * 60 * 60));
    let mut before = COUNT;
    for n in 0..1024 {
        store.sweep(n);
        let after = store.len();
        assert!(before - after < COUNT / 100, "{} at once", before - after);
        before = after;
    }
    assert!(store.is_empty());
}

/// Has the store keep house until it holds `left` sessions.
fn maintain_until(store: &MemorySessions, left: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let start = Instant::now();
    let is_done = async {
        while store.len() > left {
            assert!(start.elapsed() < PATIENCE, "{} are left", store.len());
            tokio::task::yield_now().await;
        }
    };
    runtime.block_on(async {
        tokio::select! {
            () = store.maintain() => panic!("housekeeping has no end"),
            () = is_done => {}
        }
    });
}

#[test]
fn housekeeping_forgets_what_has_ended_in_all_tables() {
    // As short as the command line allows; and so that a round takes several steps.
    for ttl in [Duration::from_millis(10), Duration::from_millis(1600)] {
        let settings = Settings {
            lifetime: Lifetime::new(ttl),
            ..Settings::default()
        };
        let tenants = tenants(1, "{}");
        let (store, clock) = sessions(settings);
        for n in 0..10_000 {
            assert_eq!(now(store.open(&tenants[0], id(n))), Ok(()));
        }
        clock.advance(ttl * 2);
        for n in 10_000..10_100 {
            assert_eq!(now(store.open(&tenants[0], id(n))), Ok(()));
        }
        maintain_until(&store, 100);
        for n in 10_000..10_100 {
            assert_eq!(now(store.owner(&tenants[0], id(n))), Ok(Owner::Mine));
        }
        clock.advance(ttl * 2);
        maintain_until(&store, 0);
    }
}

#[test]
fn sessions_are_listed_and_ended_by_whoever_runs_the_service() {
    let settings = Settings {
        lifetime: Lifetime::new(Duration::from_secs(256)),
        ..Settings::default()
    };
    let tenants = tenants(2, "{}");
    let (store, clock) = sessions(settings);
    for n in 0..100 {
        assert_eq!(now(store.open(&tenants[n % 2], id(n))), Ok(()));
    }
    let mut own: Vec<_> = (0..50).map(|n| id(2 * n)).collect();
    own.sort_unstable();
    // Page by page, in the order of ids, and nobody else's.
    let mut listed = Vec::new();
    loop {
        let page = store.sessions_of(0, listed.last().copied(), 7);
        listed.extend(page.iter().map(|session| session.id));
        if page.len() < 7 {
            break;
        }
    }
    assert_eq!(listed, own);

    // Only its owner's are ended, and they count no more.
    assert!(!store.close(&tenants[1], own[0]));
    assert!(store.close(&tenants[0], own[0]));
    assert!(!store.close(&tenants[0], own[0]));
    assert_eq!(now(store.owner(&tenants[0], own[0])), Ok(Owner::Unknown));
    assert_eq!((store.live(&tenants[0]), store.live(&tenants[1])), (49, 50));
    assert_eq!(store.close_all(&tenants[0]), 49);
    assert_eq!((store.live(&tenants[0]), store.live(&tenants[1])), (0, 50));
    clock.advance(Duration::from_secs(300));
    assert!(store.sessions_of(1, None, 7).is_empty());
    assert_eq!(store.close_all(&tenants[1]), 0);
}
