//! What crates may contain and depend on.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, anyhow};
use proc_macro2::{TokenStream, TokenTree};

use super::File;
use crate::cargo::Workspace;

/// What the core may be built from: nothing that knows a file, a clock or a socket.
const CORE_DEPENDENCIES: &[&str] = &["lexical-parse-float", "thiserror", "uuid"];

/// What keeps the core pure.
const CORE_FENCES: &[&str] = &["#![no_std]", "#![forbid(unsafe_code)]"];

/// Files, and folders, that may have unsafe code.
const UNSAFE: &[&str] = &[
    // Hands out memory.
    "host/guest/src/allocator.rs",
    // The machine code that is embedded, and what loads it.
    "host/component/src/lib.rs",
    "host/src/lib.rs",
    "host/tests/artifact/src/lib.rs",
    // A guest that misbehaves on purpose.
    "host/tests/guest/src/",
];

/// Parts of the compiler that makes machine code of WebAssembly. (cranelift-entity and
/// cranelift-bitset are mere data structures, which the runtime uses too.)
const COMPILER: &[&str] = &[
    "cranelift-codegen",
    "cranelift-frontend",
    "cranelift-native",
    "wasmtime-internal-cranelift",
    "wasmtime-internal-winch",
    "winch-codegen",
];

/// Direct dependencies of the core that are not on its list, and the other way round.
pub(super) fn core_dependencies(workspace: &Workspace) -> Vec<String> {
    let mut members = workspace.members();
    let Some(core) = members.find(|member| member.name() == "tenantry-core") else {
        return vec!["Cargo.toml: no member is tenantry-core".to_owned()];
    };
    let found: BTreeSet<_> = core.dependencies().collect();
    let listed: BTreeSet<_> = CORE_DEPENDENCIES.iter().copied().collect();
    found
        .symmetric_difference(&listed)
        .map(|name| {
            let what = if found.contains(name) {
                "may not use"
            } else {
                "no longer uses"
            };
            format!("core/Cargo.toml: the core {what} {name}")
        })
        .collect()
}

/// What the core's first file lacks.
pub(super) fn core_fences(text: &str) -> Vec<String> {
    let is_missing = |fence: &&&str| !text.lines().any(|line| line == **fence);
    let missing = CORE_FENCES.iter().filter(is_missing);
    missing
        .map(|fence| format!("core/src/lib.rs: no {fence}"))
        .collect()
}

/// Unsafe code where there may be none. Comments and strings do not count.
///
/// # Errors
/// The file is not Rust.
pub(super) fn unsafe_code(file: &File) -> Result<Option<String>> {
    let may = UNSAFE.iter().any(|path| match path.strip_suffix('/') {
        Some(_) => file.path.starts_with(path),
        None => file.path == *path,
    });
    // Reading every token takes time, and few files have the word at all.
    if may || !file.text.contains("unsafe") {
        return Ok(None);
    }
    let tokens: Result<TokenStream, _> = file.text.parse();
    let tokens = tokens.map_err(|error| anyhow!("{}: {error}", file.path))?;
    let problem = || format!("{}: unsafe code is for the files listed in tidy", file.path);
    Ok(has_unsafe(tokens).then(problem))
}

fn has_unsafe(tokens: TokenStream) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Group(group) => has_unsafe(group.stream()),
        TokenTree::Ident(word) => word == "unsafe",
        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
    })
}

/// A manifest that has lints of its own, or none, without a comment that says why.
///
/// # Errors
/// It is not TOML.
pub(super) fn lints(path: &str, manifest: &str) -> Result<Option<String>> {
    let table: toml::Table = manifest.parse().with_context(|| path.to_owned())?;
    let lints = table.get("lints");
    let inherits = lints.and_then(|lints| lints.get("workspace")?.as_bool()) == Some(true);
    let lines: Vec<_> = manifest.lines().collect();
    let own = lines.iter().position(|line| line.starts_with("[lints"));
    let says_why = own.is_some_and(|line| line > 0 && lines[line - 1].starts_with('#'));
    let is_fine = inherits || says_why;
    Ok((!is_fine).then(|| format!("{path}: neither takes the workspace's lints nor says why")))
}

