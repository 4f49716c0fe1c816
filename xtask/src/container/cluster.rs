//! Whether deploy/compose.cluster.yaml and what it mounts fit together.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::{
    interface::Interface,
    yaml::{documents, items, members, text},
};

/// Files that it mounts and that come with other work in progress.
const COMING: &[&str] = &[
    "prometheus/prometheus.yml",
    "prometheus/alerts.yml",
    "grafana/dashboard.json",
];

/// What begins the name of a server.
const SERVER: &str = "tenantry-";

/// The files' text, and what they are compared with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cluster<'a> {
    /// deploy/compose.cluster.yaml
    pub(super) compose: &'a str,
    /// deploy/haproxy/haproxy.cfg
    pub(super) haproxy: &'a str,
    /// The folder that names of files are relative to.
    pub(super) folder: &'a Path,
    /// The server's flags and paths.
    pub(super) interface: &'a Interface,
}

impl Cluster<'_> {
    /// Everything that is wrong with them.
    ///
    /// # Errors
    /// The compose file is not YAML.
    pub(super) fn problems(&self) -> Result<Vec<String>> {
        let documents = documents(self.compose).context("compose.cluster.yaml")?;
        let compose = documents.first().unwrap_or(&Value::Null);
        let mut problems = self.variables();
        for (name, service) in members(&compose["services"]) {
            let mut found = self.service(name, service, compose);
            if name.starts_with(SERVER) || name == "import" {
                found.extend(self.server(service, compose));
            }
            problems.extend(
                found
                    .into_iter()
                    .map(|problem| format!("compose.cluster.yaml: {name}: {problem}")),
            );
        }
        problems.extend(self.balancer(compose));
        Ok(problems)
    }

    /// Variables that it asks for, and that its first lines don't tell to set.
    fn variables(&self) -> Vec<String> {
        let names = self.compose.split("${").skip(1);
        let names = names.filter_map(|rest| rest.split([':', '}']).next());
        let names: BTreeSet<_> = names.collect();
        let told = |name: &&str| {
            self.compose
                .lines()
                .any(|line| line.starts_with("#   export ") && line.contains(&format!(" {name}=")))
        };
        let untold = names.into_iter().filter(|name| !told(name));
        untold
            .map(|name| format!("compose.cluster.yaml: nobody is told to set {name}"))
            .collect()
    }

    fn service(&self, name: &str, service: &Value, compose: &Value) -> Vec<String> {
        let is_own = service["image"] == "tenantry";
        let image = text(&service["image"]);
        let tag = image.rsplit_once(':').map(|(_, tag)| tag);
        let mut published = items(&service["ports"]).map(text);
        let declared = |kind: &str, name: &str| !compose[kind][name].is_null();
        let mut problems = failed(&[
            (
                is_own || tag.is_some_and(|tag| tag != "latest"),
                "its image has no version",
            ),
            // The server's own image has no program that could ask.
            (
                is_own || !service["healthcheck"]["test"].is_null(),
                "nobody asks whether it is well",
            ),
            (
                service["security_opt"] == json!(["no-new-privileges:true"]),
                "it may get new privileges",
            ),
            (
                published.all(|port| name == "haproxy" || port.starts_with("127.0.0.1:")),
                "it can be reached from other machines",
            ),
            (
                items(&service["networks"]).count() > 0
                    && items(&service["networks"]).all(|one| declared("networks", &text(one))),
                "it is in no network, or in one that is not there",
            ),
        ]);
        for volume in items(&service["volumes"]).map(text) {
            let mut parts = volume.split(':');
            let (from, mode) = (parts.next().unwrap_or_default(), parts.nth(1));
            if !from.starts_with('.') {
                if compose["volumes"].get(from).is_none() {
                    problems.push(format!("there is no volume {from}"));
                }
                continue;
            }
            let is_coming = COMING.contains(&from.trim_start_matches("./"));
            if !is_coming && !self.folder.join(from).exists() {
                problems.push(format!("there is no file {from}"));
            }
            if mode != Some("ro") {
                problems.push(format!("it may write {from}"));
            }
        }
        problems
    }

    fn server(&self, service: &Value, compose: &Value) -> Vec<String> {
        let environment: BTreeMap<_, _> = members(&service["environment"])
            .map(|(name, value)| (name, text(value)))
            .collect();
        let setting = |name: &str| environment.get(name).map_or("", String::as_str);
        let token = setting("TENANTRY_ADMIN_TOKEN_FILE").strip_prefix("/run/secrets/");
        let token = token.filter(|token| !compose["secrets"][*token]["file"].is_null());
        let given = items(&service["secrets"]).map(text).collect::<Vec<_>>();
        let grace = seconds(&text(&service["stop_grace_period"]));
        let mut problems = failed(&[
            (service["read_only"] == true, "its files can be written"),
            (
                service["cap_drop"] == json!(["ALL"]),
                "it keeps capabilities",
            ),
            (
                token.is_some_and(|token| given.iter().any(|one| one == token)),
                "it does not get the file of the admin token",
            ),
            (
                setting("TENANTRY_STATE").starts_with("postgres://tenantry:${POSTGRES_PASSWORD:?"),
                "its password is in the file, or another one than the database's",
            ),
            (
                seconds(setting("TENANTRY_DRAIN")) < grace,
                "it is killed before it has drained",
            ),
        ]);
        let unknown = environment
            .keys()
            .filter(|name| !self.interface.has_variable(name));
        problems.extend(unknown.map(|name| format!("{name} is of no flag")));
        problems
    }

    /// Whether HAProxy has the servers that there are, and asks them as they can be asked.
    fn balancer(&self, compose: &Value) -> Vec<String> {
        let servers = members(&compose["services"]).filter(|(name, _)| name.starts_with(SERVER));
        let servers: BTreeMap<_, _> = servers.collect();
        let lines = || self.haproxy.lines().map(str::trim);
        let words = |line: &str| {
            let words = line.split_whitespace().map(str::to_owned);
            words.collect::<Vec<_>>()
        };
        let listed: BTreeSet<_> = lines()
            .filter(|line| line.starts_with("server "))
            .map(words)
            .map(|words| words[1..].join(" "))
            .collect();
        let port = |name: &str| {
            let mut settings = servers.values().map(|server| &server["environment"][name]);
            let address = settings.next().map(text).unwrap_or_default();
            address.rsplit(':').next().unwrap_or_default().to_owned()
        };
        let expected: BTreeSet<_> = servers
            .keys()
            .map(|name| format!("{name} {name}:{}", port("TENANTRY_LISTEN")))
            .collect();
        let value = |before: &[&str]| {
            let mut found = lines().filter_map(|line| {
                let words = words(line);
                let at = words
                    .windows(before.len())
                    .position(|some| some == before)?;
                words.get(at + before.len()).cloned()
            });
            found.next().unwrap_or_default()
        };
        let idle = servers
            .values()
            .map(|server| seconds(&text(&server["environment"]["TENANTRY_IDLE_TIMEOUT"])));
        let bound = value(&["bind"]);
        let bound = bound.trim_start_matches(':');
        let checks = [
            (servers.len() >= 3, "there are fewer than three servers"),
            (
                listed == expected,
                "its servers are not those of the compose file",
            ),
            (
                value(&["check", "port"]) == port("TENANTRY_ADMIN"),
                "it asks another port than the admin listener's",
            ),
            (
                self.interface.has_path(&value(&["uri"])),
                "it asks for a path that the servers don't have",
            ),
            (
                compose["services"]["haproxy"]["ports"] == json!([format!("{bound}:{bound}")]),
                "it listens on another port than the one that is published",
            ),
            (
                idle.min() > Some(seconds(&value(&["http-keep-alive"]))),
                "servers close idle connections before it does",
            ),
            (
                lines().any(|line| line == "http-request disable-l7-retry unless METH_GET"),
                "it may send a request again that was carried out",
            ),
        ];
        let problems = failed(&checks).into_iter();
        problems
            .map(|problem| format!("haproxy.cfg: {problem}"))
            .collect()
    }
}

