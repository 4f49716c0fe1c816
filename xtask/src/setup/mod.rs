//! What the project needs beside Rust: added here, or asked for in one line.

mod node;
mod programs;
mod python;
mod source;
mod tools;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};

pub(crate) use self::{
    node::npm_ci,
    programs::{
        chromium, firefox, haproxy, load_tools, nginx, pgbouncer, postgres, programs, prometheus,
        soak_tools, stores, systemd, valgrind,
    },
    python::Packages,
    tools::{CARGO_DENY, OHA},
};
use crate::{
    cargo::Workspace,
    process::{cargo, output, program, read, reason},
    steps::Outcome,
};

/// What sandboxes run.
pub(crate) const WASM_TARGET: &str = "wasm32-unknown-unknown";

/// A part of Rust that may be missing.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Component {
    /// The linter.
    Clippy,
    /// The formatter.
    Rustfmt,
}

/// Makes sure that the compiler has a standard library for WebAssembly: from rustup, else
/// compiled here, which networks allow that do not let rustup reach its server.
///
/// # Errors
/// Neither works: says why, for both.
pub(crate) fn wasm_target() -> Result<()> {
    let sysroot = read(program("rustc").args(["--print", "sysroot"]))?;
    let rustlib = Path::new(sysroot.trim()).join("lib/rustlib");
    if has_std(&rustlib) {
        return Ok(());
    }
    eprintln!("adding the standard library for {WASM_TARGET}");
    forget_guests(&Workspace::load()?.target_dir()?);
    let Err(rustup) = from_rustup(&rustlib) else {
        return Ok(());
    };
    eprintln!("rustup can't add it; compiling it from Debian's sources");
    let Err(debian) = source::build(&rustlib) else {
        return Ok(());
    };
    bail!(
        "the standard library for {WASM_TARGET} is missing, and neither way to add it works\n  \
         `rustup target add {WASM_TARGET}`: {rustup:#}\n  \
         compiling Debian's package rust-src: {debian:#}"
    )
}

/// Removes what was compiled for WebAssembly: with another standard library, it may be.
/// Cargo takes two for the same that are of the same compiler, and then nothing links.
fn forget_guests(target: &Path) {
    let folders = |folder: &Path| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    // target/PROFILE/build and target/PLATFORM/PROFILE/build.
    let profiles = folders(target).into_iter().flat_map(|folder| {
        let below = folders(&folder);
        [folder].into_iter().chain(below)
    });
    let scripts = profiles.flat_map(|profile| folders(&profile.join("build")));
    let guests = scripts.flat_map(|script| folders(&script.join("out")));
    for guest in guests.filter(|folder| folder.join(WASM_TARGET).is_dir()) {
        let _ = fs::remove_dir_all(guest);
    }
    let _ = fs::remove_dir_all(target.join(WASM_TARGET));
}

/// Whether there is a standard library for WebAssembly.
fn has_std(rustlib: &Path) -> bool {
    let files = fs::read_dir(library(rustlib)).into_iter().flatten();
    let mut names = files.flatten().map(|file| file.file_name());
    names.any(|name| {
        let name = name.to_string_lossy();
        name.starts_with("libstd-") && name.ends_with(".rlib")
    })
}

/// Where the compiler looks for the library.
fn library(rustlib: &Path) -> PathBuf {
    rustlib.join(WASM_TARGET).join("lib")
}

fn from_rustup(rustlib: &Path) -> Result<()> {
    let args = ["target", "add", WASM_TARGET];
    // A reason is wanted, not where in rustup it came up.
    let output = output(program("rustup").args(args).env("RUST_BACKTRACE", "0"))?;
    ensure!(output.status.success(), "{}", reason(&output));
    ensure!(
        has_std(rustlib),
        "it is added, but not in {}",
        rustlib.display()
    );
    Ok(())
}

/// Makes sure that a component is there. Where it can't be, says why: then what needs it
/// is left out, and that is told at the end.
///
/// # Errors
/// Cargo or rustup can't be run.
pub(crate) fn component(component: Component) -> Result<Option<Outcome>> {
    let (name, command) = match component {
        Component::Clippy => ("clippy", "clippy"),
        Component::Rustfmt => ("rustfmt", "fmt"),
    };
    let is_there = || {
        let output = output(cargo().args([command, "--version"]));
        output.is_ok_and(|output| output.status.success())
    };
    if is_there() {
        return Ok(None);
    }
    println!("adding {name}");
    let mut rustup = program("rustup");
    rustup.args(["component", "add", name]);
    let added = output(rustup.env("RUST_BACKTRACE", "0"))
        .and_then(|added| {
            let ok = added.status.success();
            if ok {
                Ok(())
            } else {
                Err(anyhow!(reason(&added)))
            }
        })
        .context(format!("please run `rustup component add {name}`"));
    match added {
        Ok(()) => {
            ensure!(is_there(), "{name} is added, but cargo does not find it");
            Ok(None)
        }
        Err(error) => Ok(Some(Outcome::Skipped(format!("{error:#}")))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_of_another_library_are_forgotten_and_nothing_else() {
        let target = std::env::temp_dir().join(format!("xtask-target-{}", std::process::id()));
        let guests = ["debug/build/a/out/guest", "x86_64/dist/build/a/out/guest"];
        for guest in guests {
            fs::create_dir_all(target.join(guest).join(WASM_TARGET)).expect("a folder");
        }
        let kept = target.join("debug/build/a/out/other");
        fs::create_dir_all(&kept).expect("a folder");
        forget_guests(&target);
        for guest in guests {
            assert!(!target.join(guest).exists(), "{guest}");
        }
        assert!(kept.exists());
        fs::remove_dir_all(target).expect("a folder");
    }

    #[test]
    fn a_library_counts_only_with_its_std() {
        let rustlib = std::env::temp_dir().join(format!("xtask-rustlib-{}", std::process::id()));
        assert!(!has_std(&rustlib));
        let library = library(&rustlib);
        fs::create_dir_all(&library).expect("a folder");
        fs::write(library.join("libcore-1.rlib"), "").expect("a file");
        assert!(!has_std(&rustlib));
        fs::write(library.join("libstd-1.rlib"), "").expect("a file");
        assert!(has_std(&rustlib));
        fs::remove_dir_all(rustlib).expect("a folder");
    }
}
