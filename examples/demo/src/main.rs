//! The whole suite at once: relay, banks and a virtual phone, on this machine alone.

mod scene;
mod show;
mod tour;

use anyhow::{Context, ensure};
use clap::Parser;
use tokio::process::Command;

/// Starts the relay, the example banks and a virtual phone, and prints what to open or type.
///
/// Everything lives in a temporary folder and on free ports of 127.0.0.1; ctrl-c ends it and leaves nothing behind.
#[derive(Debug, Parser)]
#[command(name = "cargo demo")]
struct Options {
    /// Play the whole tour without anybody typing; exit 0 only if every step did what it must.
    #[arg(long)]
    script: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    build().await?;
    if options.script {
        return tour::play().await;
    }
    let scene = scene::Scene::set(scene::Pace::Human).await?;
    show::instructions(&scene);
    tokio::signal::ctrl_c().await.context("cannot wait for ctrl-c")?;
    println!("\nStopping.");
    scene.close().await
}

/// Builds the parts if this was started by cargo; a demo started by hand takes what lies beside it.
async fn build() -> anyhow::Result<()> {
    let Some(cargo) = std::env::var_os("CARGO") else { return Ok(()) };
    println!("Building relay, banks and phone (the first time takes some minutes) ...");
    let binaries = ["bloonio-relay-server", "bloonio-phone", "axum-transfer", "actix-transfer"];
    let mut command = Command::new(cargo);
    command.arg("build").current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    for name in binaries {
        command.args(["--bin", name]);
    }
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    ensure!(command.status().await?.success(), "the build failed");
    Ok(())
}
