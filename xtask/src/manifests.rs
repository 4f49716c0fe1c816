//! Step `manifests`: what is in deploy/kubernetes. By itself it must be right, and what
//! Kustomize makes of it; by Kubernetes' own schemas, and as a whole.

mod pods;
mod rules;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use self::rules::Rules;
use crate::{
    cargo::{Workspace, version},
    dist::copy,
    interface::Interface,
    process::{output, read, reason, root},
    setup::Packages,
    steps::Outcome,
    yaml::{documents, items, text},
};

/// Versions of Kubernetes whose schemas everything must fit: the oldest that knows all that
/// is used here, and the newest.
const VERSIONS: [&str; 2] = ["1.30", "1.37"];

/// What can be applied, in deploy/kubernetes.
const SETS: [&str; 3] = ["base", "overlays/cluster", "overlays/single"];

/// The name of Kustomize's own files.
const KUSTOMIZATION: &str = "kustomization.yaml";

/// Runs the step.
pub(crate) fn step() -> Result<Outcome> {
    let folder = root().join("deploy/kubernetes");
    let tenants = fs::read_to_string(root().join("tenants.jsonl"))?;
    let rules = Rules {
        interface: &Interface::read()?,
        version: &version()?,
        tenants: &tenants,
    };
    let mut problems = Vec::new();
    for set in SETS {
        let objects = plain(&folder.join(set))?;
        problems.extend(about(set, rules.problems(&objects)));
    }
    let files = whole_files(&folder)?;
    ensure!(problems.is_empty(), "{}", problems.join("\n"));
    println!("the manifests fit together");

    let validator = Packages::install("kubernetes-validate")?;
    validate(&validator, &files)?;
    let kubectl = match Packages::install("kubectl") {
        Ok(kubectl) => kubectl,
        Err(error) => {
            let why = format!("rendering: kubectl, which has Kustomize, is missing: {error:#}");
            return Ok(Outcome::Skipped(why));
        }
    };
    let out = Workspace::load()?.target_dir()?.join("manifests");
    fs::create_dir_all(&out)?;
    let mut files = Vec::new();
    for set in SETS {
        let rendered = read(
            kubectl
                .program("kubectl")
                .arg("kustomize")
                .arg(folder.join(set)),
        )?;
        let file = out.join(format!("{}.yaml", set.replace('/', "-")));
        fs::write(&file, &rendered)?;
        files.push(file);
        let objects = documents(&rendered)?;
        let of_namespace = |object: &Value| {
            object["kind"] == "Namespace" || object["metadata"]["namespace"] == "tenantry"
        };
        ensure!(
            objects.iter().all(of_namespace),
            "{set}: not all of it is in one namespace"
        );
        problems.extend(about(set, rules.problems(&objects)));
    }
    ensure!(problems.is_empty(), "rendered: {}", problems.join("\n"));
    files.push(documented(&kubectl, &out)?);
    validate(&validator, &files)?;
    Ok(Outcome::Passed)
}

/// Renders the overlay that docs/operations.md shows, beside a copy of this repository's
/// manifests.
fn documented(kubectl: &Packages, out: &Path) -> Result<PathBuf> {
    let text = fs::read_to_string(root().join("docs/operations.md"))?;
    let mut blocks = text.split("\n```yaml\n").skip(1);
    let shown = blocks.find(|block| block.contains("kind: Kustomization"));
    let shown = shown.and_then(|block| block.split("```").next());
    let shown = shown.context("docs/operations.md shows no overlay")?;

    let copied = out.join("tenantry/deploy/kubernetes");
    let mine = out.join("mine");
    fs::create_dir_all(&mine)?;
    for set in SETS {
        fs::create_dir_all(copied.join(set))?;
        let folder = root().join("deploy/kubernetes").join(set);
        for file in yaml_files(&folder)? {
            copy(
                &file,
                &copied.join(file.strip_prefix(root().join("deploy/kubernetes"))?),
            )?;
        }
    }
    fs::write(mine.join(KUSTOMIZATION), shown)?;
    let tenants = r#"{"id":"umbrella","name":"Umbrella","welcome":"Good day."}"#;
    fs::write(mine.join("tenants.jsonl"), format!("{tenants}\n"))?;
    let rendered = read(kubectl.program("kubectl").arg("kustomize").arg(&mine))?;
    ensure!(
        rendered.contains(tenants)
            && !rendered.contains("acme")
            && !rendered.contains("image: tenantry:"),
        "the overlay of docs/operations.md replaces neither tenants nor images"
    );
    let file = out.join("mine.yaml");
    fs::write(&file, rendered)?;
    Ok(file)
}

