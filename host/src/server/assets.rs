//! Scripts and styles of the pages /docs and /redoc, so that they work without a network.
//!
//! The pages themselves are the contract's; what they load stands under their paths.

use std::sync::LazyLock;

use http::{HeaderMap, HeaderValue, header};
use tenantry_core::contract::Method;

use super::{files::File, service::Answer};

struct Asset {
    path: &'static str,
    file: LazyLock<File>,
}

/// A file changes only with the program.
const CACHE_CONTROL: &str = "public, max-age=3600";

macro_rules! asset {
    ($path:literal, $content_type:literal, $file:literal) => {
        Asset {
            path: $path,
            file: LazyLock::new(|| {
                let packed = include_bytes!(concat!(env!("OUT_DIR"), "/", $file, ".gz"));
                File::packed(packed, $content_type, CACHE_CONTROL)
            }),
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
    Some(asset.file.answer(method == Method::Head, headers))
}
