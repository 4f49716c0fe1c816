//! What the name of a file says about it.

/// The type of a page.
pub(super) const HTML: &str = "text/html; charset=utf-8";

/// Hexadecimal digits that make a part of a name the hash of what the file holds.
const MIN_HASH: usize = 8;

/// How long a file of this name may be kept without asking again.
pub(super) fn cache_control(name: &str) -> &'static str {
    if content_type(name) != HTML && has_hash(name) {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    }
}

/// The type of a file of this name.
pub(super) fn content_type(name: &str) -> &'static str {
    let (_, extension) = name.rsplit_once('.').unwrap_or_default();
    match extension.to_ascii_lowercase().as_str() {
        "html" | "htm" => HTML,
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "txt" | "md" => "text/plain; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        // Only as this, browsers compile it while it comes.
        "wasm" => "application/wasm",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        _ => "application/octet-stream",
    }
}

/// Whether a file's name changes with what it holds, as in `app-0f3c9a1b.js`.
fn has_hash(name: &str) -> bool {
    let (_, name) = name.rsplit_once('/').unwrap_or(("", name));
    name.split(['.', '-'])
        .any(|part| part.len() >= MIN_HASH && part.bytes().all(|byte| byte.is_ascii_hexdigit()))
}
