//! What is answered to a body that was not accepted: 400, or 422 with one item for each
//! thing that is wrong.

use alloc::{format, vec::Vec};

use super::{Response, body::Refusal};
use crate::json::{Value, push_string};

/// An echoed input is left out where it takes more than this.
const MAX_ECHO_BYTES: usize = 4096;

pub(super) fn response(refusal: &Refusal<'_>) -> Response {
    let mut items = Items::default();
    match refusal {
        Refusal::Unreadable => {
            return Response::detail(400, "There was an error parsing the body");
        }
        Refusal::NotJson { message, position } => items.push_not_json(message, *position),
        Refusal::Missing => items.push(MISSING, None, Some(b"null")),
        Refusal::OtherType(text) => {
            let echo = text.and_then(echo_text);
            items.push(NOT_AN_OBJECT, None, echo.as_deref());
        }
        Refusal::NotAnObject(document) => {
            let echo = document.root().echo(MAX_ECHO_BYTES);
            items.push(NOT_AN_OBJECT, None, echo.as_deref());
        }
        Refusal::Invalid(document, names) => {
            let root = document.root();
            let mut whole = None;
            for name in *names {
                match root.member(name) {
                    None => {
                        let echo = whole.get_or_insert_with(|| root.echo(MAX_ECHO_BYTES));
                        items.push(MISSING, Some(name), echo.as_deref());
                    }
                    Some(value) if value.as_str().is_none() => {
                        items.push(NOT_A_STRING, Some(name), echo(value).as_deref());
                    }
                    Some(_) => {}
                }
            }
        }
    }
    items.into_response()
}

fn echo(value: Value<'_, '_>) -> Option<Vec<u8>> {
    value.echo(MAX_ECHO_BYTES)
}

fn echo_text(text: &str) -> Option<Vec<u8>> {
    let mut echo = Vec::new();
    if text.len() <= MAX_ECHO_BYTES {
        push_string(&mut echo, text);
    }
    (!echo.is_empty() && echo.len() <= MAX_ECHO_BYTES).then_some(echo)
}

/// The type of an item, and what it says.
struct Fault {
    kind: &'static str,
    message: &'static str,
}

const MISSING: Fault = Fault {
    kind: "missing",
    message: "Field required",
};
const NOT_A_STRING: Fault = Fault {
    kind: "string_type",
    message: "Input should be a valid string",
};
const NOT_AN_OBJECT: Fault = Fault {
    kind: "model_attributes_type",
    message: "Input should be a valid dictionary or object to extract fields from",
};
const NOT_JSON: Fault = Fault {
    kind: "json_invalid",
    message: "JSON decode error",
};

#[derive(Default)]
struct Items {
    /// The items, with commas between them.
    json: Vec<u8>,
}

impl Items {
    fn push(&mut self, fault: Fault, field: Option<&str>, input: Option<&[u8]>) {
        let mut place = Vec::new();
        if let Some(field) = field {
            push_string(&mut place, field);
        }
        self.push_item(&fault, &place, input, None);
    }

    fn push_not_json(&mut self, error: &str, position: usize) {
        let place = format!("{position}");
        self.push_item(&NOT_JSON, place.as_bytes(), Some(b"{}"), Some(error));
    }

    fn push_item(
        &mut self,
        fault: &Fault,
        place: &[u8],
        input: Option<&[u8]>,
        error: Option<&str>,
    ) {
        let json = &mut self.json;
        if !json.is_empty() {
            json.push(b',');
        }
        json.extend_from_slice(br#"{"type":"#);
        push_string(json, fault.kind);
        json.extend_from_slice(br#","loc":["body""#);
        if !place.is_empty() {
            json.push(b',');
            json.extend_from_slice(place);
        }
        json.extend_from_slice(br#"],"msg":"#);
        push_string(json, fault.message);
        if let Some(input) = input {
            json.extend_from_slice(br#","input":"#);
            json.extend_from_slice(input);
        }
        if let Some(error) = error {
            json.extend_from_slice(br#","ctx":{"error":"#);
            push_string(json, error);
            json.push(b'}');
        }
        json.push(b'}');
    }

    fn into_response(self) -> Response {
        let mut body = br#"{"detail":["#.to_vec();
        body.extend_from_slice(&self.json);
        body.extend_from_slice(b"]}");
        Response::json(422, body)
    }
}
