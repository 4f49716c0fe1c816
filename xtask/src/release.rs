//! `cargo xtask release`: everything that a release hands out, in one folder.
//!
//! Nothing is published: what registries would say is asked by their own dry runs, and the
//! commands that publish are printed, for whoever has the right to.

mod checks;
mod sbom;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use self::checks::Sources;
use crate::{
    cargo::{Workspace, host_triple, version},
    dist::{self, copy},
    process::{cargo, output, program, read, root, run},
    web,
};

/// Files beside the program in its archive.
const BESIDE: &[&str] = &[
    "CHANGELOG.md",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "tenants.jsonl",
];

/// Checks, builds and packs a release: target/release-files. In a dry run, what would stop a
/// release is said, and what can be made is made.
///
/// # Errors
/// Something names another version, or can't be built; not in a dry run: or the commit is not
/// tagged, or there is no Docker.
pub(crate) fn release(is_dry_run: bool) -> Result<()> {
    let version = version()?;
    let tags = read(program("git").args(["tag", "--points-at", "HEAD"]))?;
    let changed = read(program("git").args(["status", "--porcelain"]))?;
    let problems = problems(&version, &tags, &changed)?;
    for problem in &problems {
        eprintln!("would stop a release: {problem}");
    }
    ensure!(
        problems.is_empty() || is_dry_run,
        "version {version} can't be released: see above"
    );

    let out = folder()?;
    if out.exists() {
        fs::remove_dir_all(&out).with_context(|| out.display().to_string())?;
    }
    fs::create_dir_all(&out)?;
    dist::build()?;
    let mut files = vec![archive(&version, &out)?, bill(&version, &out)?];
    let tarball = npm(&version, &out)?;
    files.push(tarball.clone());
    let crates = crates(is_dry_run)?;
    match image(&version, &out) {
        Ok(image) => files.push(image),
        Err(error) if is_dry_run => eprintln!("would stop a release: the image: {error:#}"),
        Err(error) => return Err(error),
    }
    checksums(&out, &files)?;
    println!("{}:", out.display());
    for file in &files {
        println!("  {file}");
    }
    println!("to publish it:");
    println!("  npm publish {}", out.join(tarball).display());
    for name in crates {
        println!("  cargo publish --locked --package {name}");
    }
    println!("  docker tag tenantry:{version} REGISTRY/tenantry:{version}, and docker push");
    Ok(())
}

/// Where the files are.
fn folder() -> Result<PathBuf> {
    Ok(Workspace::load()?.target_dir()?.join("release-files"))
}

/// What a release of a commit with these tags, and these changed files, must not go out with.
fn problems(version: &str, tags: &str, changed: &str) -> Result<Vec<String>> {
    let text = |name: &str| fs::read_to_string(root().join(name)).with_context(|| name.to_owned());
    let readmes = ["README.md", "web/npm/README.md"];
    let readmes = readmes.map(|name| Ok((name, text(name)?)));
    let readmes: Vec<_> = readmes.into_iter().collect::<Result<_>>()?;
    Sources {
        version,
        tags,
        changed,
        workspace: &text("Cargo.toml")?,
        changelog: &text("CHANGELOG.md")?,
        package: &text("web/npm/package.json")?,
        readmes: &readmes,
    }
    .problems()
}

/// The program with its licences, as an archive that comes out the same from the same files.
fn archive(version: &str, out: &Path) -> Result<String> {
    let name = format!("tenantry-{version}-{}", host_triple()?);
    let folder = out.join(&name);
    fs::create_dir(&folder)?;
    let program = Workspace::load()?.target_dir()?.join("dist/tenantry");
    copy(&program, &folder.join("tenantry"))?;
    for file in BESIDE {
        copy(&root().join(file), &folder.join(file))?;
    }
    let file = format!("{name}.tar.gz");
    pack(out, &name, &file, &commit_time()?)?;
    fs::remove_dir_all(folder)?;
    Ok(file)
}

/// Packs a folder: in order, nobody's, of one time.
fn pack(out: &Path, name: &str, file: &str, time: &str) -> Result<()> {
    let mut tar = Command::new("tar");
    tar.current_dir(out)
        .args(["--create", "--sort=name", "--owner=0", "--group=0"])
        .args(["--numeric-owner", "--mode=u=rwX,go=rX"])
        .arg(format!("--mtime=@{time}"))
        .args(["--use-compress-program=gzip -n", "--file", file, name]);
    run(&mut tar)
}

/// The commit, as the program names it.
fn commit() -> Result<String> {
    let commit = read(program("git").args(["rev-parse", "--short=12", "HEAD"]))?;
    Ok(commit.trim().to_owned())
}

/// When the commit was made, in seconds of Unix time.
fn commit_time() -> Result<String> {
    let time = read(program("git").args(["log", "-1", "--format=%ct"]))?;
    Ok(time.trim().to_owned())
}

