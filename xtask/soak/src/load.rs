//! Clients and operators, who ask all the time and note what they are answered.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread::{self, Scope},
    time::Duration,
};

use crate::{
    check::Act,
    client::{Answer, Client, at, session_id},
    record::{Account, Home, Record, Session, What},
    stand::{CHANGED, LIMITED, OPEN, Stand},
};

/// Whether the load is to end.
#[derive(Debug, Default)]
pub(crate) struct Over(AtomicBool);

impl Over {
    pub(crate) fn tell(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_told(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was done; the text of the answer.
    Done(String),
    /// It was refused for a limit.
    Limited,
    /// It failed, or nobody knows.
    Failed(String),
}

/// Somebody who asks servers that share state, and notes what they have acknowledged.
pub(crate) struct Caller<'a> {
    client: Client,
    record: &'a Record,
    home: Home,
    base: String,
    /// The server, where it is asked itself.
    server: Option<usize>,
}

impl<'a> Caller<'a> {
    /// As clients do.
    pub(crate) fn of(stand: &Stand, record: &'a Record, home: Home) -> Self {
        let server = (home == Home::Single).then_some(home.servers().start);
        Self {
            client: Client::new(),
            record,
            home,
            base: stand.entrance(home),
            server,
        }
    }

    /// Past the balancer.
    pub(crate) fn of_server(stand: &Stand, record: &'a Record, server: usize) -> Self {
        Self {
            client: Client::new(),
            record,
            home: Home::of(server),
            base: at(stand.nodes[server].service),
            server: Some(server),
        }
    }

    /// Notes what became of something that is counted as usage.
    fn note(
        &self,
        account: Account,
        ask: impl FnOnce(&Client) -> anyhow::Result<Answer>,
    ) -> (Outcome, Option<Answer>) {
        let sent = self.record.now();
        let answer = ask(&self.client);
        let answered = self.record.now();
        match answer {
            Ok(answer) if answer.status == 200 => {
                let act = Act {
                    sent,
                    answered,
                    server: self.server.or(answer.by),
                };
                self.record.acted(account, act);
                (Outcome::Done(answer.text.clone()), Some(answer))
            }
            Ok(answer) if answer.status == 429 => (Outcome::Limited, Some(answer)),
            Ok(answer) => {
                self.record.is_unknown(account);
                let text = format!("{} {}", answer.status, answer.text);
                (Outcome::Failed(text), Some(answer))
            }
            Err(error) => {
                self.record.is_unknown(account);
                (Outcome::Failed(format!("{error:#}")), None)
            }
        }
    }

    /// Opens a session.
    pub(crate) fn open(&self, tenant: &'static str) -> Outcome {
        let account = (self.home, tenant, What::Session);
        let (outcome, answer) = self.note(account, |client| client.open(&self.base, tenant));
        if matches!(outcome, Outcome::Done(_)) {
            match answer.as_ref().and_then(session_id) {
                Some(id) => self.record.opened(Session {
                    home: self.home,
                    tenant,
                    id,
                }),
                None => self
                    .record
                    .is_wrong(format!("a session without an id: {outcome:?}")),
            }
        }
        outcome
    }

    /// Chats in a session that was acknowledged: it is never unknown.
    pub(crate) fn chat(&self, tenant: &'static str, session: &str) -> Outcome {
        let account = (self.home, tenant, What::Chat);
        let ask = |client: &Client| client.chat(&self.base, tenant, session);
        let (outcome, answer) = self.note(account, ask);
        if let Some(answer) = answer
            && (400..500).contains(&answer.status)
            && answer.status != 429
        {
            let how = format!("{} {}", answer.status, answer.text);
            self.record.is_lost(self.home, session, &how);
        }
        if outcome == Outcome::Limited {
            self.record.was_refused();
        }
        outcome
    }
}

/// Between two requests of one who asks.
const OPENING: Duration = Duration::from_millis(100);
const CHATTING: Duration = Duration::from_millis(40);
const CHANGING: Duration = Duration::from_millis(400);

/// Starts all of them.
pub(crate) fn start<'s, 'e: 's>(
    scope: &'s Scope<'s, 'e>,
    stand: &'e Stand,
    record: &'e Record,
    over: &'e Over,
) {
    for home in Home::ALL {
        scope.spawn(move || {
            let caller = Caller::of(stand, record, home);
            while !over.is_told() {
                caller.open(OPEN);
                thread::sleep(OPENING);
            }
        });
        for tenant in [OPEN, LIMITED] {
            scope.spawn(move || chat(stand, record, home, tenant, over));
        }
        scope.spawn(move || change(stand, record, home, over));
    }
    // A second one, so that servers are asked at the same moment.
    scope.spawn(move || chat(stand, record, Home::Cluster, LIMITED, over));
}

fn chat(stand: &Stand, record: &Record, home: Home, tenant: &'static str, over: &Over) {
    let caller = Caller::of(stand, record, home);
    for n in 0.. {
        if over.is_told() {
            return;
        }
        match record.any_session(home, tenant, n) {
            Some(session) => caller.chat(tenant, &session),
            None => caller.open(tenant),
        };
        thread::sleep(CHATTING);
    }
}

/// Gives a tenant higher and higher numbers.
fn change(stand: &Stand, record: &Record, home: Home, over: &Over) {
    let client = Client::new();
    let mut servers = home.servers().cycle();
    while !over.is_told() {
        let version = record.versions(home, |versions| versions.next());
        let server = servers.next().unwrap_or_default();
        let base = at(stand.nodes[server].admin);
        match client.change(&base, CHANGED, version) {
            Ok(answer) if answer.status == 200 => {
                record.versions(home, |versions| versions.acknowledge(version));
            }
            Ok(answer) if answer.status < 500 => {
                record.is_wrong(format!(
                    "a change was answered {}: {}",
                    answer.status, answer.text
                ));
            }
            Ok(_) | Err(_) => {}
        }
        thread::sleep(CHANGING);
    }
}
