//! From a body to fields, or to the reason why not.

use alloc::borrow::Cow;

use super::{Payload, Request};
use crate::{
    json::{self, Document},
    python,
};

/// The values of a request's fields, in the order of their names.
pub(super) type Fields<'a, const N: usize> = [Cow<'a, str>; N];

/// Why a body was not accepted.
#[derive(Debug)]
pub(super) enum Refusal<'a> {
    /// It cannot be read at all.
    Unreadable,
    /// It is not JSON.
    NotJson {
        message: &'static str,
        position: usize,
    },
    /// It is empty, or `null`.
    Missing,
    /// Its content type says that it is not JSON. The bytes, where they are text.
    OtherType(Option<&'a str>),
    /// It is JSON, but not an object.
    NotAnObject(Document<'a>),
    /// It is an object, but not all of these members are there and strings.
    Invalid(Document<'a>, &'static [&'static str]),
}

/// The fields of a request's body.
pub(super) fn read<'a, const N: usize>(
    request: &Request<'a>,
    names: &'static [&'static str; N],
) -> Result<Fields<'a, N>, Refusal<'a>> {
    if !request.content_type.is_none_or(is_json) {
        return Err(match request.body {
            Payload::EMPTY => Refusal::Missing,
            Payload::Text(text) => Refusal::OtherType(Some(text)),
            Payload::Bytes(_) => Refusal::OtherType(None),
        });
    }
    let text = match request.body {
        Payload::EMPTY => return Err(Refusal::Missing),
        Payload::Text(text) if !is_utf16_or_32(text.as_bytes()) => text,
        _ => return Err(Refusal::Unreadable),
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if let Some(fields) = json::strings(text, names) {
        return Ok(fields.map(Cow::Borrowed));
    }
    let document = Document::parse(text).map_err(|error| match error {
        json::Error::Syntax { message, position } => Refusal::NotJson { message, position },
        json::Error::TooDeep | json::Error::LongInteger => Refusal::Unreadable,
    })?;
    let root = document.root();
    if root.is_null() {
        return Err(Refusal::Missing);
    }
    if !root.is_object() {
        return Err(Refusal::NotAnObject(document));
    }
    let mut fields: [Option<Cow<'a, str>>; N] = [const { None }; N];
    for (name, value) in root.members() {
        // Where a name stands twice, its last value counts.
        if let Some(place) = names.iter().position(|known| *known == name)
            && let Some(field) = fields.get_mut(place)
        {
            *field = value.as_str();
        }
    }
    if fields.iter().any(Option::is_none) {
        return Err(Refusal::Invalid(document, names));
    }
    Ok(fields.map(Option::unwrap_or_default))
}

/// Whether a content type says JSON: `application/json` or `application/...+json`.
///
/// The rule is that of Python's `email.message`, which FastAPI asks: Latin-1, cut at the
/// first `;`, stripped, any case; and two parts around exactly one `/`, or it is plain
/// text. An empty one is as if there were none.
fn is_json(content_type: &[u8]) -> bool {
    if content_type.is_empty() || content_type == b"application/json" {
        return true;
    }
    let essence = content_type.split(|&byte| byte == b';').next();
    let essence = essence.unwrap_or_default();
    let is_space = |byte: &&u8| python::is_space(char::from(**byte));
    let front = essence.iter().take_while(is_space).count();
    let back = essence[front..].iter().rev().take_while(is_space).count();
    let essence = &essence[front..essence.len() - back];
    let mut parts = essence.split(|&byte| byte == b'/');
    let (Some(main), Some(sub), None) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let sub = sub.to_ascii_lowercase();
    main.eq_ignore_ascii_case(b"application") && (sub == b"json" || sub.ends_with(b"+json"))
}

/// Whether `json.loads` would take UTF-8 text for UTF-16 or UTF-32: zero bytes stand where
/// those have them. (Their byte order marks are not UTF-8.)
fn is_utf16_or_32(body: &[u8]) -> bool {
    match body {
        [a, b] | [a, b, _, _, ..] => *a == 0 || *b == 0,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_are_read_as_the_reference_reads_them() {
        for json in [
            "",
            "application/json",
            "APPLICATION/JSON ; charset=x/y",
            "\u{a0} application/json\u{85}",
            "application/+json",
            "application/a b+json",
        ] {
            let latin1: alloc::vec::Vec<u8> = json.chars().map(|c| c as u8).collect();
            assert!(is_json(&latin1), "{json}");
        }
        for other in [
            " ",
            ";",
            "text/json",
            "application/json, text/plain",
            "application/ json",
            "application /json",
            "application/json/x",
            "application",
            "application/",
            "*/*",
            "application/jsonx",
        ] {
            assert!(!is_json(other.as_bytes()), "{other}");
        }
    }
}
