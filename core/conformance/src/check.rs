//! Whether an answer is what a case wants.

use crate::{
    Reply,
    case::{Case, Parity, Sessions},
};

pub(crate) fn check(case: &Case, sessions: &Sessions, reply: &Reply) -> Result<(), String> {
    let wanted = &case.response;
    let same_status = || equal("status", &wanted.status, &reply.status);
    let same_header = |name: &str| {
        let wanted = wanted.headers.get(name).map(String::as_str);
        equal(name, &wanted, &reply.header(name))
    };
    equal("100 Continue", &wanted.continue_100, &reply.continued)?;
    match case.parity {
        Parity::Exact | Parity::Location => {
            same_status()?;
            same_header("content-type")?;
            same_header("allow")?;
            same_body(sessions, &wanted.body, reply)?;
            // The pages are our own, so a HEAD of one has another length.
            if reply.header("content-type") != Some("text/html; charset=utf-8") {
                same_header("content-length")?;
            }
            if case.parity == Parity::Location {
                let location = wanted.headers.get("location");
                let path = location.and_then(|url| url.splitn(4, '/').nth(3));
                let relative = path.map(|path| format!("/{path}"));
                equal("location", &relative.as_deref(), &reply.header("location"))?;
            }
            Ok(())
        }
        Parity::Page => {
            same_status()?;
            same_header("content-type")
        }
        Parity::Parser => {
            if (200..500).contains(&reply.status) {
                Ok(())
            } else {
                Err(format!("a status of {}", reply.status))
            }
        }
        Parity::Differs => {
            let expect = case
                .expect
                .as_ref()
                .ok_or("it differs, and nothing is wanted")?;
            if !expect.allows(reply.status) {
                return Err(format!("a status of {}: {}", reply.status, reply.text()));
            }
            if expect.allow.is_some() {
                equal("allow", &expect.allow.as_deref(), &reply.header("allow"))?;
            }
            same_body(sessions, &expect.body, reply)
        }
    }
}

fn equal<T: PartialEq + std::fmt::Debug>(what: &str, wanted: &T, found: &T) -> Result<(), String> {
    if wanted == found {
        Ok(())
    } else {
        Err(format!("{what} is {found:?} instead of {wanted:?}"))
    }
}

/// Compares bodies; any new session id is as good as any other.
fn same_body(sessions: &Sessions, wanted: &str, reply: &Reply) -> Result<(), String> {
    const NEW_ID: &str = "{{new_sid}}";
    let mut wanted = String::from_utf8_lossy(&sessions.put_in(wanted.as_bytes())).into_owned();
    let found = reply.text();
    if let Some(at) = wanted.find(NEW_ID) {
        let id = found.get(at..at + 36).unwrap_or_default();
        if !is_version_4_uuid(id) {
            return Err(format!("no session id in {found}"));
        }
        wanted = wanted.replace(NEW_ID, id);
    }
    equal("body", &wanted, &found)
}

fn is_version_4_uuid(id: &str) -> bool {
    id.len() == 36
        && id.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            14 => byte == b'4',
            19 => matches!(byte, b'8' | b'9' | b'a' | b'b'),
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
}
