//! What the server behind `--cache` is: a Redis of its own, or something that cannot count
//! limits.

use std::collections::HashMap;

use redis::{ErrorKind, InfoDict, RedisError, RedisResult, Value, aio::MultiplexedConnection};

/// The one policy under which no count is dropped while its window lasts.
const KEEPS_ALL: &str = "noeviction";

/// Why a server that speaks Redis's protocol cannot count limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnfitRedis {
    /// Its keys move to other nodes.
    #[error(
        "is a node of a Redis Cluster (cluster-enabled yes), whose keys move to other nodes; \
         --cache must name a Redis that is not clustered"
    )]
    Cluster,
    /// It holds no keys.
    #[error(
        "is a Redis Sentinel, which holds no keys; --cache must name the primary that it \
         watches, or a proxy that follows the primary"
    )]
    Sentinel,
    /// It takes no writes of its own.
    #[error("is a replica; --cache must name its primary")]
    Replica,
}

/// What a server says about itself, as far as this user may know it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Kind {
    /// `standalone`, `cluster` or `sentinel`.
    mode: Option<String>,
    /// `master`, or `slave` or `replica`.
    role: Option<String>,
    /// What happens when its memory is full.
    policy: Option<String>,
}

impl Kind {
    /// Asks a server what it is. A user that may run neither INFO nor HELLO learns nothing,
    /// and is not refused for that.
    pub(super) async fn of(connection: &mut MultiplexedConnection) -> RedisResult<Self> {
        let info = redis::cmd("INFO").query_async(connection).await;
        if let Some(info) = unless_forbidden(info)? {
            return Ok(Self::of_info(&info));
        }
        let hello = redis::cmd("HELLO").query_async(connection).await;
        let hello: Option<HashMap<String, Value>> = unless_forbidden(hello)?;
        Ok(hello.map(Self::of_hello).unwrap_or_default())
    }

    fn of_info(info: &InfoDict) -> Self {
        let is_cluster = info.get::<u8>("cluster_enabled") == Some(1);
        // Valkey has another name for it.
        let mode = info.get("redis_mode").or_else(|| info.get("server_mode"));
        Self {
            mode: is_cluster.then(|| "cluster".to_owned()).or(mode),
            role: info.get("role"),
            policy: info.get("maxmemory_policy"),
        }
    }

    fn of_hello(mut hello: HashMap<String, Value>) -> Self {
        let mut text = |name| {
            let value = hello.remove(name)?;
            redis::from_redis_value(value).ok()
        };
        Self {
            mode: text("mode"),
            role: text("role"),
            policy: None,
        }
    }

    /// Why it cannot count limits.
    pub(super) fn unfit(&self) -> Option<UnfitRedis> {
        match (self.mode.as_deref(), self.role.as_deref()) {
            (Some("cluster"), _) => Some(UnfitRedis::Cluster),
            (Some("sentinel"), _) | (_, Some("sentinel")) => Some(UnfitRedis::Sentinel),
            (_, Some("slave" | "replica")) => Some(UnfitRedis::Replica),
            _ => None,
        }
    }

    /// Its policy, where that may drop counts.
    pub(super) fn forgetful_policy(&self) -> Option<&str> {
        let policy = self.policy.as_deref();
        policy.filter(|policy| *policy != KEEPS_ALL)
    }
}

/// None where the server does not let this user ask, or does not know the command.
fn unless_forbidden<T>(answer: RedisResult<T>) -> RedisResult<Option<T>> {
    let is_refusal = |error: &RedisError| matches!(error.kind(), ErrorKind::Server(_));
    match answer {
        Ok(answer) => Ok(Some(answer)),
        // A user that was not let in yet is told so by what comes next.
        Err(error) if is_refusal(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_info(text: &str) -> Kind {
        let text = text.replace('\n', "\r\n");
        let info: InfoDict = redis::from_redis_value(Value::BulkString(text.into())).expect("INFO");
        Kind::of_info(&info)
    }

    fn by_hello(mode: &str, role: &str) -> Kind {
        let fields = [("server", "redis"), ("mode", mode), ("role", role)];
        let value = |(name, text): (&str, &str)| {
            (name.to_owned(), Value::BulkString(text.as_bytes().to_vec()))
        };
        Kind::of_hello(fields.into_iter().map(value).collect())
    }

    #[test]
    fn a_redis_of_its_own_is_fit_and_others_are_not() {
        let redis = "# Server\nredis_mode:standalone\n# Replication\nrole:master\n\
                     # Memory\nmaxmemory_policy:noeviction\n# Cluster\ncluster_enabled:0\n";
        assert_eq!(by_info(redis).unfit(), None);
        assert_eq!(by_info("").unfit(), None);
        assert_eq!(by_hello("standalone", "master").unfit(), None);
        for (info, unfit) in [
            ("redis_mode:cluster\nrole:master\n", UnfitRedis::Cluster),
            ("server_mode:cluster\nrole:master\n", UnfitRedis::Cluster),
            ("cluster_enabled:1\nrole:slave\n", UnfitRedis::Cluster),
            ("redis_mode:sentinel\n", UnfitRedis::Sentinel),
            ("redis_mode:standalone\nrole:slave\n", UnfitRedis::Replica),
        ] {
            assert_eq!(by_info(info).unfit(), Some(unfit), "{info}");
        }
        for (mode, role, unfit) in [
            ("cluster", "master", UnfitRedis::Cluster),
            ("sentinel", "sentinel", UnfitRedis::Sentinel),
            ("standalone", "replica", UnfitRedis::Replica),
        ] {
            assert_eq!(by_hello(mode, role).unfit(), Some(unfit), "{mode} {role}");
        }
    }

    #[test]
    fn a_policy_that_drops_keys_is_named() {
        let policy = |name: &str| {
            let kind = by_info(&format!("maxmemory_policy:{name}\n"));
            kind.forgetful_policy().map(str::to_owned)
        };
        assert_eq!(policy("noeviction"), None);
        assert_eq!(policy("allkeys-lru").as_deref(), Some("allkeys-lru"));
        assert_eq!(policy("volatile-ttl").as_deref(), Some("volatile-ttl"));
        assert_eq!(by_info("").forgetful_policy(), None);
    }
}
