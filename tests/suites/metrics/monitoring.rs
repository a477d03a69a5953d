//! The dashboard and the rules in `examples/monitoring`.

use std::path::PathBuf;
use std::process::Command;

use nodesockd_tests::prometheus::Prometheus;
use nodesockd_tests::{program, until};
use serde_json::Value;

/// A file of the example.
pub fn file(name: &str) -> PathBuf {
    program::root().join("examples/monitoring").join(name)
}

/// Every query of the dashboard has an answer, and every rule can be evaluated.
pub fn nothing_is_empty(prometheus: &Prometheus) {
    let queries = queries();
    assert!(queries.len() > 20, "{queries:#?}");
    for query in queries {
        until(&format!("`{query}` has an answer"), || !prometheus.query(&query).is_empty());
    }
    until("all rules were evaluated", || {
        let rules = prometheus.rules();
        rules.len() == 10 && rules.iter().all(|rule| rule["health"] == "ok")
    });
}

/// What the panels of the dashboard ask for, with what Grafana fills in.
fn queries() -> Vec<String> {
    let text = std::fs::read_to_string(file("dashboard.json")).unwrap();
    let board: Value = serde_json::from_str(&text).unwrap();
    let panels = board["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().unwrap());
    let query = |target: &Value| target["expr"].as_str().unwrap().to_owned();
    targets.map(query).map(|query| query.replace("$__rate_interval", "1m").replace("$app", ".*")).collect()
}

#[test]
fn promtool_finds_nothing_wrong() {
    for (kind, name) in [("rules", "alerts.yml"), ("config", "prometheus.yml")] {
        let output = Command::new("promtool").args(["check", kind]).arg(file(name)).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}
