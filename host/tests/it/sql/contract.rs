//! What every database does with tenants, sessions and usage.

use std::sync::Arc;

use tenantry::state::{
    AuditQuery, Author, Change, ChangeError, Directory, Expected, ManualClock, Stage, State, Step,
    TenantQuery, Usage, UsageQuery, UsageRow, sql::SqlStore,
};
use tenantry_conformance::replay;
use tenantry_core::{
    memory::Settings,
    session::{Lifetime, SessionId},
    tenancy::{OpenError, Owner},
};

use super::broken::sql;
use crate::support::{
    client::Sockets,
    database::{Database, Postgres, Sqlite},
    server::{Setup, Way},
    stores::batch,
};

/// A store that is open, and the one thread that asks it.
pub(super) struct Open {
    pub(super) store: Option<SqlStore>,
    pub(super) state: State,
    pub(super) clock: Arc<ManualClock>,
    runtime: tokio::runtime::Runtime,
}

impl Open {
    pub(super) fn new(database: &dyn Database) -> Self {
        Self::at(database, Settings::default(), 1_000_000)
    }

    /// Opens it at that second of Unix time.
    pub(super) fn at(database: &dyn Database, rules: Settings, seconds: u64) -> Self {
        let clock = Arc::new(ManualClock::default());
        clock.advance(std::time::Duration::from_secs(seconds));
        let opened = SqlStore::open(&database.settings(), rules, Arc::clone(&clock) as _);
        let (store, state) = opened.unwrap_or_else(|error| panic!("{error}"));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        Self {
            store: Some(store),
            state,
            clock,
            runtime: runtime.expect("a runtime"),
        }
    }

    pub(super) fn run<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    pub(super) fn directory(&self) -> &Arc<Directory> {
        self.store.as_ref().expect("it is open").directory()
    }

    pub(super) fn change(
        &self,
        id: &str,
        change: Change,
        expected: Expected,
    ) -> Result<Option<tenantry::state::Record>, ChangeError> {
        let by = Author {
            who: "a test".to_owned(),
            request_id: "r1".to_owned(),
        };
        self.run(self.state.records.change(id, change, expected, &by))
    }

    pub(super) fn put(&self, id: &str, welcome: &str) {
        let change = Change::Put(row(id, welcome));
        self.change(id, change, Expected::Any).expect("a change");
    }

    pub(super) fn open(&self, tenant: &str, id: SessionId) -> Result<(), OpenError> {
        let tenant = self.directory().get(tenant).expect("a tenant");
        self.run(self.state.sessions.open(&tenant, id).wait())
    }

    pub(super) fn owner(&self, tenant: &str, id: SessionId) -> Owner {
        let tenant = self.directory().get(tenant).expect("a tenant");
        let owner = self.run(self.state.sessions.owner(&tenant, id).wait());
        owner.expect("within reach")
    }

    pub(super) fn audit(&self) -> Vec<(String, String)> {
        let query = AuditQuery {
            tenant_id: None,
            after: None,
            max: 1000,
        };
        let records = self
            .run(self.state.records.audit(query))
            .expect("the audit");
        let records = records.into_iter().map(|record| record.event);
        records
            .map(|event| (event.action, event.tenant_id))
            .collect()
    }

    pub(super) fn close(mut self) {
        if let Some(store) = self.store.take() {
            drop(self.state);
            store.close();
        }
    }
}

pub(super) fn author() -> Author {
    Author {
        who: "a test".to_owned(),
        request_id: "r1".to_owned(),
    }
}

