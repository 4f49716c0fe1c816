//! For build scripts: compiles a guest crate to WebAssembly, makes it a component, and
//! compiles that for the target's processor.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use wit_component::ComponentEncoder;

/// The target that guests are compiled for. Not a WASI one: a guest imports what its
/// world says, and nothing that a standard library would like to have.
pub const GUEST_TARGET: &str = "wasm32-unknown-unknown";

/// Bytes of a sandbox's memory at its start. More than a usual request needs, so that it
/// never grows; what is not touched costs nothing.
pub const INITIAL_MEMORY_BYTES: usize = 512 << 10;

/// Bytes of the stack that a guest keeps in its memory, beside the one that the engine
/// limits.
const MEMORY_STACK_BYTES: usize = 64 << 10;

/// Why a component could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The compiler has no standard library for the guest's target.
    #[error("the target {GUEST_TARGET} is not installed; run `cargo xtask setup`")]
    NoTarget,
    /// The build script's environment lacks a variable that cargo sets.
    #[error("{0} is not set: this is for build scripts that cargo runs")]
    NoVariable(&'static str),
    /// The guest does not compile.
    #[error("the guest {0} does not compile")]
    Guest(String),
    /// The guest is no component of its world, or it does not compile to machine code.
    #[error("the guest {package} is no component")]
    Component {
        /// The guest.
        package: String,
        /// Why not.
        #[source]
        source: wasmtime::Error,
    },
    /// A file could not be read or written.
    #[error("{path}")]
    File {
        /// The file, or the program that could not be run.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// A build script's whole work: [`build`], with an error shown as cargo shows errors.
#[must_use]
pub fn run(package: &str, name: &str, inputs: &[&Path]) -> ExitCode {
    match build(package, name, inputs) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut message = error.to_string();
            let mut source = std::error::Error::source(&error);
            while let Some(error) = source {
                message += &format!(": {error}");
                source = error.source();
            }
            println(&format!("cargo::error={message}"));
            ExitCode::FAILURE
        }
    }
}

/// Builds the guest `package` and writes, into cargo's `OUT_DIR`, `NAME.wasm`, the
/// component, and `NAME.cwasm`, the same compiled for the target's baseline processor,
/// for [`Precompiled`](crate::Precompiled). Tells cargo to do so again when one of its
/// Rust sources changes, or one of `inputs`, which are whatever else matters: manifests,
/// the lock file, the world.
fn build(package: &str, name: &str, inputs: &[&Path]) -> Result<(), Error> {
    let out_dir = PathBuf::from(variable("OUT_DIR")?);
    let module = compile(package, &out_dir)?;
    let sources = read(&module.with_extension("d"))?;
    let sources = String::from_utf8_lossy(&sources).into_owned();
    for source in dependencies(&sources) {
        println(&format!("cargo::rerun-if-changed={source}"));
    }
    for path in inputs {
        println(&format!("cargo::rerun-if-changed={}", path.display()));
    }

    let not_a_component = |source| Error::Component {
        package: package.to_owned(),
        source,
    };
    let module = read(&module)?;
    let component = ComponentEncoder::default()
        .validate(true)
        .module(&module)
        .and_then(|mut encoder| encoder.encode())
        .map_err(|error| not_a_component(wasmtime::Error::msg(format!("{error:#}"))))?;
    let compiled = (|| {
        let mut config = crate::engine_config();
        config.target(&variable("TARGET").map_err(wasmtime::Error::new)?)?;
        wasmtime::Engine::new(&config)?.precompile_component(&component)
    })()
    .map_err(not_a_component)?;
    write(&out_dir.join(format!("{name}.wasm")), &component)?;
    write(&out_dir.join(format!("{name}.cwasm")), &compiled)
}

/// Compiles the package to a core module; returns its path.
fn compile(package: &str, out_dir: &Path) -> Result<PathBuf, Error> {
    let target_dir = out_dir.join("guest");
    let mut cargo = Command::new(variable("CARGO")?);
    cargo
        .args(["build", "--quiet", "--locked", "--profile", "guest"])
        .args(["--target", GUEST_TARGET, "--package", package])
        .arg("--target-dir")
        .arg(&target_dir);
    // What the outer cargo set for the host's program is not for the guest.
    for (name, _) in env::vars_os() {
        let name_text = name.to_string_lossy();
        let is_outer = [
            "CARGO_CFG_",
            "CARGO_FEATURE_",
            "CARGO_PROFILE_",
            "CARGO_ENCODED_",
        ]
        .iter()
        .any(|prefix| name_text.starts_with(prefix));
        if is_outer {
            cargo.env_remove(name);
        }
    }
    for name in [
        "RUSTFLAGS",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTC_WRAPPER",
        "CARGO_BUILD_TARGET",
    ] {
        cargo.env_remove(name);
    }
    let flags = [
        format!("-Clink-arg=-zstack-size={MEMORY_STACK_BYTES}"),
        format!("-Clink-arg=--initial-memory={INITIAL_MEMORY_BYTES}"),
    ];
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
    let status = cargo.status().map_err(|source| Error::File {
        path: cargo.get_program().into(),
        source,
    })?;
    if !status.success() {
        return Err(if has_target() {
            Error::Guest(package.to_owned())
        } else {
            Error::NoTarget
        });
    }
    let file = format!("{}.wasm", package.replace('-', "_"));
    Ok(target_dir.join(GUEST_TARGET).join("guest").join(file))
}

/// Whether the compiler has a standard library for the guest's target.
fn has_target() -> bool {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let sysroot = Command::new(rustc).args(["--print", "sysroot"]).output();
    sysroot.is_ok_and(|output| {
        let sysroot = String::from_utf8_lossy(&output.stdout).into_owned();
        let rustlib = Path::new(sysroot.trim()).join("lib/rustlib");
        rustlib.join(GUEST_TARGET).join("lib").is_dir()
    })
}

/// The files that a Makefile-style dependency file lists behind its first colon.
fn dependencies(makefile: &str) -> Vec<String> {
    let line = makefile.lines().next().unwrap_or_default();
    let files = line.split_once(": ").map_or("", |(_, files)| files);
    // A blank in a file's name is written as `\ `.
    let files = files.replace("\\ ", "\0");
    files
        .split(' ')
        .map(|file| file.replace('\0', " "))
        .collect()
}

fn variable(name: &'static str) -> Result<String, Error> {
    env::var(name).map_err(|_| Error::NoVariable(name))
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|source| Error::File {
        path: path.to_owned(),
        source,
    })
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    fs::write(path, bytes).map_err(|source| Error::File {
        path: path.to_owned(),
        source,
    })
}

#[expect(clippy::print_stdout, reason = "how a build script talks to cargo")]
fn println(line: &str) {
    println!("{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependency_files_are_read() {
        let makefile = "/t/guest.wasm: /a/lib.rs /b\\ c/mod.rs\n\n/a/lib.rs:\n";
        assert_eq!(dependencies(makefile), ["/a/lib.rs", "/b c/mod.rs"]);
    }
}
