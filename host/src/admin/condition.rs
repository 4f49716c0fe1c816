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
    let mut versions = None;
    for value in headers.get_all(name) {
        let wrong = || Problem::header(format!("{name} must be * or tags such as \"3\""));
        let value = value.to_str().map_err(|_| wrong())?.trim();
        if value == "*" {
            return Ok(Some(Tags::Any));
        }
        let versions: &mut Vec<u64> = versions.get_or_insert_default();
        for tag in value.split(',').map(str::trim) {
            let strong = tag.strip_prefix("W/");
            let inside = strong.unwrap_or(tag);
            let inside = inside
                .strip_prefix('"')
                .and_then(|tag| tag.strip_suffix('"'));
            let inside = inside.filter(|tag| !tag.contains('"')).ok_or_else(wrong)?;
            if weak || strong.is_none() {
                versions.extend(inside.parse::<u64>().ok());
            }
        }
    }
    Ok(versions.map(Tags::Versions))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Option<Option<Tags>> {
        let mut headers = HeaderMap::new();
        let value = HeaderValue::try_from(value).expect("a header");
        headers.insert(header::IF_MATCH, value);
        tags(&headers, &header::IF_MATCH, false).ok()
    }

    #[test]
    fn tags_are_read() {
        let versions = |versions: &[u64]| Some(Some(Tags::Versions(versions.to_vec())));
        for (value, tags) in [
            ("*", Some(Some(Tags::Any))),
            (r#""3""#, versions(&[3])),
            (r#" "3" , "12""#, versions(&[3, 12])),
            (r#"W/"3", "other""#, versions(&[])),
            ("3", None),
            ("", None),
            (r#""3"#, None),
            (r#""3" "4""#, None),
            (r#""3","#, None),
        ] {
            assert_eq!(read(value), tags, "{value}");
        }
        assert_eq!(etag(3), "\"3\"");
    }
}
