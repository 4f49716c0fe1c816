//! The connection to Redis: made again when it is lost, and not waited for then.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::RwLock;
use redis::{
    AsyncConnectionConfig, Client, ErrorKind, RedisError, RedisResult, ServerErrorKind,
    aio::MultiplexedConnection,
};
use tokio::sync::Notify;

use super::{RedisUrl, kind::UnfitRedis};
use crate::state::{Breaker, BreakerSettings, Sharing, SystemClock, Turn};

/// Between two attempts to reach a Redis that is lost.
const PAUSE: Duration = Duration::from_millis(250);

/// The one connection that everybody shares: what is asked at the same time goes out
/// together.
pub(super) struct Link {
    client: Client,
    config: AsyncConnectionConfig,
    /// As it is shown in the log.
    name: String,
    /// For a question to be answered.
    timeout: Duration,
    /// Opened by the first failure: who asks then has another way, and the link is tried
    /// again and again by itself.
    breaker: Breaker,
    /// None while it is lost.
    connection: RwLock<Option<MultiplexedConnection>>,
    /// Told when it is lost.
    lost: Notify,
    since: RwLock<Instant>,
    /// Counts the losses.
    losses: AtomicU64,
    /// Counts questions that failed.
    failed_questions: AtomicU64,
    /// Counts attempts to reach Redis that failed.
    failed_connections: AtomicU64,
}

/// Redis can't be asked now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lost;

/// Why an attempt to reach Redis failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// It said no, and will again: the configuration is wrong.
    Refused(RedisError),
    /// It is of a kind that cannot count limits.
    Unfit(UnfitRedis),
    /// It may be there later.
    Away(RedisError),
    /// It did not answer in time.
    Slow(Duration),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(error) | Self::Away(error) => error.fmt(f),
            Self::Unfit(kind) => write!(f, "it {kind}"),
            Self::Slow(time) => write!(f, "no answer within {}", humantime::format_duration(*time)),
        }
    }
}

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        if is_for_good(&error) {
            Self::Refused(error)
        } else {
            Self::Away(error)
        }
    }
}

/// Whether Redis, or what is in its place, would say the same at any time.
fn is_for_good(error: &RedisError) -> bool {
    use ServerErrorKind::{CrossSlot, Moved, NoPerm, ResponseError};
    match error.kind() {
        ErrorKind::AuthenticationFailed
        | ErrorKind::Parse
        | ErrorKind::UnexpectedReturnType
        | ErrorKind::InvalidClientConfig
        | ErrorKind::RESP3NotSupported
        | ErrorKind::Server(NoPerm | Moved | CrossSlot) => true,
        // What has no code of its own: "max number of clients reached", and, before Redis 7,
        // what a script met when memory was full.
        ErrorKind::Server(ResponseError) => {
            let text = error.to_string();
            !text.contains("max number of clients") && !text.contains("OOM ")
        }
        _ => matches!(error.code(), Some("NOAUTH" | "WRONGPASS")),
    }
}

impl Link {
    pub(super) fn new(url: &RedisUrl, timeout: Duration) -> RedisResult<Self> {
        let settings = BreakerSettings {
            max_failures: 1,
            open: PAUSE,
        };
        Ok(Self {
            client: Client::open(url.info.clone())?,
            // How long an answer may take is looked at for many at once.
            config: AsyncConnectionConfig::new()
                .set_connection_timeout(Some(timeout))
                .set_response_timeout(None),
            name: url.to_string(),
            timeout,
            breaker: Breaker::new(settings, Arc::new(SystemClock::new())),
            connection: RwLock::new(None),
            lost: Notify::new(),
            since: RwLock::new(Instant::now()),
            losses: AtomicU64::new(0),
            failed_questions: AtomicU64::new(0),
            failed_connections: AtomicU64::new(0),
        })
    }

    /// For a question to be answered.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Whether Redis can be asked now, as far as is known.
    pub(super) fn is_up(&self) -> bool {
        self.breaker.is_closed()
    }

    /// Redis as the log names it.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether limits are shared now, and how often that has failed.
    pub(super) fn sharing(&self) -> Sharing {
        Sharing {
            is_shared: self.is_up(),
            failed_questions: self.failed_questions.load(Ordering::Relaxed),
            failed_connections: self.failed_connections.load(Ordering::Relaxed),
        }
    }

