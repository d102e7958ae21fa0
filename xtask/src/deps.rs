//! Who may know whom, proven from cargo's own view of the workspace.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

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

/// Nothing below an adapter may build a web framework, by whatever way,
const BELOW_ADAPTERS: &[&str] = &["bloonio-wire", "bloonio-sudo"];
const FRAMEWORKS: &[&str] = &["axum", "axum-core", "actix-web", "actix-http"];
/// nor name the types that the two frameworks disagree on.
const DISPUTED: &[&str] = &["http", "tower", "hyper"];

/// One TLS stack, one provider.
const NOWHERE: &[&str] = &["ring", "openssl-sys", "native-tls"];

/// A crate of the workspace.
#[derive(Debug, PartialEq, Eq)]
struct Member {
    /// Lies in `crates/`, and so has its place in the house.
    in_house: bool,
    /// What it names outside its tests.
    names: BTreeSet<String>,
}

type Members = BTreeMap<String, Member>;

/// Checks the workspace.
pub fn check() -> anyhow::Result<()> {
    let metadata = output(&["metadata", "--format-version", "1", "--no-deps"])?;
    let members = members(&serde_json::from_str(&metadata).context("cargo metadata is not JSON")?)?;
    let mut wrong = broken_rules(&members);
    wrong.extend(forbidden(&tree(&["--workspace"])?, NOWHERE, "the workspace"));
    for name in BELOW_ADAPTERS.iter().filter(|name| members.contains_key(**name)) {
        wrong.extend(forbidden(&tree(&["--package", name])?, FRAMEWORKS, name));
    }
    if wrong.is_empty() {
        println!("{} crates know only whom they may know", members.len());
        return Ok(());
    }
    bail!("the house is not in order:\n  {}", wrong.join("\n  "))
}

fn output(arguments: &[&str]) -> anyhow::Result<String> {
    let output = crate::cargo::cargo().args(arguments).output().context("cargo does not start")?;
    let failed = || format!("cargo {} failed: {}", arguments[0], String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), failed());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Everything that a normal build of `what` compiles, with every feature on.
fn tree(what: &[&str]) -> anyhow::Result<String> {
    let how = ["tree", "--all-features", "--edges", "normal,build", "--prefix", "none"];
    output(&[&how, what].concat())
}

/// The forbidden crates in an output of `cargo tree`, whose lines begin with a crate's name.
fn forbidden(tree: &str, names: &[&str], whose: &str) -> Vec<String> {
    let built: BTreeSet<_> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    names.iter().filter(|name| built.contains(**name)).map(|name| format!("{whose} must not build {name}")).collect()
}

fn members(metadata: &Value) -> anyhow::Result<Members> {
    let root = metadata["workspace_root"].as_str().context("no workspace root")?;
    let house = Path::new(root).join("crates");
    let packages = metadata["packages"].as_array().context("no packages")?;
    let mut members = Members::new();
    for package in packages {
        let name = package["name"].as_str().context("a package without a name")?;
        let manifest = package["manifest_path"].as_str().context("a package without a manifest")?;
        let dependencies = package["dependencies"].as_array().context("no dependencies")?;
        let outside_tests = dependencies.iter().filter(|d| d["kind"] != "dev").filter_map(|d| d["name"].as_str());
        let names = outside_tests.map(str::to_owned).collect();
        members.insert(name.to_owned(), Member { in_house: Path::new(manifest).starts_with(&house), names });
    }
    Ok(members)
}

