//! Whether sandboxes have room for the largest bodies.

use crate::sandbox::SandboxLimits;

/// Memory that a sandbox needs for a body, as a multiple of it: the body, what it says, and
/// an answer of three times its size, while that grows.
const MEMORY_PER_BODY: usize = 16;

/// What an answer can be, as a multiple of the request's body: capital letters can be three
/// times as long.
const REPLY_PER_BODY: usize = 3;

/// Says so where there are bodies that may be sent, but for which there is no room: they
/// are answered with 500.
pub(super) fn check_room(sandbox: &SandboxLimits, max_body: usize) {
    for (flag, set, needed) in [
        (
            "--sandbox-memory",
            sandbox.max_memory,
            max_body.saturating_mul(MEMORY_PER_BODY),
        ),
        (
            "--max-reply",
            sandbox.max_reply,
            max_body.saturating_mul(REPLY_PER_BODY),
        ),
    ] {
        if set < needed {
            tracing::warn!(
                flag,
                set,
                needed,
                "the largest bodies may be answered with 500; raise this, or lower --max-body"
            );
        }
    }
}
