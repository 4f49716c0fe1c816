//! What was acknowledged, and what was done to the servers meanwhile.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::{
    check::{Act, Death, Gap, Versions},
    plan::Kind,
};

/// How many servers share PostgreSQL and Redis.
pub(crate) const CLUSTER: usize = 3;

/// Which servers share state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Home {
    /// Those with PostgreSQL and Redis.
    Cluster,
    /// The one with SQLite.
    Single,
}

impl Home {
    pub(crate) const ALL: [Self; 2] = [Self::Cluster, Self::Single];

    /// That of a server.
    pub(crate) fn of(server: usize) -> Self {
        if server < CLUSTER {
            Self::Cluster
        } else {
            Self::Single
        }
    }

    /// Its servers.
    pub(crate) fn servers(self) -> std::ops::Range<usize> {
        match self {
            Self::Cluster => 0..CLUSTER,
            Self::Single => CLUSTER..CLUSTER + 1,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cluster => "PostgreSQL",
            Self::Single => "SQLite",
        }
    }
}

/// What is counted as usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum What {
    /// A session that was opened.
    Session,
    /// A chat that was granted.
    Chat,
}

/// Whose acts are compared with the usage that a database has.
pub(crate) type Account = (Home, &'static str, What);

/// An acknowledged session.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) home: Home,
    pub(crate) tenant: &'static str,
    pub(crate) id: String,
}

/// A fault that was made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Made {
    pub(crate) kind: Kind,
    /// From when it was over until all servers did their work.
    pub(crate) recovery: Duration,
}

/// A time in which a database could not do its work.
struct Outage {
    home: Home,
    from: Duration,
    to: Option<Duration>,
}

/// For a database to take what waited for it.
const CATCHING_UP: Duration = Duration::from_secs(4);

/// All of it.
pub(crate) struct Record {
    start: Instant,
    sessions: Mutex<Vec<Session>>,
    /// Ids of acknowledged sessions that servers do not know any more.
    lost: Mutex<BTreeSet<String>>,
    acts: Mutex<BTreeMap<Account, Vec<Act>>>,
    /// Requests of which nobody knows what became of them.
    unknown: Mutex<BTreeMap<Account, u64>>,
    versions: Mutex<BTreeMap<Home, Versions>>,
    deaths: Mutex<Vec<Death>>,
    /// When which servers, and Redis, began with nothing in memory.
    beginnings: Mutex<Vec<(Option<usize>, Duration)>>,
    gaps: Mutex<Vec<Gap>>,
    outages: Mutex<Vec<Outage>>,
    made: Mutex<Vec<Made>>,
    refused: Mutex<u64>,
    asked_while_ready: Mutex<u64>,
    windows: Mutex<(u64, u64)>,
    wrong: Mutex<BTreeMap<String, u64>>,
}

impl Default for Record {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            sessions: Mutex::default(),
            lost: Mutex::default(),
            acts: Mutex::default(),
            unknown: Mutex::default(),
            versions: Mutex::default(),
            deaths: Mutex::default(),
            beginnings: Mutex::default(),
            gaps: Mutex::default(),
            outages: Mutex::default(),
            made: Mutex::default(),
            refused: Mutex::default(),
            asked_while_ready: Mutex::default(),
            windows: Mutex::default(),
            wrong: Mutex::default(),
        }
    }
}

impl Record {
    /// Since it began.
    pub(crate) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// A check has failed; says so the first times.
    pub(crate) fn is_wrong(&self, what: String) {
        let mut wrong = self.wrong.lock();
        let times = wrong.entry(what.clone()).or_insert(0);
        *times += 1;
        if *times <= 3 {
            println!("{:7.1} s  WRONG: {what}", self.now().as_secs_f64());
        }
    }

    /// What was wrong, and how often.
    pub(crate) fn wrong(&self) -> BTreeMap<String, u64> {
        self.wrong.lock().clone()
    }

    pub(crate) fn opened(&self, session: Session) {
        self.sessions.lock().push(session);
    }

    /// Acknowledged sessions from the `from`-th on.
    pub(crate) fn sessions(&self, from: usize) -> Vec<Session> {
        self.sessions
            .lock()
            .get(from..)
            .unwrap_or_default()
            .to_vec()
    }

