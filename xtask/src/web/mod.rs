//! `cargo xtask web`: the npm package and the page.

mod inputs;
pub(crate) mod tests;

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use crate::{
    cargo::Workspace,
    process::{self, cargo, program, root},
    setup::{self, WASM_TARGET},
};

/// What is built, all in one folder.
#[derive(Debug)]
pub(crate) struct Web {
    /// `target/web`
    pub(crate) folder: PathBuf,
}
/// Where everything is built.
///
/// # Errors
/// Cargo can't be asked.
pub(crate) fn folder() -> Result<PathBuf> {
    Ok(Workspace::load()?.target_dir()?.join("web"))
}

/// Builds, and takes pictures and measures where that is wanted.
///
/// # Errors
/// Something can't be built, or a browser is missing.
pub(crate) fn run(screenshots: bool, figures: bool) -> Result<()> {
    build()?;
    if screenshots {
        tests::script("browser/screenshots.mjs")?;
    }
    if figures {
        tests::script("figures/run.mjs")?;
    }
    Ok(())
}

/// Builds the npm package and the page, unless nothing has changed since the last time.
///
/// # Errors
/// A tool is missing, the source is wrong, or something is larger than its budget.
pub(crate) fn build() -> Result<Web> {
    setup::wasm_target()?;
    let source = root().join("web");
    setup::npm_ci(&source)?;
    let target = Workspace::load()?.target_dir()?;
    let web = Web { folder: folder()? };
    fs::create_dir_all(&web.folder)?;

    let args = ["build", "--quiet", "--locked", "--package", "tenantry-web"];
    let platform = ["--profile", "web", "--target", WASM_TARGET];
    process::run(cargo().args(args).args(platform).args(remapped()?))?;
    let module = target.join(WASM_TARGET).join("web/tenantry_web.wasm");

    let done = web.folder.join("built-from");
    let inputs = inputs::fingerprint(&source, &module)?;
    if fs::read_to_string(&done).is_ok_and(|built| built == inputs) {
        println!("{}: up to date", web.folder.display());
        return Ok(web);
    }
    let generated = web.folder.join("generated");
    generate(&module, &generated)?;
    let generated = generated.as_os_str();
    let script = |name: &str| {
        let mut node = program("node");
        node.arg(Path::new("web/scripts").join(name));
        node.arg("--out").arg(&web.folder);
        node
    };
    process::run(script("package.mjs").arg("--generated").arg(generated))?;
    let package = web.folder.join("package");
    process::run(script("page.mjs").arg("--package").arg(package))?;
    process::run(&mut script("sizes.mjs"))?;
    fs::write(done, inputs)?;
    Ok(web)
}

/// Has panics name the sources of dependencies without the folder that they are in on this
/// machine, so that nothing that is shipped tells it, and any machine builds the same.
fn remapped() -> Result<[String; 2]> {
    let home = match env::var_os("CARGO_HOME") {
        Some(home) => PathBuf::from(home),
        None => env::home_dir()
            .context("neither CARGO_HOME nor HOME is set")?
            .join(".cargo"),
    };
    let flag = format!("--remap-path-prefix={}=/cargo", home.display());
    let setting = format!("target.{WASM_TARGET}.rustflags=[{flag:?}]");
    Ok(["--config".to_owned(), setting])
}

/// Has wasm-bindgen write the module's JavaScript.
fn generate(module: &Path, folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    let args = ["run", "--quiet", "--locked", "--package"];
    let mut command = cargo();
    command.args(args).args(["tenantry-web-generator", "--"]);
    process::run(command.arg(module).arg(folder))
}
