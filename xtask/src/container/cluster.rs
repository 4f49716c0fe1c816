//! Whether deploy/compose.cluster.yaml and what it mounts fit together.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::{
    interface::Interface,
    yaml::{documents, items, members, text as text_of},
};

/// What begins the name of a server.
const SERVER: &str = "tenantry-";

/// The files' text, and what they are compared with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cluster<'a> {
    /// deploy/compose.cluster.yaml
    pub(super) compose: &'a str,
    /// deploy/haproxy/haproxy.cfg
    pub(super) haproxy: &'a str,
    /// deploy/prometheus/prometheus.yml, where it is there.
    pub(super) prometheus: Option<&'a str>,
    /// deploy/prometheus/alerts.yml, where it is there.
    pub(super) alerts: Option<&'a str>,
    /// docs/operations.md
    pub(super) operations: &'a str,
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
        problems.extend(self.scraped(compose)?);
        problems.extend(self.documented()?);
        Ok(problems)
    }

    /// Servers that Prometheus does not ask, or that would not answer to their names.
    fn scraped(&self, compose: &Value) -> Result<Vec<String>> {
        let mut problems = Vec::new();
        for (name, server) in members(&compose["services"]) {
            let names = text_of(&server["environment"]["TENANTRY_ADMIN_HOST"]);
            if name.starts_with(SERVER) && !names.split(',').any(|known| known == name) {
                problems.push(format!(
                    "compose.cluster.yaml: {name} does not go by its name"
                ));
            }
        }
        let Some(text) = self.prometheus else {
            return Ok(problems);
        };
        let documents = documents(text).context("prometheus.yml")?;
        let mut targets = BTreeSet::new();
        for job in documents
            .iter()
            .flat_map(|one| items(&one["scrape_configs"]))
        {
            for config in items(&job["static_configs"]) {
                targets.extend(items(&config["targets"]).map(text_of));
            }
        }
        let servers = members(&compose["services"]).filter(|(name, _)| name.starts_with(SERVER));
        let wanted = servers.map(|(name, server)| {
            let admin = text_of(&server["environment"]["TENANTRY_ADMIN"]);
            format!("{name}:{}", admin.rsplit(':').next().unwrap_or_default())
        });
        let missing = wanted.filter(|target| !targets.contains(target));
        problems.extend(missing.map(|target| format!("prometheus.yml: does not ask {target}")));
        Ok(problems)
    }

    /// Alerts without a section that says what to do, and sections of no alert.
    fn documented(&self) -> Result<Vec<String>> {
        let Some(text) = self.alerts else {
            return Ok(Vec::new());
        };
        let documents = documents(text).context("alerts.yml")?;
        let groups = documents.iter().flat_map(|one| items(&one["groups"]));
        let rules: Vec<_> = groups.flat_map(|group| items(&group["rules"])).collect();
        let alerts = rules.iter().filter(|rule| !rule["alert"].is_null());
        let alerts: BTreeMap<_, _> = alerts
            .map(|rule| (text_of(&rule["alert"]), &rule["annotations"]))
            .collect();
        let (_, after) = self
            .operations
            .split_once("\n## Alerts\n")
            .context("docs/operations.md has no section Alerts")?;
        let sections: BTreeSet<_> = after
            .lines()
            .filter_map(|line| line.strip_prefix("### "))
            .collect();
        let mut problems = Vec::new();
        for (name, annotations) in &alerts {
            if !sections.contains(name.as_str()) {
                problems.push(format!("docs/operations.md: no section {name}"));
            }
            let link = format!("docs/operations.md#{}", name.to_lowercase());
            let mut links = members(annotations).map(|(_, value)| text_of(value));
            if !links.any(|found| found.ends_with(&link)) {
                problems.push(format!("alerts.yml: {name} does not lead to {link}"));
            }
        }
        let unknown = sections.iter().filter(|name| !alerts.contains_key(**name));
        problems.extend(
            unknown.map(|name| format!("docs/operations.md: {name} is no alert of alerts.yml")),
        );
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
        let image = text_of(&service["image"]);
        let tag = image.rsplit_once(':').map(|(_, tag)| tag);
        let mut published = items(&service["ports"]).map(text_of);
        let declared = |kind: &str, name: &str| !compose[kind][name].is_null();
        let mut problems = failed(&[
            (
                is_own || tag.is_some_and(|tag| tag != "latest"),
                "its image has no version",
            ),
            // What runs once has no health.
            (
                !service["healthcheck"]["test"].is_null()
                    || service["healthcheck"]["disable"] == true,
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
                    && items(&service["networks"]).all(|one| declared("networks", &text_of(one))),
                "it is in no network, or in one that is not there",
            ),
        ]);
        for volume in items(&service["volumes"]).map(text_of) {
            let mut parts = volume.split(':');
            let (from, mode) = (parts.next().unwrap_or_default(), parts.nth(1));
            if !from.starts_with('.') {
                if compose["volumes"].get(from).is_none() {
                    problems.push(format!("there is no volume {from}"));
                }
                continue;
            }
            if !self.folder.join(from).exists() {
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
            .map(|(name, value)| (name, text_of(value)))
            .collect();
        let setting = |name: &str| environment.get(name).map_or("", String::as_str);
        let token = setting("TENANTRY_ADMIN_TOKEN_FILE").strip_prefix("/run/secrets/");
        let token = token.filter(|token| !compose["secrets"][*token]["file"].is_null());
        let given = items(&service["secrets"]).map(text_of).collect::<Vec<_>>();
        let grace = seconds(&text_of(&service["stop_grace_period"]));
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
                items(&service["entrypoint"]).all(|word| !text_of(word).contains("://")),
                "every user of the machine can read its password",
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
            let address = settings.next().map(text_of).unwrap_or_default();
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
            .map(|server| seconds(&text_of(&server["environment"]["TENANTRY_IDLE_TIMEOUT"])));
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
                value(&["maxconn"]).parse().is_ok_and(|connections: u64| {
                    let files = &compose["services"]["haproxy"]["ulimits"]["nofile"];
                    files.as_u64().is_some_and(|files| 2 * connections < files)
                }),
                "it may not open as many files as its connections need, and does not start",
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
    const OPERATIONS: &str = "# A\n\n## Alerts\n\n### StoreDown\n\nB.\n";

    fn problems(compose: &str, haproxy: &str) -> Vec<String> {
        watched(compose, haproxy, None, None)
    }

    fn watched(
        compose: &str,
        haproxy: &str,
        prometheus: Option<&str>,
        alerts: Option<&str>,
    ) -> Vec<String> {
        let cluster = Cluster {
            compose,
            haproxy,
            prometheus,
            alerts,
            operations: OPERATIONS,
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
            ("tenantry-1,tenantry-2,", "tenantry-2,"),
            ("${POSTGRES_PASSWORD:?set it to a password}@", "secret@"),
            ("export ADMIN_TOKEN_FILE", "export ADMIN_TOKEN"),
            ("/run/secrets/admin-token", "/run/secrets/token"),
            ("- --if-empty", "- --state=postgres://me:secret@db/chat"),
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
            ("nofile: 65536", "nofile: 40000"),
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
    #[test]
    fn prometheus_asks_every_server() {
        let config = |targets: &str| {
            let text = format!("scrape_configs:\n- static_configs:\n  - targets: [{targets}]\n");
            watched(COMPOSE, HAPROXY, Some(&text), None)
        };
        let all = "'tenantry-1:9001', 'tenantry-2:9001', 'tenantry-3:9001'";
        assert_eq!(config(all), [""; 0]);
        assert_eq!(
            config(&all.replace("2:9001", "2:8001")),
            ["prometheus.yml: does not ask tenantry-2:9001"]
        );
    }

    #[test]
    fn every_alert_leads_to_what_to_do_about_it() {
        let alerts = |name: &str, link: &str| {
            let text = format!(
                "groups:\n- rules:\n  - record: a\n  - alert: {name}\n    annotations:\n      \
                 runbook_url: https://example.org/docs/operations.md#{link}\n"
            );
            watched(COMPOSE, HAPROXY, None, Some(&text))
        };
        assert_eq!(alerts("StoreDown", "storedown"), [""; 0]);
        assert_eq!(
            alerts("StoreDown", "down"),
            ["alerts.yml: StoreDown does not lead to docs/operations.md#storedown"]
        );
        assert_eq!(
            alerts("Other", "other"),
            [
                "docs/operations.md: no section Other",
                "docs/operations.md: StoreDown is no alert of alerts.yml"
            ]
        );
    }
}
