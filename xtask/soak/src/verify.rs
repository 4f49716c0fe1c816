//! Whether everything that was acknowledged is there.

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    check::{self, WINDOW, excesses, is_shared},
    client::{Client, at, welcome},
    faults::wait_for_recovery,
    load::{Caller, Outcome},
    record::{Home, Record, Session, What},
    stand::{CHANGED, LIMIT, LIMITED, Stand, TENANTS},
};

/// Of the sessions that were looked at before, one in so many is looked at again.
const AGAIN: usize = 50;

/// Tries until a session counts as lost: a busy server may be slow once.
const TRIES: usize = 3;

/// Looks at all acknowledged sessions that are new since the `seen`-th, and at some others;
/// returns how many there are.
pub(crate) fn sessions(stand: &Stand, record: &Record, seen: usize) -> usize {
    let all = record.sessions(0);
    let again = seen / AGAIN + 1;
    let wanted = all.iter().enumerate();
    let wanted = wanted.filter(|(at, _)| *at >= seen || at % again == 0);
    let wanted: Vec<_> = wanted.map(|(_, session)| session).collect();
    look(stand, record, &wanted);
    all.len()
}

/// Chats in sessions, each by another server of its home.
fn look(stand: &Stand, record: &Record, sessions: &[&Session]) {
    let part = sessions.len().div_ceil(4).max(1);
    thread::scope(|scope| {
        for sessions in sessions.chunks(part) {
            scope.spawn(move || {
                let callers: Vec<_> = (0..stand.nodes.len())
                    .map(|server| Caller::of_server(stand, record, server))
                    .collect();
                for (n, session) in sessions.iter().enumerate() {
                    // The limited tenant has other things to chat about.
                    if session.tenant != LIMITED && record.is_kept(session) {
                        look_at(&callers, record, session, n);
                    }
                }
            });
        }
    });
}

