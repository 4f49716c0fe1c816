//! Writes the JavaScript that loads and calls a module made with wasm-bindgen:
//! `tenantry-web-generator MODULE.wasm FOLDER`.
//!
//! The generator is used as a library, so that cargo keeps it at the version of the module's
//! own `wasm-bindgen`, and nothing has to be installed. It is a program of its own because it
//! takes a minute to build, which nobody should wait for who wants no JavaScript.

#![forbid(unsafe_code)]

use std::{env, path::PathBuf};

use anyhow::{Context as _, Result};
use wasm_bindgen_cli_support::Bindgen;

fn main() -> Result<()> {
    let mut args = env::args_os().skip(1).map(PathBuf::from);
    let usage = "usage: tenantry-web-generator MODULE.wasm FOLDER";
    let module = args.next().context(usage)?;
    let folder = args.next().context(usage)?;
    Bindgen::new()
        .input_path(&module)
        .web(true)
        .context("the kind of output")?
        .typescript(true)
        .out_name("glue")
        .generate(&folder)
        .with_context(|| format!("{} -> {}", module.display(), folder.display()))
}
