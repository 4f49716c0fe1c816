//! Whether the image's files say the same, and what they must say.

use anyhow::{Context as _, Result};
use saphyr::{LoadableYamlNode as _, Yaml};

use super::USER;
use crate::dockerfile::{Stage, stages};

/// The files' text, and what they are compared with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Files<'a> {
    pub(super) dockerfile: &'a str,
    pub(super) compose: &'a str,
    pub(super) ignore: &'a str,
    /// The compiler's version.
    pub(super) release: &'a str,
    /// The folders of the workspace's members.
    pub(super) members: &'a [String],
}

impl Files<'_> {
    /// Everything that is wrong with them.
    ///
    /// # Errors
    /// A file can't be read at all.
    pub(super) fn problems(&self) -> Result<Vec<String>> {
        let stages = stages(self.dockerfile);
        let [build, last] = stages.as_slice() else {
            return Ok(vec![format!("Dockerfile: {} stages, not 2", stages.len())]);
        };
        let mut problems = self.image(build, last)?;
        problems.extend(self.service(last)?);
        problems.extend(self.context());
        Ok(problems)
    }

    fn image(&self, build: &Stage, last: &Stage) -> Result<Vec<String>> {
        let mut checks = vec![
            (
                build.from == format!("rust:{}-bookworm", self.release),
                "the first stage is of another compiler than rust-toolchain.toml",
            ),
            (
                build.all("RUN").eq(["cargo xtask dist"]),
                "the first stage runs something beside `cargo xtask dist`",
            ),
            (last.from == "scratch", "the last stage is not FROM scratch"),
            (last.only("USER")? == USER, "the user is not nobody"),
            (
                last.all("COPY").eq([
                    "--from=build /src/target/dist/tenantry /tenantry",
                    "tenants.jsonl /tenants.jsonl",
                ]),
                "the image has other files than the program and tenants.jsonl",
            ),
            (
                last.entrypoint()? == ["/tenantry", "serve"],
                "the image does not start `tenantry serve`",
            ),
        ];
        let environment = last.environment();
        let is_set = |name: &str, value: &str| environment.contains(&(name, value));
        let port = last.only("EXPOSE")?;
        checks.push((
            is_set("TENANTRY_LISTEN", &format!("0.0.0.0:{port}")),
            "it does not listen, on all addresses, at the port that it exposes",
        ));
        checks.push((
            environment
                .iter()
                .all(|(name, _)| *name != "TENANTRY_TENANTS"),
            "it names a tenants file, which the server warns of where there is a database",
        ));
        Ok(failed("Dockerfile", &checks))
    }

    fn service(&self, last: &Stage) -> Result<Vec<String>> {
        let documents = Yaml::load_from_str(self.compose).context("compose.yaml")?;
        let service = documents
            .first()
            .and_then(|document| member(member(document, "services")?, "tenantry"));
        let service = service.context("compose.yaml has no service tenantry")?;
        let at = |path: &[&str]| {
            let found = path
                .iter()
                .try_fold(service, |yaml, name| member(yaml, name));
            found.map(texts).unwrap_or_default()
        };
        let port = last.only("EXPOSE")?;
        let checks = [
            (
                at(&["build", "context"]) == [".."],
                "the build context is not `..`",
            ),
            (
                at(&["build", "dockerfile"]) == ["deploy/Dockerfile"],
                "it builds from another file",
            ),
            (
                at(&["ports"]) == [format!("8001:{port}")],
                "port 8001 does not lead to the port that the image exposes",
            ),
            (
                at(&["environment", "PORT"]) == [port],
                "PORT is another one than the image's",
            ),
            (
                at(&["volumes"]) == ["../tenants.jsonl:/tenants.jsonl:ro"],
                "tenants.jsonl is not mounted read-only where the image reads it",
            ),
            (
                at(&["read_only"]) == ["true"],
                "the image's files can be written",
            ),
            (at(&["cap_drop"]) == ["ALL"], "it keeps capabilities"),
            (
                at(&["security_opt"]) == ["no-new-privileges:true"],
                "it may get new privileges",
            ),
        ];
        Ok(failed("compose.yaml", &checks))
    }

    /// Cargo needs every member there before it builds any.
    fn context(&self) -> Vec<String> {
        let is_sent = |member: &&String| {
            let top = member.split('/').next().unwrap_or_default();
            self.ignore
                .lines()
                .any(|line| line.strip_prefix('!') == Some(top))
        };
        let missing = self.members.iter().filter(|member| !is_sent(member));
        missing
            .map(|member| format!(".dockerignore: leaves out {member}"))
            .collect()
    }
}