fn look_at(callers: &[Caller<'_>], record: &Record, session: &Session, n: usize) {
    let servers = session.home.servers();
    let server = servers.start + n % servers.len();
    let mut last = Outcome::Limited;
    for _ in 0..TRIES {
        last = callers[server].chat(session.tenant, &session.id);
        if matches!(last, Outcome::Done(_)) || !record.is_kept(session) {
            return;
        }
        thread::sleep(Duration::from_millis(300));
    }
    let how = format!("{last:?} from server {server}");
    record.is_lost(session.home, &session.id, &how);
}

/// For a change to be known by all servers.
const SPREADING: Duration = Duration::from_secs(3);

/// Looks at the tenant that operators change: in the database, and as servers know it.
pub(crate) fn versions(stand: &Stand, record: &Record) {
    let client = Client::new();
    for server in 0..stand.nodes.len() {
        let home = Home::of(server);
        let url = format!("{}/tenants/{CHANGED}", at(stand.nodes[server].admin));
        let stored = || Some(client.get(&url).ok()?.text);
        is_possible(record, home, &format!("server {server} stores"), stored);
        let caller = Caller::of_server(stand, record, server);
        let known = || {
            let session = match record.any_session(home, CHANGED, 0) {
                Some(session) => session,
                None => match caller.open(CHANGED) {
                    Outcome::Done(_) => record.any_session(home, CHANGED, 0)?,
                    _ => return None,
                },
            };
            match caller.chat(CHANGED, &session) {
                Outcome::Done(text) => Some(text),
                _ => None,
            }
        };
        is_possible(record, home, &format!("server {server} knows"), known);
    }
}

/// Holds a version to those that there may be: those before `ask` was asked, and after it.
fn is_possible(record: &Record, home: Home, what: &str, ask: impl Fn() -> Option<String>) {
    let start = Instant::now();
    loop {
        let least = *record
            .versions(home, |versions| versions.possible())
            .start();
        let found = ask().as_deref().and_then(welcome);
        let most = *record.versions(home, |versions| versions.possible()).end();
        if found.is_some_and(|found| (least..=most).contains(&found)) {
            return;
        }
        if start.elapsed() > SPREADING {
            record.is_wrong(format!(
                "{what} version {found:?} of a tenant of {}, which was acknowledged up to {least}",
                home.name()
            ));
            return;
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// At the end: all servers are started again, so that they know nothing but what is in their
/// databases, and everything is looked at.
pub(crate) fn all(stand: &Stand, record: &Record) -> Result<()> {
    println!(
        "{:7.1} s  all servers are started again, and asked for everything",
        record.now().as_secs_f64()
    );
    for node in &stand.nodes {
        if let Err(error) = node.stop(&stand.guard, record) {
            record.is_wrong(format!("{error:#}"));
        }
    }
    for node in &stand.nodes {
        node.start(&stand.guard, record)?;
    }
    wait_for_recovery(stand, record)?;
    let sessions = record.sessions(0);
    look(stand, record, &sessions.iter().collect::<Vec<_>>());
    versions(stand, record);
    for home in Home::ALL {
        audit(stand, record, home)?;
        usage(stand, record, home)?;
        limits(record, home);
    }
    Ok(())
}

/// Every acknowledged change is in the audit, once.
fn audit(stand: &Stand, record: &Record, home: Home) -> Result<()> {
    let client = Client::new();
    let base = at(stand.nodes[home.servers().start].admin);
    let path = format!("{base}/audit?tenant={CHANGED}&limit=1000");
    let mut url = path.clone();
    let mut found = Vec::new();
    loop {
        let page = client.get(&url)?.json()?;
        let records = page["records"].as_array().context("records")?;
        let changes = records.iter().filter(|one| one["action"] == "put");
        found.extend(changes.filter_map(|one| welcome(&one["after"].to_string())));
        match page["next"].as_str() {
            Some(next) => url = format!("{path}&cursor={next}"),
            None => break,
        }
    }
    let missing = record.versions(home, |versions| versions.not_there_once(&found));
    if !missing.is_empty() {
        record.is_wrong(format!(
            "{} acknowledged changes are not in the audit of {} once: {missing:?}",
            missing.len(),
            home.name()
        ));
    }
    Ok(())
}

/// For the last usage to be written.
const WRITING: Duration = Duration::from_secs(10);

/// What was used is known, but for what kills may cost.
fn usage(stand: &Stand, record: &Record, home: Home) -> Result<()> {
    let deaths = record.deaths();
    let start = Instant::now();
    loop {
        let known = known_usage(stand, home)?;
        let mut wrong = Vec::new();
        for tenant in TENANTS {
            for (what, name) in [(What::Session, "sessions"), (What::Chat, "chats")] {
                let (acts, unknown) = record.acts((home, tenant, what));
                let possible = check::usage(&acts, unknown, &deaths);
                let found = known.get(&(tenant.to_owned(), what)).copied().unwrap_or(0);
                if !possible.contains(&found) {
                    wrong.push(format!(
                        "{} counts {found} {name} of {tenant}: {} were acknowledged, {} of them \
                         not within what kills may cost, and {unknown} are unknown",
                        home.name(),
                        acts.len(),
                        possible.start()
                    ));
                }
            }
        }
        if wrong.is_empty() {
            return Ok(());
        }
        if start.elapsed() > WRITING {
            for wrong in wrong {
                record.is_wrong(wrong);
            }
            return Ok(());
        }
        thread::sleep(Duration::from_millis(500));
    }
}

fn known_usage(stand: &Stand, home: Home) -> Result<BTreeMap<(String, What), u64>> {
    // Clocks were stepped: what was used may be on another day.
    const SPAN: &str = "from=2000-01-01T00:00:00Z&to=2100-01-01T00:00:00Z";
    let base = at(stand.nodes[home.servers().start].admin);
    let url = format!("{base}/usage?step=day&limit=1000&{SPAN}");
    let page = Client::new().get(&url)?.json()?;
    ensure!(page["next"].is_null(), "usage of very many days: {page}");
    let mut known = BTreeMap::new();
    for row in page["usage"].as_array().context("usage")? {
        let tenant = row["tenant"].as_str().unwrap_or_default();
        for (what, name) in [(What::Session, "sessions"), (What::Chat, "chats")] {
            let count = row[name].as_u64().context("a number")?;
            *known.entry((tenant.to_owned(), what)).or_insert(0) += count;
        }
    }
    Ok(known)
}

/// No window holds more chats than there may be.
fn limits(record: &Record, home: Home) {
    let (granted, _) = record.acts((home, LIMITED, What::Chat));
    let gaps = record.gaps();
    let is_exact = |from| match home {
        Home::Cluster => is_shared(&gaps, from, from + WINDOW),
        Home::Single => record.beginnings(home, from, from + WINDOW) == 0,
    };
    let bound = |from: Duration| {
        if is_exact(from) {
            return LIMIT;
        }
        // Each server may grant the limit by itself, and each that has forgotten what it
        // granted before, once more.
        let servers = home.servers().len();
        let beginnings = record.beginnings(home, from.saturating_sub(WINDOW), from + WINDOW);
        LIMIT * (servers + beginnings as usize)
    };
    let exact = granted.iter().filter(|act| is_exact(act.sent)).count() as u64;
    record.windows(exact, granted.len() as u64 - exact);
    for excess in excesses(&granted, bound) {
        record.is_wrong(format!(
            "{} granted {} chats in the 10 seconds from {:.1?}, where {} may be",
            home.name(),
            excess.chats,
            excess.at,
            excess.bound
        ));
    }
}
