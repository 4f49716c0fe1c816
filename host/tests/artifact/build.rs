//! Compiles the misbehaving guest as the server's build script compiles the real one.

use std::{path::Path, process::ExitCode};

fn main() -> ExitCode {
    let inputs = [
        "../guest/Cargo.toml",
        "../../guest/Cargo.toml",
        "../../wit",
        "../../../core/Cargo.toml",
        "../../../Cargo.toml",
        "../../../Cargo.lock",
    ];
    tenantry_component::build::run(
        "tenantry-misbehaving-guest",
        "misbehaving",
        &inputs.map(Path::new),
    )
}
