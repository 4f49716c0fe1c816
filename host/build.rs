//! Builds the guest and compiles it for the target, to be embedded in the server.

use std::{path::Path, process::ExitCode};

fn main() -> ExitCode {
    tenantry_component::build::run("tenantry-guest", "guest", Path::new("wit"))
}
