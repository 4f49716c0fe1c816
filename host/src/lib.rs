//! The server: the core's rules in sandboxes, behind HTTP.

pub mod admin;
pub mod causes;
pub mod cli;
pub mod commands;
pub mod engine;
mod input;
mod limits;
mod logging;
pub mod metrics;
mod native;
pub mod opts;
mod random;
mod reload;
pub mod run;
pub mod sandbox;
pub mod server;
mod signals;
pub mod state;
mod supervisor;
pub mod tenants_file;
pub mod terminal;
pub mod traces;

use tenantry_component::Precompiled;

/// The guest that this program was built with.
#[expect(unsafe_code, reason = "the embedded component is machine code")]
// SAFETY: the build script has written this file, and nobody else.
pub static GUEST: Precompiled =
    unsafe { Precompiled::new(include_bytes!(concat!(env!("OUT_DIR"), "/guest.cwasm"))) };
