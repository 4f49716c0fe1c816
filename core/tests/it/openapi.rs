//! /openapi.json against real answers: what is answered is described, and what is
//! described is answered.

use std::collections::BTreeSet;

use serde_json::Value;
use tenantry_conformance::{Exchange, Reply, Wire, cases};
use tenantry_core::{
    contract::{self, Method, Request},
    session::SessionId,
    tenancy::{OpenError, Owner, Tenancy, Unavailable},
    tenant::{self, Tenant},
};

use crate::native::{self, Native};

/// Statuses that only the server answers with: its own tests see them.
const THE_SERVERS: [(&str, &str, &str); 6] = [
    ("get", "/", "503"),
    ("head", "/", "503"),
    ("post", "/session", "408"),
    ("post", "/session", "413"),
    ("post", "/chat", "408"),
    ("post", "/chat", "413"),
];

/// The description, and what of it was seen.
struct Api {
    json: Value,
    seen: BTreeSet<(String, String, String)>,
}

impl Api {
    fn read() -> Self {
        let reply = Native::unlimited().exchange(&request("GET", "/openapi.json"));
        Self {
            json: serde_json::from_slice(&reply.body).expect("JSON"),
            seen: BTreeSet::new(),
        }
    }

    fn follow<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str() {
            Some(reference) => {
                let pointer = reference.strip_prefix('#').expect("a local reference");
                self.json.pointer(pointer).expect("a reference that leads")
            }
            None => value,
        }
    }

    /// Whether an answer is one that the description allows to this request.
    fn check(&mut self, exchange: &Exchange, reply: &Reply) -> Result<(), String> {
        let path = exchange.target.split('?').next().unwrap_or_default();
        let Some(operations) = self.json["paths"].get(path) else {
            // A page, or a path that is none, written in a way that is.
            return Ok(());
        };
        let method = exchange.method.to_ascii_lowercase();
        let status = reply.status.to_string();
        let Some(operation) = operations.get(&method) else {
            let is_refused = reply.status == 405 && reply.header("allow").is_some();
            return is_refused
                .then_some(())
                .ok_or_else(|| format!("{status} to a method that is not described"));
        };
        let response = operation["responses"]
            .get(&status)
            .ok_or_else(|| format!("{status} is not described"))?;
        let response = self.follow(response);
        self.check_headers(response, reply)?;
        self.check_body(response, reply)?;
        if method == "post" {
            self.check_request(operation, exchange, reply)?;
        }
        self.seen.insert((method, path.to_owned(), status));
        Ok(())
    }

    fn check_headers(&self, response: &Value, reply: &Reply) -> Result<(), String> {
        let described = response["headers"].as_object();
        for (name, header) in described.into_iter().flatten() {
            let header = self.follow(header);
            let Some(text) = reply.header(name) else {
                if header["required"] == true {
                    return Err(format!("there is no {name}"));
                }
                continue;
            };
            let value = match header["schema"]["type"].as_str() {
                Some("integer") => text.parse().map_err(|_| format!("{name}: {text}"))?,
                _ => Value::from(text),
            };
            self.fits(&header["schema"], &value)?;
        }
        for name in ["location", "retry-after", "ratelimit", "ratelimit-policy"] {
            let is_described = described.is_some_and(|headers| headers.contains_key(name));
            if reply.header(name).is_some() && !is_described {
                return Err(format!("{name} is not described"));
            }
        }
        Ok(())
    }

    fn check_body(&self, response: &Value, reply: &Reply) -> Result<(), String> {
        let Some(content) = response["content"].as_object() else {
            return reply
                .body
                .is_empty()
                .then_some(())
                .ok_or_else(|| format!("a body that is not described: {}", reply.text()));
        };
        let content_type = reply.header("content-type").unwrap_or_default();
        let media = content_type.split(';').next().unwrap_or_default();
        let media = content
            .get(media)
            .ok_or_else(|| format!("{content_type} is not described"))?;
        let body = match content_type {
            "application/json" => {
                serde_json::from_slice(&reply.body).map_err(|error| error.to_string())?
            }
            _ => Value::from(reply.text()),
        };
        self.fits(&media["schema"], &body)?;
        // Of errors there are so many and no more: all are written down.
        let one = media.get("example").into_iter();
        let more = media["examples"].as_object().into_iter().flatten();
        let mut examples = one.chain(more.map(|(_, example)| &example["value"]));
        if reply.status >= 400 && reply.status != 422 && !examples.any(|example| *example == body) {
            return Err(format!("no example is {body}"));
        }
        Ok(())
    }

    /// What is answered with 200 fits the request's schema, and what lacks something by
    /// its 422 does not.
    fn check_request(
        &self,
        operation: &Value,
        exchange: &Exchange,
        reply: &Reply,
    ) -> Result<(), String> {
        let body = exchange.body.as_deref().unwrap_or_default();
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        let content_type = exchange.header("content-type");
        let has_json = content_type.is_none_or(|value| value == b"application/json");
        // CPython's JSON is more than this reader's; what it cannot read says nothing.
        let (true, Ok(body)) = (has_json, serde_json::from_slice(body)) else {
            return Ok(());
        };
        let fits = self.fits(schema, &body);
        match reply.status {
            200 | 403 | 404 | 429 => fits,
            422 if fits.is_ok() => Err("it fits the schema".to_owned()),
            _ => Ok(()),
        }
    }

    /// Whether a value fits a schema, of the kind that the description uses.
    fn fits(&self, schema: &Value, value: &Value) -> Result<(), String> {
        let schema = self.follow(schema).as_object().expect("a schema");
        for (keyword, rule) in schema {
            let holds = match keyword.as_str() {
                "type" => match rule.as_str().expect("a type") {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "boolean" => value.is_boolean(),
                    "integer" => value.is_u64() || value.is_i64(),
                    other => panic!("the type {other} is not known here"),
                },
                "const" => rule == value,
                "enum" => rule.as_array().is_some_and(|values| values.contains(value)),
                "minimum" => value.as_i64() >= rule.as_i64(),
                "format" if rule == "uuid" => {
                    let text = value.as_str().unwrap_or_default();
                    SessionId::parse(text).is_some_and(|id| id.to_string() == text)
                }
                "required" => {
                    let mut names = rule.as_array().expect("names").iter();
                    names.all(|name| value.get(name.as_str().expect("a name")).is_some())
                }
                "properties" => {
                    for (name, schema) in rule.as_object().expect("properties") {
                        if let Some(member) = value.get(name) {
                            self.fits(schema, member)
                                .map_err(|error| format!("{name}: {error}"))?;
                        }
                    }
                    true
                }
                "items" => {
                    for item in value.as_array().into_iter().flatten() {
                        self.fits(rule, item)?;
                    }
                    true
                }
                "anyOf" => {
                    let mut schemas = rule.as_array().expect("schemas").iter();
                    schemas.any(|schema| self.fits(schema, value).is_ok())
                }
                "title" | "description" | "default" => true,
                other => panic!("the keyword {other} is not known here"),
            };
            if !holds {
                return Err(format!("{value} does not fit {keyword}: {rule}"));
            }
        }
        Ok(())
    }
}

