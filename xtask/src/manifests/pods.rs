//! What a pod must be like, wherever it comes from.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::rules::Rules;
use crate::{
    container::USER,
    yaml::{items, members, text},
};

/// Secrets that whoever deploys makes by hand: no file of a repository has them.
const SECRETS: &[&str] = &["tenantry-admin", "tenantry-stores"];

/// Seconds that a server has beyond its drain, to write what it has counted.
const REST_S: u64 = 5;

/// Kinds that have a template of pods.
const OWNERS: &[&str] = &["Deployment", "StatefulSet", "DaemonSet", "Job"];

/// Pods of one template.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pod<'a> {
    /// What makes them.
    pub(super) owner: &'a Value,
    /// What they are selected by.
    pub(super) labels: &'a Value,
    spec: &'a Value,
}

/// All templates of a set of objects.
pub(super) fn pods(objects: &[Value]) -> Vec<Pod<'_>> {
    let owners = objects.iter().filter(|object| {
        let kind = object["kind"].as_str().unwrap_or_default();
        OWNERS.contains(&kind)
    });
    owners
        .map(|owner| Pod {
            owner,
            labels: &owner["spec"]["template"]["metadata"]["labels"],
            spec: &owner["spec"]["template"]["spec"],
        })
        .collect()
}

impl<'a> Pod<'a> {
    /// Whether clients are answered by it.
    pub(super) fn is_server(self) -> bool {
        self.labels["app.kubernetes.io/component"] == "server"
    }

    /// Whether one of its containers has a port of this name.
    pub(super) fn has_port(self, name: &Value) -> bool {
        self.containers()
            .flat_map(|container| items(&container["ports"]))
            .any(|port| port["name"] == *name)
    }

