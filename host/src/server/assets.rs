//! Scripts and styles of the pages /docs and /redoc, so that they work without a network.
//!
//! The pages themselves are the contract's; what they load stands under their paths.

use std::io::Read;

use bytes::Bytes;
use flate2::read::GzDecoder;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use tenantry_core::contract::Method;

use super::service::Answer;

struct Asset {
    path: &'static str,
    content_type: &'static str,
    /// Compressed by gzip.
    bytes: &'static [u8],
}

macro_rules! asset {
    ($path:literal, $content_type:literal, $file:literal) => {
        Asset {
            path: $path,
            content_type: $content_type,
            bytes: include_bytes!(concat!(env!("OUT_DIR"), "/", $file, ".gz")),
        }
    };
}

static ASSETS: [Asset; 3] = [
    asset!(
        "/docs/swagger-ui-bundle.js",
        "text/javascript; charset=utf-8",
        "swagger-ui-bundle.js"
    ),
    asset!(
        "/docs/swagger-ui.css",
        "text/css; charset=utf-8",
        "swagger-ui.css"
    ),
    asset!(
        "/redoc/redoc.standalone.js",
        "text/javascript; charset=utf-8",
        "redoc.standalone.js"
    ),
];

/// What a page of ours may load: what this server serves, and what stands in the page.
/// ReDoc would load a logo from its maker's server; its search runs in a worker of its own
/// making.
const POLICY: &str = "default-src 'none'; script-src 'self' 'unsafe-inline'; \
    style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; \
    connect-src 'self'; worker-src blob:; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

/// Has a page load nothing from elsewhere.
pub(super) fn keep_to_this_server(page: &mut Answer) {
    let policy = HeaderValue::from_static(POLICY);
    page.headers_mut()
        .insert(header::CONTENT_SECURITY_POLICY, policy);
}

/// The asset under a path, if that is what is asked for.
pub(super) fn answer(method: Method, path: &str, headers: &HeaderMap) -> Option<Answer> {
    if !matches!(method, Method::Get | Method::Head) {
        return None;
    }
    let asset = ASSETS.iter().find(|asset| asset.path == path)?;
    let mut answer = Response::new(Full::default());
    let out = answer.headers_mut();
    out.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(asset.content_type),
    );
    out.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    // The file changes only with the program.
    out.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=3600"),
    );
    let body = if takes_gzip(headers) {
        out.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        Bytes::from_static(asset.bytes)
    } else {
        let mut plain = Vec::new();
        if GzDecoder::new(asset.bytes).read_to_end(&mut plain).is_err() {
            // The build script compressed it.
            *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            return Some(answer);
        }
        Bytes::from(plain)
    };
    if method == Method::Head {
        let length = HeaderValue::from(body.len());
        answer.headers_mut().insert(header::CONTENT_LENGTH, length);
    } else {
        *answer.body_mut() = Full::new(body);
    }
    Some(answer)
}

/// Whether the client takes gzip: it names it, or any coding, and not with a quality of
/// zero. Its own name counts more than `*`.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT_ENCODING);
    let codings = accepted
        .iter()
        .flat_map(|value| value.as_bytes().split(|&b| b == b','));
    let (mut by_name, mut by_any) = (None, None);
    for coding in codings {
        let coding = coding.trim_ascii().to_ascii_lowercase();
        let mut parts = coding.split(|&byte| byte == b';');
        let name = parts.next().unwrap_or_default().trim_ascii_end();
        let is_refused = parts.any(|part| {
            let quality = part.trim_ascii().strip_prefix(b"q=");
            quality.is_some_and(|quality| quality.iter().all(|byte| matches!(byte, b'0' | b'.')))
        });
        match name {
            b"gzip" | b"x-gzip" => by_name = Some(!is_refused),
            b"*" => by_any = Some(!is_refused),
            _ => {}
        }
    }
    by_name.or(by_any).unwrap_or(false)
}
