//! Who may know whom, proven from `cargo metadata`.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

/// The house: each crate, and the crates of the house that it may know. Examples, tests and xtask may know anybody.
const MAY_KNOW: &[(&str, &[&str])] = &[
    ("bloonio-wire", &[]),
    ("bloonio-sudo", &["bloonio-wire"]),
    ("bloonio-axum", &["bloonio-wire", "bloonio-sudo"]),
    ("bloonio-actix", &["bloonio-wire", "bloonio-sudo"]),
    ("bloonio-auth-api", &["bloonio-wire"]),
    ("bloonio-relay-server", &["bloonio-wire", "bloonio-auth-api"]),
    ("bloonio-authenticator", &["bloonio-wire"]),
];

/// Nothing below an adapter may name a web framework, or the `http` types that the two frameworks disagree on.
const BELOW_ADAPTERS: &[&str] = &["bloonio-wire", "bloonio-sudo"];
const FRAMEWORKS: &[&str] = &["axum", "axum-core", "actix-web", "actix-http", "http", "tower", "hyper"];

/// One TLS stack, one provider.
const NOWHERE: &[&str] = &["ring", "openssl-sys", "native-tls"];

type Graph = BTreeMap<String, BTreeSet<String>>;

/// Checks the workspace.
pub fn check() -> anyhow::Result<()> {
    let output = crate::cargo::cargo().args(["metadata", "--format-version", "1", "--no-deps"]).output()?;
    ensure!(output.status.success(), "cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata is not JSON")?;
    let graph = direct_dependencies(&metadata)?;
    let mut wrong = violations(&graph);
    for name in NOWHERE {
        if in_build(name)? {
            wrong.push(format!("{name} is in the build: there is one TLS stack, rustls on aws-lc-rs"));
        }
    }
    if wrong.is_empty() {
        println!("{} crates know only whom they may know", graph.len());
        return Ok(());
    }
    bail!("the house is not in order:\n  {}", wrong.join("\n  "))
}

/// Whether any normal build pulls `name` in, with every feature on.
fn in_build(name: &str) -> anyhow::Result<bool> {
    let arguments = ["tree", "--workspace", "--all-features", "--edges", "normal,build", "--prefix", "none"];
    let output = crate::cargo::cargo().args(arguments).output()?;
    ensure!(output.status.success(), "cargo tree failed: {}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(tree.lines().any(|line| line.split(' ').next() == Some(name)))
}

/// What each member depends on outside its tests.
fn direct_dependencies(metadata: &Value) -> anyhow::Result<Graph> {
    let packages = metadata["packages"].as_array().context("no packages")?;
    let mut graph = Graph::new();
    for package in packages {
        let name = package["name"].as_str().context("a package without a name")?;
        let dependencies = package["dependencies"].as_array().context("no dependencies")?;
        let normal = dependencies.iter().filter(|d| d["kind"] != "dev").filter_map(|d| d["name"].as_str());
        graph.insert(name.to_owned(), normal.map(str::to_owned).collect());
    }
    Ok(graph)
}

fn violations(graph: &Graph) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, dependencies) in graph {
        let Some((_, may_know)) = MAY_KNOW.iter().find(|(crate_name, _)| crate_name == name) else { continue };
        for dependency in dependencies.iter().filter(|d| d.starts_with("bloonio-")) {
            if !may_know.contains(&dependency.as_str()) {
                wrong.push(format!("{name} must not know {dependency}"));
            }
        }
        if BELOW_ADAPTERS.contains(&name.as_str()) {
            let named = FRAMEWORKS.iter().filter(|framework| dependencies.contains(**framework));
            wrong.extend(named.map(|framework| format!("{name} must not name {framework}")));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn graph(name: &str, dependencies: &[(&str, Value)]) -> Graph {
        let dependencies: Vec<_> =
            dependencies.iter().map(|(name, kind)| json!({"name": name, "kind": kind})).collect();
        direct_dependencies(&json!({"packages": [{"name": name, "dependencies": dependencies}]})).unwrap()
    }

    #[test]
    fn the_relay_must_not_know_the_engine() {
        let wrong = violations(&graph("bloonio-relay-server", &[("bloonio-sudo", Value::Null), ("axum", Value::Null)]));
        assert_eq!(wrong, ["bloonio-relay-server must not know bloonio-sudo"]);
    }

    #[test]
    fn the_engine_must_not_name_a_framework() {
        let wrong = violations(&graph("bloonio-sudo", &[("bloonio-wire", Value::Null), ("axum", Value::Null)]));
        assert_eq!(wrong, ["bloonio-sudo must not name axum"]);
    }

    #[test]
    fn tests_may_know_more() {
        assert!(violations(&graph("bloonio-sudo", &[("axum", json!("dev"))])).is_empty());
        assert!(violations(&graph("bloonio-tests", &[("bloonio-axum", Value::Null)])).is_empty());
    }

    #[test]
    fn this_workspace_is_in_order() {
        check().unwrap();
    }
}
