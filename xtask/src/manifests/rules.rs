//! Whether the objects of a set fit together: no schema knows that.

use serde_json::Value;

use super::pods::{Pod, failed, named, pods};
use crate::{
    interface::Interface,
    yaml::{items, members},
};

/// The label that everything has.
const NAME: &str = "app.kubernetes.io/name";

/// What sets are compared with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules<'a> {
    /// The server's flags and paths.
    pub(super) interface: &'a Interface,
    /// The version in Cargo.toml.
    pub(super) version: &'a str,
    /// The repository's tenants.jsonl.
    pub(super) tenants: &'a str,
}

impl Rules<'_> {
    /// Everything that is wrong with a set, each with the object's kind and name.
    pub(super) fn problems(&self, objects: &[Value]) -> Vec<String> {
        let pods = pods(objects);
        let mut problems = Vec::new();
        if !pods.iter().any(|pod| pod.is_server()) {
            problems.push("no server".to_owned());
        }
        for pod in &pods {
            let found = pod.problems(objects, self);
            problems.extend(found.into_iter().map(|problem| of(pod.owner, &problem)));
        }
        for object in objects {
            let found = self.object(object, objects, &pods);
            problems.extend(found.into_iter().map(|problem| of(object, &problem)));
        }
        problems
    }

    fn object(&self, object: &Value, objects: &[Value], pods: &[Pod<'_>]) -> Vec<String> {
        let mut problems = failed(&[
            (
                object["metadata"]["labels"][NAME] == "tenantry",
                "it does not say that it is tenantry's",
            ),
            (
                object["kind"] != "Secret",
                "a secret does not belong in files",
            ),
        ]);
        let spec = &object["spec"];
        problems.extend(match object["kind"].as_str().unwrap_or_default() {
            "Namespace" => failed(&[(
                object["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted",
                "pods in it may be of any kind",
            )]),
            "Service" => service(spec, pods),
            "Deployment" => deployment(object, objects, pods),
            "PodDisruptionBudget" => failed(&[(
                selected(&spec["selector"], pods).any(Pod::is_server),
                "it is about no server",
            )]),
            "HorizontalPodAutoscaler" => autoscaler(spec, objects),
            "NetworkPolicy" => policy(spec, pods),
            "ConfigMap" => {
                let tenants = &object["data"]["tenants.jsonl"];
                let is_another = tenants.as_str().is_some_and(|text| text != self.tenants);
                failed(&[(!is_another, "its tenants are not those of tenants.jsonl")])
            }
            _ => Vec::new(),
        });
        problems
    }
}

fn of(object: &Value, problem: &str) -> String {
    let word = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    format!(
        "{} {}: {problem}",
        word(&object["kind"]),
        word(&object["metadata"]["name"])
    )
}

/// Whether labels have what a selector asks for. One that asks for nothing selects nothing
/// here: it would select everything.
fn matches(selector: &Value, labels: &Value) -> bool {
    let mut wanted = members(selector).peekable();
    wanted.peek().is_some() && wanted.all(|(name, value)| labels[name] == *value)
}

fn selected<'a>(selector: &'a Value, pods: &[Pod<'a>]) -> impl Iterator<Item = Pod<'a>> {
    let selector = &selector["matchLabels"];
    let pods = pods.iter().copied();
    pods.filter(|pod| matches(selector, pod.labels))
        .collect::<Vec<_>>()
        .into_iter()
}

fn service(spec: &Value, pods: &[Pod<'_>]) -> Vec<String> {
    let selected: Vec<_> = pods
        .iter()
        .filter(|pod| matches(&spec["selector"], pod.labels))
        .collect();
    let has_ports = selected
        .iter()
        .all(|pod| items(&spec["ports"]).all(|port| pod.has_port(&port["targetPort"])));
    let mut ports = items(&spec["ports"]).map(|port| &port["targetPort"]);
    let is_admin = ports.any(|port| port == "admin");
    failed(&[
        (
            !selected.is_empty() && selected.iter().all(|pod| pod.is_server()),
            "it leads to something that is no server, or nowhere",
        ),
        (has_ports, "it leads to a port that the servers don't have"),
        (
            !is_admin || items(&spec["ports"]).count() == 1 && spec["clusterIP"] == "None",
            "the admin listener is together with what clients reach",
        ),
        (
            spec["type"] == "ClusterIP",
            "it opens a port to the outside by itself",
        ),
    ])
}

fn deployment(object: &Value, objects: &[Value], pods: &[Pod<'_>]) -> Vec<String> {
    let spec = &object["spec"];
    let mut own = pods.iter().filter(|pod| std::ptr::eq(pod.owner, object));
    let Some(pod) = own.next() else {
        return vec!["it has no pods".to_owned()];
    };
    let mut spread = items(&spec["template"]["spec"]["topologySpreadConstraints"]);
    let is_spread = spread.all(|rule| matches(&rule["labelSelector"]["matchLabels"], pod.labels));
    let is_scaled = objects.iter().any(|scaler| {
        scaler["kind"] == "HorizontalPodAutoscaler"
            && scaler["spec"]["scaleTargetRef"]["name"] == object["metadata"]["name"]
    });
    let settings = pod.settings(objects);
    let state = settings.get("TENANTRY_STATE").map_or("", String::as_str);
    let is_alone = spec["replicas"] == 1 && spec["strategy"]["type"] == "Recreate" && !is_scaled;
    let is_local = state.starts_with("sqlite:") || state == "memory";
    failed(&[
        (
            matches(&spec["selector"]["matchLabels"], pod.labels),
            "it does not select its own pods",
        ),
        (is_spread, "a rule of its spread is about other pods"),
        (
            is_scaled == spec["replicas"].is_null(),
            "either it says how many there are, or an autoscaler does",
        ),
        (
            is_alone == is_local,
            "several servers need a state that they share, and one does not",
        ),
        (
            is_alone || spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0,
            "an old server is stopped before the new one is ready",
        ),
    ])
}

fn autoscaler(spec: &Value, objects: &[Value]) -> Vec<String> {
    let target = &spec["scaleTargetRef"];
    let kind = target["kind"].as_str().unwrap_or_default();
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    let (min, max) = (number(&spec["minReplicas"]), number(&spec["maxReplicas"]));
    let budget = objects
        .iter()
        .find(|object| object["kind"] == "PodDisruptionBudget");
    let away = budget.and_then(|budget| budget["spec"]["maxUnavailable"].as_u64());
    failed(&[
        (
            named(objects, kind, &target["name"]).is_some(),
            "what it scales is not there",
        ),
        (min <= max, "its least is more than its most"),
        (
            away.is_some_and(|away| 1 <= away && away < min),
            "the disruption budget leaves no server, or lets no node be emptied",
        ),
    ])
}

fn policy(spec: &Value, pods: &[Pod<'_>]) -> Vec<String> {
    let covers = pods
        .iter()
        .all(|pod| matches(&spec["podSelector"]["matchLabels"], pod.labels));
    let is_for = |name: &str| items(&spec["policyTypes"]).any(|kind| kind == name);
    let mut admin = items(&spec["ingress"])
        .filter(|rule| items(&rule["ports"]).any(|port| port["port"] == "admin"));
    let mut ingress = items(&spec["ingress"]).flat_map(|rule| items(&rule["ports"]));
    let is_there = |port: &Value| pods.iter().any(|pod| pod.has_port(&port["port"]));
    failed(&[
        (covers, "it leaves pods out"),
        (
            is_for("Ingress") && is_for("Egress"),
            "it is about one direction only",
        ),
        (
            admin.all(|rule| items(&rule["from"]).count() > 0),
            "anybody reaches the admin listener",
        ),
        (ingress.all(is_there), "it is about a port that no pod has"),
    ])
}
