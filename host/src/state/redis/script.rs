//! The scripts that count chats in Redis, and what is said to them and by them.

use std::time::Duration;

use redis::{
    Cmd, ErrorKind, RedisError, RedisResult, Script, ServerErrorKind, aio::MultiplexedConnection,
};
use tenantry_core::limit::{Admission, Quota, WINDOW};

/// In front of the id of a tenant whose chats are counted. All have the same hash tag: where
/// keys are spread over several servers, these stay together.
const KEY: &str = "tenantry:{limit}:";

/// Grants chats, or refuses them.
pub(super) struct Admit(Script);

/// Chats of one tenant that are asked for together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted<'a> {
    /// The tenant's id.
    pub(super) tenant: &'a str,
    /// Its chats in any [`WINDOW`].
    pub(super) limit: u32,
    /// How many chats are asked for.
    pub(super) chats: u32,
}

/// What was said about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Granted {
    limit: u32,
    /// How many of them were granted.
    chats: u32,
    /// How many chats counted before.
    used: u32,
    /// Until one more becomes available.
    reset: Duration,
}

impl Granted {
    /// What is said to the chat that was asked for as number `n`, from 0.
    pub(super) fn admission(&self, n: u32) -> Admission {
        let is_granted = n < self.chats;
        let used = self
            .used
            .saturating_add(self.chats.min(n.saturating_add(1)));
        let quota = Quota {
            limit: self.limit,
            remaining: self.limit.saturating_sub(used),
            reset: self.reset,
        };
        if is_granted {
            Admission::Granted(quota)
        } else {
            Admission::Refused(quota)
        }
    }
}

impl Admit {
    pub(super) fn new() -> Self {
        Self(Script::new(concat!(
            include_str!("chats.lua"),
            include_str!("admit.lua")
        )))
    }

    /// Asks for chats of several tenants. The answers are in the order of the questions.
    /// The time is Redis's own, or, for tests, `now_us` in microseconds.
    pub(super) async fn ask(
        &self,
        connection: &mut MultiplexedConnection,
        wanted: &[Wanted<'_>],
        now_us: Option<u64>,
    ) -> RedisResult<Vec<Granted>> {
        let mut command = evaluate(&self.0, wanted.iter().map(|wanted| wanted.tenant), now_us);
        for wanted in wanted {
            command.arg(wanted.limit).arg(wanted.chats);
        }
        let said: Vec<u64> = run(&self.0, &command, connection).await?;
        if said.len() != 3 * wanted.len() {
            let strange = "the script that counts chats answered something else";
            return Err(RedisError::from((ErrorKind::UnexpectedReturnType, strange)));
        }
        let number = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        let granted = said.chunks_exact(3).zip(wanted).map(|(said, wanted)| {
            let (chats, used, reset) = match said {
                [chats, used, reset] => (number(*chats), number(*used), *reset),
                _ => (0, 0, 0),
            };
            Granted {
                limit: wanted.limit,
                chats,
                used,
                reset: Duration::from_micros(reset).min(WINDOW),
            }
        });
        Ok(granted.collect())
    }

    /// Loads the script, and sees whether it does what it should.
    pub(super) async fn try_out(&self, connection: &mut MultiplexedConnection) -> RedisResult<()> {
        self.0.load_async(connection).await?;
        // No tenant has an empty id.
        let wanted = Wanted {
            tenant: "",
            limit: 1,
            chats: 1,
        };
        self.ask(connection, &[wanted], None).await.map(drop)
    }
}

/// Counts chats that were granted elsewhere.
pub(super) struct Count(Script);

/// Chats of one tenant, and how long ago each was granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Counted {
    /// The tenant's id.
    pub(super) tenant: Box<str>,
    /// Until now.
    pub(super) ages: Vec<Duration>,
}

impl Count {
    pub(super) fn new() -> Self {
        Self(Script::new(concat!(
            include_str!("chats.lua"),
            include_str!("count.lua")
        )))
    }

    /// Has chats counted. The time is as in [`Admit::ask`].
    pub(super) async fn tell(
        &self,
        connection: &mut MultiplexedConnection,
        counted: &[Counted],
        now_us: Option<u64>,
    ) -> RedisResult<()> {
        let mut command = evaluate(&self.0, counted.iter().map(|chats| &*chats.tenant), now_us);
        for chats in counted {
            command.arg(chats.ages.len());
            for age in &chats.ages {
                command.arg(u64::try_from(age.as_micros()).unwrap_or(u64::MAX));
            }
        }
        let _: u64 = run(&self.0, &command, connection).await?;
        Ok(())
    }
}

/// The beginning of a command that runs a script for these tenants.
fn evaluate<'a>(
    script: &Script,
    tenants: impl ExactSizeIterator<Item = &'a str>,
    now_us: Option<u64>,
) -> Cmd {
    let mut command = redis::cmd("EVALSHA");
    command.arg(script.get_hash()).arg(tenants.len());
    let mut key = String::from(KEY);
    for tenant in tenants {
        key.truncate(KEY.len());
        key.push_str(tenant);
        command.arg(&key);
    }
    match now_us {
        Some(now) => command.arg(now),
        None => command.arg(""),
    };
    command
}

/// Runs a script, which Redis may have forgotten.
async fn run<T: redis::FromRedisValue>(
    script: &Script,
    command: &Cmd,
    connection: &mut MultiplexedConnection,
) -> RedisResult<T> {
    match command.query_async(connection).await {
        Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
            script.load_async(connection).await?;
            command.query_async(connection).await
        }
        answer => answer,
    }
}
