//! What a guest can learn that tries everything: its own tenant's affairs, and nothing of
//! anybody else's. Not from what it may ask, and not from the memory that it is given.

use tenantry::sandbox::Isolation;
use tenantry_core::session::Lifetime;

use super::{Setup, count, digits, misbehaving, open_session, order};
use crate::support::{
    client::{chat, session_id},
    inside::Inside,
};

const ACME: &str = r#"{"id":"acme","name":"Acme Corp","welcome":"Howdy","limits":{"chat_per_10s":5,"sessions":4}}"#;

fn with_tenants(rows: &[&str]) -> Setup {
    let mut setup = misbehaving();
    setup.task.rules.limits = true;
    setup.task.rules.lifetime = Lifetime::FOREVER;
    setup.tenants = rows.join("\n");
    setup
}

/// What acme's guest reports in this world, once globex has opened as many sessions and
/// chatted as often. The guest is given one id of its own, and `ids` more to ask about.
fn report(setup: &Setup, sessions: usize, chats: usize, ids: &str) -> String {
    let inside = Inside::new(setup.engine());
    let own = "b1946ac924924d238c6b6f3d1d9f7a10";
    let opened = inside.ask(&order(Some("acme"), &format!("open:{own}")));
    assert_eq!(opened.text(), "opened");
    for _ in 0..sessions {
        let id = session_id(&inside.ask(&open_session("globex")));
        for _ in 0..chats {
            assert_eq!(inside.ask(&chat("globex", &id, "hush")).status, 200);
        }
    }
    let report = inside.ask(&order(Some("acme"), &format!("probe:{own},{ids}")));
    assert_eq!(report.status, 200, "{}", report.text());
    report.text()
}

#[test]
fn a_guest_that_asks_everything_learns_the_same_whatever_other_tenants_do() {
    let quiet = with_tenants(&[ACME]);
    let busy = with_tenants(&[
        r#"{"id":"globex","name":"Globex","welcome":"Psst","model":"secret-model"}"#,
        ACME,
        r#"{"id":"initech","name":"Initech","welcome":"Hi","limits":{"chat_per_10s":1,"sessions":1}}"#,
    ]);
    let alone = report(&quiet, 0, 0, "");
    // Its own affairs, all of them: the row, the one session, three more to its bound, and
    // five chats to its limit.
    for line in [
        "row: acmeAcme CorpHowdymockACME MOCK",
        "given id: mine, exists",
        r#"ids nobody was given: [("unknown", 100)]"#,
        r#"opened: [("opened", 3), ("full", 1)]"#,
        r#"chats: [("granted", 5), ("refused", 1)]"#,
    ] {
        assert!(alone.contains(line), "no {line:?} in\n{alone}");
    }
    for (sessions, chats) in [(0, 0), (1, 0), (7, 1), (30, 3)] {
        assert_eq!(report(&busy, sessions, chats, ""), alone);
    }
}

/// Whoever knows an id is told that it is in use, as every client is, and no more than
/// that: not whose it is.
#[test]
fn of_a_session_whose_id_it_knows_a_guest_learns_only_that_it_is_not_its_own() {
    let rows = [
        ACME,
        r#"{"id":"globex","name":"Globex","welcome":"Psst"}"#,
        r#"{"id":"initech","name":"Initech","welcome":"Hi"}"#,
    ];
    let learned = ["globex", "initech"].map(|tenant| {
        let inside = Inside::new(with_tenants(&rows).engine());
        let id = session_id(&inside.ask(&open_session(tenant)));
        let probe = format!("probe:{}", digits(&id));
        let report = inside.ask(&order(Some("acme"), &probe)).text();
        assert!(report.contains("given id: another, exists"), "{report}");
        // It was not taken over by all that, either.
        assert_eq!(inside.ask(&chat(tenant, &id, "mine?")).status, 200);
        report
    });
    assert_eq!(learned[0], learned[1]);
}

#[test]
fn in_nobodys_scope_there_is_nothing_to_ask() {
    let inside = Inside::new(misbehaving().engine());
    let id = session_id(&inside.ask(&open_session("globex")));
    let report = inside.ask(&order(None, &format!("probe:{}", digits(&id))));
    for line in [
        "row:  None",
        "given id: unavailable, unavailable",
        r#"ids nobody was given: [("unavailable", 100)]"#,
        r#"opened: [("unavailable", 1)]"#,
        r#"chats: [("unavailable", 1)]"#,
    ] {
        assert!(
            report.text().contains(line),
            "no {line:?} in\n{}",
            report.text()
        );
    }
}

const SECRET: &str = "globex's own secret";
const MEMORY: usize = 8 << 20;

