//! Usage over the admin API: spans, pages and CSV.

use std::{
    io::Read as _,
    sync::Arc,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tenantry::{
    admin::Settings,
    state::{
        MemoryUsage, Pending, State, StoreError, Usage, UsageBatch, UsageQuery, UsageRow,
        UsageStore,
    },
};
use tenantry_conformance::Exchange;

use crate::support::{
    admin::{Administered, authorized, problem},
    client::{Connection, PATIENCE, ask_raw, get, with_header},
    server::Way,
    stores::batch,
};

/// 2023-11-14T22:00:00Z
const HOUR: u64 = 28_333_320;

const SPAN: &str = "from=2023-11-14T22:00:00Z&to=2023-11-15T00:00:00Z";

/// Usage in memory that fails at the n-th question.
struct Failing {
    usage: MemoryUsage,
    left: AtomicUsize,
}

impl UsageStore for Failing {
    fn add(&self, batch: UsageBatch) -> Pending<'_, Result<(), StoreError>> {
        self.usage.add(batch)
    }

    fn query(&self, query: UsageQuery) -> Pending<'_, Result<Vec<UsageRow>, StoreError>> {
        let left = |left: usize| left.checked_sub(1);
        match self
            .left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, left)
        {
            Ok(_) => self.usage.query(query),
            Err(_) => Box::pin(async { Err(StoreError::Failed("s3cret".to_owned())) }),
        }
    }
}

fn start(answers: usize) -> Administered {
    Administered::with(Way::Native, Settings::default(), |state| {
        state.usage = Arc::new(Failing {
            usage: MemoryUsage::default(),
            left: AtomicUsize::new(answers),
        });
    })
}

pub(super) fn add(server: &Administered, rows: &[(u64, u32)]) {
    let rows = rows.iter().map(|(minute, tenant)| UsageRow {
        tenant: *tenant,
        minute: *minute,
        usage: Usage::from_numbers([1, 2, 3, 4, 5, 6, 7]),
    });
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let added = runtime
        .expect("a runtime")
        .block_on(server.usage().add(batch(1, rows.collect())));
    added.expect("in memory");
}

fn starts(page: &Value) -> Vec<String> {
    let rows = page["usage"].as_array().expect("usage").iter();
    let starts = rows.map(|row| {
        let tenant = row["tenant"].as_str().unwrap_or("?");
        format!(
            "{tenant} {} {}",
            row["start"].as_str().expect("a time"),
            row["chats"]
        )
    });
    starts.collect()
}

#[test]
fn usage_is_told_by_span_and_tenant() {
    let server = start(usize::MAX);
    // acme is 1, globex 2; 9 is nobody that is known.
    add(
        &server,
        &[
            (HOUR, 1),
            (HOUR + 1, 1),
            (HOUR + 1, 2),
            (HOUR + 60, 1),
            (HOUR + 60, 9),
        ],
    );
    let page = server.json(&get(&format!("/usage?{SPAN}")), 200);
    assert_eq!(page["step"], "hour");
    assert_eq!(page["from"], "2023-11-14T22:00:00Z");
    assert_eq!(page["to"], "2023-11-15T00:00:00Z");
    assert_eq!(
        page["usage"][0],
        json!({
            "start": "2023-11-14T22:00:00Z", "tenant": "acme", "chats": 2, "refused": 4,
            "sessions": 6, "bytes_in": 8, "bytes_out": 10, "busy_ns": 12,
            "refused_bytes_in": 14,
        })
    );
    let expected = [
        "acme 2023-11-14T22:00:00Z 2",
        "globex 2023-11-14T22:00:00Z 1",
        "acme 2023-11-14T23:00:00Z 1",
        "? 2023-11-14T23:00:00Z 1",
    ];
    assert_eq!(starts(&page), expected);
    let of_one = server.json(
        &get(&format!("/tenants/acme/usage?step=minute&{SPAN}")),
        200,
    );
    assert_eq!(
        starts(&of_one),
        [
            "acme 2023-11-14T22:00:00Z 1",
            "acme 2023-11-14T22:01:00Z 1",
            "acme 2023-11-14T23:00:00Z 1",
        ]
    );
    let day = server.json(&get(&format!("/tenants/globex/usage?step=day&{SPAN}")), 200);
    assert_eq!(starts(&day), ["globex 2023-11-14T00:00:00Z 1"]);

    // Page by page, the same.
    let mut found = Vec::new();
    let mut query = format!("limit=3&{SPAN}");
    loop {
        let page = server.json(&get(&format!("/usage?{query}")), 200);
        found.extend(starts(&page));
        let Some(next) = page["next"].as_str() else {
            break;
        };
        query = format!("limit=3&cursor={next}");
    }
    assert_eq!(found, expected);
    // The last day, where nothing is said: nothing.
    assert_eq!(server.json(&get("/usage"), 200)["usage"], json!([]));
    assert_eq!(
        problem(&server.ask(&get("/tenants/nobody/usage"))).1,
        "no-such-tenant"
    );
}

