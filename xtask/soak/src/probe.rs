//! What servers say of themselves, asked all the time: whether they are ready, and whether
//! they share their limits.

use std::{
    thread::{self, Scope},
    time::Duration,
};

use crate::{
    check::{Gap, Readiness},
    client::{Client, at},
    load::{Caller, Outcome, Over},
    record::{CLUSTER, Record},
    stand::{OPEN, Stand},
};

/// Between two questions.
const BETWEEN: Duration = Duration::from_millis(200);

/// For an answer; a server may ask its stores for a second.
const PATIENCE: Duration = Duration::from_millis(1800);

/// Starts to ask all servers.
pub(crate) fn start<'s, 'e: 's>(
    scope: &'s Scope<'s, 'e>,
    stand: &'e Stand,
    record: &'e Record,
    over: &'e Over,
) {
    for server in 0..stand.nodes.len() {
        scope.spawn(move || is_ready(stand, record, server, over));
    }
    for server in 0..CLUSTER {
        scope.spawn(move || is_shared(stand, record, server, over));
    }
}

fn is_ready(stand: &Stand, record: &Record, server: usize, over: &Over) {
    let client = Client::patient(PATIENCE);
    let caller = Caller::of_server(stand, record, server);
    let url = format!("{}/readyz", at(stand.nodes[server].admin));
    let mut readiness = Readiness::default();
    while !over.is_told() {
        let is_ready = client.get(&url).is_ok_and(|answer| answer.status == 200);
        readiness.says(record.now(), is_ready);
        if readiness.has_to_work(record.now()) {
            record.was_asked_while_ready();
            let outcome = caller.open(OPEN);
            let is_done = matches!(outcome, Outcome::Done(_));
            if let Some(time) = readiness.was_asked(record.now(), is_done) {
                record.is_wrong(format!(
                    "server {server} says that it is ready, and for {time:.1?} opens no session: \
                     {outcome:?}"
                ));
            }
        }
        thread::sleep(BETWEEN);
    }
}

/// What a server says about the limits.
#[derive(Debug, Clone, PartialEq)]
struct Limits {
    is_shared: bool,
    /// Each failure, and each start, makes it another one.
    seen: String,
}

fn limits(client: &Client, stand: &Stand, server: usize) -> Option<Limits> {
    let url = format!("{}/metrics", at(stand.nodes[server].admin));
    let text = client.get(&url).ok()?.text;
    let is_wanted = |line: &&str| {
        line.starts_with("tenantry_cache_errors_total") || line.starts_with("process_start_time")
    };
    Some(Limits {
        is_shared: text.lines().any(|line| line == "tenantry_limits_shared 1"),
        seen: text.lines().filter(is_wanted).collect(),
    })
}

/// Whether a server shares its limits now.
pub(crate) fn shares_limits(client: &Client, stand: &Stand, server: usize) -> bool {
    limits(client, stand, server).is_some_and(|limits| limits.is_shared)
}

/// Notes the times between two questions in which that is not sure.
fn is_shared(stand: &Stand, record: &Record, server: usize, over: &Over) {
    let client = Client::patient(PATIENCE);
    let mut before = None;
    let mut from = record.now();
    while !over.is_told() {
        let limits = limits(&client, stand, server);
        let is_same = limits.is_some() && limits == before;
        let is_shared = is_same && limits.as_ref().is_some_and(|limits| limits.is_shared);
        let to = record.now();
        if !is_shared {
            record.gap(Gap { from, to });
        }
        // Where it was asked while it changed, that is in this gap, or in the next one.
        from = to;
        before = limits;
        thread::sleep(BETWEEN);
    }
}