/// An order to look for a secret in `bytes` of memory, or to fill them with it. It goes
/// masked, so that looking does not bring what is looked for.
fn with_secret(word: &str, bytes: usize, secret: &str) -> String {
    let masked = secret.bytes().map(|byte| format!("{:02x}", byte ^ 0x5a));
    format!("{word}:{bytes}-{}", masked.collect::<String>())
}

fn find(inside: &Inside, tenant: &str, bytes: usize, secret: &str) -> String {
    let find = with_secret("find", bytes, secret);
    inside.ask(&order(Some(tenant), &find)).text()
}

/// One slot of memory for all sandboxes, so that each gets the one before it's.
fn one_slot() -> Setup {
    let mut setup = misbehaving();
    setup.task.sandbox.max_per_thread = 1;
    setup.task.server.threads = 1;
    setup.task.sandbox.max_memory = MEMORY;
    // Looking through all memory is work.
    setup.task.sandbox.deadline = std::time::Duration::from_secs(3600);
    setup
}

/// Globex's requests leave its secret in the memory of its sandbox: in the message, the
/// session's id, the row. (Looking finds it there: the search can tell.)
#[test]
fn what_a_tenants_requests_leave_in_memory_is_gone_before_another_gets_it() {
    let inside = Inside::new(one_slot().engine());
    // Longer than the order to look for it, which takes the place of its beginning.
    let message = "-".repeat(500) + SECRET;
    for _ in 0..5 {
        let id = session_id(&inside.ask(&open_session("globex")));
        let secrets = [SECRET, &id, "Welcome from Globex."];
        // What was asked last is what is left.
        for secret in secrets {
            assert_eq!(inside.ask(&chat("globex", &id, &message)).status, 200);
            assert_eq!(find(&inside, "globex", 0, secret), "found", "{secret}");
        }
        assert_eq!(inside.ask(&chat("globex", &id, &message)).status, 200);
        assert_eq!(count(&inside, Some("acme")), 1);
        for secret in secrets {
            assert_eq!(
                find(&inside, "acme", 0, secret),
                format!("not found in {} bytes", 512 << 10)
            );
        }
        // All that the slot can hold.
        for secret in secrets {
            assert_eq!(
                find(&inside, "acme", MEMORY, secret),
                format!("not found in {MEMORY} bytes")
            );
        }
    }
}

/// A guest that writes its secret wherever it can leaves none of it to the next.
#[test]
fn memory_that_a_guest_has_filled_is_empty_for_the_next() {
    for isolation in [Isolation::Tenant, Isolation::Request] {
        let mut setup = one_slot();
        setup.task.sandbox.isolation = isolation;
        let inside = Inside::new(setup.engine());
        for bytes in [768 << 10, 1 << 20, 2 << 20, MEMORY] {
            let fill = with_secret("fill", bytes, SECRET);
            let filled = inside.ask(&order(Some("globex"), &fill)).text();
            assert!(filled.parse::<usize>().expect("a number") > 10_000);
            for tenant in ["acme", "globex"] {
                let is_same_sandbox =
                    tenant == "globex" && isolation == Isolation::Tenant && bytes <= 1 << 20;
                if is_same_sandbox {
                    continue;
                }
                assert_eq!(
                    find(&inside, tenant, MEMORY, SECRET),
                    format!("not found in {MEMORY} bytes"),
                    "{bytes} bytes, {tenant}, {isolation:?}"
                );
            }
        }
    }
}

/// The same where the sandbox before came to a bad end.
#[test]
fn what_a_guest_that_trapped_has_left_is_gone_too() {
    let inside = Inside::new(one_slot().engine());
    for last in ["panic", "allocate", "recurse:10000000", "status:0"] {
        let fill = with_secret("fill", 1 << 20, SECRET);
        inside.ask(&order(Some("globex"), &fill));
        assert_eq!(find(&inside, "globex", 0, SECRET), "found");
        super::fault(&inside, &order(Some("globex"), last));
        let found = find(&inside, "acme", MEMORY, SECRET);
        assert_eq!(found, format!("not found in {MEMORY} bytes"), "{last}");
    }
}

/// With a sandbox for each request, a request finds nothing of its own tenant's last one.
#[test]
fn with_isolation_by_request_nothing_is_left_from_one_request_to_the_next() {
    for (isolation, found) in [
        (Isolation::Tenant, "found".to_owned()),
        (
            Isolation::Request,
            format!("not found in {} bytes", 512 << 10),
        ),
    ] {
        let mut setup = one_slot();
        setup.task.sandbox.isolation = isolation;
        let inside = Inside::new(setup.engine());
        let id = session_id(&inside.ask(&open_session("acme")));
        assert_eq!(inside.ask(&chat("acme", &id, SECRET)).status, 200);
        assert_eq!(find(&inside, "acme", 0, SECRET), found);
    }
}