pub(super) fn row(id: &str, welcome: &str) -> String {
    format!(r#"{{"id":"{id}","name":"n","welcome":"{welcome}"}}"#)
}

pub(super) fn id(n: u64) -> SessionId {
    let high = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    SessionId::from_u64_pair(high, high.rotate_left(31))
}

/// Every kind of database, empty.
pub(super) fn for_each(test: impl Fn(&dyn Database)) {
    test(&Sqlite::new());
    if let Some(postgres) = Postgres::start() {
        test(&postgres);
    }
}

#[test]
fn the_recorded_cases_come_out_as_recorded_with_a_database() {
    for_each(|database| {
        let text = tenantry_conformance::TENANTS.as_bytes();
        let by = Author {
            who: "a test".to_owned(),
            request_id: String::new(),
        };
        let settings = database.settings();
        tenantry::state::sql::import(&settings, text, by, &ManualClock::default())
            .expect("an empty database");
        let rules = Settings {
            limits: false,
            ..Settings::default()
        };
        let Open { store, state, .. } = Open::at(database, rules, 1_000_000);
        let server = Setup::new(Way::Tenant).start_with(state);
        replay(&mut Sockets(server.address)).assert_passed();
        drop(server);
        store.expect("it is open").close();
    });
}

#[test]
fn tenants_go_through_their_life() {
    for_each(|database| {
        let open = Open::new(database);
        let find = |id: &str| {
            open.run(open.state.tenants.find(id).wait())
                .expect("in reach")
        };
        assert!(find("acme").is_none());
        let put = |id: &str, welcome: &str, expected| {
            open.change(id, Change::Put(row(id, welcome)), expected)
        };
        let acme = put("acme", "Hi", Expected::Absent)
            .expect("new")
            .expect("one");
        assert_eq!((acme.version, acme.stage), (1, Stage::Active));
        assert_eq!(acme.created_ms, 1_000_000_000);
        assert_eq!(find("acme").expect("acme").packed.tenant().welcome, "Hi");

        // Meant for another version: nothing happens.
        for (expected, version) in [(Expected::Absent, Some(1)), (Expected::Version(2), Some(1))] {
            match put("acme", "No", expected) {
                Err(ChangeError::Conflict(found)) => assert_eq!(found, version),
                other => panic!("{other:?}"),
            }
        }
        for expected in [Expected::Present, Expected::Version(1)] {
            assert!(matches!(
                put("nobody", "No", expected),
                Err(ChangeError::Conflict(None))
            ));
        }
        open.clock.advance(std::time::Duration::from_secs(5));
        let acme = put("acme", "Hello", Expected::Version(1))
            .expect("changed")
            .expect("one");
        assert_eq!((acme.version, acme.changed_ms), (2, 1_000_005_000));
        assert_eq!(find("acme").expect("acme").packed.tenant().welcome, "Hello");
        // The same again is no change.
        let same = put("acme", "Hello", Expected::Any)
            .expect("same")
            .expect("one");
        assert_eq!(same.version, 2);

        open.open("acme", id(1)).expect("a session");
        let step = |change| open.change("acme", change, Expected::Any);
        assert!(matches!(
            step(Change::Purge),
            Err(ChangeError::Stage(Stage::Active))
        ));
        let suspended = step(Change::Suspend).expect("done").expect("one");
        assert_eq!((suspended.version, suspended.stage), (3, Stage::Suspended));
        assert_eq!(
            step(Change::Suspend).expect("done").expect("one").version,
            3
        );
        assert!(find("acme").expect("acme").packed.is_suspended());
        let archived = step(Change::Archive).expect("done").expect("one");
        assert_eq!(archived.stage, Stage::Archived);
        assert!(find("acme").is_none());
        assert!(matches!(
            step(Change::Suspend),
            Err(ChangeError::Stage(Stage::Archived))
        ));
        step(Change::Resume).expect("done");
        assert!(find("acme").is_some());
        // Its data was kept.
        assert_eq!(open.owner("acme", id(1)), Owner::Mine);
        step(Change::Archive).expect("done");
        assert!(step(Change::Purge).expect("done").is_none());
        assert!(open.directory().get("acme").is_none());
        assert!(matches!(step(Change::Suspend), Err(ChangeError::Unknown)));

        // Whoever has the id next is somebody else.
        open.put("acme", "Hi");
        open.put("globex", "Hi");
        let again = open
            .run(open.state.records.get("acme"))
            .expect("in reach")
            .expect("one");
        assert!(again.key > acme.key);
        assert_eq!(open.owner("acme", id(1)), Owner::Unknown);

        let actions = [
            "put", "put", "suspend", "archive", "resume", "archive", "purge", "put",
        ];
        let mut audit: Vec<_> = actions
            .map(|action| (action.to_owned(), "acme".to_owned()))
            .into();
        audit.push(("put".to_owned(), "globex".to_owned()));
        assert_eq!(open.audit(), audit);

        let list = |stage, after| {
            let query = TenantQuery {
                stage,
                after,
                max: 1,
            };
            open.run(open.state.records.list(query)).expect("in reach")
        };
        let first = list(None, None);
        assert_eq!(first[0].1.id, "acme");
        assert_eq!(list(None, Some(first[0].0))[0].1.id, "globex");
        assert!(list(Some(Stage::Archived), None).is_empty());
        open.close();

        // All of it is there the next time.
        let open = Open::new(database);
        assert_eq!(open.audit(), audit);
        assert_eq!(open.directory().len(), 2);
        open.close();
    });
}

#[test]
fn what_is_written_down_about_a_change_says_what_was_and_what_is() {
    for_each(|database| {
        let open = Open::new(database);
        open.put("acme", "Hi");
        open.put("acme", "Hello");
        let query = AuditQuery {
            tenant_id: Some("acme".to_owned()),
            after: Some(1),
            max: 10,
        };
        let audit = open.run(open.state.records.audit(query)).expect("in reach");
        assert_eq!(audit.len(), 1);
        let event = &audit[0].event;
        assert_eq!((&*event.by.who, &*event.by.request_id), ("a test", "r1"));
        assert_eq!(event.at_ms, 1_000_000_000);
        let told = |version: u64, welcome: &str| {
            let row: serde_json::Value = serde_json::from_str(&row("acme", welcome)).expect("JSON");
            serde_json::json!({ "state": "active", "version": version, "row": row })
        };
        let json = |text: &Option<String>| -> serde_json::Value {
            serde_json::from_str(text.as_deref().expect("some")).expect("JSON")
        };
        assert_eq!(json(&event.before), told(1, "Hi"));
        assert_eq!(json(&event.after), told(2, "Hello"));
        open.close();
    });
}

#[test]
fn two_that_change_the_same_version_are_not_both_right() {
    for_each(|database| {
        let open = Open::new(database);
        open.put("acme", "Hi");
        let by = Author {
            who: "a test".to_owned(),
            request_id: String::new(),
        };
        let results = open.run(async {
            let change = |n: u32| {
                let change = Change::Put(row("acme", &n.to_string()));
                open.state
                    .records
                    .change("acme", change, Expected::Version(1), &by)
            };
            let (a, b, c) = tokio::join!(change(1), change(2), change(3));
            [a, b, c]
        });
        let won = results.iter().filter(|result| result.is_ok()).count();
        assert_eq!(won, 1);
        for lost in results.iter().filter(|result| result.is_err()) {
            assert!(
                matches!(lost, Err(ChangeError::Conflict(Some(2)))),
                "{lost:?}"
            );
        }
        // And so for who adds a tenant.
        let results = open.run(async {
            let add = |n: u32| {
                let change = Change::Put(row("new", &n.to_string()));
                open.state
                    .records
                    .change("new", change, Expected::Absent, &by)
            };
            tokio::join!(add(1), add(2))
        });
        assert_ne!(results.0.is_ok(), results.1.is_ok());
        open.close();
    });
}

#[test]
fn sessions_are_kept_with_their_bounds_and_their_ends() {
    for_each(|database| {
        let rules = Settings {
            lifetime: Lifetime::new(std::time::Duration::from_secs(2560)),
            max_sessions: 3,
            ..Settings::default()
        };
        let open = Open::at(database, rules, 1_000_000);
        open.put("acme", "Hi");
        open.put("globex", "Hi");
        for n in 0..3 {
            assert_eq!(open.open("acme", id(n)), Ok(()));
        }
        assert_eq!(open.open("acme", id(3)), Err(OpenError::Full));
        assert_eq!(open.open("globex", id(0)), Err(OpenError::Exists));
        assert_eq!(open.owner("globex", id(0)), Owner::Another);
        assert_eq!(open.owner("globex", id(9)), Owner::Unknown);
        // Half of the time later one is used.
        open.clock.advance(std::time::Duration::from_secs(1500));
        assert_eq!(open.owner("acme", id(1)), Owner::Mine);
        open.close();

        let open = Open::at(database, rules, 1_001_500);
        assert_eq!(open.owner("acme", id(1)), Owner::Mine);
        assert_eq!(open.owner("globex", id(1)), Owner::Another);
        assert_eq!(open.open("acme", id(3)), Err(OpenError::Full));
        // Those that were not used end, and make room.
        open.clock.advance(std::time::Duration::from_secs(1200));
        assert_eq!(open.owner("acme", id(0)), Owner::Unknown);
        assert_eq!(open.owner("acme", id(1)), Owner::Mine);
        for n in 4..6 {
            assert_eq!(open.open("acme", id(n)), Ok(()));
        }
        assert_eq!(open.open("acme", id(6)), Err(OpenError::Full));
        let acme = open.directory().get("acme").expect("acme");
        let records = &open.state.session_records;
        assert_eq!(open.run(records.count(&acme)).expect("in reach"), 3);
        open.close();
    });
}

/// A use is written down: without it, the session would have ended long before.
#[test]
fn when_a_session_was_used_is_known_the_next_time() {
    for_each(|database| {
        let rules = Settings {
            lifetime: Lifetime::new(std::time::Duration::from_secs(2560)),
            ..Settings::default()
        };
        let open = Open::at(database, rules, 1_000_000);
        open.put("acme", "Hi");
        for n in 0..2 {
            assert_eq!(open.open("acme", id(n)), Ok(()));
        }
        open.clock.advance(std::time::Duration::from_secs(1500));
        assert_eq!(open.owner("acme", id(1)), Owner::Mine);
        open.close();

        let open = Open::at(database, rules, 1_003_000);
        assert_eq!(open.owner("acme", id(0)), Owner::Unknown);
        assert_eq!(open.owner("acme", id(1)), Owner::Mine);
        open.close();
    });
}

#[test]
fn sessions_are_ended_by_whoever_runs_the_service_and_stay_ended() {
    for_each(|database| {
        let by = Author {
            who: "a test".to_owned(),
            request_id: "r2".to_owned(),
        };
        let open = Open::new(database);
        open.put("acme", "Hi");
        open.put("globex", "Hi");
        for n in 0..10 {
            open.open("acme", id(n)).expect("a session");
        }
        open.open("globex", id(10)).expect("a session");
        let acme = open.directory().get("acme").expect("acme");
        let globex = open.directory().get("globex").expect("globex");
        let records = &open.state.session_records;
        let mut ids: Vec<_> = (0..10).map(id).collect();
        ids.sort_unstable();
        let list = |after, max| open.run(records.list(&acme, after, max)).expect("in reach");
        let first: Vec<_> = list(None, 4).iter().map(|session| session.id).collect();
        assert_eq!(first, ids[..4]);
        let rest: Vec<_> = list(Some(ids[3]), 100)
            .iter()
            .map(|session| session.id)
            .collect();
        assert_eq!(rest, ids[4..]);

        // Nobody ends another tenant's.
        assert!(
            !open
                .run(records.revoke(&globex, id(1), &by))
                .expect("in reach")
        );
        assert!(
            open.run(records.revoke(&acme, id(1), &by))
                .expect("in reach")
        );
        assert!(
            !open
                .run(records.revoke(&acme, id(1), &by))
                .expect("in reach")
        );
        assert_eq!(open.owner("acme", id(1)), Owner::Unknown);
        assert_eq!(open.run(records.count(&acme)).expect("in reach"), 9);
        open.close();

        let open = Open::new(database);
        assert_eq!(open.owner("acme", id(1)), Owner::Unknown);
        assert_eq!(open.owner("acme", id(2)), Owner::Mine);
        let acme = open.directory().get("acme").expect("acme");
        let records = &open.state.session_records;
        assert_eq!(
            open.run(records.revoke_all(&acme, &by)).expect("in reach"),
            9
        );
        assert_eq!(open.owner("acme", id(2)), Owner::Unknown);
        assert_eq!(open.owner("globex", id(10)), Owner::Mine);
        let revoked = ("revoke".to_owned(), "acme".to_owned());
        assert_eq!(open.audit()[2..], [revoked.clone(), revoked]);
        open.close();
        let open = Open::new(database);
        assert_eq!(open.owner("acme", id(2)), Owner::Unknown);
        open.close();
    });
}

#[test]
fn very_many_sessions_of_a_tenant_end_together() {
    const MANY: u64 = 25_000;
    let database = Sqlite::new();
    let open = Open::new(&database);
    open.put("acme", "Hi");
    open.put("globex", "Hi");
    open.open("globex", id(0)).expect("a session");
    open.close();
    let opens_many = format!(
        "WITH RECURSIVE numbers(n) AS \
         (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {MANY}) \
         INSERT INTO sessions SELECT randomblob(16), key, 1000000000 FROM numbers, tenants \
         WHERE id = 'acme'"
    );
    let by = Author {
        who: "a test".to_owned(),
        request_id: "r3".to_owned(),
    };
    sql(&database, &opens_many);
    let open = Open::new(&database);
    let acme = open.directory().get("acme").expect("acme");
    let records = &open.state.session_records;
    let count = || open.run(records.count(&acme)).expect("in reach");
    assert_eq!(count(), MANY);
    let revoked = open.run(records.revoke_all(&acme, &by));
    assert_eq!(revoked.expect("in reach"), MANY);
    assert_eq!(count(), 0);
    open.close();

    sql(&database, &opens_many);
    let open = Open::new(&database);
    for change in [Change::Archive, Change::Purge] {
        open.change("acme", change, Expected::Any).expect("done");
    }
    assert_eq!(open.owner("globex", id(0)), Owner::Mine);
    open.close();
    // Globex's is the one that is left.
    sql(
        &database,
        "CREATE TABLE left_over (sessions INTEGER CHECK (sessions = 1))",
    );
    sql(
        &database,
        "INSERT INTO left_over SELECT count(*) FROM sessions",
    );
}

fn used(tenant: u32, minute: u64, chats: u64) -> UsageRow {
    UsageRow {
        tenant,
        minute,
        usage: Usage {
            chats,
            bytes_in: 10 * chats,
            refused_bytes_in: 100 * chats,
            ..Usage::default()
        },
    }
}

#[test]
fn usage_is_added_up_by_the_minute_the_hour_and_the_day() {
    for_each(|database| {
        let open = Open::new(database);
        let add = |seq, rows| {
            let added = open.run(open.state.usage.add(batch(seq, rows)));
            added.expect("in reach");
        };
        // 1,000,000 seconds are minute 16,666, of hour 277, of day 11.
        let first = vec![used(1, 16_666, 1), used(2, 16_666, 5), used(1, 16_667, 2)];
        add(1, first.clone());
        // A batch counts once, however often it comes: its answer may have been lost.
        add(1, first);
        add(2, vec![used(1, 16_667, 3)]);
        add(2, vec![used(1, 16_667, 3)]);
        add(3, Vec::new());
        add(4, vec![used(1, 16_680, 7), used(1, 17_280, 11)]);
        let query = |tenant, step, from, to, after, max| {
            let query = UsageQuery {
                tenant,
                from,
                to,
                step,
                after,
                max,
            };
            let rows = open.run(open.state.usage.query(query)).expect("in reach");
            let rows = rows.into_iter().map(|row| {
                assert_eq!(row.usage.bytes_in, 10 * row.usage.chats);
                assert_eq!(row.usage.refused_bytes_in, 100 * row.usage.chats);
                (row.minute, row.tenant, row.usage.chats)
            });
            rows.collect::<Vec<_>>()
        };
        let all = u64::MAX >> 20;
        let minutes = [
            (16_666, 1, 1),
            (16_666, 2, 5),
            (16_667, 1, 5),
            (16_680, 1, 7),
            (17_280, 1, 11),
        ];
        assert_eq!(query(None, Step::Minute, 0, all, None, 99), minutes);
        assert_eq!(
            query(None, Step::Minute, 0, all, Some((16_666, 1)), 2),
            minutes[1..3]
        );
        assert_eq!(
            query(Some(2), Step::Minute, 0, all, None, 99),
            minutes[1..2]
        );
        assert_eq!(
            query(None, Step::Minute, 16_667, 16_680, None, 99),
            minutes[2..3]
        );
        let hours = [
            (16_620, 1, 6),
            (16_620, 2, 5),
            (16_680, 1, 7),
            (17_280, 1, 11),
        ];
        assert_eq!(query(None, Step::Hour, 0, all, None, 99), hours);
        assert_eq!(
            query(None, Step::Hour, 16_666, 16_680, None, 99),
            hours[..2]
        );
        let days = [(15_840, 1, 13), (15_840, 2, 5), (17_280, 1, 11)];
        assert_eq!(query(None, Step::Day, 0, all, None, 99), days);
        open.close();
        let open = Open::new(database);
        // One of before the restart, and a new one.
        for (seq, chats, sum) in [(4, 4, 5), (5, 4, 9)] {
            let added = open
                .state
                .usage
                .add(batch(seq, vec![used(1, 16_667, chats)]));
            open.run(added).expect("in reach");
            let query = UsageQuery {
                tenant: Some(1),
                from: 16_667,
                to: 16_668,
                step: Step::Minute,
                after: None,
                max: 9,
            };
            let rows = open.run(open.state.usage.query(query)).expect("in reach");
            assert_eq!(rows[0].usage.chats, sum);
        }
        open.close();
    });
}

/// Usage of before refused bytes were counted apart reads as if there had been none.
#[test]
fn usage_of_an_older_schema_is_kept() {
    let older = [
        "ALTER TABLE usage DROP COLUMN refused_bytes_in",
        "DELETE FROM _sqlx_migrations WHERE version = 3",
    ];
    let check = |database: &dyn Database, run: &dyn Fn(&str)| {
        let open = Open::new(database);
        let rows = vec![used(1, 16_666, 3)];
        open.run(open.state.usage.add(batch(1, rows)))
            .expect("in reach");
        open.close();
        for statement in older {
            run(statement);
        }
        let open = Open::new(database);
        let more = vec![used(1, 16_667, 1)];
        open.run(open.state.usage.add(batch(2, more)))
            .expect("in reach");
        let query = UsageQuery {
            tenant: None,
            from: 0,
            to: 100_000,
            step: Step::Hour,
            after: None,
            max: 9,
        };
        let rows = open.run(open.state.usage.query(query)).expect("in reach");
        let numbers: Vec<_> = rows.iter().map(|row| row.usage.numbers()).collect();
        assert_eq!(numbers, [[4, 0, 0, 40, 0, 0, 100]]);
        open.close();
    };
    let sqlite = Sqlite::new();
    check(&sqlite, &|statement| sql(&sqlite, statement));
    if let Some(postgres) = Postgres::start() {
        check(&postgres, &|statement| postgres.sql(statement));
    }
}

/// What the core takes, every database keeps; and what no database could keep, the core refuses.
#[test]
fn every_text_that_a_row_may_have_is_kept_and_found() {
    for_each(|database| {
        let long = |len: usize| "é".repeat(len / 2);
        let texts = [
            (
                "controls",
                "\u{1}\u{7f}\u{9b}\u{202e}\u{2028}\n",
                r"\u0000 \u0001 \u007f",
            ),
            ("long", &*long(512), &*long(4096)),
        ];
        let rows = texts.map(|(_, id, name)| {
            let id = serde_json::to_string(id).expect("a string");
            format!(
                r#"{{"id":{id},"name":"{name}","welcome":"{}","model":"{}","reply":{{"tag":"{}"}},"x":"\u0000"}}"#,
                long(16384),
                long(512),
                long(512)
            )
        });
        let by = author();
        let settings = database.settings();
        let text = rows.join("\n");
        tenantry::state::sql::import(
            &settings,
            text.as_bytes(),
            by.clone(),
            &ManualClock::default(),
        )
        .expect("an empty database");
        let open = Open::new(database);
        for (case, id, _) in texts {
            assert!(open.directory().get(id).is_some(), "{case}");
            let record = open.run(open.state.records.get(id)).expect("in reach");
            let record = record.unwrap_or_else(|| panic!("{case} is there"));
            assert!(record.row.contains(r#""x":"\u0000""#), "{case}");
            // Changed, written down in the audit, found there, and purged.
            let row = record.row.replace(r#""x":"#, r#""y":"#);
            for change in [Change::Put(row), Change::Archive, Change::Purge] {
                open.change(id, change, Expected::Any).expect("a change");
            }
            let query = AuditQuery {
                tenant_id: Some(id.to_owned()),
                after: None,
                max: 10,
            };
            let audit = open.run(open.state.records.audit(query)).expect("in reach");
            assert_eq!(audit.len(), 3, "{case}");
        }
        // Ids that no tenant can have are those of no tenant.
        for id in ["a\0b", "\0", &*long(12_000)] {
            let record = open.run(open.state.records.get(id)).expect("in reach");
            assert!(record.is_none());
            let suspended = open.change(id, Change::Suspend, Expected::Any);
            assert!(
                matches!(suspended, Err(ChangeError::Unknown)),
                "{suspended:?}"
            );
            let query = AuditQuery {
                tenant_id: Some(id.to_owned()),
                after: None,
                max: 10,
            };
            let audit = open.run(open.state.records.audit(query)).expect("in reach");
            assert_eq!(audit.len(), 0);
        }
        open.close();
    });
}
