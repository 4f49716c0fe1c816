//! The dashboard and the alerts in `deploy`: they ask for nothing that the server does not
//! tell, and a real Prometheus finds data for each of their queries.
//!
//! Where Prometheus is not installed, what needs it is passed over, unless
//! `TENANTRY_TEST_PROMETHEUS` is set, as the step `dashboards` does.

use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{Folder, Scrape, busy, traffic};
use crate::support::{client::PATIENCE, program::workspace};

const DASHBOARD: &str = "deploy/grafana/dashboard.json";
/// What it scrapes in the compose file.
const TARGETS: &str = r#""tenantry-1:9001", "tenantry-2:9001", "tenantry-3:9001""#;

const PROMETHEUS: &str = "deploy/prometheus/prometheus.yml";
const ALERTS: &str = "deploy/prometheus/alerts.yml";

fn read(name: &str) -> String {
    fs::read_to_string(workspace().join(name)).expect(name)
}

/// Whether the real programs are to be run.
#[expect(clippy::print_stderr, reason = "says what is not tested")]
fn is_installed() -> bool {
    let installed = ["prometheus", "promtool"].iter().all(|name| {
        let version = Command::new(name).arg("--version").output();
        version.is_ok_and(|version| version.status.success())
    });
    let is_required = std::env::var_os("TENANTRY_TEST_PROMETHEUS").is_some();
    assert!(installed || !is_required, "Prometheus is not installed");
    if !installed {
        eprintln!("passed over: Prometheus is not installed");
    }
    installed
}

/// A query, and the labels that its legend names.
#[derive(Debug, Clone)]
struct Query {
    text: String,
    legend: Vec<String>,
}

/// The queries of the dashboard, for all servers.
fn dashboard() -> Vec<Query> {
    let dashboard: Value = serde_json::from_str(&read(DASHBOARD)).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels
        .iter()
        .filter_map(|panel| panel["targets"].as_array());
    let queries = targets.flatten().map(|target| {
        let text = target["expr"].as_str().expect("a query");
        let legend = target["legendFormat"].as_str().expect("a legend");
        let labels = legend.split("{{").skip(1);
        let labels = labels.map(|label| label.split("}}").next().unwrap_or_default().to_owned());
        Query {
            text: text
                .replace("$__rate_interval", "5m")
                .replace("$instance", ".*"),
            legend: labels.collect(),
        }
    });
    queries.collect()
}

/// What a query names.
#[derive(Debug, Default, PartialEq, Eq)]
struct Names {
    metrics: BTreeSet<String>,
    labels: BTreeSet<String>,
}

/// Reads the names in a query: those before `(` are functions, those in braces and behind `by`
/// are labels, and all others are metrics.
fn names(query: &str) -> Names {
    const GROUPS: [&str; 4] = ["by", "without", "on", "ignoring"];
    const WORDS: [&str; 4] = ["and", "or", "unless", "bool"];
    let mut names = Names::default();
    let mut rest = query;
    let mut in_braces = false;
    let mut in_group = false;
    while let Some(first) = rest.chars().next() {
        let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        if first.is_ascii_alphabetic() || first == '_' {
            let end = rest.find(|c| !is_of_name(c)).unwrap_or(rest.len());
            let (name, behind) = rest.split_at(end);
            let next = behind.trim_start();
            // `sum by (route) (...)` is one, too.
            let is_call = next.starts_with('(') || {
                let mut groups = GROUPS.iter();
                groups.any(|group| next.starts_with(&format!("{group} (")))
            };
            if in_braces || in_group {
                names.labels.insert(name.to_owned());
            } else if GROUPS.contains(&name) {
                in_group = true;
            } else if !is_call && !WORDS.contains(&name) {
                names.metrics.insert(name.to_owned());
            }
            rest = behind;
            continue;
        }
        match first {
            '{' => in_braces = true,
            '}' => in_braces = false,
            ')' => in_group = false,
            _ => {}
        }
        let closing = match first {
            '"' => Some('"'),
            '[' => Some(']'),
            _ => None,
        };
        rest = &rest[first.len_utf8()..];
        if let Some(closing) = closing {
            rest = rest.split_once(closing).map_or("", |(_, behind)| behind);
        } else if first.is_ascii_digit() {
            // A number, and its unit.
            rest = rest.trim_start_matches(|c| is_of_name(c) || c == '.');
        }
    }
    names
}

