//! The standard library for WebAssembly, compiled from the sources that Debian
//! distributes: for machines that reach Debian's servers, but not rustup's.
//!
//! Nothing is installed but the result. Apt is used with a list of sources, a cache and a
//! state of its own; it checks the signatures of what it downloads.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};

use super::{WASM_TARGET, library};
use crate::{
    cargo::{Workspace, rustc_release},
    dist::copy,
    process::{cargo, output, read, reason},
};

/// Where Debian keeps the sources of compilers that are newer than its releases.
const SOURCES: &str = "http://deb.debian.org/debian trixie-backports main";

/// Debian's keys, as its package debian-archive-keyring installs them.
const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Compiles the library and puts it where the compiler looks for it.
///
/// # Errors
/// Says what is missing, before anything is downloaded where that can be known.
pub(super) fn build(rustlib: &Path) -> Result<()> {
    for program in ["apt-get", "dpkg"] {
        read(Command::new(program).arg("--version")).context("this is for Debian's relatives")?;
    }
    ensure!(
        Path::new(KEYS).exists(),
        "{KEYS} is missing: please install the package debian-archive-keyring"
    );
    // Beside its final place: then it appears there complete, or not at all.
    let staged = rustlib.join(format!(".{WASM_TARGET}.partial"));
    remove(&staged)?;
    fs::create_dir(&staged).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => anyhow::anyhow!(
            "{} can't be written by this user: please run `cargo xtask setup` as its owner or as root",
            rustlib.display()
        ),
        _ => anyhow::Error::new(error).context(staged.display().to_string()),
    })?;
    let work = Workspace::load()?.target_dir()?.join("rust-src");
    let built = download(&work)
        .and_then(|source| compile(&work, &source))
        .and_then(|rlibs| install(&rlibs, &staged, rustlib));
    // Half a gigabyte that nobody needs any more, whatever came of it.
    remove(&work).and(remove(&staged))?;
    built
}

/// Downloads and unpacks the sources of this very compiler; returns the folder `library`.
fn download(work: &Path) -> Result<PathBuf> {
    remove(work)?;
    for folder in ["lists/partial", "cache/archives/partial", "unpacked"] {
        fs::create_dir_all(work.join(folder))?;
    }
    let list = work.join("sources.list");
    fs::write(&list, format!("deb [signed-by={KEYS}] {SOURCES}\n"))?;
    fs::write(work.join("status"), "")?;
    let apt = || {
        let mut apt = Command::new("apt-get");
        apt.current_dir(work).env("LC_ALL", "C").arg("-qq");
        for (name, value) in [
            ("Dir::Etc::sourcelist", list.as_path()),
            ("Dir::Etc::sourceparts", Path::new("-")),
            ("Dir::Etc::preferencesparts", Path::new("-")),
            ("Dir::State::lists", &work.join("lists")),
            ("Dir::State::status", &work.join("status")),
            ("Dir::Cache", &work.join("cache")),
            // The user that root's downloads usually run as may not see this folder.
            ("APT::Sandbox::User", Path::new("root")),
            ("Acquire::Languages", Path::new("none")),
            ("Acquire::Retries", Path::new("3")),
            ("Acquire::http::Timeout", Path::new("30")),
            ("APT::Update::Error-Mode", Path::new("any")),
        ] {
            apt.arg("-o").arg(format!("{name}={}", value.display()));
        }
        apt
    };
    quiet(apt().arg("update"), "apt-get update")?;
    // Its revision is Debian's own affair, its release must be the compiler's.
    let package = format!("rust-src={}+*", rustc_release()?);
    quiet(
        apt().arg("download").arg(&package),
        &format!("apt-get download {package}"),
    )?;

    let files = fs::read_dir(work)?.flatten().map(|file| file.path());
    let deb = files
        .into_iter()
        .find(|file| file.extension().is_some_and(|end| end == "deb"));
    let deb = deb.context("apt-get has downloaded no package")?;
    let unpacked = work.join("unpacked");
    read(Command::new("dpkg").arg("-x").arg(deb).arg(&unpacked))?;

    let sources = fs::read_dir(unpacked.join("usr/src")).context("rust-src")?;
    let mut libraries = sources
        .flatten()
        .map(|folder| folder.path().join("library"));
    let library = libraries.find(|library| library.join("std/Cargo.toml").exists());
    library.context("rust-src has no standard library where it was")
}

/// Runs what has too many arguments to be shown with its failure.
fn quiet(command: &mut Command, shown: &str) -> Result<()> {
    let output = output(command)?;
    ensure!(output.status.success(), "{shown}: {}", reason(&output));
    Ok(())
}

/// Compiles the library, as the dependency of a crate that is empty; returns its parts.
fn compile(work: &Path, library: &Path) -> Result<Vec<PathBuf>> {
    let krate = work.join("empty");
    fs::create_dir_all(krate.join("src"))?;
    let manifest = "[package]\nname = \"empty\"\nedition = \"2024\"\n\n[workspace]\n";
    fs::write(krate.join("Cargo.toml"), manifest)?;
    fs::write(krate.join("src/lib.rs"), "#![no_std]\n")?;
    let target = work.join("target");
    let mut cargo = cargo();
    cargo
        .current_dir(&krate)
        .args(["build", "--quiet", "--release", "--target", WASM_TARGET])
        .arg("-Zbuild-std=std,panic_abort")
        .arg("--target-dir")
        .arg(&target)
        // Building the standard library is not a feature of stable cargo yet.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("__CARGO_TESTS_ONLY_SRC_ROOT", library);
    for name in [
        "RUSTFLAGS",
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_BUILD_TARGET",
        "RUSTC_WRAPPER",
    ] {
        cargo.env_remove(name);
    }
    read(&mut cargo)?;
    let built = target.join(WASM_TARGET).join("release/deps");
    let files = fs::read_dir(&built).with_context(|| built.display().to_string())?;
    let files = files.flatten().map(|file| file.path());
    let rlibs: Vec<_> = files.filter(|file| is_part(file)).collect();
    Ok(rlibs)
}

/// Whether a file is a compiled part of the library.
fn is_part(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with(".rlib") && !name.starts_with("libempty-")
}

/// Copies the parts to `staged`, makes sure that they are on the disk, and only then
/// gives them their final place.
fn install(rlibs: &[PathBuf], staged: &Path, rustlib: &Path) -> Result<()> {
    let lib = staged.join("lib");
    fs::create_dir(&lib)?;
    for rlib in rlibs {
        let to = lib.join(rlib.file_name().unwrap_or_default());
        copy(rlib, &to)?;
        File::open(&to)?.sync_all()?;
    }
    let home = library(rustlib);
    let home = home.parent().context("a folder is in a folder")?;
    // Without its std, what is there is a rest of something.
    remove(home)?;
    fs::rename(staged, home).with_context(|| home.display().to_string())?;
    if !super::has_std(rustlib) {
        remove(home)?;
        bail!("what was compiled has no std");
    }
    eprintln!(
        "compiled {} files to {}",
        rlibs.len(),
        library(rustlib).display()
    );
    Ok(())
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| folder.display().to_string())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_librarys_parts_are_copied() {
        assert!(is_part(Path::new("/t/deps/libstd-0a.rlib")));
        assert!(!is_part(Path::new("/t/deps/libempty-0a.rlib")));
        assert!(!is_part(Path::new("/t/deps/libstd-0a.rmeta")));
        assert!(!is_part(Path::new("/t/deps/std-0a.d")));
    }
}