fn request(method: &str, target: &str) -> Exchange {
    Exchange {
        method: method.to_owned(),
        target: target.to_owned(),
        ..Exchange::default()
    }
}

/// Sends all that has a recorded answer, and what only limits, bounds and broken stores
/// answer; checks every answer.
fn exercise(api: &mut Api) {
    let mut native = Native::unlimited();
    for case in cases() {
        if let Wire::Message(exchange) | Wire::Framed(exchange, _) = case.request() {
            let reply = native.exchange(&exchange);
            api.check(&exchange, &reply)
                .unwrap_or_else(|error| panic!("{}: {error}", case.name));
        }
    }
    let mut send = |native: &mut Native, exchange: Exchange| {
        let reply = native.exchange(&exchange);
        api.check(&exchange, &reply)
            .unwrap_or_else(|error| panic!("{exchange:?}: {error}"));
        reply
    };
    let mut limited = Native::limited(std::time::Duration::ZERO, 1);
    let open = || Exchange::post("/session", OPEN);
    let session = limited.open("globex");
    let chat = |tenant: &str| {
        let body = serde_json::json!({ "tenant_id": tenant, "session_id": session, "message": "" });
        Exchange::post("/chat", body.to_string())
    };
    let statuses = [200, 200, 200, 200, 429];
    for status in statuses {
        assert_eq!(send(&mut limited, chat("globex")).status, status);
    }
    assert_eq!(send(&mut limited, chat("acme")).status, 403);
    for status in [200, 429] {
        assert_eq!(send(&mut limited, open()).status, status);
    }
    let broken = [
        (request("GET", "/"), Broken(Some("acme"), false), 500),
        (request("HEAD", "/"), Broken(Some("acme"), false), 500),
        (open(), Broken(Some("globex"), false), 500),
        (open(), Broken(Some("acme"), false), 503),
        (open(), Broken(Some("acme"), true), 403),
        (chat("acme"), Broken(Some("globex"), false), 500),
        (chat("acme"), Broken(Some("acme"), true), 403),
        (
            Exchange::post("/chat", CHAT),
            Broken(Some("acme"), false),
            503,
        ),
    ];
    for (exchange, mut scope, status) in broken {
        let request = Request {
            method: Method::from(&*exchange.method),
            target: &exchange.target,
            content_type: None,
            body: exchange.body.as_deref().unwrap_or_default().into(),
        };
        let reply = native::reply(contract::handle(&request, &mut scope));
        assert_eq!(reply.status, status, "{exchange:?}");
        api.check(&exchange, &reply)
            .unwrap_or_else(|error| panic!("{exchange:?}: {error}"));
    }
}