    fn containers(self) -> impl Iterator<Item = &'a Value> {
        let init = items(&self.spec["initContainers"]);
        init.chain(items(&self.spec["containers"]))
    }

    /// A container's variables whose values stand in the set, from a ConfigMap or beside it.
    pub(super) fn settings(self, objects: &'a [Value]) -> BTreeMap<&'a str, String> {
        let mut settings = BTreeMap::new();
        for container in self.containers() {
            let maps = items(&container["envFrom"])
                .filter_map(|from| named(objects, "ConfigMap", &from["configMapRef"]["name"]));
            for (name, value) in maps.flat_map(|map| members(&map["data"])) {
                settings.insert(name, text(value));
            }
            for variable in items(&container["env"]) {
                let name = variable["name"].as_str().unwrap_or_default();
                if !variable["value"].is_null() {
                    settings.insert(name, text(&variable["value"]));
                }
            }
        }
        settings
    }

    /// Everything that is wrong with it.
    pub(super) fn problems(self, objects: &'a [Value], rules: &Rules<'_>) -> Vec<String> {
        let mut problems = self.confinement(objects);
        for container in self.containers() {
            problems.extend(self.container(container, objects, rules));
        }
        problems.extend(self.volumes(objects));
        if self.is_server() {
            problems.extend(self.server(objects, rules));
        }
        problems
    }

    fn confinement(self, objects: &[Value]) -> Vec<String> {
        let spec = self.spec;
        let context = &spec["securityContext"];
        let (user, group) = USER.split_once(':').unwrap_or((USER, USER));
        let account = &spec["serviceAccountName"];
        failed(&[
            (
                spec["automountServiceAccountToken"] == false,
                "it gets a token for Kubernetes",
            ),
            (
                named(objects, "ServiceAccount", account).is_some(),
                "its service account is not there",
            ),
            (
                spec["enableServiceLinks"] == false,
                "variables of Services look like flags: enableServiceLinks is not false",
            ),
            (context["runAsNonRoot"] == true, "it may run as root"),
            (
                text(&context["runAsUser"]) == user && text(&context["runAsGroup"]) == group,
                "its user is not the image's",
            ),
            (
                context["seccompProfile"]["type"] == "RuntimeDefault",
                "it may make any system call",
            ),
            (
                ["hostNetwork", "hostPID", "hostIPC"]
                    .iter()
                    .all(|name| spec[*name] != true),
                "it shares something with its node",
            ),
        ])
    }

    fn container(self, container: &Value, objects: &[Value], rules: &Rules<'_>) -> Vec<String> {
        let context = &container["securityContext"];
        let resources = &container["resources"];
        let is_given = |value: &Value| !value.is_null();
        let mut problems = failed(&[
            (
                container["image"] == format!("tenantry:{}", rules.version),
                "its image is of another version than Cargo.toml's",
            ),
            (
                context["allowPrivilegeEscalation"] == false && context["privileged"] != true,
                "it may get privileges",
            ),
            (
                context["readOnlyRootFilesystem"] == true,
                "the image's files can be written",
            ),
            (
                context["capabilities"] == json!({ "drop": ["ALL"] }),
                "it keeps capabilities",
            ),
            (
                is_given(&resources["requests"]["cpu"])
                    && is_given(&resources["requests"]["memory"])
                    && is_given(&resources["limits"]["memory"]),
                "it does not say what processor and memory it needs, and may take",
            ),
        ]);
        for from in items(&container["envFrom"]) {
            let map = &from["configMapRef"]["name"];
            match named(objects, "ConfigMap", map) {
                Some(map) => {
                    let unknown = members(&map["data"])
                        .filter(|(name, _)| !rules.interface.has_variable(name));
                    problems.extend(unknown.map(|(name, _)| format!("{name} is of no flag")));
                }
                None => problems.push(format!("its ConfigMap {map} is not there")),
            }
        }
        for variable in items(&container["env"]) {
            let name = variable["name"].as_str().unwrap_or_default();
            if !rules.interface.has_variable(name) {
                problems.push(format!("{name} is of no flag"));
            }
            if text(&variable["value"]).contains('@') {
                problems.push(format!("{name} has a password that everybody can read"));
            }
            let secret = &variable["valueFrom"]["secretKeyRef"]["name"];
            if is_given(secret) && !SECRETS.contains(&secret.as_str().unwrap_or_default()) {
                problems.push(format!("nobody is told to make the Secret {secret}"));
            }
        }
        let words = items(&container["command"]).chain(items(&container["args"]));
        if words
            .filter_map(Value::as_str)
            .any(|word| word.contains("://"))
        {
            problems.push("every user of its node can read the URL of a store".to_owned());
        }
        for mount in items(&container["volumeMounts"]) {
            let is_there = items(&self.spec["volumes"]).any(|one| one["name"] == mount["name"]);
            if !is_there {
                problems.push(format!("there is no volume {}", mount["name"]));
            }
        }
        problems
    }

    fn volumes(self, objects: &[Value]) -> Vec<String> {
        let mut problems = Vec::new();
        for volume in items(&self.spec["volumes"]) {
            let secret = &volume["secret"]["secretName"];
            let is_there = if !secret.is_null() {
                SECRETS.contains(&secret.as_str().unwrap_or_default())
            } else if !volume["configMap"].is_null() {
                named(objects, "ConfigMap", &volume["configMap"]["name"]).is_some()
            } else if !volume["persistentVolumeClaim"].is_null() {
                let claim = &volume["persistentVolumeClaim"]["claimName"];
                named(objects, "PersistentVolumeClaim", claim).is_some()
            } else {
                !volume["emptyDir"]["sizeLimit"].is_null()
            };
            if !is_there {
                problems.push(format!(
                    "the volume {} is of nothing that is there, or has no bound",
                    volume["name"]
                ));
            }
        }
        problems
    }

    fn server(self, objects: &[Value], rules: &Rules<'_>) -> Vec<String> {
        let mut problems = Vec::new();
        let settings = self.settings(objects);
        let setting = |name: &str| settings.get(name).map_or("", String::as_str);
        for container in items(&self.spec["containers"]) {
            for name in ["startupProbe", "livenessProbe", "readinessProbe"] {
                let asked = &container[name]["httpGet"];
                let path = asked["path"].as_str().unwrap_or_default();
                if !rules.interface.has_path(path) || !self.has_port(&asked["port"]) {
                    problems.push(format!("{name} asks for nothing that the server has"));
                }
                // All servers would be started anew when a store is out of reach.
                let is_of_stores = path == "/readyz";
                if is_of_stores != (name == "readinessProbe") {
                    problems.push(format!("{name} asks for {path}"));
                }
            }
            for (port, flag) in [("http", "TENANTRY_LISTEN"), ("admin", "TENANTRY_ADMIN")] {
                let mut ports = items(&container["ports"]);
                let found = ports.find(|one| one["name"] == port);
                let number = found.map(|port| text(&port["containerPort"]));
                if Some(setting(flag)) != number.map(|port| format!("0.0.0.0:{port}")).as_deref() {
                    problems.push(format!("{flag} and the port {port} differ"));
                }
            }
            if text(&container["resources"]["requests"]["cpu"]) != setting("TENANTRY_THREADS") {
                problems.push("it has not a thread for each processor that it asks for".to_owned());
            }
            let token = setting("TENANTRY_ADMIN_TOKEN_FILE");
            let mut mounts = items(&container["volumeMounts"]);
            let is_mounted = mounts.any(|mount| {
                let folder = mount["mountPath"].as_str().unwrap_or("none");
                let mut volumes = items(&self.spec["volumes"]);
                let of_a_secret = volumes
                    .any(|volume| volume["name"] == mount["name"] && !volume["secret"].is_null());
                of_a_secret && token.starts_with(&format!("{folder}/"))
            });
            if !is_mounted {
                problems.push("the admin token is in no Secret".to_owned());
            }
            let sleep = &container["lifecycle"]["preStop"]["sleep"]["seconds"];
            let drain = setting("TENANTRY_DRAIN").strip_suffix('s');
            let drain = drain.and_then(|seconds| seconds.parse::<u64>().ok());
            let grace = self.spec["terminationGracePeriodSeconds"].as_u64();
            let fits = match (sleep.as_u64(), drain, grace) {
                (Some(sleep), Some(drain), Some(grace)) => sleep + drain + REST_S <= grace,
                _ => false,
            };
            if !fits {
                problems.push(
                    "terminationGracePeriodSeconds has no room for preStop and the drain"
                        .to_owned(),
                );
            }
        }
        problems
    }
}

/// An object of a set.
pub(super) fn named<'a>(objects: &'a [Value], kind: &str, name: &Value) -> Option<&'a Value> {
    objects
        .iter()
        .find(|object| object["kind"] == kind && object["metadata"]["name"] == *name)
}

/// What does not hold.
pub(super) fn failed(checks: &[(bool, &str)]) -> Vec<String> {
    let failed = checks.iter().filter(|(holds, _)| !holds);
    failed.map(|(_, problem)| (*problem).to_owned()).collect()
}
