//! Running cargo, with its progress shown.

use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

/// The cargo that runs this command.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    command
}

fn run(arguments: &[&str], more: &[String], variables: &[(&str, &str)]) -> anyhow::Result<()> {
    let mut command = cargo();
    command.args(arguments).args(more).envs(variables.iter().copied());
    let shown = arguments.iter().copied().chain(more.iter().map(String::as_str)).collect::<Vec<_>>().join(" ");
    eprintln!("==> cargo {shown}");
    let status = command.status().with_context(|| format!("cargo {shown} does not start"))?;
    ensure!(status.success(), "cargo {shown} failed");
    Ok(())
}

fn has_nextest() -> bool {
    let quiet = cargo().args(["nextest", "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    quiet.is_ok_and(|status| status.success())
}

/// Builds the binaries that the end-to-end tests start, runs the documentation's examples, then every test.
pub fn test(arguments: &[String]) -> anyhow::Result<()> {
    crate::install::missing_programs();
    if let Err(error) = crate::peers::install() {
        eprintln!("{error:#}; the tests with backends in other languages will fail");
    }
    run(&["build", "--workspace", "--bins"], &[], &[])?;
    if arguments.is_empty() {
        run(&["test", "--workspace", "--all-features", "--doc", "--quiet"], &[], &[])?;
    }
    let runner: &[&str] = if has_nextest() { &["nextest", "run"] } else { &["test", "--lib", "--bins", "--tests"] };
    run(&[runner, &["--workspace", "--all-features"]].concat(), arguments, &[])?;
    if arguments.is_empty() { relay_on_postgres(runner) } else { Ok(()) }
}

/// The relay's own tests once more, each on a database of its own on a private PostgreSQL server.
fn relay_on_postgres(runner: &[&str]) -> anyhow::Result<()> {
    let mut with_postgres = cargo();
    with_postgres.args(["run", "--quiet", "--package", "bloonio-tests", "--bin", "with-postgres", "--"]);
    with_postgres.arg(cargo().get_program()).args(runner);
    with_postgres.args(["--package", "bloonio-relay-server", "--all-features"]);
    eprintln!("==> the relay's tests on PostgreSQL");
    let status = with_postgres.status().context("cargo run does not start")?;
    ensure!(status.success(), "the relay's tests on PostgreSQL failed");
    Ok(())
}

/// Formatting and clippy.
pub fn lint() -> anyhow::Result<()> {
    run(&["fmt", "--all", "--check"], &[], &[])?;
    run(&["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"], &[], &[])
}

/// The documentation of every crate.
pub fn docs() -> anyhow::Result<()> {
    run(&["doc", "--workspace", "--all-features", "--no-deps"], &[], &[("RUSTDOCFLAGS", "-D warnings")])
}