    /// An acknowledged session is lost; says so once.
    pub(crate) fn is_lost(&self, home: Home, session: &str, how: &str) {
        if self.lost.lock().insert(session.to_owned()) {
            let home = home.name();
            self.is_wrong(format!("an acknowledged session of {home} is lost: {how}"));
        }
    }

    /// How many of them are.
    pub(crate) fn lost(&self) -> usize {
        self.lost.lock().len()
    }

    /// Whether it is not known to be lost.
    pub(crate) fn is_kept(&self, session: &Session) -> bool {
        !self.lost.lock().contains(&session.id)
    }

    /// Any session of a tenant there.
    pub(crate) fn any_session(&self, home: Home, tenant: &str, n: usize) -> Option<String> {
        let sessions = self.sessions.lock();
        let lost = self.lost.lock();
        let is_of = |session: &&Session| {
            session.home == home && session.tenant == tenant && !lost.contains(&session.id)
        };
        let newest = sessions.iter().rev().take(1000);
        let found: Vec<_> = newest.filter(is_of).collect();
        let one = found.get(n % found.len().max(1))?;
        Some(one.id.clone())
    }

    pub(crate) fn acted(&self, account: Account, act: Act) {
        self.acts.lock().entry(account).or_default().push(act);
    }

    pub(crate) fn is_unknown(&self, account: Account) {
        *self.unknown.lock().entry(account).or_default() += 1;
    }

    pub(crate) fn acts(&self, account: Account) -> (Vec<Act>, u64) {
        let acts = self.acts.lock().get(&account).cloned();
        let unknown = self.unknown.lock().get(&account).copied();
        (acts.unwrap_or_default(), unknown.unwrap_or_default())
    }

    /// How many acts of a kind were acknowledged.
    pub(crate) fn count(&self, what: What) -> usize {
        let acts = self.acts.lock();
        let of_kind = acts.iter().filter(|((_, _, kind), _)| *kind == what);
        of_kind.map(|(_, acts)| acts.len()).sum()
    }

    pub(crate) fn was_refused(&self) {
        *self.refused.lock() += 1;
    }

    pub(crate) fn refused(&self) -> u64 {
        *self.refused.lock()
    }

    /// The versions of the tenant that operators change there.
    pub(crate) fn versions<T>(&self, home: Home, work: impl FnOnce(&mut Versions) -> T) -> T {
        work(self.versions.lock().entry(home).or_default())
    }

    /// A server is about to end; where it ends gently, it writes what it knows.
    pub(crate) fn dies(&self, server: usize, is_gentle: bool) {
        let now = self.now();
        let outages = self.outages.lock();
        let of_its = outages
            .iter()
            .filter(|outage| outage.home == Home::of(server))
            .filter(|outage| outage.to.is_none_or(|to| to + CATCHING_UP > now));
        let since = of_its.map(|outage| outage.from).min();
        let death = Death::new(server, now, since, is_gentle);
        self.deaths.lock().push(death);
    }

    pub(crate) fn deaths(&self) -> Vec<Death> {
        self.deaths.lock().clone()
    }

    /// A server, or Redis, begins with nothing in memory.
    pub(crate) fn begins(&self, server: Option<usize>) {
        let now = self.now();
        self.beginnings.lock().push((server, now));
    }

    /// How often servers there, or their Redis, began within that time.
    pub(crate) fn beginnings(&self, home: Home, from: Duration, to: Duration) -> u32 {
        let beginnings = self.beginnings.lock();
        let is_of = |server: &Option<usize>| {
            server.map_or(home == Home::Cluster, |server| Home::of(server) == home)
        };
        let count = beginnings
            .iter()
            .filter(|(server, at)| is_of(server) && (from..to).contains(at));
        u32::try_from(count.count()).unwrap_or(u32::MAX)
    }

    pub(crate) fn gap(&self, gap: Gap) {
        self.gaps.lock().push(gap);
    }

    pub(crate) fn gaps(&self) -> Vec<Gap> {
        self.gaps.lock().clone()
    }

