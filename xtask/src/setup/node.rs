//! Node, and what comes from npm.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, ensure};

use crate::process::{program, read, run};

/// The oldest Node that runs what is built: it takes an ES module from `require`.
const OLDEST: (u32, u32) = (20, 19);

/// Makes sure that there is a Node that is new enough.
///
/// # Errors
/// There is none, or it is too old: says which is needed.
pub(crate) fn node() -> Result<()> {
    let (major, minor) = OLDEST;
    let ask = || format!("Node {major}.{minor} or newer is needed: please install it");
    let version = read(program("node").arg("--version")).with_context(ask)?;
    let found = parse(&version).with_context(ask)?;
    ensure!(found >= OLDEST, "{}; this is {}", ask(), version.trim());
    Ok(())
}

/// `v20.19.1` as numbers.
fn parse(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.trim().strip_prefix('v')?.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Installs what the folder's package-lock.json names, unless that was done before. Scripts
/// of packages are not run: nothing here needs them.
///
/// # Errors
/// npm can't be run, or can't install it.
pub(crate) fn npm_ci(folder: &Path) -> Result<()> {
    node()?;
    let lock = fs::read(folder.join("package-lock.json"))?;
    let done = folder.join("node_modules/.installed-lock.json");
    if fs::read(&done).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    let mut npm = program("npm");
    npm.current_dir(folder).arg("ci");
    let quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--silent"];
    run(npm.args(quiet)).with_context(|| format!("npm ci in {}", folder.display()))?;
    fs::write(done, lock)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(parse("v20.19.0\n"), Some((20, 19)));
        assert!(parse("v22.1.0") > Some(OLDEST));
        assert!(parse("v20.9.0") < Some(OLDEST));
        assert_eq!(parse("nonsense"), None);
    }
}
