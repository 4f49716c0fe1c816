//! From a body to fields, or to the reason why not.

use super::{Payload, Request, Text, fields};
use crate::{
    json::{self, Document, Value},
    python,
};

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
) -> Result<fields::Fields<'a, N>, Refusal<'a>> {
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
    if let Some(fields) = fields::read(text, names) {
        return Ok(fields);
    }
    read_exactly(text, names)
}

/// The same by the reference parser.
fn read_exactly<'a, const N: usize>(
    text: &'a str,
    names: &'static [&'static str; N],
) -> Result<fields::Fields<'a, N>, Refusal<'a>> {
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
    let mut fields: fields::Fields<'a, N> = [const { Text::Borrowed("") }; N];
    for (field, name) in fields.iter_mut().zip(names) {
        match root.member(name).and_then(Value::as_str) {
            Some(text) => *field = text,
            None => return Err(Refusal::Invalid(document, names)),
        }
    }
    Ok(fields)
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
    use alloc::{format, string::String};

    use proptest::prelude::*;

    use super::*;

    const NAMES: [&str; 3] = ["tenant_id", "session_id", "message"];

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

    /// JSON that the reference parser must often be asked about.
    fn json() -> impl Strategy<Value = String> {
        let text = prop_oneof![
            Just(r#""acme""#),
            Just(r#""\u00e9\n""#),
            Just(r#""\ud83d\ude00""#),
            Just(r#""\ud800""#),
            Just("\"\u{7f}é\""),
            Just("\"\t\""),
        ];
        let name = prop_oneof![
            Just(r#""tenant_id""#),
            Just(r#""session_id""#),
            Just(r#""message""#),
            Just(r#""\u006dessage""#),
            Just(r#""x""#),
            Just("x"),
        ];
        let scalar = prop_oneof![
            text.prop_map(String::from),
            "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,3})?",
            prop_oneof![
                Just("null"),
                Just("true"),
                Just("NaN"),
                Just("01"),
                Just("1.")
            ]
            .prop_map(String::from),
        ];
        let value = scalar.prop_recursive(12, 60, 6, move |inner| {
            let name = name.clone();
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4)
                    .prop_map(|list| format!("[{}]", list.join(","))),
                prop::collection::vec((name, inner), 0..7).prop_map(|members| {
                    let members: alloc::vec::Vec<_> = members
                        .iter()
                        .map(|(name, value)| format!("{name}: {value}"))
                        .collect();
                    format!("{{{}}}", members.join(" ,"))
                }),
            ]
        });
        (
            value,
            "[ \n]{0,2}",
            prop_oneof![9 => Just(""), 1 => Just("}")],
        )
            .prop_map(|(value, blanks, tail)| format!("{blanks}{value}{tail}"))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn the_fast_way_accepts_nothing_that_the_reference_parser_does_not(json in json()) {
            if let Some(fast) = fields::read(&json, &NAMES) {
                let exact = read_exactly(&json, &NAMES);
                prop_assert!(exact.is_ok(), "{exact:?}");
                prop_assert_eq!(Some(fast), exact.ok());
            }
        }

        #[test]
        fn arbitrary_text_is_read_alike(json: String) {
            if fields::read(&json, &NAMES).is_some() {
                prop_assert!(read_exactly(&json, &NAMES).is_ok());
            }
        }
    }
}