fn failed(file: &str, checks: &[(bool, &str)]) -> Vec<String> {
    let failed = checks.iter().filter(|(holds, _)| !holds);
    failed
        .map(|(_, problem)| format!("{file}: {problem}"))
        .collect()
}

fn member<'a, 'b>(yaml: &'a Yaml<'b>, name: &str) -> Option<&'a Yaml<'b>> {
    yaml.as_mapping_get(name)
}

/// A value, or the values of a list, as text.
fn texts(yaml: &Yaml<'_>) -> Vec<String> {
    if let Some(values) = yaml.as_sequence() {
        return values.iter().flat_map(texts).collect();
    }
    let text = yaml.as_str().map(str::to_owned);
    let text = text.or_else(|| yaml.as_bool().map(|value| value.to_string()));
    text.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCKERFILE: &str = include_str!("../../../deploy/Dockerfile");
    const COMPOSE: &str = include_str!("../../../deploy/compose.yaml");
    const IGNORE: &str = include_str!("../../../.dockerignore");

    fn problems(dockerfile: &str, compose: &str, ignore: &str) -> Vec<String> {
        let files = Files {
            dockerfile,
            compose,
            ignore,
            release: "1.95.0",
            members: &["core".to_owned(), "host/guest".to_owned()],
        };
        files.problems().expect("readable files")
    }

    #[test]
    fn the_repositorys_files_agree() {
        assert_eq!(problems(DOCKERFILE, COMPOSE, IGNORE), [""; 0]);
    }

    #[test]
    fn each_change_that_matters_is_a_problem() {
        for (from, to) in [
            ("rust:1.95.0", "rust:1.94.0"),
            ("FROM scratch", "FROM debian"),
            ("USER 65534:65534", "USER 0"),
            (
                "ENV TENANTRY_LISTEN",
                "ENV TENANTRY_TENANTS=/tenants.jsonl TENANTRY_LISTEN",
            ),
            ("EXPOSE 8000", "EXPOSE 8001"),
            ("0.0.0.0:8000", "127.0.0.1:8000"),
            ("COPY tenants.jsonl", "COPY Cargo.toml"),
            ("\"serve\"", "\"check\""),
            ("cargo xtask dist", "apt-get update"),
        ] {
            let changed = DOCKERFILE.replace(from, to);
            assert_ne!(
                problems(&changed, COMPOSE, IGNORE),
                [""; 0],
                "{from} -> {to}"
            );
        }
        for (from, to) in [
            ("context: ..", "context: ."),
            ("8001:8000", "8001:8001"),
            ("PORT: \"8000\"", "PORT: \"8001\""),
            (":ro", ":rw"),
            ("read_only: true", "read_only: false"),
            ("- ALL", "- NET_RAW"),
            ("no-new-privileges:true", "no-new-privileges:false"),
        ] {
            let changed = COMPOSE.replace(from, to);
            assert_ne!(
                problems(DOCKERFILE, &changed, IGNORE),
                [""; 0],
                "{from} -> {to}"
            );
        }
        let changed = IGNORE.replace("!host", "");
        assert_eq!(
            problems(DOCKERFILE, COMPOSE, &changed),
            [".dockerignore: leaves out host/guest"]
        );
    }
}