    /// Asks something, unless Redis is lost. What is not answered within `time` is a loss.
    pub(super) async fn ask<T>(
        &self,
        time: Duration,
        question: impl AsyncFnOnce(&mut MultiplexedConnection) -> RedisResult<T>,
    ) -> Result<T, Lost> {
        let losses = self.losses.load(Ordering::SeqCst);
        if !self.is_up() {
            return Err(Lost);
        }
        let connection = self.connection.read().clone();
        let (Some(mut connection), Some(permit)) = (connection, self.breaker.enter()) else {
            return Err(Lost);
        };
        let failure = match tokio::time::timeout(time, question(&mut connection)).await {
            Ok(Ok(answer)) => {
                // It was closed before: nothing turns.
                let _ = permit.succeeded();
                return Ok(answer);
            }
            Ok(Err(error)) => Failure::from(error),
            Err(_) => Failure::Slow(self.timeout),
        };
        self.failed_questions.fetch_add(1, Ordering::Relaxed);
        // What was asked before the last loss says nothing about the connection after it.
        if self.losses.load(Ordering::SeqCst) == losses && permit.failed() == Turn::Opened {
            tracing::warn!(
                cache = self.name,
                "Redis is lost: {failure}; until it is back, this server holds the limits by \
                 itself"
            );
            self.lose();
        }
        Err(Lost)
    }

    fn lose(&self) {
        self.losses.fetch_add(1, Ordering::SeqCst);
        *self.connection.write() = None;
        *self.since.write() = Instant::now();
        self.lost.notify_one();
    }

    /// Connects, and has `greet` say what is to be said first.
    pub(super) async fn connect(
        &self,
        greet: impl AsyncFnOnce(&mut MultiplexedConnection) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let connected = self.try_to_connect(greet).await;
        if connected.is_err() {
            self.failed_connections.fetch_add(1, Ordering::Relaxed);
        }
        connected
    }

    async fn try_to_connect(
        &self,
        greet: impl AsyncFnOnce(&mut MultiplexedConnection) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let slow = |_| Failure::Slow(self.timeout);
        let connecting = self
            .client
            .get_multiplexed_async_connection_with_config(&self.config);
        let connecting = tokio::time::timeout(self.timeout, connecting);
        let mut connection = connecting.await.map_err(slow)??;
        greet(&mut connection).await?;
        *self.connection.write() = Some(connection);
        Ok(())
    }

    /// Says at the start that Redis is there.
    pub(super) fn is_reached_at_start(&self) {
        tracing::info!(
            cache = self.name,
            "Redis is reached; all servers that use it hold the limits together"
        );
    }

    /// Says at the start that Redis is out of reach.
    pub(super) fn is_lost_at_start(&self, failure: &Failure) {
        if self.breaker.open() == Turn::Opened {
            tracing::warn!(
                cache = self.name,
                "Redis is out of reach: {failure}; it is tried again every {}, and until it is \
                 reached, this server holds the limits by itself",
                humantime::format_duration(PAUSE)
            );
            self.lose();
        }
    }

    /// Reaches Redis again, each time that it is lost.
    pub(super) async fn keep(
        &self,
        greet: impl AsyncFn(&mut MultiplexedConnection) -> Result<(), Failure>,
    ) {
        loop {
            self.lost.notified().await;
            let mut refusal = String::new();
            while !self.is_up() {
                tokio::time::sleep(PAUSE).await;
                let Some(permit) = self.breaker.enter() else {
                    continue;
                };
                match self.connect(&greet).await {
                    Ok(()) => {
                        if permit.succeeded() == Turn::Closed {
                            let away = self.since.read().elapsed();
                            let away = Duration::from_millis(away.as_millis() as u64);
                            let away = humantime::format_duration(away);
                            tracing::info!(
                                cache = self.name,
                                "Redis is back after {away}, and what was granted meanwhile \
                                 counts there"
                            );
                        }
                    }
                    Err(failure) => {
                        let _ = permit.failed();
                        let said = failure.to_string();
                        if !matches!(failure, Failure::Refused(_) | Failure::Unfit(_)) {
                            tracing::debug!(cache = self.name, "Redis is still lost: {said}");
                        } else if said != refusal {
                            // Once, and not at each attempt.
                            tracing::error!(
                                cache = self.name,
                                "what answers in place of Redis can't be used: {said}; this \
                                 server holds the limits by itself"
                            );
                            refusal = said;
                        }
                    }
                }
            }
        }
    }
}
