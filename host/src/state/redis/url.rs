//! Where a Redis is.

use std::{fmt, str::FromStr};

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo};

/// Where a Redis is, and how to be let in. Shown without the password.
#[derive(Clone)]
pub struct RedisUrl {
    pub(super) info: ConnectionInfo,
}

/// Why a text is no address of a Redis. It has none of the text, which may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RedisUrlError {
    /// It is something else.
    #[error(
        "it must be an address such as redis://127.0.0.1:6379/0; in a user or password write \
         each of : / ? # [ ] @ % as % and its two hexadecimal digits, such as %40 for @"
    )]
    Form,
    /// It asks for encryption.
    #[error(
        "TLS is not spoken here; write redis:// and the address of a proxy that does, such as \
         stunnel"
    )]
    Tls,
}

impl FromStr for RedisUrl {
    type Err = RedisUrlError;

    /// `redis://HOST:PORT/DATABASE`; with `USER:PASSWORD@` or `:PASSWORD@` before the host,
    /// if it wants one. Port 6379 and database 0 may be left out.
    fn from_str(text: &str) -> Result<Self, RedisUrlError> {
        let (scheme, _) = text.split_once("://").ok_or(RedisUrlError::Form)?;
        match scheme {
            "redis" => {}
            "rediss" => return Err(RedisUrlError::Tls),
            _ => return Err(RedisUrlError::Form),
        }
        // Neither means anything here: they are the rest of a password that is not encoded,
        // and what stands before them is not an address.
        if text.contains(['?', '#']) {
            return Err(RedisUrlError::Form);
        }
        let info = text
            .into_connection_info()
            .map_err(|_| RedisUrlError::Form)?;
        let is_tcp = matches!(info.addr(), ConnectionAddr::Tcp(host, port) if !host.is_empty() && *port != 0);
        if !is_tcp || info.redis_settings().db() < 0 {
            return Err(RedisUrlError::Form);
        }
        Ok(Self { info })
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "redis://{}/{}",
            self.info.addr(),
            self.info.redis_settings().db()
        )
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<String, RedisUrlError> {
        text.parse().map(|url: RedisUrl| url.to_string())
    }

    #[test]
    fn an_address_is_shown_without_its_secrets() {
        for (text, shown) in [
            ("redis://127.0.0.1:6380/3", "redis://127.0.0.1:6380/3"),
            ("redis://localhost", "redis://localhost:6379/0"),
            ("redis://:hush@h:1/2", "redis://h:1/2"),
            ("redis://me:hush%40@h", "redis://h:6379/0"),
        ] {
            assert_eq!(parse(text), Ok(shown.to_owned()), "{text}");
        }
        let url: RedisUrl = "redis://me:hush@h".parse().expect("an address");
        assert!(!format!("{url:?}").contains("hush"));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "127.0.0.1:6379",
            "http://127.0.0.1:6379",
            "redis:/127.0.0.1",
            "redis://",
            "redis://:hush@",
            "redis://h:port",
            "redis://h:99999",
            "redis://h:0",
            "redis://h/db",
            "redis://h/-1",
            "redis://0.0.0.0",
            "redis+unix:///tmp/redis.sock",
            "redis://me:12?3@h",
            "redis://me:12#3@h",
            "redis://me:12/3@h",
            "redis://:h/sh@h",
        ] {
            assert_eq!(parse(text), Err(RedisUrlError::Form), "{text}");
        }
        assert_eq!(parse("rediss://h"), Err(RedisUrlError::Tls));
    }
}
