//! Input that means harm: whatever comes in, the answer is a short one below 500, and it
//! comes soon.

use proptest::prelude::*;
use tenantry_core::{
    contract::{Method, Request},
    json::Document,
};

use crate::{native::Native, native::reply, rules::damaged_request};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5000))]

    #[test]
    fn no_request_makes_it_fail((method, target, content_type, body) in damaged_request()) {
        let request = Request {
            method: Method::from(&*method),
            target: &target,
            content_type: content_type.as_deref(),
            body: (&*body).into(),
        };
        let reply = reply(Native::limited(std::time::Duration::ZERO, 3).handle(&request));
        prop_assert!(reply.status < 500, "{}", reply.status);
        prop_assert!(reply.body.len() < 20_000);
        if reply.header("content-type") == Some("application/json") && method != "HEAD" {
            let json: Result<serde_json::Value, _> = serde_json::from_slice(&reply.body);
            prop_assert!(json.is_ok(), "{}", reply.text());
        }
        for (name, value) in &reply.headers {
            prop_assert!(value.bytes().all(|b| (0x20..0x7f).contains(&b)), "{name}: {value:?}");
        }
    }
}

/// A megabyte of each of the shapes that cost parsers most.
#[test]
fn a_megabyte_of_anything_is_answered() {
    let mib = 1 << 20;
    let fill = |unit: &str| unit.repeat(mib / unit.len());
    let many_names: String = (0..90_000).map(|n| format!("\"{n}\":{n},")).collect();
    let deep_objects = "{\"a\":".repeat(127) + "{" + &many_names[..mib - 2000];
    for body in [
        fill("["),
        fill("{\"a\":"),
        format!("[{}0]", fill("0,")),
        format!("[{}0]", fill("{},")),
        format!("{{{}\"a\":0}}", fill("\"a\":0,")),
        format!("{{{many_names}\"a\":0}}"),
        deep_objects,
        format!("\"{}\"", fill("\\u0001")),
        fill("\""),
        fill("1"),
        format!("0.{}", fill("1")),
        format!("{}e-5", fill("1")),
        fill("\u{feff}"),
        fill(" "),
        format!("{{\"tenant_id\":[{}0]}}", fill("[],")),
        // Names that are long and alike, or decoded only to be the same one again.
        format!(
            "{{{}\"a\":0}}",
            fill(&format!("\"{}\":0,", "k".repeat(5000)))
        ),
        format!("{{{}\"a\":0}}", fill("\"\\u0061\":0,")),
        format!("{{{}\"tenant_id\":0}}", fill("\"tenant_id\":\"\\u0061\",")),
        // Nested as deep as it may be, over and over.
        format!(
            "[{}0]",
            fill(&format!("{}{},", "[".repeat(127), "]".repeat(127)))
        ),
        format!(
            "[{}0]",
            fill(&format!("{}0{},", "{\"a\":".repeat(127), "}".repeat(127)))
        ),
        format!(
            "{}[{}0]{}",
            "[".repeat(127),
            &fill("0,")[..mib - 300],
            "]".repeat(127)
        ),
        // Numbers that are hard to read, and that overflow by their digits alone.
        format!("[{}0]", fill("2.2250738585072011e-308,")),
        format!("[{}0]", fill(&format!("0.{}5,", "1".repeat(800)))),
        format!("{}.5", fill("2")),
        format!("[{}0]", fill(&format!("{},", "1".repeat(4300)))),
        format!("\"{}\"", fill("\\ud83d\\ude00")),
        format!("\"{}\"", fill("\\ud800")),
    ] {
        let mut native = Native::unlimited();
        for target in ["/session", "/chat"] {
            let reply = native.post(target, &body);
            assert!(matches!(reply.status, 400 | 422), "{}", reply.status);
            assert!(reply.body.len() < 20_000, "{}", reply.body.len());
        }
    }
}

/// Letters that take most room when they are written again.
#[test]
fn a_megabyte_of_a_message_is_answered() {
    let mib = 1 << 20;
    let mut native = Native::unlimited();
    for tenant in ["acme", "globex", "initech"] {
        let session = native.open(tenant);
        for letter in [
            "a",
            "\u{390}",
            "\u{1fb7}",
            "\u{1f600}",
            "\\u0390",
            "\\u0001",
            "\\\\",
        ] {
            let message = letter.repeat(mib / letter.len());
            let body = format!(
                r#"{{"tenant_id":"{tenant}","session_id":"{session}","message":"{message}"}}"#
            );
            let reply = native.post("/chat", &body);
            assert_eq!(reply.status, 200, "{tenant} {letter}");
            // The documented bound: three times the body, and what stands around it.
            assert!(reply.body.len() < 3 * mib + 300, "{tenant} {letter}");
        }
    }
}

#[test]
fn a_document_is_written_again_at_any_depth() {
    let depth = tenantry_core::json::MAX_DEPTH;
    let nested = "{\"a\":[".repeat(depth / 2) + "1E2" + &"]}".repeat(depth / 2);
    let document = Document::parse(&nested).expect("as deep as it may be");
    let echo = document.root().echo(10_000).expect("short enough");
    assert_eq!(
        String::from_utf8(echo).expect("UTF-8"),
        nested.replace("1E2", "100.0")
    );
    assert_eq!(document.root().text(), nested);
}