/// What a query names that the server does not tell.
fn unknown(scrape: &Scrape, query: &Query) -> Vec<String> {
    // Prometheus's own.
    let mut labels: BTreeSet<_> = ["instance", "job", "le"].into();
    let names = names(&query.text);
    let mut unknown = Vec::new();
    for metric in &names.metrics {
        let is_told = |line: &str| {
            let rest = line.strip_prefix(metric.as_str());
            rest.is_some_and(|rest| rest.starts_with(['{', ' ']))
        };
        if metric != "up" && !scrape.0.lines().any(is_told) {
            unknown.push(metric.clone());
        }
        labels.extend(scrape.labels(metric));
    }
    let named = names.labels.iter().chain(&query.legend);
    let named = named.filter(|label| !labels.contains(label.as_str()));
    unknown.extend(named.cloned());
    unknown
}

fn query(text: &str) -> Query {
    Query {
        text: text.to_owned(),
        legend: Vec::new(),
    }
}

#[test]
fn a_misspelt_name_is_found() {
    let watched = busy();
    let scrape = watched.scrape();
    let unknown = |text| unknown(&scrape, &query(text));
    let none: [&str; 0] = [];
    for text in [
        "tenantry_ready == 0",
        r#"sum by (route, le) (rate(tenantry_http_request_duration_seconds_bucket{route=~"a|b"}[5m]))"#,
        r#"up{job="tenantry"} + 1.5e3"#,
        "time() - process_start_time_seconds",
    ] {
        assert_eq!(unknown(text), none, "{text}");
    }
    assert_eq!(unknown("tenantry_raedy == 0"), ["tenantry_raedy"]);
    assert_eq!(unknown("sum by (ruote) (tenantry_ready)"), ["ruote"]);
    assert_eq!(
        unknown(r#"rate(tenantry_http_requests_total{statsu="200"}[5m])"#),
        ["statsu"]
    );
    // A label of another metric.
    assert_eq!(unknown("sum by (route) (tenantry_tenants)"), ["route"]);
    let legend = Query {
        legend: vec!["stgae".to_owned()],
        ..query("tenantry_tenants")
    };
    assert_eq!(super::dashboards::unknown(&scrape, &legend), ["stgae"]);
}

#[test]
fn the_dashboard_names_only_what_the_server_tells() {
    let watched = busy();
    let scrape = watched.scrape();
    let queries = dashboard();
    assert!(queries.len() > 40, "{}", queries.len());
    for query in queries {
        let unknown = unknown(&scrape, &query);
        assert!(unknown.is_empty(), "{unknown:?} in {}", query.text);
    }
}

fn promtool(args: &[&str], input: &str) -> Output {
    let mut child = Command::new("promtool")
        .args(args)
        .current_dir(workspace())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(input.as_bytes()).expect("it reads");
    drop(stdin);
    child.wait_with_output().expect("it ends")
}

#[test]
fn promtool_finds_nothing_wrong() {
    if !is_installed() {
        return;
    }
    let watched = busy();
    let scrape = watched.scrape().0;
    for (args, input) in [
        (["check", "metrics"].as_slice(), scrape.as_str()),
        (&["check", "rules", ALERTS], ""),
        (&["check", "config", PROMETHEUS], ""),
    ] {
        let output = promtool(args, input);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {said}");
        assert_eq!(said, "", "{args:?}");
    }
}

/// A running Prometheus; killed when the test is over.
struct Prometheus {
    child: Child,
    address: SocketAddr,
    _folder: Folder,
}

impl Prometheus {
    /// With the configuration in `deploy`, but for what it scrapes, and how often.
    fn start(target: SocketAddr) -> Self {
        let folder = Folder::new();
        let config = read(PROMETHEUS);
        for part in [TARGETS, "15s", "alerts.yml"] {
            assert!(config.contains(part), "{part}");
        }
        let alerts = workspace().join(ALERTS);
        let config = config
            .replace(TARGETS, &format!("{:?}", target.to_string()))
            .replace("15s", "200ms")
            .replace("alerts.yml", &alerts.to_string_lossy());
        let file = folder.0.join("prometheus.yml");
        fs::write(&file, config).expect("a file");
        let address = free_address();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.0.join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .arg("--log.level=warn")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log(&folder.0))
            .spawn()
            .expect("Prometheus starts");
        Self {
            child,
            address,
            _folder: folder,
        }
    }

    /// What its HTTP API answers; none while it does not answer.
    fn ask(&self, path: &str, query: Option<&str>) -> Option<Value> {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .proxy(None)
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            .build()
            .into();
        let mut request = agent.get(format!("http://{}/api/v1/{path}", self.address));
        if let Some(query) = query {
            request = request.query("query", query);
        }
        let text = request.call().ok()?.body_mut().read_to_string().ok()?;
        serde_json::from_str(&text).ok()
    }

    /// The alerting rules that it has loaded.
    fn rules(&self) -> Vec<Value> {
        wait_for("rules", || {
            let rules = self.ask("rules", None)?;
            let groups = rules["data"]["groups"].as_array()?.clone();
            let rules = groups.iter().filter_map(|group| group["rules"].as_array());
            let rules: Vec<_> = rules.flatten().cloned().collect();
            // Each was evaluated.
            let is_known = |rule: &Value| rule["health"] != "unknown";
            (!rules.is_empty() && rules.iter().all(is_known)).then_some(rules)
        })
    }

    /// Waits until a query has data.
    fn has_data(&self, query: &str) {
        wait_for(query, || {
            let answer = self.ask("query", Some(query))?;
            assert_eq!(answer["status"], "success", "{query}: {answer}");
            let result = answer["data"]["result"].as_array()?;
            (!result.is_empty()).then_some(())
        });
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn log(folder: &Path) -> fs::File {
    fs::File::create(folder.join("log")).expect("a file")
}

/// A port that is free now, below those that the system gives out.
fn free_address() -> SocketAddr {
    let ports = 20_000 + u16::try_from(std::process::id() % 10_000).expect("16 bits")..32_000;
    let mut addresses = ports.map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    let found = addresses.find(|address| TcpListener::bind(address).is_ok());
    found.expect("a free port")
}

fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begin.elapsed() < 3 * PATIENCE, "nothing for {what}");
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn prometheus_has_data_for_every_query_of_the_dashboard_and_the_alerts() {
    if !is_installed() {
        return;
    }
    let watched = busy();
    let prometheus = Prometheus::start(watched.admin);
    prometheus.has_data("count_over_time(tenantry_ready[5m]) >= 2");
    traffic(&watched);
    let scrape = watched.scrape();
    for query in dashboard() {
        prometheus.has_data(&query.text);
    }
    let operations = read("docs/operations.md");
    let rules = prometheus.rules();
    assert!(rules.len() >= 12, "{}", rules.len());
    for rule in rules {
        let name = rule["name"].as_str().expect("a name");
        assert_eq!(rule["health"], "ok", "{rule}");
        for annotation in ["summary", "description"] {
            let text = rule["annotations"][annotation].as_str();
            assert!(text.is_some_and(|text| text.len() > 10), "{name}");
        }
        let link = format!("docs/operations.md#{}", name.to_lowercase());
        assert_eq!(rule["annotations"]["runbook_url"], link);
        let heading = format!("\n### {name}\n");
        assert!(
            operations.contains(&heading),
            "docs/operations.md has no {name}"
        );
        // What is compared is there, whether or not it is as it should be.
        let text = rule["query"].as_str().expect("a query");
        let parts: Vec<_> = text.rsplitn(3, ' ').collect();
        let [threshold, comparison, compared] = *parts.as_slice() else {
            panic!("{name} compares nothing: {text}");
        };
        assert!([">", "=="].contains(&comparison), "{name}: {text}");
        assert!(threshold.parse::<f64>().is_ok(), "{name}: {text}");
        prometheus.has_data(compared);
        let unknown = unknown(&scrape, &query(text));
        assert!(unknown.is_empty(), "{unknown:?} in {name}");
    }
}
