//! Limits that several servers hold together: chats are counted in Redis.
//!
//! Chats that wait at the same moment are asked about together: a server has few questions
//! under way at a time, and what comes meanwhile goes into the next one.
//!
//! While Redis is lost each server holds the limits by itself. It notes what Redis has
//! granted it, too, so that no server ever grants more than the limit in any window: however
//! many are cut off, they grant at most the limit each. When Redis is back, it is told what
//! was granted meanwhile.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use redis::{RedisResult, aio::MultiplexedConnection};
use tenantry_core::{limit::Admission, memory::Settings, tenancy::Unavailable};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::{
    CountedBy,
    kind::Kind,
    link::{Failure, Link, Lost},
    owed::Owed,
    script::{Admit, Count, Wanted},
};
use crate::state::{Answer, Clock, Entry, RateLimiter, Sharing};

/// Chats in one question, at most. Redis answers nobody else meanwhile.
const MAX_BATCH: usize = 512;

/// Questions under way at a time, at most.
const MAX_UNDER_WAY: usize = 1;

/// Chats that Redis is told of at a time.
const MAX_TOLD: usize = 2000;

/// Times that Redis is told of chats before it is asked again. What comes after that it is
/// told beside the questions.
const MAX_TELLINGS: usize = 1000;

/// A chat that waits to be granted.
pub(super) struct Job {
    tenant: Box<str>,
    limit: u32,
    since: Instant,
    reply: oneshot::Sender<Admission>,
}

/// What the limiter and the task that asks for it share.
pub(super) struct Counter {
    link: Link,
    clock: Arc<dyn Clock>,
    counted_by: CountedBy,
    admit: Admit,
    count: Count,
    owed: Owed,
    /// Whether the log names Redis's policy.
    has_named_policy: AtomicBool,
}

impl Counter {
    pub(super) fn new(link: Link, clock: Arc<dyn Clock>, counted_by: CountedBy) -> Self {
        Self {
            link,
            clock,
            counted_by,
            admit: Admit::new(),
            count: Count::new(),
            owed: Owed::default(),
            has_named_policy: AtomicBool::new(false),
        }
    }

    pub(super) fn link(&self) -> &Link {
        &self.link
    }

    /// The time that scripts are told; none where they look at Redis's.
    fn now_us(&self) -> Option<u64> {
        match self.counted_by {
            CountedBy::Redis => None,
            CountedBy::ThisServer => Some(self.clock.now().as_nanos() / 1000),
        }
    }

    /// What is said first on each connection.
    pub(super) async fn greet(
        &self,
        connection: &mut MultiplexedConnection,
    ) -> Result<(), Failure> {
        let kind = within(self.link.timeout(), Kind::of(connection)).await?;
        if let Some(unfit) = kind.unfit() {
            return Err(Failure::Unfit(unfit));
        }
        if let Some(policy) = kind.forgetful_policy()
            && !self.has_named_policy.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(
                cache = self.link.name(),
                "Redis has maxmemory-policy {policy}: when its memory is full it drops what was \
                 chatted, and limits begin from zero without a trace; set it to noeviction"
            );
        }
        let try_out = self.admit.try_out(connection);
        within(self.link.timeout(), try_out).await?;
        for _ in 0..MAX_TELLINGS {
            let told = within(self.link.timeout(), self.tell(connection)).await?;
            if told < MAX_TOLD {
                break;
            }
        }
        Ok(())
    }

    /// Tells Redis of chats that were granted here; returns of how many.
    async fn tell(&self, connection: &mut MultiplexedConnection) -> RedisResult<usize> {
        let now = self.clock.now();
        let Some(taken) = self.owed.take(MAX_TOLD, now) else {
            return Ok(0);
        };
        let chats = taken.len();
        let counted = taken.counted(now);
        // Put back unless it is known to be counted: twice is better than not at all.
        let told = PutBack {
            owed: &self.owed,
            taken: Some(taken),
        };
        self.count.tell(connection, &counted, self.now_us()).await?;
        told.forget();
        Ok(chats)
    }

    /// Asks for all chats that wait, again and again, until nobody can come any more.
    pub(super) async fn serve(self: Arc<Self>, mut jobs: mpsc::UnboundedReceiver<Job>) {
        let under_way = Arc::new(Semaphore::new(MAX_UNDER_WAY));
        loop {
            let Ok(permit) = Arc::clone(&under_way).acquire_owned().await else {
                return;
            };
            let mut batch = Vec::with_capacity(32);
            if jobs.recv_many(&mut batch, MAX_BATCH).await == 0 {
                return;
            }
            // Threads that are about to ask run first: what they ask goes along. A question
            // costs Redis and this thread the same for one chat and for many.
            thread::yield_now();
            while batch.len() < MAX_BATCH
                && let Ok(job) = jobs.try_recv()
            {
                batch.push(job);
            }
            if !self.link.is_up() {
                // Their senders go, and who waits is told so.
                continue;
            }
            let counter = Arc::clone(&self);
            tokio::spawn(async move {
                // Where it fails, those who wait learn it from what is dropped.
                let _ = counter.answer(batch).await;
                drop(permit);
            });
        }
    }

    async fn answer(&self, mut batch: Vec<Job>) -> Result<(), Lost> {
        // Nobody waits longer than the timeout, the time in the queue included.
        let oldest = batch.iter().map(|job| job.since.elapsed()).max();
        let left = self
            .link
            .timeout()
            .saturating_sub(oldest.unwrap_or_default());
        batch.sort_by(|one, other| (&one.tenant, one.limit).cmp(&(&other.tenant, other.limit)));
        let same = |one: &Job, other: &Job| one.tenant == other.tenant && one.limit == other.limit;
        let wanted: Vec<_> = batch
            .chunk_by(same)
            .filter_map(|jobs| {
                let first = jobs.first()?;
                Some(Wanted {
                    tenant: &first.tenant,
                    limit: first.limit,
                    chats: u32::try_from(jobs.len()).unwrap_or(u32::MAX),
                })
            })
            .collect();
        let answers = self
            .link
            .ask(left, async |connection| {
                self.tell(connection).await?;
                self.admit.ask(connection, &wanted, self.now_us()).await
            })
            .await?;
        let answers: Vec<_> = wanted
            .iter()
            .zip(answers)
            .flat_map(|(wanted, granted)| (0..wanted.chats).map(move |n| granted.admission(n)))
            .collect();
        for (job, admission) in batch.into_iter().zip(answers) {
            // Who has left does not wait any more.
            let _ = job.reply.send(admission);
        }
        Ok(())
    }
}

