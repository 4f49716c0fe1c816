//! What the value of a flag may be, and what is said of one that it may not.

use std::{
    net::{SocketAddr, ToSocketAddrs},
    time::Duration,
};

use bytesize::ByteSize;
use http::Uri;
use tracing_subscriber::filter::{LevelFilter, Targets};

use super::StateKind;
use crate::state::{
    RedisUrl, RedisUrlError,
    sql::{Place, PlaceError},
};

/// Worker threads, at most. Above, it is a typing error.
const MAX_THREADS: usize = 1024;

pub(super) fn threads(text: &str) -> Result<usize, String> {
    match at_least_1(text)? {
        threads if threads <= MAX_THREADS => Ok(threads),
        _ => Err(format!("it must be from 1 to {MAX_THREADS}")),
    }
}

pub(super) fn state(text: &str) -> Result<StateKind, String> {
    match text {
        "memory" => Ok(StateKind::Memory),
        text => place(text).map(StateKind::Database),
    }
}

pub(super) fn place(text: &str) -> Result<Place, String> {
    text.parse().map_err(|error: PlaceError| error.to_string())
}

pub(super) fn cache_url(text: &str) -> Result<RedisUrl, String> {
    text.parse()
        .map_err(|error: RedisUrlError| error.to_string())
}

pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    let addresses = text.to_socket_addrs();
    let mut addresses =
        addresses.map_err(|error| format!("{error}; write it as 127.0.0.1:9001"))?;
    addresses
        .next()
        .ok_or_else(|| "it names no address".to_owned())
}

/// Tenants with metrics of their own, at most: each has ten numbers, and each scrape all of
/// them.
const MAX_METRICS_TENANTS: usize = 10_000;

pub(super) fn metrics_tenants(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(tenants) if tenants <= MAX_METRICS_TENANTS => Ok(tenants),
        _ => Err(format!("it must be from 0 to {MAX_METRICS_TENANTS}")),
    }
}

pub(super) fn collector(text: &str) -> Result<Uri, String> {
    let uri: Option<Uri> = text.parse().ok();
    let uri = uri.filter(|uri| uri.scheme_str() == Some("http") && uri.query().is_none());
    let message = "it must be a URL such as http://127.0.0.1:4318; https is not spoken";
    uri.ok_or_else(|| message.to_owned())
}

pub(super) fn ratio(text: &str) -> Result<f64, String> {
    let ratio: Option<f64> = text.parse().ok();
    let ratio = ratio.filter(|ratio| (0.0..=1.0).contains(ratio));
    ratio.ok_or_else(|| "it must be from 0 to 1".to_owned())
}

pub(super) fn max_sessions(text: &str) -> Result<u32, String> {
    text.parse()
        .map_err(|_| format!("it must be a whole number from 0 to {}", u32::MAX))
}

pub(super) fn at_least_1(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("it must be at least 1".to_owned()),
        Ok(number) => Ok(number),
        Err(_) => Err("it must be a whole number".to_owned()),
    }
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.parse() {
        return Ok(Duration::from_secs(seconds));
    }
    humantime::parse_duration(text)
        .map_err(|_| "it must be a duration such as 500ms, 10s, 5m or 24h".to_owned())
}

pub(crate) fn duration_above_0(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("it must be longer than 0".to_owned()),
        duration => Ok(duration),
    }
}

/// Shorter, a store would be lost by being busy for a moment.
const MIN_STORE_TIMEOUT: Duration = Duration::from_millis(10);

pub(super) fn store_timeout(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        time if time >= MIN_STORE_TIMEOUT => Ok(time),
        _ => Err("it must be at least 10ms".to_owned()),
    }
}

/// A shorter life would end within the clock's steps.
const MIN_SESSION_TTL: Duration = Duration::from_millis(10);

pub(super) fn session_ttl(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        ttl if ttl.is_zero() || ttl >= MIN_SESSION_TTL => Ok(ttl),
        _ => Err("it must be 0, or at least 10ms".to_owned()),
    }
}

fn size(text: &str) -> Result<usize, String> {
    let size: ByteSize = text
        .parse()
        .map_err(|_| "it must be a size such as 64KiB or 1MiB".to_owned())?;
    usize::try_from(size.as_u64()).map_err(|_| "it is too large".to_owned())
}

fn size_within(text: &str, min: u64, max: u64) -> Result<usize, String> {
    let size = size(text)?;
    if (min..=max).contains(&(size as u64)) {
        Ok(size)
    } else {
        let (min, max) = (ByteSize(min), ByteSize(max));
        Err(format!("it must be from {min} to {max}"))
    }
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

pub(super) fn sandbox_memory(text: &str) -> Result<usize, String> {
    size_within(text, 2 * MIB, 4096 * MIB)
}

pub(super) fn sandbox_stack(text: &str) -> Result<usize, String> {
    size_within(text, 64 * KIB, 64 * MIB)
}

pub(super) fn max_reply(text: &str) -> Result<usize, String> {
    size_within(text, 64 * KIB, 1024 * MIB)
}

pub(super) fn max_body(text: &str) -> Result<usize, String> {
    size_within(text, 1, 256 * MIB)
}

pub(super) fn max_buffered(text: &str) -> Result<usize, String> {
    size_within(text, 64 * KIB, 1 << 40)
}

pub(super) fn max_head(text: &str) -> Result<usize, String> {
    size_within(text, 8 * KIB, MIB)
}

pub(super) fn log_filter(text: &str) -> Result<Targets, String> {
    let message = "it must be a level such as info, or as info,tenantry::access=off";
    // The parser takes a word that is no level for the name of a part, and a part without
    // a level for all of it: a mistyped level would silence everything else.
    let is_level = |level: &str| level.parse::<LevelFilter>().is_ok() && !level.is_empty();
    let is_rule = |rule: &str| match rule.rsplit_once('=') {
        Some((part, level)) => !part.is_empty() && is_level(level),
        None => is_level(rule),
    };
    if !text.split(',').map(str::trim).all(is_rule) {
        return Err(message.to_owned());
    }
    text.parse().map_err(|_| message.to_owned())
}

pub(super) fn boolean(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err("it must be true or false".to_owned()),
    }
}
