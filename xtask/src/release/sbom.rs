//! What the program is made of, as a CycloneDX document.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

/// How `cargo tree` is to name a package: its name and version, and its licence.
pub(super) const FORMAT: &str = "{p}|{l}";

/// The document, from what `cargo tree` says of the program and of the guest in it.
///
/// # Errors
/// A line of it is not in [`FORMAT`].
pub(super) fn document(version: &str, trees: &str) -> Result<Value> {
    let mut packages = BTreeSet::new();
    for line in trees.lines().filter(|line| !line.is_empty()) {
        // A package that was named before has a mark behind it.
        let line = line.trim_end_matches(" (*)");
        let (package, licence) = line.split_once('|').unwrap_or((line, ""));
        let mut words = package.split_whitespace();
        let name = words.next().unwrap_or_default();
        let version = words.next().and_then(|word| word.strip_prefix('v'));
        ensure!(
            version.is_some() && !licence.is_empty(),
            "cargo tree: {line:?} names no package with a version and a licence"
        );
        packages.insert((name, version.unwrap_or_default(), licence));
    }
    let components = packages.iter().filter(|(name, ..)| *name != "tenantry");
    let components: Vec<_> = components
        .map(|(name, version, licence)| {
            json!({
                "type": "library",
                "name": name,
                "version": version,
                "purl": format!("pkg:cargo/{name}@{version}"),
                "licenses": [{ "expression": expression(licence) }],
            })
        })
        .collect();
    ensure!(!components.is_empty(), "cargo tree names nothing");
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": { "type": "application", "name": "tenantry", "version": version }
        },
        "components": components,
    }))
}

/// Older crates write `MIT/Apache-2.0`, which SPDX does not know.
fn expression(licence: &str) -> String {
    licence.replace(" / ", " OR ").replace('/', " OR ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_package_is_named_once_with_its_licence() {
        let tree = "tenantry v1.2.3 (/x)|MIT\nb v2.0.0|MIT/Apache-2.0\na v1.0.0|ISC\n\
                    b v2.0.0|MIT/Apache-2.0 (*)\n\ntenantry-core v1.2.3 (/x/core)|MIT\n";
        let document = document("1.2.3", tree).expect("a tree");
        let components = document["components"].as_array().expect("a list");
        let named: Vec<_> = components.iter().map(|one| one["purl"].clone()).collect();
        assert_eq!(
            named,
            [
                "pkg:cargo/a@1.0.0",
                "pkg:cargo/b@2.0.0",
                "pkg:cargo/tenantry-core@1.2.3"
            ]
        );
        let licences = &components[1]["licenses"][0]["expression"];
        assert_eq!(licences, "MIT OR Apache-2.0");
        assert_eq!(document["metadata"]["component"]["version"], "1.2.3");
    }

    #[test]
    fn a_package_without_a_licence_is_an_error() {
        assert!(document("1", "a v1.0.0|\n").is_err());
        assert!(document("1", "nonsense\n").is_err());
        assert!(document("1", "").is_err());
    }
}