#[test]
fn csv_has_all_pages() {
    let server = start(usize::MAX);
    let rows: Vec<_> = (0..2500)
        .map(|n| (HOUR - n % 1400, 1 + n as u32 / 1400))
        .collect();
    add(&server, &rows);
    let span = "from=2023-11-13T00:00:00Z&to=2023-11-15T00:00:00Z&step=minute";
    let csv = |exchange: Exchange| ask_raw(server.admin, &authorized(exchange));
    let by_header = with_header(get(&format!("/usage?{span}")), "accept", "text/csv");
    for exchange in [get(&format!("/usage?format=csv&{span}")), by_header] {
        let answer = csv(exchange);
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        assert!(answer.contains("content-type: text/csv; charset=utf-8; header=present"));
        let head =
            "start,tenant,chats,refused,sessions,bytes_in,bytes_out,busy_ns,refused_bytes_in\n";
        assert!(answer.contains(head));
        let lines = answer
            .lines()
            .filter(|line| line.ends_with("Z,acme,1,2,3,4,5,6,7"));
        assert_eq!(lines.count(), 1400);
        let lines = answer
            .lines()
            .filter(|line| line.ends_with("Z,globex,1,2,3,4,5,6,7"));
        assert_eq!(lines.count(), 1100);
        // The end of chunks: it is whole.
        assert!(answer.ends_with("0\r\n\r\n"));
    }
    let json = with_header(
        get(&format!("/usage?format=json&{span}")),
        "accept",
        "text/csv",
    );
    assert_eq!(
        server.json(&json, 200)["usage"].as_array().map(Vec::len),
        Some(100)
    );
}

#[test]
fn csv_that_cannot_be_whole_breaks_off() {
    for (answers, is_begun) in [(0, false), (1, true)] {
        let server = start(answers);
        let rows: Vec<_> = (0..1400).map(|n| (HOUR - n, 1)).collect();
        add(&server, &rows);
        let target =
            "/usage?format=csv&step=minute&from=2023-11-13T00:00:00Z&to=2023-11-15T00:00:00Z";
        let answer = ask_raw(server.admin, &authorized(get(target)));
        assert!(!answer.contains("s3cret"), "{answer}");
        assert_eq!(answer.starts_with("HTTP/1.1 200 OK"), is_begun, "{answer}");
        if is_begun {
            assert!(!answer.ends_with("0\r\n\r\n"), "it looks whole");
        } else {
            assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        }
    }
    let server = start(0);
    assert_eq!(
        problem(&server.ask(&get("/usage"))),
        (503, "store-unavailable".into())
    );
}

#[test]
fn wrong_questions_are_named() {
    let server = start(usize::MAX);
    add(&server, &[(HOUR, 1), (HOUR, 2)]);
    let first = server.json(&get(&format!("/usage?limit=1&{SPAN}")), 200);
    let next = first["next"].as_str().expect("a next page");
    for (query, part) in [
        (
            "from=yesterday",
            "it must be a time such as 2026-01-31T12:00:00Z",
        ),
        ("to=2023-11-14", "it must be a time such as"),
        ("step=week", "it must be minute, hour or day"),
        ("format=xml", "it must be json or csv"),
        (
            "from=2023-11-15T00:00:00Z&to=2023-11-14T00:00:00Z",
            "it must be before to",
        ),
        (
            "from=9999-12-31T00:00:00Z&to=9999-12-31T23:59:59Z&step=day",
            "spans end with the year 9999",
        ),
        ("format=csv&limit=1", "CSV has no pages"),
        (
            &format!("cursor={next}&step=day"),
            "the cursor says this already",
        ),
        (
            &format!("cursor={next}&{SPAN}"),
            "the cursor says this already",
        ),
        ("cursor=dTE", "it must be what an answer has given as next"),
    ] {
        for path in ["/usage", "/tenants/acme/usage"] {
            let reply = server.ask(&get(&format!("{path}?{query}")));
            assert_eq!(problem(&reply), (400, "bad-request".into()), "{query}");
            assert!(reply.text().contains(part), "{}", reply.text());
        }
    }
}

/// More usage than anybody can take.
struct Endless;

impl UsageStore for Endless {
    fn add(&self, _: UsageBatch) -> Pending<'_, Result<(), StoreError>> {
        Box::pin(async { Ok(()) })
    }

    fn query(&self, query: UsageQuery) -> Pending<'_, Result<Vec<UsageRow>, StoreError>> {
        let first = query.after.map_or(0, |(minute, _)| minute + 1);
        let rows = (first..).take(query.max).map(|minute| UsageRow {
            tenant: 1,
            minute,
            usage: Usage::default(),
        });
        let rows = rows.collect();
        Box::pin(async { Ok(rows) })
    }
}

#[test]
fn a_client_that_takes_no_more_of_an_export_is_given_up() {
    let settings = Settings {
        max_requests: 1,
        write_timeout: Duration::from_millis(100),
        ..Settings::default()
    };
    let endless = |state: &mut State| state.usage = Arc::new(Endless);
    let server = Administered::with(Way::Native, settings, endless);
    let mut client = Connection::open(server.admin);
    client.send_exchange(&authorized(get("/usage?format=csv")));
    // There is room for one request with a token, until it is given up.
    let end = Instant::now() + PATIENCE;
    loop {
        let reply = server.ask(&get("/tenants"));
        if reply.status == 200 {
            break;
        }
        assert_eq!(problem(&reply), (503, "too-busy".into()));
        assert!(Instant::now() < end, "it is never given up");
    }
}

#[test]
fn an_export_that_is_on_its_way_makes_no_room_for_strangers() {
    let endless = |state: &mut State| state.usage = Arc::new(Endless);
    let server = Administered::with(Way::Native, Settings::default(), endless);
    let mut client = Connection::open(server.admin);
    client.send_exchange(&authorized(get("/usage?format=csv")));
    let mut first = [0; 1000];
    let mut stream = client.stream();
    stream.read_exact(&mut first).expect("the answer begins");
    let strangers: Vec<_> = (0..300).map(|_| Connection::open(server.admin)).collect();
    assert_eq!(server.ask(&get("/tenants")).status, 200);
    // More than what can have been on its way before.
    let mut more = vec![0; 32 << 20];
    stream.read_exact(&mut more).expect("it goes on");
    drop(strangers);
}