/// What the program, and the guest in it, are made of.
fn bill(version: &str, out: &Path) -> Result<String> {
    let mut trees = String::new();
    for package in ["tenantry", "tenantry-guest"] {
        let args = ["tree", "--locked", "--edges=normal", "--prefix=none"];
        trees += &read(
            cargo()
                .args(args)
                .args(["--package", package, "--format", sbom::FORMAT]),
        )?;
    }
    let document = sbom::document(version, &trees)?;
    let file = format!("tenantry-{version}.cdx.json");
    fs::write(out.join(&file), serde_json::to_string_pretty(&document)?)?;
    Ok(file)
}

/// The npm package as it is tested, and what npm would say about it.
fn npm(version: &str, out: &Path) -> Result<String> {
    let file = format!("tenantry-{version}.tgz");
    copy(&web::build()?.folder.join(&file), &out.join(&file))?;
    let mut npm = program("npm");
    run(npm
        .current_dir(out)
        .args(["publish", "--dry-run", "--access", "public"])
        .arg(format!("./{file}")))?;
    Ok(file)
}

/// The crates that are for others to use, and what crates.io would say about each.
fn crates(is_dry_run: bool) -> Result<Vec<String>> {
    let workspace = Workspace::load()?;
    let members = workspace.members().filter(|member| member.is_published());
    let names: Vec<_> = members.map(|member| member.name().to_owned()).collect();
    for name in &names {
        let mut publish = cargo();
        publish.args(["publish", "--dry-run", "--locked", "--package", name]);
        if is_dry_run {
            publish.arg("--allow-dirty");
        }
        run(&mut publish)?;
    }
    Ok(names)
}

/// The container image, as a file that `docker load` takes.
fn image(version: &str, out: &Path) -> Result<String> {
    let tag = format!("tenantry:{version}");
    let file = format!("tenantry-{version}-image.tar");
    // Without its service, the program alone is of no use.
    let asked = output(program("docker").arg("version"))?;
    ensure!(asked.status.success(), "Docker does not run here");
    run(program("docker")
        .args(["build", "--file", "deploy/Dockerfile", "--tag", &tag])
        .args(["--build-arg", &format!("TENANTRY_COMMIT={}", commit()?)])
        .arg("."))?;
    run(program("docker")
        .args(["save", "--output"])
        .arg(out.join(&file))
        .arg(&tag))?;
    run(Command::new("gzip").arg("-n").arg(out.join(&file)))?;
    Ok(format!("{file}.gz"))
}

/// Writes SHA256SUMS, which `sha256sum --check` reads.
fn checksums(out: &Path, files: &[String]) -> Result<()> {
    let sums = read(Command::new("sha256sum").current_dir(out).args(files))?;
    fs::write(out.join("SHA256SUMS"), sums)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An empty folder of this test's own.
    fn empty(name: &str) -> PathBuf {
        let name = format!("xtask-release-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).expect("a folder");
        folder
    }

    #[test]
    fn the_same_files_make_the_same_archive() {
        let packed = |name: &str| {
            let out = empty(name);
            for file in ["b", "a"] {
                fs::create_dir_all(out.join("x")).expect("a folder");
                fs::write(out.join("x").join(file), file).expect("a file");
            }
            pack(&out, "x", "x.tar.gz", "1000000000").expect("tar");
            let bytes = fs::read(out.join("x.tar.gz")).expect("an archive");
            fs::remove_dir_all(out).expect("it is there");
            bytes
        };
        assert_eq!(packed("one"), packed("two"));
    }

    #[test]
    fn checksums_are_of_all_files_and_can_be_checked() {
        let out = empty("sums");
        let files = ["a".to_owned(), "b".to_owned()];
        for file in &files {
            fs::write(out.join(file), file).expect("a file");
        }
        checksums(&out, &files).expect("sums");
        let mut check = Command::new("sha256sum");
        check.current_dir(&out).args(["--check", "SHA256SUMS"]);
        assert_eq!(read(&mut check).expect("they fit"), "a: OK\nb: OK\n");
        assert!(checksums(&out, &["none".to_owned()]).is_err());
        fs::remove_dir_all(out).expect("it is there");
    }

    #[test]
    fn the_repositorys_versions_agree_whatever_is_not_released_yet() {
        let version = version().expect("Cargo.toml");
        let mut problems = problems(&version, &format!("v{version}"), "").expect("readable");
        problems.retain(|problem| !problem.starts_with("CHANGELOG.md: "));
        assert_eq!(problems, [""; 0]);
    }

    #[test]
    fn what_the_program_is_made_of_is_known_with_licences() {
        let out = empty("bill");
        let file = bill("1.2.3", &out).expect("a document");
        let text = fs::read_to_string(out.join(file)).expect("a file");
        for name in ["wasmtime", "hyper", "tenantry-core", "wit-bindgen"] {
            assert!(text.contains(&format!("pkg:cargo/{name}@")), "{name}");
        }
        fs::remove_dir_all(out).expect("it is there");
    }
}
