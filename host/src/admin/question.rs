//! Which usage a request asks for, and in which form.

use http::{HeaderMap, Uri, header};
use tenantry_core::session::TenantKey;

use super::{
    problem::Problem,
    query::{Query, cursor},
    text::parse_rfc3339,
};
use crate::state::{Step, UsageQuery};

/// Where nothing is said, the usage of the last day is told.
const DEFAULT_MINUTES: u64 = 24 * 60;

/// The last minute, of Unix time, at which a span may end: RFC 3339 has no year 10000.
const MAX_MINUTE: u64 = 253_402_300_800 / 60 - 1;

/// A form in which usage is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Json,
    Csv,
}

impl Form {
    /// The first of the two that a client names.
    fn accepted(headers: &HeaderMap) -> Self {
        let values = headers.get_all(header::ACCEPT).iter();
        let values = values.filter_map(|value| value.to_str().ok());
        let mut types = values
            .flat_map(|value| value.split(','))
            .filter_map(|range| range.split(';').next())
            .map(str::trim);
        let found = types.find(|name| {
            name.eq_ignore_ascii_case("text/csv") || name.eq_ignore_ascii_case("application/json")
        });
        match found {
            Some(name) if name.eq_ignore_ascii_case("text/csv") => Self::Csv,
            _ => Self::Json,
        }
    }
}

/// The place of a row, and the question that it answers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) step: Step,
    pub(super) after: (u64, TenantKey),
}

impl Place {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(' ');
        let mut number = || parts.next()?.parse::<u64>().ok();
        let (from, to, minutes) = (number()?, number()?, number()?);
        let after = (number()?, TenantKey::try_from(number()?).ok()?);
        let mut steps = Step::NAMES.iter().map(|(_, step)| *step);
        let step = steps.find(|step| step.minutes() == minutes)?;
        Some(Self {
            from,
            to,
            step,
            after,
        })
    }

    pub(super) fn cursor(self) -> String {
        let Self {
            from,
            to,
            step,
            after: (minute, tenant),
        } = self;
        let minutes = step.minutes();
        cursor('u', format!("{from} {to} {minutes} {minute} {tenant}"))
    }
}

/// Reads what is asked for, but for whose usage.
pub(super) fn read(
    uri: &Uri,
    headers: &HeaderMap,
    now: u64,
) -> Result<(UsageQuery, Form), Problem> {
    let known = ["from", "to", "step", "format", "limit", "cursor"];
    let mut query = Query::of(uri, &known);
    let right = "a time such as 2026-01-31T12:00:00Z";
    let from = query.read("from", right, parse_rfc3339);
    let to = query.read("to", right, parse_rfc3339);
    let step = query.read("step", "minute, hour or day", |text| {
        let mut names = Step::NAMES.iter();
        names.find_map(|(name, step)| (*name == text).then_some(*step))
    });
    let form = query.read("format", "json or csv", |text| match text {
        "json" => Some(Form::Json),
        "csv" => Some(Form::Csv),
        _ => None,
    });
    let form = form.unwrap_or_else(|| Form::accepted(headers));
    let place = query.cursor('u', Place::parse);
    let max = query.limit();
    if form == Form::Csv {
        for name in ["limit", "cursor"] {
            if query.text(name).is_some() {
                query.wrong(name, "CSV has no pages: all of it is sent at once");
            }
        }
    }
    if place.is_some() {
        for name in ["from", "to", "step"] {
            if query.text(name).is_some() {
                query.wrong(name, "the cursor says this already; leave it out");
            }
        }
    }
    let asked = match place {
        Some(place) => UsageQuery {
            tenant: None,
            from: place.from,
            to: place.to,
            step: place.step,
            after: Some(place.after),
            max,
        },
        None => {
            let step = step.unwrap_or(Step::Hour);
            // Spans are told whole.
            let minutes = step.minutes();
            let to = to.unwrap_or(now).div_ceil(60).next_multiple_of(minutes);
            let from = from.map_or(to.saturating_sub(DEFAULT_MINUTES), |from| from / 60);
            UsageQuery {
                tenant: None,
                from: from - from % minutes,
                to,
                step,
                after: None,
                max,
            }
        }
    };
    if asked.to > MAX_MINUTE {
        let name = if place.is_some() { "cursor" } else { "to" };
        query.wrong(name, "spans end with the year 9999");
    }
    if asked.from > asked.to {
        query.wrong(
            "from",
            "it must be before to, which is now where it is left out",
        );
    }
    query.finish()?;
    Ok((asked, form))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn spans_are_told_whole() {
        let read = |text: &str| {
            let uri = text.parse().expect("an address");
            let asked = read(&uri, &HeaderMap::new(), 7_200_061);
            asked.map(|(query, _)| (query.from, query.to)).ok()
        };
        assert_eq!(read("/?step=minute"), Some((120_002 - 1440, 120_002)));
        assert_eq!(read("/"), Some((120_060 - 1440, 120_060)));
        assert_eq!(
            read("/?step=hour&from=1970-01-01T01:59:59Z&to=1970-01-01T02:00:01Z"),
            Some((60, 180))
        );
        assert_eq!(
            read("/?step=day&from=1970-01-01T01:59:59Z&to=1970-01-02T00:00:00Z"),
            Some((0, 1440))
        );
        assert_eq!(read("/?from=1990-01-01T00:00:00Z"), None);
    }

    #[test]
    fn spans_end_with_the_year_9999() {
        let read = |text: String| {
            let uri = text.parse().expect("an address");
            let asked = read(&uri, &HeaderMap::new(), 7_200_061);
            asked.map(|(query, _)| query.to).ok()
        };
        let last = "9999-12-31T23:59:00Z";
        let of = |step: &str, to: &str| read(format!("/?step={step}&to={to}"));
        assert_eq!(of("minute", last), Some(MAX_MINUTE));
        for (step, to) in [
            ("minute", "9999-12-31T23:59:01Z"),
            ("hour", last),
            ("day", last),
            ("hour", "9999-12-31T23:30:00-12:00"),
        ] {
            assert_eq!(of(step, to), None, "{step} {to}");
        }
        let cursor = |to| {
            let place = Place {
                from: 0,
                to,
                step: Step::Minute,
                after: (0, 1),
            };
            read(format!("/?cursor={}", place.cursor()))
        };
        assert_eq!(cursor(MAX_MINUTE), Some(MAX_MINUTE));
        assert_eq!(cursor(MAX_MINUTE + 1), None);
        assert_eq!(cursor(u64::MAX), None);
    }

    #[test]
    fn a_client_gets_the_form_that_it_names_first() {
        let form = |accept| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            Form::accepted(&headers)
        };
        assert_eq!(form("*/*"), Form::Json);
        assert_eq!(form("text/csv"), Form::Csv);
        assert_eq!(
            form("text/html, Text/CSV;q=0.9, application/json"),
            Form::Csv
        );
        assert_eq!(form("application/json, text/csv"), Form::Json);
    }
}
