//! Instructions of one request, by callgrind: the same binary and input give the same number whatever else runs.

use std::process::Command;

use anyhow::{Context, ensure};
use clap::ValueEnum;

use crate::app::{Framework, Scene};

/// Few and many requests: the difference leaves out what the process does once.
const FEW: usize = 200;
const MANY: usize = 2_200;

/// Prints a table: each framework, each layer, and what it adds.
pub fn run() -> anyhow::Result<()> {
    println!("| framework | layer | instructions a request | more than bare | of bare |");
    println!("| --- | --- | --- | --- | --- |");
    for framework in [Framework::Axum, Framework::Actix] {
        let bare = of_one(framework, Scene::Bare)?;
        for scene in [Scene::Bare, Scene::Unguarded, Scene::Recall, Scene::Refusal] {
            let count = if scene == Scene::Bare { bare } else { of_one(framework, scene)? };
            let more = count as i64 - bare as i64;
            println!("| {framework:?} | {scene:?} | {count} | {more:+} | {:.2} |", count as f64 / bare as f64);
        }
    }
    Ok(())
}

fn of_one(framework: Framework, scene: Scene) -> anyhow::Result<u64> {
    Ok((of(framework, scene, MANY)? - of(framework, scene, FEW)?) / (MANY - FEW) as u64)
}

/// Instructions of a whole process that answers so many requests.
fn of(framework: Framework, scene: Scene, executed: usize) -> anyhow::Result<u64> {
    let prepared = if scene == Scene::Recall { MANY } else { 0 };
    let name = |value: &dyn Fn() -> Option<clap::builder::PossibleValue>| {
        value().map(|value| value.get_name().to_owned()).context("no name")
    };
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(std::env::current_exe()?).arg("drive");
    command.arg(name(&|| framework.to_possible_value())?).arg(name(&|| scene.to_possible_value())?);
    command.args([prepared.to_string(), executed.to_string()]);
    let output = command.output().context("valgrind does not start: it is Debian's package valgrind")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{said}");
    let counted = said.split("Collected :").nth(1).context("callgrind said no number")?;
    counted.split_whitespace().next().context("callgrind said no number")?.parse().context("callgrind said no number")
}
