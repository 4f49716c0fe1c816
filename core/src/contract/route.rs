//! Where a request goes: paths, methods and the slash redirect.

use alloc::{borrow::Cow, vec::Vec};

use super::{
    Method,
    response::{Allow, ContentType, Response},
};

/// Where a request goes.
pub(super) enum Route {
    /// To an answer that is known already.
    Fixed(Response),
    /// POST /session.
    OpenSession,
    /// POST /chat.
    Chat,
}

/// What stands under a path.
#[derive(Clone, Copy)]
enum Endpoint {
    Index,
    Session,
    Chat,
    Page(ContentType, &'static str),
}

const PATHS: [(&str, Endpoint); 7] = [
    ("/chat", Endpoint::Chat),
    ("/session", Endpoint::Session),
    ("/", Endpoint::Index),
    (
        "/openapi.json",
        Endpoint::Page(ContentType::Json, include_str!("pages/openapi.json")),
    ),
    (
        "/docs",
        Endpoint::Page(ContentType::Html, include_str!("pages/docs.html")),
    ),
    (
        "/docs/oauth2-redirect",
        Endpoint::Page(
            ContentType::Html,
            include_str!("pages/oauth2-redirect.html"),
        ),
    ),
    (
        "/redoc",
        Endpoint::Page(ContentType::Html, include_str!("pages/redoc.html")),
    ),
];

pub(super) fn route(method: Method, target: &str) -> Route {
    // Most targets are a path, to the letter.
    let endpoint = match endpoint(target.as_bytes()) {
        Some(endpoint) => endpoint,
        None => {
            let (path, query) = path_and_query(target);
            match endpoint(&path) {
                Some(endpoint) => endpoint,
                None => {
                    let redirect = redirect(&path, query);
                    return Route::Fixed(redirect.unwrap_or_else(Response::not_found));
                }
            }
        }
    };
    let allow = match endpoint {
        Endpoint::Session | Endpoint::Chat => Allow::Post,
        Endpoint::Index | Endpoint::Page(..) => Allow::GetHead,
    };
    if !allow.contains(method) {
        return Route::Fixed(Response::method_not_allowed(allow));
    }
    match endpoint {
        Endpoint::Session => Route::OpenSession,
        Endpoint::Chat => Route::Chat,
        Endpoint::Index => Route::Fixed(Response::tenant_list()),
        Endpoint::Page(content_type, text) => Route::Fixed(Response::page(content_type, text)),
    }
}

/// The path of the contract that a target leads to, as the contract writes it; none where
/// nothing stands there, or only a redirect.
#[must_use]
pub fn known_path(target: &str) -> Option<&'static str> {
    let (path, _) = known(target.as_bytes()).or_else(|| known(&path_and_query(target).0))?;
    Some(path)
}

fn endpoint(path: &[u8]) -> Option<Endpoint> {
    let (_, endpoint) = known(path)?;
    Some(*endpoint)
}

fn known(path: &[u8]) -> Option<&'static (&'static str, Endpoint)> {
    let mut paths = PATHS.iter();
    paths.find(|(known, _)| known.as_bytes() == path)
}

/// The path of a target as it is compared, and its query.
fn path_and_query(target: &str) -> (Cow<'_, [u8]>, &str) {
    let target = target.split('#').next().unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    (percent_decoded(path), query)
}

/// A path with slashes behind a known one is sent there, whatever the method.
fn redirect(path: &[u8], query: &str) -> Option<Response> {
    let last = path.iter().rposition(|&byte| byte != b'/')?;
    let known = PATHS
        .iter()
        .find(|(known, _)| last + 1 < path.len() && known.as_bytes() == &path[..=last])?;
    Some(Response::redirect(known.0, query))
}

/// A path as it is compared: `%XX` decoded once; other percent signs stay as they are.
#[must_use]
pub fn percent_decoded(path: &str) -> Cow<'_, [u8]> {
    let path = path.as_bytes();
    if !path.contains(&b'%') {
        return Cow::Borrowed(path);
    }
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        let digits = behind.first_chunk().and_then(|&[high, low]| {
            let high = char::from(high).to_digit(16)?;
            let low = char::from(low).to_digit(16)?;
            Some((high << 4 | low) as u8)
        });
        match (byte, digits) {
            (b'%', Some(byte)) => {
                decoded.push(byte);
                rest = &behind[2..];
            }
            _ => decoded.push(byte),
        }
    }
    Cow::Owned(decoded)
}