fn about(set: &str, problems: Vec<String>) -> impl Iterator<Item = String> {
    problems
        .into_iter()
        .map(move |problem| format!("{set}: {problem}"))
}

/// The objects of a folder as they stand in its files, without what patches would change.
fn plain(folder: &Path) -> Result<Vec<Value>> {
    let mut objects = Vec::new();
    for resource in items(&kustomization(folder)?["resources"]) {
        let path = folder.join(text(resource));
        if path.is_dir() {
            objects.extend(plain(&path)?);
        } else {
            objects.extend(objects_of(&path)?);
        }
    }
    Ok(objects)
}

/// Files whose objects are whole: neither Kustomize's own nor patches.
///
/// # Errors
/// A file can't be read, or is not named by the kustomization of its folder.
fn whole_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut whole = Vec::new();
    for set in SETS {
        let set = folder.join(set);
        let kustomization = kustomization(&set)?;
        let resources: BTreeSet<_> = items(&kustomization["resources"]).map(text).collect();
        let patches = items(&kustomization["patches"]);
        let patches: BTreeSet<_> = patches.map(|patch| text(&patch["path"])).collect();
        for file in yaml_files(&set)? {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            if resources.contains(&*name) {
                whole.push(file);
            } else if name != KUSTOMIZATION {
                let is_patch = patches.contains(&*name);
                ensure!(is_patch, "{}: part of nothing", file.display());
            }
        }
    }
    Ok(whole)
}

fn kustomization(folder: &Path) -> Result<Value> {
    let file = folder.join(KUSTOMIZATION);
    let mut documents = objects_of(&file)?.into_iter();
    documents
        .next()
        .with_context(|| format!("{}: empty", file.display()))
}

fn objects_of(file: &Path) -> Result<Vec<Value>> {
    let shown = || file.display().to_string();
    let text = fs::read_to_string(file).with_context(shown)?;
    documents(&text).with_context(shown)
}

fn yaml_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let paths = entries.map(|entry| Ok(entry?.path()));
    let mut files: Vec<_> = paths.collect::<Result<_>>()?;
    files.retain(|path| path.extension().is_some_and(|end| end == "yaml"));
    files.sort();
    Ok(files)
}