const OPEN: &str = r#"{"tenant_id":"acme"}"#;
const CHAT: &str =
    r#"{"tenant_id":"acme","session_id":"b1946ac9-2492-4d23-8c6b-6f3d1d9f7a10","message":"m"}"#;

/// The scope of a tenant, suspended or not, whose stores are out of reach.
struct Broken(Option<&'static str>, bool);

impl Tenancy<'static> for Broken {
    fn tenant(&self) -> Option<Tenant<'static>> {
        let id = self.0?;
        Some(Tenant {
            id,
            name: "Name",
            welcome: "Hi",
            model: "m",
            reply: tenant::Reply::default_for(id),
            suspended: self.1,
        })
    }

    fn new_session_id(&mut self) -> SessionId {
        SessionId::from_random([0; 16])
    }

    fn open_session(&mut self, _: SessionId) -> Result<(), OpenError> {
        Err(Unavailable.into())
    }

    fn owner(&mut self, _: SessionId) -> Result<Owner, Unavailable> {
        Err(Unavailable)
    }

    fn admit_chat(&mut self) -> Result<bool, Unavailable> {
        Err(Unavailable)
    }
}

#[test]
fn every_answer_is_described() {
    let mut api = Api::read();
    exercise(&mut api);
    assert!(api.seen.len() > 15, "{:?}", api.seen);
}

#[test]
fn every_described_answer_occurs() {
    let mut api = Api::read();
    exercise(&mut api);
    let mut described = BTreeSet::new();
    for (path, operations) in api.json["paths"].as_object().expect("paths") {
        for (method, operation) in operations.as_object().expect("operations") {
            let statuses = operation["responses"].as_object().expect("responses");
            for status in statuses.keys() {
                described.insert((method.clone(), path.clone(), status.clone()));
            }
        }
    }
    let the_servers = THE_SERVERS.map(|(method, path, status)| {
        let answer = (method.to_owned(), path.to_owned(), status.to_owned());
        assert!(!api.seen.contains(&answer), "the core gives {answer:?}");
        answer
    });
    api.seen.extend(the_servers);
    assert_eq!(described, api.seen);
}

#[test]
fn every_reference_leads_somewhere_and_everything_is_referred_to() {
    let api = Api::read();
    assert_eq!(api.json["openapi"], "3.1.0");
    assert_eq!(api.json["info"]["version"], env!("CARGO_PKG_VERSION"));
    let text = api.json.to_string();
    let mut referred = BTreeSet::new();
    for reference in text.split(r##""$ref":"#"##).skip(1) {
        let pointer = reference.split('"').next().expect("a pointer");
        assert!(api.json.pointer(pointer).is_some(), "{pointer}");
        referred.insert(pointer.to_owned());
    }
    let mut components = BTreeSet::new();
    for (kind, members) in api.json["components"].as_object().expect("components") {
        for name in members.as_object().expect("members").keys() {
            components.insert(format!("/components/{kind}/{name}"));
        }
    }
    assert_eq!(referred, components);
}

/// The examples are answers that the schemas allow.
#[test]
fn every_example_fits_its_schema() {
    fn check(api: &Api, value: &Value) -> usize {
        let inside = match value {
            Value::Object(members) => members.values().map(|value| check(api, value)).sum(),
            Value::Array(items) => items.iter().map(|value| check(api, value)).sum(),
            _ => 0,
        };
        let Some(example) = value.get("example") else {
            return inside;
        };
        let fits = api.fits(&value["schema"], example);
        fits.unwrap_or_else(|error| panic!("{example}: {error}"));
        inside + 1
    }
    let api = Api::read();
    assert!(check(&api, &api.json) > 8);
}
