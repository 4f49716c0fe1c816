//! Requests that hyper takes, and whose ends or hosts a proxy in front may have read otherwise.
//!
//! A length beside chunks is not seen here: hyper goes by the chunks alone, and closes the
//! connection after the answer, so that nothing behind them is taken for a request.

use http::{HeaderMap, Version, header, request::Parts};
use tenantry_core::contract::Response;

/// What is answered to such a request, and its name in the log.
pub(super) fn refusal(head: &Parts) -> Option<(Response, &'static str)> {
    let detail = Response::detail;
    let mut hosts = head.headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if head.version == Version::HTTP_11 => {
            return Some((detail(400, "Host header is missing"), "host_missing"));
        }
        (Some(_), Some(_)) => {
            return Some((detail(400, "Host header is repeated"), "host_repeated"));
        }
        _ => {}
    }
    if has_other_encoding(&head.headers) {
        let response = detail(400, "Transfer-Encoding is not chunked once");
        return Some((response, "transfer_encoding"));
    }
    None
}

/// Whether a body is encoded in any way but `chunked`, or says that twice.
fn has_other_encoding(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => false,
        (Some(coding), None) => !coding.as_bytes().eq_ignore_ascii_case(b"chunked"),
        _ => true,
    }
}
