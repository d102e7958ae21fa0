//! The operator's guide cannot rot: its commands are run as they stand there, on private servers.

use std::path::Path;
use std::process::Stdio;

use bloonio_demo::process::binary;
use bloonio_tests::keeper::free_port;
use bloonio_tests::postgres::PostgresServer;
use bloonio_tests::redis::RedisServer;
use tokio::process::Command;

/// Ends what the guide has started and not stopped, if a command of it fails.
const PROLOGUE: &str = "set -euo pipefail\ntrap 'kill -KILL $(jobs -p) 2>/dev/null || true' EXIT\nset -x\n";

/// All `sh` blocks of a page, in order.
fn commands(page: &str) -> String {
    let blocks = page.split("\n```sh\n").skip(1).map(|rest| rest.split("\n```").next().expect("its end"));
    blocks.flat_map(|block| [block, "\n"]).collect()
}

#[tokio::test]
async fn the_operators_guide_leads_from_nothing_to_two_relays_that_lose_no_decision() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = std::fs::read_to_string(root.join("docs/src/operator-guide.md")).unwrap();
    let commands = commands(&page);
    assert!(commands.lines().count() > 100, "{commands}");
    let (postgres, redis) = (PostgresServer::start().await, RedisServer::start().await);
    let home = tempfile::tempdir().unwrap();
    let script = home.path().join("guide.sh");
    std::fs::write(&script, format!("{PROLOGUE}{commands}")).unwrap();
    let programs = binary("bloonio-relay-server").expect("built");
    binary("bloonio-phone").expect("built");
    let path = format!("{}:{}:/usr/sbin", programs.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut bash = Command::new("bash");
    bash.arg(&script).env_clear().env("PATH", path).env("RELAY_HOME", home.path()).env("SOURCE", &root);
    bash.env("POSTGRES", format!("127.0.0.1:{}", postgres.port)).env("REDIS", redis.url());
    for port in ["PUBLIC_PORT", "PORT_1", "PORT_2", "METRICS_1", "METRICS_2"] {
        bash.env(port, free_port().await.to_string());
    }
    let done = bash.current_dir(home.path()).stdin(Stdio::null()).kill_on_drop(true).output().await.unwrap();
    let log = |name: &str| std::fs::read_to_string(home.path().join("run").join(name)).unwrap_or_default();
    let tail =
        |text: String| text.lines().rev().take(30).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n");
    assert!(
        done.status.success(),
        "{}\n{}\nrelay 1: {}\nrelay 2: {}\nnginx: {}",
        tail(String::from_utf8_lossy(&done.stdout).into_owned()),
        tail(String::from_utf8_lossy(&done.stderr).into_owned()),
        tail(log("relay-1.log")),
        tail(log("relay-2.log")),
        tail(log("nginx.log")),
    );
}
