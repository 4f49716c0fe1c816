//! When a guest is compiled again: when something changes that it is made of, and not
//! otherwise.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use tenantry_misbehaving_component::BUILD_OUTPUT;

use crate::support::program::workspace;

/// What any guest is made of, from the workspace's folder. Whole folders end in `/`.
const PARTS: [&str; 7] = [
    "core/src/",
    "core/Cargo.toml",
    "host/guest/src/",
    "host/guest/Cargo.toml",
    "host/wit/",
    "Cargo.toml",
    "Cargo.lock",
];

/// The files that cargo watches for a build script which has said so in `output`, with
/// its paths relative to `package`.
fn watched(output: &str, package: &str) -> BTreeSet<PathBuf> {
    let said = fs::read_to_string(output).expect("what the build script said");
    let paths = said.lines().filter_map(|line| {
        let path = line.strip_prefix("cargo::rerun-if-changed=")?;
        Some(workspace().join(package).join(path))
    });
    paths.flat_map(|path| files(&path)).collect()
}

fn made_of(own: &[&str]) -> BTreeSet<PathBuf> {
    let parts = PARTS.iter().chain(own);
    parts
        .flat_map(|part| files(&workspace().join(part)))
        .collect()
}

/// The file, or all files in the folder.
fn files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.canonicalize().expect("a file")];
    }
    let folder = fs::read_dir(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    folder
        .flat_map(|entry| files(&entry.expect("an entry").path()))
        .collect()
}

#[test]
fn the_guest_is_built_again_when_a_part_of_it_changes_and_not_otherwise() {
    let output = concat!(env!("OUT_DIR"), "/../output");
    assert_eq!(watched(output, "host"), made_of(&[]));
}

#[test]
fn the_misbehaving_guest_is_built_again_when_a_part_of_it_changes_and_not_otherwise() {
    let own = ["host/tests/guest/src/", "host/tests/guest/Cargo.toml"];
    let watched = watched(BUILD_OUTPUT, "host/tests/artifact");
    assert_eq!(watched, made_of(&own));
}
