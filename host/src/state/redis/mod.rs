//! Redis: what several servers have in common and may lose.

mod kind;
mod limiter;
mod link;
mod owed;
mod script;
mod url;

use std::{io, sync::Arc, thread, time::Duration};

use tenantry_core::memory::Settings;
use tokio::sync::{mpsc, oneshot};

pub use self::{
    kind::UnfitRedis,
    limiter::RedisLimiter,
    url::{RedisUrl, RedisUrlError},
};
use self::{
    limiter::{Counter, Job},
    link::{Failure, Link},
};
use super::Clock;

/// Why a Redis can't be used. One that is out of reach can: later.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RedisError {
    /// It said no.
    #[error("{address} refuses to be used; --cache names it, its user, password and database")]
    Refused {
        /// Where it is.
        address: String,
        /// What it said.
        #[source]
        source: redis::RedisError,
    },
    /// It answers, and is of a kind that cannot count limits.
    #[error("{address} {kind}")]
    Unfit {
        /// Where it is.
        address: String,
        /// What it is.
        kind: UnfitRedis,
    },
    /// The system gives no thread, or the like.
    #[error("the connection to Redis cannot be made")]
    System(#[from] io::Error),
}

/// Whose time chats are counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CountedBy {
    /// Redis's own, which is the same for all servers.
    Redis,
    /// This server's clock. For tests: with several servers, limits are as exact as their
    /// clocks agree.
    ThisServer,
}

/// A Redis that is used by this server, through one connection with a thread of its own.
pub struct Redis {
    counter: Arc<Counter>,
    jobs: mpsc::UnboundedSender<Job>,
}

impl Redis {
    /// Connects. Where Redis is out of reach, that is logged, and it is tried again until it
    /// is reached. It is used as long as its limiter is.
    ///
    /// `timeout` is how long it may take to answer anything. What is granted while it is lost
    /// is counted by `clock`.
    ///
    /// # Errors
    /// Redis is there and refuses, or the system gives no thread.
    pub fn start(
        url: &RedisUrl,
        timeout: Duration,
        clock: Arc<dyn Clock>,
        counted_by: CountedBy,
    ) -> Result<Self, RedisError> {
        let address = || url.to_string();
        let refused = |source| RedisError::Refused {
            address: address(),
            source,
        };
        let unfit = |kind| RedisError::Unfit {
            address: address(),
            kind,
        };
        let link = Link::new(url, timeout).map_err(refused)?;
        let counter = Arc::new(Counter::new(link, clock, counted_by));
        let (jobs, waiting) = mpsc::unbounded_channel();
        let (started, start) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let work = {
            let counter = Arc::clone(&counter);
            move || {
                runtime.block_on(async move {
                    let link = counter.link();
                    let greet = async |connection: &mut _| counter.greet(connection).await;
                    match link.connect(&greet).await {
                        Ok(()) => link.is_reached_at_start(),
                        Err(failure @ (Failure::Refused(_) | Failure::Unfit(_))) => {
                            let _ = started.send(Err(failure));
                            return;
                        }
                        Err(failure) => link.is_lost_at_start(&failure),
                    }
                    let _ = started.send(Ok(()));
                    tokio::select! {
                        () = Arc::clone(&counter).serve(waiting) => {}
                        () = link.keep(greet) => {}
                    }
                });
            }
        };
        thread::Builder::new()
            .name("tenantry-redis".to_owned())
            .spawn(work)?;
        match start.blocking_recv() {
            Ok(Ok(())) => Ok(Self { counter, jobs }),
            Ok(Err(Failure::Refused(error))) => Err(refused(error)),
            Ok(Err(Failure::Unfit(kind))) => Err(unfit(kind)),
            Ok(Err(failure)) => Err(io::Error::other(failure.to_string()).into()),
            Err(_) => Err(io::Error::other("its thread has ended").into()),
        }
    }

    /// Limits that are counted in it.
    #[must_use]
    pub fn limiter(&self, settings: Settings) -> RedisLimiter {
        let counter = Arc::clone(&self.counter);
        RedisLimiter::new(settings, counter, self.jobs.clone())
    }

    /// Whether it can be asked now, as far as is known.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.counter.link().is_up()
    }
}
