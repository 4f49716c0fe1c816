//! An OpenAPI document, and whether answers are as it says.

use std::collections::BTreeSet;

use serde_json::Value;
use tenantry_conformance::Reply;

/// The methods that are looked at.
pub(crate) const METHODS: [&str; 6] = ["get", "head", "post", "put", "patch", "delete"];

/// The description, and what of it was seen.
pub(crate) struct Api {
    pub(crate) json: Value,
    pub(crate) seen: BTreeSet<(String, String, String)>,
}

impl Api {
    pub(crate) fn follow<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str() {
            Some(reference) => {
                let pointer = reference.strip_prefix('#').expect("a local reference");
                self.json.pointer(pointer).expect("a reference that leads")
            }
            None => value,
        }
    }

    /// Every operation: method and path.
    pub(crate) fn operations(&self) -> Vec<(String, String)> {
        let paths = self.json["paths"].as_object().expect("paths");
        let of_path = |(path, item): (&String, &Value)| {
            let methods = METHODS.iter().filter(|method| item.get(**method).is_some());
            let operations = methods.map(|method| ((*method).to_owned(), path.clone()));
            operations.collect::<Vec<_>>()
        };
        paths.iter().flat_map(of_path).collect()
    }

    pub(crate) fn operation(&self, method: &str, path: &str) -> &Value {
        &self.json["paths"][path][method]
    }

    pub(crate) fn describes(&self, method: &str, path: &str, status: u16) -> bool {
        let responses = &self.operation(method, path)["responses"];
        responses.get(status.to_string()).is_some()
    }

    /// Whether an answer is one that the description allows to this operation.
    pub(crate) fn check(&mut self, method: &str, path: &str, reply: &Reply) {
        let what = format!("{method} {path}: {} {}", reply.status, reply.text());
        let status = reply.status.to_string();
        let responses = &self.operation(method, path)["responses"];
        let response = responses.get(&status);
        let response = response.unwrap_or_else(|| panic!("not described: {what}"));
        let response = self.follow(response);
        let described = response["headers"].as_object().expect("headers");
        for (name, header) in described {
            let is_required = self.follow(header)["required"] == true;
            assert!(
                !is_required || reply.header(name).is_some(),
                "no {name}: {what}"
            );
        }
        for name in [
            "etag",
            "location",
            "retry-after",
            "www-authenticate",
            "accept-patch",
        ] {
            let is_described = reply.header(name).is_none() || described.contains_key(name);
            assert!(is_described, "{name} is not described: {what}");
        }
        match response["content"].as_object() {
            None => assert!(reply.body.is_empty(), "{what}"),
            Some(content) => {
                let media = reply.header("content-type").expect("a content type");
                let media = media.split(';').next().unwrap_or_default();
                let schema = content.get(media);
                let schema = schema.unwrap_or_else(|| panic!("{media}: {what}"));
                let body = match media {
                    "text/csv" => Value::from(reply.text()),
                    _ => serde_json::from_slice(&reply.body).expect("JSON"),
                };
                self.fits(&schema["schema"], &body, &what);
            }
        }
        self.seen
            .insert((method.to_owned(), path.to_owned(), status));
    }

    /// The part of JSON Schema that the description uses.
    fn fits(&self, schema: &Value, value: &Value, what: &str) {
        let schema = self.follow(schema);
        for part in schema["allOf"].as_array().into_iter().flatten() {
            self.fits(part, value, what);
        }
        let is = |name: &str| match name {
            "string" => value.is_string(),
            "integer" => value.is_u64(),
            "object" => value.is_object(),
            "array" => value.is_array(),
            "null" => value.is_null(),
            other => panic!("the type {other}"),
        };
        let is_of_type = match &schema["type"] {
            Value::Null => true,
            Value::String(name) => is(name),
            Value::Array(names) => names.iter().any(|name| is(name.as_str().expect("a name"))),
            other => panic!("the type {other}"),
        };
        assert!(is_of_type, "{value} is not {schema}: {what}");
        if let Some(values) = schema["enum"].as_array() {
            assert!(
                values.contains(value),
                "{value} is not of {values:?}: {what}"
            );
        }
        for item in value.as_array().into_iter().flatten() {
            self.fits(&schema["items"], item, what);
        }
        for name in schema["required"].as_array().into_iter().flatten() {
            let name = name.as_str().expect("a name");
            assert!(value.get(name).is_some(), "no {name} in {value}: {what}");
        }
        for (name, member) in value.as_object().into_iter().flatten() {
            match schema["properties"].get(name) {
                Some(schema) => self.fits(schema, member, what),
                None => {
                    let is_closed = schema["additionalProperties"] == false;
                    assert!(!is_closed, "{name} is not described: {what}");
                }
            }
        }
    }
}