async fn within<T>(
    time: Duration,
    question: impl Future<Output = RedisResult<T>>,
) -> RedisResult<T> {
    match tokio::time::timeout(time, question).await {
        Ok(answer) => answer,
        Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
    }
}

/// Puts chats back where telling of them has not come to its end.
struct PutBack<'a> {
    owed: &'a Owed,
    taken: Option<super::owed::Taken>,
}

impl PutBack<'_> {
    fn forget(mut self) {
        self.taken = None;
    }
}

impl Drop for PutBack<'_> {
    fn drop(&mut self) {
        if let Some(taken) = self.taken.take() {
            self.owed.put_back(taken);
        }
    }
}

/// Limits in Redis.
pub struct RedisLimiter {
    settings: Settings,
    counter: Arc<Counter>,
    jobs: mpsc::UnboundedSender<Job>,
}

impl RedisLimiter {
    pub(super) fn new(
        settings: Settings,
        counter: Arc<Counter>,
        jobs: mpsc::UnboundedSender<Job>,
    ) -> Self {
        Self {
            settings,
            counter,
            jobs,
        }
    }

    /// Grants a chat by what this server knows by itself.
    fn admit_here(&self, tenant: &Entry, limit: u32) -> Admission {
        let now = self.counter.clock.now();
        let admission = tenant.account.chats.lock().admit(limit, now);
        if admission.is_granted() {
            self.counter.owed.push(tenant.id(), now);
        }
        admission
    }

    /// Asks Redis; none where it does not answer.
    async fn admit_there(&self, tenant: &Entry, limit: u32) -> Option<Admission> {
        let (reply, answer) = oneshot::channel();
        let job = Job {
            tenant: tenant.id().into(),
            limit,
            since: Instant::now(),
            reply,
        };
        self.jobs.send(job).ok()?;
        let admission = answer.await.ok()?;
        if admission.is_granted() {
            // Redis has counted it; this server must not forget it without Redis.
            let now = self.counter.clock.now();
            let _ = tenant.account.chats.lock().admit(u32::MAX, now);
        }
        Some(admission)
    }
}

impl RateLimiter for RedisLimiter {
    fn admit<'a>(&'a self, tenant: &'a Entry) -> Answer<'a, Result<Admission, Unavailable>> {
        let Some(limit) = self.settings.chat_limit(&tenant.limits) else {
            return Answer::Now(Ok(Admission::Unlimited));
        };
        if !self.counter.link.is_up() {
            return Answer::Now(Ok(self.admit_here(tenant, limit)));
        }
        Answer::Later(Box::pin(async move {
            Ok(match self.admit_there(tenant, limit).await {
                Some(admission) => admission,
                None => self.admit_here(tenant, limit),
            })
        }))
    }

    fn sharing(&self) -> Option<Sharing> {
        Some(self.counter.link.sharing())
    }
}
