//! Sessions, tenants and usage in a database while the clock is set, or was.

use std::time::Duration;

use tenantry::state::{Change, Clock as _, Expected, StoredSession, sql::SqlStore};
use tenantry_core::{
    memory::Settings,
    session::{Lifetime, SessionId},
    tenancy::Owner,
};

use super::contract::{Open, for_each, row};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Some time in Unix time.
const START: u64 = 1_800_000_000;

const LIFETIME: Duration = Duration::from_secs(2560);

/// How long an uncertain start lasts, and more.
const LATER: Duration = Duration::from_secs(2600);

fn rules() -> Settings {
    Settings {
        lifetime: Lifetime::new(LIFETIME),
        ..Settings::default()
    }
}

/// A session in the part of the table that is swept first.
fn id(n: u64) -> SessionId {
    SessionId::from_u64_pair(n, n)
}

impl Open {
    fn sessions(&self) -> Vec<StoredSession> {
        let acme = self.directory().get("acme").expect("acme");
        let sessions = self.run(self.state.session_records.list(&acme, None, 100));
        sessions.expect("within reach")
    }

    /// Has ended sessions of the first part deleted, and those of the future corrected.
    fn sweep(&self) {
        // Two parts take 1.25 seconds, the first one first.
        let some_parts = async {
            let sweep = self.state.sessions.maintain();
            tokio::time::timeout(Duration::from_secs(3), sweep).await
        };
        assert!(self.run(some_parts).is_err(), "it goes on for ever");
    }
}

/// Within two steps of what is known of a session's use.
fn is_recent(used: tenantry_core::time::Timestamp, now: tenantry_core::time::Timestamp) -> bool {
    used <= now && now.since(used) < Duration::from_secs(20)
}

#[test]
fn a_step_of_the_clock_ends_no_session() {
    for is_back in [false, true] {
        for_each(|database| {
            let open = Open::at(database, rules(), START);
            open.put("acme", "Hi");
            for n in 0..3 {
                open.open("acme", id(n)).expect("a session");
            }
            open.clock.advance(LATER / 2);
            if is_back {
                open.clock.step_back(DAY);
            } else {
                open.clock.step_forward(DAY);
            }
            assert_eq!(open.sessions().len(), 3);
            for n in 0..2 {
                assert_eq!(open.owner("acme", id(n)), Owner::Mine);
            }
            // Each is told by the clock as it is, once its use is written down.
            let end = std::time::Instant::now() + crate::support::client::PATIENCE;
            while !is_recent(open.sessions()[0].used, open.clock.wall()) {
                assert!(
                    std::time::Instant::now() < end,
                    "{:?}",
                    open.sessions()[0].used
                );
                std::thread::sleep(Duration::from_millis(50));
            }
            open.clock.advance(LATER / 2 + Duration::from_secs(20));
            if !is_back {
                // One that was not used since it was opened has ended, whatever the clock says.
                // (After a step back it was used in the future, which counts as now.)
                assert_eq!(open.owner("acme", id(2)), Owner::Unknown);
            }
            open.sweep();
            assert_eq!(open.owner("acme", id(0)), Owner::Mine);
            let wall = open.clock.wall().as_millis() / 1000;
            open.close();

            let open = Open::at(database, rules(), wall);
            assert_eq!(open.owner("acme", id(0)), Owner::Mine);
            assert_eq!(open.owner("acme", id(1)), Owner::Mine);
            open.close();
        });
    }
}

#[test]
fn a_start_with_a_clock_that_is_a_day_ahead_deletes_no_session() {
    for_each(|database| {
        let open = Open::at(database, rules(), START);
        open.put("acme", "Hi");
        open.open("acme", id(0)).expect("a session");
        open.close();

        let ahead = Open::at(database, rules(), START + DAY.as_secs());
        // It may be a day later: nobody knows.
        assert_eq!(ahead.owner("acme", id(0)), Owner::Unknown);
        ahead.sweep();
        ahead.close();

        let open = Open::at(database, rules(), START + 10);
        assert_eq!(open.owner("acme", id(0)), Owner::Mine);
        open.close();

        // Once nobody has set the clock right for a while, it is believed.
        let open = Open::at(database, rules(), START + DAY.as_secs());
        open.clock.advance(LATER);
        open.sweep();
        open.close();
        let open = Open::at(database, rules(), START + 10);
        assert_eq!(open.owner("acme", id(0)), Owner::Unknown);
        open.close();
    });
}

