//! Opening a database that is not there yet: an operator may start servers and databases
//! in any order.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::{OpenError, Place};
use crate::{
    causes,
    metrics::Probe,
    state::{Pending, StoreError},
};

/// The first pause between two attempts, which doubles up to [`MAX_PAUSE`].
const MIN_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause between two attempts.
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// An attempt that takes no longer is not worth a line.
const SOON: Duration = Duration::from_secs(2);

/// How often it is logged that the database is still waited for.
const STILL_WAITING: Duration = Duration::from_secs(5);

/// A database that is being opened; as a [`Probe`], it says so.
pub struct Opening {
    name: &'static str,
    why: Mutex<String>,
}

impl Opening {
    /// Of this database.
    #[must_use]
    pub fn new(place: &Place) -> Self {
        Self {
            name: match place {
                Place::Sqlite(_) => "sqlite",
                Place::Postgres(_) => "postgres",
            },
            why: Mutex::new("starting: it is being opened".to_owned()),
        }
    }

    /// Tries again for this long, as long as the error is one that may pass. Says in the log
    /// what it waits for, at the beginning and every few seconds.
    pub(super) async fn retry<T>(
        &self,
        wait: Duration,
        mut attempt: impl AsyncFnMut() -> Result<T, OpenError>,
    ) -> Result<T, OpenError> {
        let mut waiting = Waiting {
            name: self.name,
            start: Instant::now(),
            most: wait,
            said: None,
            error: "no answer yet".to_owned(),
        };
        let mut pause = MIN_PAUSE;
        loop {
            let attempt = attempt();
            let mut attempt = std::pin::pin!(attempt);
            let opened = loop {
                match tokio::time::timeout(waiting.silence(), attempt.as_mut()).await {
                    Ok(opened) => break opened,
                    Err(_) => waiting.say(),
                }
            };
            let error = match opened {
                Ok(opened) => {
                    if waiting.said.is_some() {
                        let waited = waiting.start.elapsed();
                        tracing::info!(store = self.name, ?waited, "the database is there");
                    }
                    return Ok(opened);
                }
                Err(error) => error,
            };
            let waited = waiting.start.elapsed();
            if !error.may_pass() || waited >= wait {
                return Err(error);
            }
            *self.why.lock() = format!("starting: waiting for it: {}", error.in_brief());
            waiting.error = causes::all(&error);
            if waiting.is_news() {
                waiting.say();
            }
            tokio::time::sleep(pause.min(wait.saturating_sub(waited))).await;
            pause = (2 * pause).min(MAX_PAUSE);
        }
    }
}

/// What is logged of a wait.
struct Waiting {
    name: &'static str,
    start: Instant,
    /// For how long it may last.
    most: Duration,
    /// When it was last said.
    said: Option<Instant>,
    /// Why the last attempt failed.
    error: String,
}

impl Waiting {
    /// Until an attempt that is under way is said to be waited for: one that succeeds soon is
    /// not worth a line.
    fn silence(&self) -> Duration {
        match self.said {
            Some(said) => STILL_WAITING.saturating_sub(said.elapsed()),
            None => SOON.saturating_sub(self.start.elapsed()),
        }
    }

    /// Whether it is to be said that an attempt failed: at once, and then not too often.
    fn is_news(&self) -> bool {
        self.said.is_none_or(|said| said.elapsed() >= STILL_WAITING)
    }

    fn say(&mut self) {
        self.said = Some(Instant::now());
        let (waited, most) = (self.start.elapsed().as_secs(), self.most);
        let most = humantime::format_duration(most);
        tracing::warn!(
            store = self.name,
            error = self.error,
            "waiting for the database since {waited} s, for {most} at most"
        );
    }
}

impl Probe for Opening {
    fn name(&self) -> &'static str {
        self.name
    }

    fn check(&self) -> Pending<'_, Result<(), StoreError>> {
        let why = self.why.lock().clone();
        Box::pin(std::future::ready(Err(StoreError::Unavailable(why))))
    }
}
