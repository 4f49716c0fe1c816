//! What hyper answers by itself: to heads that are malformed, or too large. It gets the request's
//! id, as every answer does, and a line in the log.

use std::net::IpAddr;

use tenantry_core::contract::{Body, Response};

use super::{
    connection::MAX_HEADERS,
    log::{self, Id, X_REQUEST_ID},
};

/// Sends what hyper has answered by itself to `peer`. `unread` is what was not read as a request,
/// of heads of up to `max_head` bytes.
pub(super) fn answer(
    refusal: &[u8],
    unread: &[u8],
    max_head: usize,
    peer: IpAddr,
) -> Option<Vec<u8>> {
    let id = Id::own();
    let (line, rest) = split_line(refusal)?;
    let status = std::str::from_utf8(line.get(9..12)?).ok()?.parse().ok()?;
    // hyper has one error for both. The head of a request whose length is none that could ever
    // be is read by then; of one that is too large, all is there.
    let is_length = status == 431
        && unread.len() < max_head
        && unread.iter().filter(|&&byte| byte == b'\n').count() <= MAX_HEADERS;
    let status = if is_length { 413 } else { status };
    log::refused(&id, peer, status, name(status));
    let mut answer = Vec::with_capacity(refusal.len() + 256);
    if is_length {
        answer.extend_from_slice(line.get(..9)?);
        answer.extend_from_slice(b"413 Payload Too Large\r\n");
    } else {
        answer.extend_from_slice(line);
    }
    for part in [X_REQUEST_ID.as_str(), ": ", id.as_str(), "\r\n"] {
        answer.extend_from_slice(part.as_bytes());
    }
    if !is_length {
        answer.extend_from_slice(rest);
        return Some(answer);
    }
    let Body::Bytes(body) = Response::body_too_large().body else {
        return None;
    };
    let mut rest = rest;
    while let Some((line, behind)) = split_line(rest)
        && line != b"\r\n"
    {
        if !line.starts_with(b"content-length:") {
            answer.extend_from_slice(line);
        }
        rest = behind;
    }
    let head = format!(
        "content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    answer.extend_from_slice(head.as_bytes());
    answer.extend_from_slice(&body);
    Some(answer)
}

/// The first line, with its end, and what stands behind it.
fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.windows(2).position(|two| two == b"\r\n")?;
    bytes.split_at_checked(end + 2)
}

/// Why a request was refused before anything of it was known, for the log.
fn name(status: u16) -> &'static str {
    match status {
        413 => "body_too_large",
        414 => "target_too_long",
        431 => "head_too_large",
        _ => "malformed_request",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOO_LARGE: &[u8] =
        b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n\
        content-length: 0\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n";

    fn sent(refusal: &[u8], unread: &[u8]) -> String {
        let peer = IpAddr::from([127, 0, 0, 1]);
        let sent = answer(refusal, unread, 8192, peer).expect("an answer");
        let text = String::from_utf8(sent).expect("ASCII");
        let lines = text.split_inclusive("\r\n");
        let shown = lines.map(|line| match line.strip_prefix("x-request-id: ") {
            Some(_) => "x-request-id: ID\r\n",
            None => line,
        });
        shown.collect()
    }

    #[test]
    fn a_refusal_gets_an_id_and_keeps_the_rest() {
        assert_eq!(
            sent(TOO_LARGE, &[b'x'; 8192]),
            "HTTP/1.1 431 Request Header Fields Too Large\r\nx-request-id: ID\r\n\
             connection: close\r\ncontent-length: 0\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n"
        );
        let lines = "a: b\r\n".repeat(300);
        assert!(sent(TOO_LARGE, lines.as_bytes()).starts_with("HTTP/1.1 431 "));
        let malformed = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
        assert!(sent(malformed, b"").starts_with("HTTP/1.1 400 Bad Request\r\nx-request-id: ID"));
    }

    #[test]
    fn a_length_without_measure_is_a_body_that_is_too_large() {
        assert_eq!(
            sent(TOO_LARGE, b"{}"),
            "HTTP/1.1 413 Payload Too Large\r\nx-request-id: ID\r\nconnection: close\r\n\
             date: Thu, 01 Jan 1970 00:00:00 GMT\r\ncontent-type: application/json\r\n\
             content-length: 35\r\n\r\n{\"detail\":\"Request body too large\"}"
        );
    }
}
