//! Times and JSON, as this API writes them.

use serde_json::value::{RawValue, to_raw_value};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Nanoseconds of Unix time as RFC 3339 has them; none beyond the year 9999.
pub(super) fn rfc3339(nanos: u128) -> Option<String> {
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::try_from(nanos).ok()?);
    time.ok()?.format(&Rfc3339).ok()
}

/// Milliseconds of Unix time as RFC 3339 has them; none where nobody knows the time.
pub(super) fn rfc3339_ms(ms: u64) -> Option<String> {
    if ms == 0 {
        return None;
    }
    rfc3339(u128::from(ms) * 1_000_000)
}

/// Seconds of Unix time.
pub(super) fn parse_rfc3339(text: &str) -> Option<u64> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    // What is behind a second belongs to it.
    time.unix_timestamp().try_into().ok()
}

/// Text that a store keeps as JSON. What is none after all is told as a string.
pub(super) fn stored_json(text: &str) -> Option<Box<RawValue>> {
    let json = serde_json::from_str(text);
    json.or_else(|_| to_raw_value(text)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_and_read() {
        assert_eq!(rfc3339_ms(0), None);
        let text = rfc3339_ms(1_700_000_000_500);
        assert_eq!(text.as_deref(), Some("2023-11-14T22:13:20.5Z"));
        assert_eq!(rfc3339(u128::MAX), None);
        assert_eq!(rfc3339_ms(u64::MAX), None);
        for (text, seconds) in [
            ("2023-11-14T22:13:20Z", Some(1_700_000_000)),
            ("2023-11-15T00:13:20.9+02:00", Some(1_700_000_000)),
            ("1969-12-31T23:59:59Z", None),
            ("2023-11-14", None),
            ("2023-11-14T22:13:20", None),
        ] {
            assert_eq!(parse_rfc3339(text), seconds, "{text}");
        }
    }

    #[test]
    fn what_a_store_keeps_is_told_as_it_is() {
        let told = |text| stored_json(text).map(|json| json.get().to_owned());
        assert_eq!(told(r#"{"x": [1]}"#).as_deref(), Some(r#"{"x": [1]}"#));
        assert_eq!(told("{").as_deref(), Some(r#""{""#));
    }
}
