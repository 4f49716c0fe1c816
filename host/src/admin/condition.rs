//! The headers `if-match` and `if-none-match`, which keep one client from undoing what
//! another one has done.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::problem::Problem;
use crate::state::{Expected, TenantStore};

/// A version as an entity tag.
pub(super) fn etag(version: u64) -> HeaderValue {
    // Digits in quotes can always be a header.
    HeaderValue::try_from(format!("\"{version}\"")).unwrap_or(HeaderValue::from_static("\"0\""))
}

/// Which versions a header names.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Tags {
    /// `*`
    Any,
    /// These; what is no version of ours is left out.
    Versions(Vec<u64>),
}

/// What a request asks of the version that there is.
#[derive(Debug, Clone, Default)]
pub(super) struct Condition {
    must: Option<Tags>,
    must_not: Option<Tags>,
}

impl Condition {
    /// Reads the headers.
    ///
    /// # Errors
    /// One of them is not written as HTTP wants it.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        Ok(Self {
            // Weak tags are never the same in the strong sense that a change needs.
            must: tags(headers, &header::IF_MATCH, false)?,
            must_not: tags(headers, &header::IF_NONE_MATCH, true)?,
        })
    }

    /// Whether a GET has what it asks for already.
    pub(super) fn has(&self, version: u64) -> bool {
        match &self.must_not {
            None => false,
            Some(Tags::Any) => true,
            Some(Tags::Versions(versions)) => versions.contains(&version),
        }
    }

    /// Which version a change is for; `default` where the request does not say.
    ///
    /// # Errors
    /// It says what no change can hold to, or the store does not answer.
    pub(super) async fn expected(
        &self,
        store: &dyn TenantStore,
        id: &str,
        default: Expected,
    ) -> Result<Expected, Problem> {
        match (&self.must, &self.must_not) {
            (None, None) => Ok(default),
            (None, Some(Tags::Any)) => Ok(Expected::Absent),
            (Some(Tags::Any), None) => Ok(Expected::Present),
            (Some(Tags::Versions(versions)), None) => match versions[..] {
                [version] => Ok(Expected::Version(version)),
                _ => {
                    let record = store.get(id).await?;
                    let version = record.map(|record| record.version);
                    let version = version.filter(|version| versions.contains(version));
                    // None is ever in version 0.
                    Ok(Expected::Version(version.unwrap_or(0)))
                }
            },
            (_, Some(Tags::Versions(_))) => {
                let detail = "if-none-match may only be * where something is changed";
                Err(Problem::header(detail))
            }
            (Some(_), Some(_)) => {
                let detail = "if-match and if-none-match cannot both be true";
                Err(Problem::header(detail))
            }
        }
    }
}

fn tags(headers: &HeaderMap, name: &HeaderName, weak: bool) -> Result<Option<Tags>, Problem> {
    let wrong = || Problem::header(format!("{name} must be * or tags such as \"3\""));
    let values: Vec<_> = headers.get_all(name).iter().collect();
    match values[..] {
        [] => return Ok(None),
        [value] if value.as_bytes().trim_ascii() == b"*" => return Ok(Some(Tags::Any)),
        _ => {}
    }
    let mut versions = Vec::new();
    for value in values {
        let mut rest = value.as_bytes();
        // Members of a list may be empty (RFC 9110, 5.6.1).
        while let Some(tag) = next_tag(&mut rest).map_err(|Malformed| wrong())? {
            if weak || !tag.is_weak {
                versions.extend(version_of(tag.inside));
            }
        }
    }
    Ok(Some(Tags::Versions(versions)))
}

/// An entity tag (RFC 9110, 8.8.3).
struct Tag<'a> {
    is_weak: bool,
    inside: &'a [u8],
}

/// A list of tags is not one.
struct Malformed;

