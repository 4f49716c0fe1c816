//! The misbehaving guest, compiled. A crate of its own, so that only tests wait for it.

use tenantry_component::Precompiled;

/// Answers as the real guest does, and misbehaves where a request says so.
#[expect(unsafe_code, reason = "the embedded component is machine code")]
// SAFETY: the build script has written this file, and nobody else.
pub static MISBEHAVING: Precompiled = unsafe {
    Precompiled::new(include_bytes!(concat!(
        env!("OUT_DIR"),
        "/misbehaving.cwasm"
    )))
};

/// The file with what the build script has told cargo.
pub const BUILD_OUTPUT: &str = concat!(env!("OUT_DIR"), "/../output");