#[test]
fn sessions_used_in_the_future_live_for_a_lifetime_and_no_longer() {
    for_each(|database| {
        let ahead = Open::at(database, rules(), START + 30 * DAY.as_secs());
        ahead.put("acme", "Hi");
        for n in 0..2 {
            ahead.open("acme", id(n)).expect("a session");
        }
        ahead.close();

        // The clock was set right: they count as used now.
        let open = Open::at(database, rules(), START);
        assert_eq!(open.owner("acme", id(0)), Owner::Mine);
        open.sweep();
        open.close();

        let later = START + LATER.as_secs();
        let open = Open::at(database, rules(), later);
        for n in 0..2 {
            assert_eq!(open.owner("acme", id(n)), Owner::Unknown, "{n}");
        }
        open.close();
    });
}

#[test]
fn changes_audit_and_usage_have_the_time_that_the_clock_shows() {
    for_each(|database| {
        let open = Open::at(database, rules(), START);
        open.put("acme", "Hi");
        open.clock.step_forward(DAY);
        let change = Change::Put(row("acme", "Hello"));
        let record = open
            .change("acme", change, Expected::Any)
            .expect("a change");
        let record = record.expect("a tenant");
        assert_eq!(record.created_ms, START * 1000);
        assert_eq!(record.changed_ms, (START + DAY.as_secs()) * 1000);
        open.clock.step_back(2 * DAY);
        open.change("acme", Change::Suspend, Expected::Any)
            .expect("a change");
        let query = tenantry::state::AuditQuery {
            tenant_id: None,
            after: None,
            max: 10,
        };
        let audit = open
            .run(open.state.records.audit(query))
            .expect("the audit");
        let seconds: Vec<_> = audit
            .iter()
            .map(|record| record.event.at_ms / 1000)
            .collect();
        let day = DAY.as_secs();
        assert_eq!(seconds, [START, START + day, START - day]);
        open.close();
    });
}

/// Servers that share a database have its time, whatever their own clocks show.
#[test]
fn a_server_with_a_wrong_clock_ends_no_session_of_postgresql() {
    use std::sync::Arc;

    use tenantry::state::{SystemClock, Timeline};
    use tenantry_core::time::Timestamp;

    use crate::support::database::{Database as _, Postgres};

    /// The system's clock, ahead by days.
    struct Ahead(SystemClock, Timeline);

    impl tenantry::state::Clock for Ahead {
        fn now(&self) -> Timestamp {
            self.0.now()
        }

        fn time_of_day(&self) -> Timestamp {
            self.0.time_of_day().after(30 * DAY)
        }

        fn timeline(&self) -> &Timeline {
            &self.1
        }

        fn is_systems(&self) -> bool {
            true
        }
    }

    let Some(database) = Postgres::start() else {
        return;
    };
    let open = |clock: Arc<dyn tenantry::state::Clock>| {
        SqlStore::open(&database.settings(), rules(), clock)
            .unwrap_or_else(|error| panic!("{error}"))
    };
    let right = open(Arc::new(SystemClock::new()));
    let wrong = open(Arc::new(Ahead(SystemClock::new(), Timeline::default())));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let by = super::contract::author();
    let change = Change::Put(row("acme", "Hi"));
    let changed = right.1.records.change("acme", change, Expected::Any, &by);
    runtime.block_on(changed).expect("a change");
    let acme = right.0.directory().get("acme").expect("acme");
    let opened = right.1.sessions.open(&acme, id(1)).wait();
    runtime.block_on(opened).expect("a session");
    // The other server learns of the tenant by itself.
    let end = std::time::Instant::now() + crate::support::client::PATIENCE;
    let acme = loop {
        if let Some(acme) = wrong.0.directory().get("acme") {
            break acme;
        }
        assert!(std::time::Instant::now() < end, "it never learns of it");
        std::thread::sleep(Duration::from_millis(20));
    };
    let owner = runtime.block_on(wrong.1.sessions.owner(&acme, id(1)).wait());
    assert_eq!(owner, Ok(Owner::Mine));
    let opened = runtime.block_on(wrong.1.sessions.open(&acme, id(2)).wait());
    assert_eq!(opened, Ok(()));
    let listed = runtime.block_on(right.1.session_records.list(&acme, None, 10));
    let now = right.1.clock.wall();
    for session in listed.expect("within reach") {
        assert!(now.since(session.used) < Duration::from_secs(60));
        assert!(session.used.since(now) < Duration::from_secs(60));
    }
    let change = Change::Put(row("acme", "Hello"));
    let changed = wrong.1.records.change("acme", change, Expected::Any, &by);
    let record = runtime
        .block_on(changed)
        .expect("a change")
        .expect("a tenant");
    assert!(record.changed_ms < now.after(DAY).as_millis());
    for (store, state) in [right, wrong] {
        drop(state);
        store.close();
    }
}