/// Takes the next tag off a list, with what parts it from the one behind it. Commas within
/// quotes are a part of the tag.
fn next_tag<'a>(rest: &mut &'a [u8]) -> Result<Option<Tag<'a>>, Malformed> {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b',');
    let start = rest.iter().position(|byte| !is_blank(byte));
    let Some(text) = start.and_then(|start| rest.get(start..)) else {
        return Ok(None);
    };
    let weak = text.strip_prefix(b"W/");
    let quoted = weak.unwrap_or(text).strip_prefix(b"\"").ok_or(Malformed)?;
    let end = quoted.iter().position(|byte| *byte == b'"');
    let end = end.ok_or(Malformed)?;
    let (inside, behind) = quoted.split_at_checked(end).ok_or(Malformed)?;
    let is_tag = |byte: &u8| matches!(byte, 0x21 | 0x23..=0x7e | 0x80..);
    let behind = behind.strip_prefix(b"\"").unwrap_or_default();
    let next = behind.trim_ascii_start();
    if !inside.iter().all(is_tag) || !(next.is_empty() || next.starts_with(b",")) {
        return Err(Malformed);
    }
    *rest = next;
    Ok(Some(Tag {
        is_weak: weak.is_some(),
        inside,
    }))
}

/// The version whose tag this is: the digits that [`etag`] writes, and no others.
fn version_of(inside: &[u8]) -> Option<u64> {
    let text = str::from_utf8(inside).ok()?;
    let version = text.parse::<u64>().ok()?;
    (version.to_string() == text).then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(values: &[&[u8]], weak: bool) -> Option<Option<Tags>> {
        let mut headers = HeaderMap::new();
        for value in values {
            let value = HeaderValue::from_bytes(value).expect("a header");
            headers.append(header::IF_MATCH, value);
        }
        tags(&headers, &header::IF_MATCH, weak).ok()
    }

    fn read(value: &str) -> Option<Option<Tags>> {
        read_all(&[value.as_bytes()], false)
    }

    #[test]
    fn tags_are_read() {
        let versions = |versions: &[u64]| Some(Some(Tags::Versions(versions.to_vec())));
        for (value, tags) in [
            ("*", Some(Some(Tags::Any))),
            (" * ", Some(Some(Tags::Any))),
            (r#""3""#, versions(&[3])),
            (r#" "3" , "12""#, versions(&[3, 12])),
            (r#""3","12""#, versions(&[3, 12])),
            (r#"W/"3", "other""#, versions(&[])),
            // Members may be empty, and so may the list.
            (r#""3","#, versions(&[3])),
            (r#", ,"3",,"4" , "#, versions(&[3, 4])),
            ("", versions(&[])),
            (",", versions(&[])),
            // A comma within quotes parts nothing.
            (r#""1,2""#, versions(&[])),
            (r#""a,b", "7""#, versions(&[7])),
            (r#""", "7""#, versions(&[7])),
            // A version is written in one way.
            (r#""+1""#, versions(&[])),
            (r#""01""#, versions(&[])),
            (r#""-1""#, versions(&[])),
            (r#""18446744073709551615""#, versions(&[u64::MAX])),
            (r#""18446744073709551616""#, versions(&[])),
            ("3", None),
            (r#""3"#, None),
            (r#"3""#, None),
            (r#""3" "4""#, None),
            (r#""3""4""#, None),
            (r#""3 4""#, None),
            (r#"w/"3""#, None),
            (r#"W/ "3""#, None),
            (r#"W/3"#, None),
            (r#""3", *"#, None),
            (r#"*, "3""#, None),
            ("*,", None),
        ] {
            assert_eq!(read(value), tags, "{value}");
        }
        assert_eq!(read_all(&[b"\"3\"", b"W/\"4\""], true), versions(&[3, 4]));
        assert_eq!(read_all(&[b"\"3\"", b"*"], true), None);
        assert_eq!(read_all(&[b"\"caf\xe9\", \"5\""], true), versions(&[5]));
        assert_eq!(read_all(&[], true), Some(None));
        assert_eq!(etag(3), "\"3\"");
    }
}