/// Parts of the compiler among what the shipped program is made from.
pub(super) fn compiler(tree: &str) -> Vec<String> {
    let names = tree
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    let found: BTreeSet<_> = names.filter(|name| COMPILER.contains(name)).collect();
    let mut problems: Vec<_> = found
        .into_iter()
        .map(|name| format!("host/Cargo.toml: the program that ships has {name} in it"))
        .collect();
    if !tree.starts_with("tenantry ") {
        problems.push("cargo tree: not the program's".to_owned());
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::{super::file, *};

    fn core_with(dependencies: &str) -> Vec<String> {
        let text = format!(
            r#"{{"packages":[{{"name":"tenantry-core","dependencies":[{dependencies}]}}]}}"#
        );
        core_dependencies(&Workspace::parse(&text).expect("JSON"))
    }

    #[test]
    fn the_core_has_the_listed_dependencies_and_no_other() {
        let listed = CORE_DEPENDENCIES
            .iter()
            .map(|name| format!(r#"{{"name":"{name}","kind":null}}"#))
            .collect::<Vec<_>>();
        let fewer = listed[..listed.len() - 1].join(",");
        let listed = &listed.join(",");
        assert_eq!(core_with(listed), [""; 0]);
        let for_tests = format!(r#"{listed},{{"name":"proptest","kind":"dev"}}"#);
        assert_eq!(core_with(&for_tests), [""; 0]);
        let more = format!(r#"{listed},{{"name":"tokio","kind":null}}"#);
        assert_eq!(
            core_with(&more),
            ["core/Cargo.toml: the core may not use tokio"]
        );
        assert_eq!(
            core_with(&fewer),
            ["core/Cargo.toml: the core no longer uses uuid"]
        );
    }

    #[test]
    fn the_core_keeps_its_fences() {
        let whole = CORE_FENCES.join("\n");
        assert_eq!(core_fences(&whole), [""; 0]);
        let commented = whole.replace("#![no_std]", "// #![no_std]");
        assert_eq!(core_fences(&commented), ["core/src/lib.rs: no #![no_std]"]);
    }

    #[test]
    fn unsafe_code_is_found_only_where_it_may_not_be() {
        let found = |path: &str, text: &str| unsafe_code(&file(path, text)).expect("Rust");
        let block = "fn f() { g(|| { unsafe { h() } }) }";
        assert!(found("host/src/run.rs", block).is_some());
        assert!(found("host/src/run.rs", "unsafe impl Sync for A {}").is_some());
        assert!(found("core/src/host/src/lib.rs", block).is_some());
        assert_eq!(found("host/src/lib.rs", block), None);
        assert_eq!(found("host/tests/guest/src/probe.rs", block), None);
        let said = "#![forbid(unsafe_code)] // unsafe\n/// unsafe\nfn f() { g(\"unsafe\") }";
        assert_eq!(found("host/src/run.rs", said), None);
        assert!(unsafe_code(&file("a.rs", "unsafe {")).is_err());
    }

    #[test]
    fn a_member_takes_the_lints_or_says_why_not() {
        let problem = |text: &str| lints("a/Cargo.toml", text).expect("TOML");
        assert_eq!(problem("[lints]\nworkspace = true\n"), None);
        assert_eq!(
            problem("# Why.\n[lints.rust]\nunsafe_code = \"allow\"\n"),
            None
        );
        assert!(problem("\n[lints.rust]\nunsafe_code = \"allow\"\n").is_some());
        assert!(problem("[package]\nname = \"a\"\n").is_some());
        assert!(problem("[lints]\nworkspace = false\n").is_some());
        assert!(lints("a/Cargo.toml", "[").is_err());
    }

    #[test]
    fn the_compiler_is_found_in_a_tree() {
        let tree = "tenantry v0.1.0 (/x)\nwasmtime v48.0.8\ncranelift-entity v0.135.8\n";
        assert_eq!(compiler(tree), [""; 0]);
        assert_eq!(
            compiler(&format!("{tree}cranelift-codegen v0.135.8 (*)\n")),
            ["host/Cargo.toml: the program that ships has cranelift-codegen in it"]
        );
        assert_eq!(compiler(""), ["cargo tree: not the program's"]);
    }
}