    /// A database can't do its work from now on.
    pub(crate) fn outage_begins(&self, home: Home) {
        let from = self.now();
        self.outages.lock().push(Outage {
            home,
            from,
            to: None,
        });
    }

    /// It can again.
    pub(crate) fn outage_ends(&self, home: Home) {
        let now = self.now();
        let mut outages = self.outages.lock();
        let open = outages.iter_mut().rev();
        let mut open = open.filter(|outage| outage.home == home && outage.to.is_none());
        if let Some(outage) = open.next() {
            outage.to = Some(now);
        }
    }

    /// Whether a database can't do its work, or could not a moment ago.
    pub(crate) fn is_out(&self, home: Home) -> bool {
        let now = self.now();
        let outages = self.outages.lock();
        let mut of_its = outages.iter().filter(|outage| outage.home == home);
        of_its.any(|outage| outage.to.is_none_or(|to| to + 2 * CATCHING_UP > now))
    }

    pub(crate) fn made(&self, made: Made) {
        self.made.lock().push(made);
    }

    pub(crate) fn all_made(&self) -> Vec<Made> {
        self.made.lock().clone()
    }

    pub(crate) fn was_asked_while_ready(&self) {
        *self.asked_while_ready.lock() += 1;
    }

    pub(crate) fn asked_while_ready(&self) -> u64 {
        *self.asked_while_ready.lock()
    }

    /// How many windows were held to the exact limit, and how many to a looser bound.
    pub(crate) fn windows(&self, exact: u64, loose: u64) {
        let mut windows = self.windows.lock();
        *windows = (windows.0 + exact, windows.1 + loose);
    }

    pub(crate) fn all_windows(&self) -> (u64, u64) {
        *self.windows.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check;

    #[test]
    fn a_session_that_is_lost_is_told_once_and_not_used_again() {
        let record = Record::default();
        for (home, id) in [(Home::Cluster, "a"), (Home::Single, "b")] {
            record.opened(Session {
                home,
                tenant: "t",
                id: id.to_owned(),
            });
        }
        let any = |home| record.any_session(home, "t", 7);
        assert_eq!(any(Home::Cluster).as_deref(), Some("a"));
        assert_eq!(any(Home::Single).as_deref(), Some("b"));
        assert_eq!(record.any_session(Home::Single, "other", 0), None);
        for _ in 0..2 {
            record.is_lost(Home::Cluster, "a", "404");
        }
        assert_eq!((any(Home::Cluster), record.lost()), (None, 1));
        assert_eq!(record.wrong().values().sum::<u64>(), 1);
        let kept = record.sessions(0);
        let kept: Vec<_> = kept.iter().filter(|one| record.is_kept(one)).collect();
        assert_eq!((kept.len(), kept[0].id.as_str()), (1, "b"));
    }

    #[test]
    fn an_outage_of_a_database_is_that_of_its_own_servers() {
        let record = Record::default();
        let act = Act {
            sent: record.now(),
            answered: record.now(),
            server: Some(0),
        };
        record.outage_begins(Home::Cluster);
        assert!(record.is_out(Home::Cluster) && !record.is_out(Home::Single));
        record.outage_ends(Home::Cluster);
        // It has not caught up yet: what its servers did may be unwritten when they end.
        assert!(record.is_out(Home::Cluster));
        record.dies(CLUSTER, true);
        assert_eq!(check::usage(&[act], 0, &record.deaths()), 1..=1);
        std::thread::sleep(Duration::from_millis(2));
        record.dies(0, true);
        assert_eq!(check::usage(&[act], 0, &record.deaths()), 0..=1);
    }

    #[test]
    fn what_begins_is_counted_for_those_that_share_it() {
        let record = Record::default();
        record.begins(Some(0));
        record.begins(Some(CLUSTER));
        record.begins(None);
        let (from, to) = (Duration::ZERO, record.now() + Duration::from_secs(1));
        assert_eq!(record.beginnings(Home::Cluster, from, to), 2);
        assert_eq!(record.beginnings(Home::Single, from, to), 1);
        assert_eq!(record.beginnings(Home::Cluster, to, 2 * to), 0);
    }
}