/// Compares the objects of files with the schemas, in which no member may be that they don't
/// name.
fn validate(validator: &Packages, files: &[PathBuf]) -> Result<()> {
    let mut objects = 0;
    for file in files {
        objects += objects_of(file)?.len();
    }
    for version in VERSIONS {
        let mut command = validator.module("kubernetes_validate");
        command.args(["--strict", "--kubernetes-version", version]);
        let validated = output(command.args(files))?;
        let said = String::from_utf8_lossy(&validated.stdout);
        let (passed, others): (Vec<_>, Vec<_>) =
            said.lines().partition(|line| line.starts_with("INFO "));
        // An object of a kind that it does not know is a warning, and no failure.
        ensure!(
            validated.status.success() && others.is_empty() && passed.len() == objects,
            "{} of {objects} objects fit the schemas of Kubernetes {version}; {}\n{}",
            passed.len(),
            reason(&validated),
            others.join("\n")
        );
        println!("{objects} objects fit the schemas of Kubernetes {version}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is wrong with the plain objects of a set once `from` is `to` in its files.
    fn problems(set: &str, from: &str, to: &str) -> Vec<String> {
        let objects = plain(&root().join("deploy/kubernetes").join(set)).expect("YAML");
        let text = serde_json::to_string(&objects).expect("JSON");
        let changed = text.replace(from, to);
        assert!(from == to || changed != text, "no {from}");
        let objects: Vec<Value> = serde_json::from_str(&changed).expect("JSON");
        let tenants = fs::read_to_string(root().join("tenants.jsonl")).expect("a file");
        let rules = Rules {
            interface: &Interface::read().expect("the source"),
            version: &version().expect("Cargo.toml"),
            tenants: &tenants,
        };
        rules.problems(&objects)
    }

    #[test]
    fn the_repositorys_manifests_stand_alone() {
        for set in SETS {
            assert_eq!(problems(set, "", ""), [""; 0], "{set}");
        }
    }

    #[test]
    fn each_change_that_matters_is_a_problem() {
        for (from, to) in [
            ("tenantry:0.", "tenantry:9."),
            ("\"runAsNonRoot\":true", "\"runAsNonRoot\":false"),
            ("\"runAsUser\":65534", "\"runAsUser\":1"),
            ("RuntimeDefault", "Unconfined"),
            ("\"drop\":[\"ALL\"]", "\"drop\":[\"NET_RAW\"]"),
            (
                "\"readOnlyRootFilesystem\":true",
                "\"readOnlyRootFilesystem\":false",
            ),
            (
                "\"allowPrivilegeEscalation\":false",
                "\"allowPrivilegeEscalation\":true",
            ),
            (
                "\"enableServiceLinks\":false",
                "\"enableServiceLinks\":true",
            ),
            (
                "\"automountServiceAccountToken\":false",
                "\"automountServiceAccountToken\":true",
            ),
            (
                "\"serviceAccountName\":\"tenantry\"",
                "\"serviceAccountName\":\"x\"",
            ),
            ("\"limits\":{\"memory\":\"1Gi\"}", "\"limits\":{}"),
            ("/readyz", "/healthz"),
            ("/healthz", "/health"),
            ("\"port\":\"admin\"", "\"port\":\"adnim\""),
            ("0.0.0.0:9001", "127.0.0.1:9001"),
            ("0.0.0.0:8001", "0.0.0.0:8000"),
            ("\"TENANTRY_DRAIN\":\"20s\"", "\"TENANTRY_DRAIN\":\"60s\""),
            ("TENANTRY_THREADS", "TENANTRY_THREAD"),
            ("\"TENANTRY_THREADS\":\"2\"", "\"TENANTRY_THREADS\":\"4\""),
            ("TENANTRY_CACHE", "TENANTRY_CASH"),
            ("tenantry-stores", "tenantry-shops"),
            ("/etc/tenantry/admin/token", "/etc/tenantry/token"),
            ("\"targetPort\":\"http\"", "\"targetPort\":\"https\""),
            ("\"clusterIP\":\"None\",", ""),
            ("\"type\":\"ClusterIP\"", "\"type\":\"NodePort\""),
            (
                "\"selector\":{\"app.kubernetes.io/component\":\"server\"",
                "\"selector\":{\"app.kubernetes.io/component\":\"import\"",
            ),
            (
                "\"matchLabels\":{\"app.kubernetes.io/component\":\"server\"",
                "\"matchLabels\":{\"app.kubernetes.io/component\":\"import\"",
            ),
            ("\"kind\":\"ConfigMap\"", "\"kind\":\"Secret\""),
            ("\"minReplicas\":3", "\"minReplicas\":1"),
            ("\"maxReplicas\":9", "\"maxReplicas\":2"),
            ("\"maxUnavailable\":1", "\"maxUnavailable\":0"),
            ("\"maxUnavailable\":0", "\"maxUnavailable\":1"),
            ("\"revisionHistoryLimit\":5", "\"replicas\":3"),
            ("\"from\":[", "\"form\":["),
            ("\"Egress\"", "\"Ingress\""),
            (
                "pod-security.kubernetes.io/enforce\":\"restricted",
                "pod-security.kubernetes.io/enforce\":\"baseline",
            ),
        ] {
            assert_ne!(problems("base", from, to), [""; 0], "{from} -> {to}");
        }
        for (from, to) in [
            ("acme", "acne"),
            ("--if-empty", "--state=postgres://me:secret@db/chat"),
            (
                "\"configMap\":{\"name\":\"tenantry-tenants\"}",
                "\"configMap\":{\"name\":\"x\"}",
            ),
        ] {
            assert_ne!(
                problems("overlays/cluster", from, to),
                [""; 0],
                "{from} -> {to}"
            );
        }
    }
}
