//! Rows that clients send: checked by the core's rules, and patched.

use std::{borrow::Cow, collections::BTreeMap};

use tenantry_core::{
    json::{Document, Error, Value},
    registry::{Registry, Row, What},
};

use super::problem::{Issue, Problem};

/// Reads a body as JSON text.
///
/// # Errors
/// It is none.
pub(super) fn text(body: &[u8]) -> Result<&str, Problem> {
    let text = std::str::from_utf8(body).map_err(|error| {
        let detail = format!(
            "the body is not UTF-8, from byte {} on",
            error.valid_up_to()
        );
        Problem::invalid_json(detail)
    })?;
    document(text).map(|_| text)
}

fn document(text: &str) -> Result<Document<'_>, Problem> {
    Document::parse(text).map_err(|error| {
        Problem::invalid_json(match error {
            Error::Syntax { message, position } => {
                format!("the body is not JSON: {message}, at character {position}")
            }
            error => format!("the body is {error}"),
        })
    })
}

/// A row that may be served, and what is odd about it.
pub(super) struct Checked {
    pub(super) row: Row,
    pub(super) warnings: Vec<Issue>,
}

/// A row of the tenant with that id. `json` may have its id, and is JSON.
///
/// # Errors
/// Says everything that is wrong with it.
pub(super) fn checked(id: &str, json: &str) -> Result<Checked, Problem> {
    let json_document = document(json)?;
    let root = json_document.root();
    if !root.is_object() {
        let detail = format!("{} instead of an object", root.kind());
        return Err(Problem::invalid_tenant(vec![Issue::member(None, detail)]));
    }
    let mut errors = Vec::new();
    if let Some(given) = root.member("id") {
        match given.as_str() {
            Some(given) if given == id => {}
            Some(given) => {
                let detail = format!("{given:?} is not the id in the path, {id:?}");
                errors.push(Issue::member("id", detail));
            }
            None => {
                let detail = format!("{} instead of the id in the path", given.kind());
                errors.push(Issue::member("id", detail));
            }
        }
    }
    // Strings of JSON have no line ends, so these are blanks between values.
    let line = json.replace(['\n', '\r'], " ");
    let line = with_id(id, &line);
    let mut warnings = Vec::new();
    let row = match Registry::parse(line.as_bytes()) {
        Ok(parsed) => {
            let odd = parsed.warnings.iter();
            warnings.extend(odd.map(|odd| Issue::member(odd.member.as_deref(), &odd.what)));
            parsed.registry.into_rows().pop()
        }
        Err(problems) => {
            errors.extend(problems.0.into_iter().map(|problem| {
                let detail = match problem.what {
                    What::NoTenants => "a tenant needs an id".to_owned(),
                    what => what.to_string(),
                };
                Issue::member(problem.member.as_deref(), detail)
            }));
            None
        }
    };
    match row {
        Some(row) if errors.is_empty() => Ok(Checked { row, warnings }),
        _ => Err(Problem::invalid_tenant(errors)),
    }
}

/// The object with this id as its last member, which is the one that counts.
fn with_id(id: &str, object: &str) -> String {
    let end = object.rfind('}').unwrap_or(object.len());
    let before = object.get(..end).unwrap_or_default().trim_end();
    let comma = if before.ends_with('{') { "" } else { "," };
    format!(r#"{before}{comma}"id":{}}}"#, string(id))
}

/// A text as a JSON string.
fn string(text: &str) -> String {
    // A string can always be written.
    serde_json::to_string(text).unwrap_or_default()
}

/// A row after a merge patch (RFC 7396). What the patch does not name stays as it is
/// written, numbers too.
///
/// # Errors
/// One of them is not JSON.
pub(super) fn merged(row: &str, patch: &str) -> Result<String, Problem> {
    let (row, patch) = (document(row)?, document(patch)?);
    Ok(merge(Some(row.root()), patch.root()))
}

/// Values stand no deeper inside each other than the core's reader lets them.
fn merge(target: Option<Value<'_, '_>>, patch: Value<'_, '_>) -> String {
    if !patch.is_object() {
        return patch.text().to_owned();
    }
    let target = target.filter(|target| target.is_object());
    let target = target.iter().flat_map(|target| target.members());
    // In the order in which they come first; of several of one name the last one counts.
    let mut members: Vec<(Cow<'_, str>, Option<String>)> = Vec::new();
    let mut known: BTreeMap<Cow<'_, str>, (usize, Value<'_, '_>)> = BTreeMap::new();
    for (name, value) in target {
        let place = known.get(&name).map_or(members.len(), |(place, _)| *place);
        let text = value.text().to_owned();
        set(&mut members, place, name.clone(), Some(text));
        known.insert(name, (place, value));
    }
    let mut patched: BTreeMap<Cow<'_, str>, usize> = BTreeMap::new();
    for (name, value) in patch.members() {
        let before = known.get(&name);
        let place = before.map(|(place, _)| *place);
        let place = place.or_else(|| patched.get(&name).copied());
        let place = place.unwrap_or(members.len());
        let before = before.map(|(_, value)| *value);
        let value = (!value.is_null()).then(|| merge(before, value));
        set(&mut members, place, name.clone(), value);
        patched.insert(name, place);
    }
    let members = members.iter().filter_map(|(name, value)| {
        let value = value.as_ref()?;
        Some(format!("{}:{value}", string(name)))
    });
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

/// Sets the member at a place, which may be the one behind the last; `None` takes it away.
fn set<'a>(
    members: &mut Vec<(Cow<'a, str>, Option<String>)>,
    place: usize,
    name: Cow<'a, str>,
    value: Option<String>,
) {
    match members.get_mut(place) {
        Some(member) => member.1 = value,
        None => members.push((name, value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_are_merged_as_rfc_7396_has_it() {
        // The examples of its appendix.
        for (target, patch, result) in [
            (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"a":null}"#, r#"{}"#),
            (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
            (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
            (
                r#"{"a":{"b":"c"}}"#,
                r#"{"a":{"b":"d","c":null}}"#,
                r#"{"a":{"b":"d"}}"#,
            ),
            (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
            (r#"["a","b"]"#, r#"["c","d"]"#, r#"["c","d"]"#),
            (r#"{"a":"b"}"#, r#"["c"]"#, r#"["c"]"#),
            (r#"{"a":"foo"}"#, "null", "null"),
            (r#"{"a":"foo"}"#, r#""bar""#, r#""bar""#),
            (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#),
            ("[1,2]", r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#),
            ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
        ] {
            let merged = merged(target, patch).expect("JSON");
            assert_eq!(merged, result, "{target} {patch}");
        }
        // What is not named stays to the digit.
        let row = r#"{"x":12345678901234567890.10, "é\n":1e400}"#;
        let merged = merged(row.replace("1e400", "1E5").as_str(), r#"{"y":1}"#);
        let wanted = r#"{"x":12345678901234567890.10,"é\n":1E5,"y":1}"#;
        assert_eq!(merged.expect("JSON"), wanted);
    }

    #[test]
    fn a_row_gets_its_id() {
        for (row, with) in [
            ("{}", r#"{"id":"a\"b"}"#),
            (" { } ", r#" {"id":"a\"b"}"#),
            (r#"{"x":{} }"#, r#"{"x":{},"id":"a\"b"}"#),
            (r#"{"id":1}"#, r#"{"id":1,"id":"a\"b"}"#),
        ] {
            assert_eq!(with_id("a\"b", row), with);
        }
    }
}
