//! Short names of refusals for the log: why a request was not answered as it was meant.

/// The name of what an answer with this status and body says; none where it is no refusal.
pub(super) fn name(status: u16, body: &[u8]) -> Option<&'static str> {
    if status < 400 {
        return None;
    }
    let detail = body
        .strip_prefix(b"{\"detail\":\"")
        .and_then(|rest| rest.strip_suffix(b"\"}"));
    Some(match (status, detail) {
        (400, _) => "unreadable_body",
        (403, Some(b"Session does not belong to tenant")) => "foreign_session",
        (403, Some(b"Tenant is suspended")) => "tenant_suspended",
        (404, Some(b"Unknown tenant_id")) => "unknown_tenant",
        (404, Some(b"Unknown session_id")) => "unknown_session",
        (404, _) => "not_found",
        (405, _) => "method_not_allowed",
        (408, _) => "body_too_slow",
        (413, _) => "body_too_large",
        (422, _) if body.starts_with(br#"{"detail":[{"type":"json_invalid""#) => "invalid_json",
        (422, _) => "validation",
        (429, Some(b"Too many sessions")) => "too_many_sessions",
        (429, _) => "rate_limited",
        (503, _) => "unavailable",
        (500.., _) => "internal",
        _ => "refused",
    })
}

#[cfg(test)]
mod tests {
    use tenantry_core::contract::Response;

    use super::*;

    #[test]
    fn every_refusal_has_a_name_and_nothing_else_does() {
        let detail = |status, detail: &str| {
            let body = format!(r#"{{"detail":"{detail}"}}"#);
            name(status, body.as_bytes())
        };
        for (status, text, wanted) in [
            (200, "OK", None),
            (307, "", None),
            (
                400,
                "There was an error parsing the body",
                Some("unreadable_body"),
            ),
            (
                403,
                "Session does not belong to tenant",
                Some("foreign_session"),
            ),
            (403, "Tenant is suspended", Some("tenant_suspended")),
            (404, "Not Found", Some("not_found")),
            (404, "Unknown tenant_id", Some("unknown_tenant")),
            (404, "Unknown session_id", Some("unknown_session")),
            (405, "Method Not Allowed", Some("method_not_allowed")),
            (429, "Rate limit exceeded", Some("rate_limited")),
            (429, "Too many sessions", Some("too_many_sessions")),
            (418, "A teapot", Some("refused")),
        ] {
            assert_eq!(detail(status, text), wanted, "{text}");
        }
        let bytes = |response: Response| match response.body {
            tenantry_core::contract::Body::Bytes(bytes) => bytes,
            tenantry_core::contract::Body::TenantList => panic!("no list"),
        };
        assert_eq!(
            name(503, &bytes(Response::unavailable())),
            Some("unavailable")
        );
        assert_eq!(
            name(500, &bytes(Response::internal_error())),
            Some("internal")
        );
        assert_eq!(
            name(413, &bytes(Response::body_too_large())),
            Some("body_too_large")
        );
        let invalid = br#"{"detail":[{"type":"json_invalid","loc":["body",0]}]}"#;
        assert_eq!(name(422, invalid), Some("invalid_json"));
        let missing = br#"{"detail":[{"type":"missing","loc":["body"]}]}"#;
        assert_eq!(name(422, missing), Some("validation"));
    }
}
