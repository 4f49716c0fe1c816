//! The server: the core's rules in sandboxes, behind HTTP.

pub mod engine;
mod native;
mod random;
pub mod sandbox;
pub mod state;

use tenantry_component::Precompiled;

/// The guest that this program was built with.
#[expect(unsafe_code, reason = "the embedded component is machine code")]
// SAFETY: the build script has written this file, and nobody else.
pub static GUEST: Precompiled = unsafe {
    Precompiled::new(include_bytes!(concat!(env!("OUT_DIR"), "/guest.cwasm")))
};