fn broken_rules(members: &Members) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, member) in members {
        let Some((_, may_know)) = MAY_KNOW.iter().find(|(known, _)| known == name) else {
            if member.in_house {
                wrong.push(format!("{name} has no place in the house: say in xtask/src/deps.rs whom it may know"));
            }
            continue;
        };
        let ours = |named: &String| members.contains_key(named) || MAY_KNOW.iter().any(|(known, _)| known == named);
        let strangers = member.names.iter().filter(|named| ours(named) && !may_know.contains(&named.as_str()));
        wrong.extend(strangers.map(|stranger| format!("{name} must not know {stranger}")));
        if BELOW_ADAPTERS.contains(&name.as_str()) {
            let named = FRAMEWORKS.iter().chain(DISPUTED).filter(|disputed| member.names.contains(**disputed));
            wrong.extend(named.map(|disputed| format!("{name} must not name {disputed}")));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Metadata of one crate in `folder` that names `dependencies`, each with its kind.
    fn metadata(folder: &str, name: &str, dependencies: &[(&str, Value)]) -> Value {
        let dependencies: Vec<_> =
            dependencies.iter().map(|(name, kind)| json!({"name": name, "kind": kind})).collect();
        let manifest = format!("/house/{folder}/{name}/Cargo.toml");
        json!({
            "workspace_root": "/house",
            "packages": [{"name": name, "manifest_path": manifest, "dependencies": dependencies}],
        })
    }

    fn wrong(folder: &str, name: &str, dependencies: &[(&str, Value)]) -> Vec<String> {
        broken_rules(&members(&metadata(folder, name, dependencies)).unwrap())
    }

    #[test]
    fn every_room_may_know_those_that_the_house_says() {
        for (name, may_know) in MAY_KNOW {
            let all = MAY_KNOW.iter().map(|(other, _)| (*other, Value::Null)).filter(|(other, _)| other != name);
            let must_not: Vec<_> = all.clone().filter(|(other, _)| !may_know.contains(other)).collect();
            let expected: BTreeSet<_> =
                must_not.iter().map(|(other, _)| format!("{name} must not know {other}")).collect();
            assert_eq!(wrong("crates", name, &all.collect::<Vec<_>>()).into_iter().collect::<BTreeSet<_>>(), expected);
        }
    }

    #[test]
    fn the_relay_must_not_know_the_engine() {
        let wrong = wrong("crates", "bloonio-relay-server", &[("bloonio-sudo", Value::Null), ("axum", Value::Null)]);
        assert_eq!(wrong, ["bloonio-relay-server must not know bloonio-sudo"]);
    }

    #[test]
    fn the_engine_must_not_name_a_framework_nor_what_the_frameworks_disagree_on() {
        let named = [("bloonio-wire", Value::Null), ("axum", Value::Null), ("http", json!("build"))];
        let wrong = wrong("crates", "bloonio-sudo", &named);
        assert_eq!(wrong, ["bloonio-sudo must not name axum", "bloonio-sudo must not name http"]);
    }

    #[test]
    fn a_test_may_know_more() {
        assert!(wrong("crates", "bloonio-sudo", &[("axum", json!("dev")), ("bloonio-axum", json!("dev"))]).is_empty());
    }

    #[test]
    fn a_new_crate_needs_a_place_and_an_example_needs_none() {
        let wire = [("bloonio-wire", Value::Null)];
        assert_eq!(wrong("crates", "bloonio-new", &wire).len(), 1);
        assert!(wrong("examples", "bloonio-new", &wire).is_empty());
        assert!(wrong("crates-of-others", "bloonio-new", &wire).is_empty());
    }

    #[test]
    fn a_forbidden_crate_is_found_by_its_whole_name() {
        let tree = "bloonio-sudo v0.1.0 (/house/crates/bloonio-sudo)\nringbuffer v1.0.0\nring v0.17.14 (*)\n";
        assert_eq!(forbidden(tree, NOWHERE, "the workspace"), ["the workspace must not build ring"]);
        assert!(forbidden("ringbuffer v1.0.0\nmy-ring v1.0.0\n", NOWHERE, "the workspace").is_empty());
    }

    #[test]
    fn metadata_of_another_shape_is_an_error() {
        assert!(members(&json!({})).is_err());
        assert!(members(&json!({"workspace_root": "/", "packages": [{"name": "x"}]})).is_err());
    }

    #[test]
    fn this_workspace_is_in_order() {
        check().unwrap();
    }
}