/// `20s` as a number; what is none lasts for no time.
fn seconds(text: &str) -> u64 {
    let number = text.strip_suffix('s').and_then(|text| text.parse().ok());
    number.unwrap_or_default()
}

fn failed(checks: &[(bool, &str)]) -> Vec<String> {
    let failed = checks.iter().filter(|(holds, _)| !holds);
    failed.map(|(_, problem)| (*problem).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::root;

    const COMPOSE: &str = include_str!("../../../deploy/compose.cluster.yaml");
    const HAPROXY: &str = include_str!("../../../deploy/haproxy/haproxy.cfg");

    fn problems(compose: &str, haproxy: &str) -> Vec<String> {
        let cluster = Cluster {
            compose,
            haproxy,
            folder: &root().join("deploy"),
            interface: &Interface::read().expect("the source"),
        };
        cluster.problems().expect("YAML")
    }

    #[test]
    fn the_repositorys_files_agree() {
        assert_eq!(problems(COMPOSE, HAPROXY), [""; 0]);
    }

    #[test]
    fn each_change_that_matters_is_a_problem() {
        for (from, to) in [
            ("TENANTRY_CACHE:", "TENANTRY_CASH:"),
            ("${POSTGRES_PASSWORD:?set it to a password}@", "secret@"),
            ("export ADMIN_TOKEN_FILE", "export ADMIN_TOKEN"),
            ("/run/secrets/admin-token", "/run/secrets/token"),
            ("TENANTRY_DRAIN: 20s", "TENANTRY_DRAIN: 30s"),
            ("TENANTRY_IDLE_TIMEOUT: 75s", "TENANTRY_IDLE_TIMEOUT: 5s"),
            ("0.0.0.0:9001", "0.0.0.0:9002"),
            ("0.0.0.0:8001", "0.0.0.0:8000"),
            ("  tenantry-3:\n    <<: *server\n", ""),
            ("\"8001:8001\"", "\"8001:8000\""),
            ("\"127.0.0.1:9090:9090\"", "\"9090:9090\""),
            ("haproxy.cfg:ro", "haproxy.cfg"),
            ("./haproxy/", "./haproxies/"),
            ("postgres:17", "postgres:latest"),
            ("redis:7.4", "redis"),
            ("healthcheck:", "health:"),
            ("read_only: true", "read_only: false"),
            ("- ALL", "- NET_RAW"),
            ("no-new-privileges:true", "no-new-privileges:false"),
            ("      - front\n", "      - forefront\n"),
            ("  prometheus: {}\n", ""),
        ] {
            let changed = COMPOSE.replace(from, to);
            assert_ne!(changed, COMPOSE, "{from}");
            assert_ne!(problems(&changed, HAPROXY), [""; 0], "{from} -> {to}");
        }
        for (from, to) in [
            ("server tenantry-2 tenantry-2:8001", ""),
            ("tenantry-2:8001", "tenantry-2:8000"),
            ("check port 9001", "check port 9002"),
            ("uri /readyz", "uri /ready"),
            ("bind :8001", "bind :8000"),
            ("timeout http-keep-alive 50s", "timeout http-keep-alive 80s"),
            ("unless METH_GET", "if METH_GET"),
        ] {
            let changed = HAPROXY.replace(from, to);
            assert_ne!(changed, HAPROXY, "{from}");
            assert_ne!(problems(COMPOSE, &changed), [""; 0], "{from} -> {to}");
        }
    }
}
