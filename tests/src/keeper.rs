//! Keeps a server as long as a test wants it, and not a moment longer, however the test ends.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The shell's standard input closes when the test lets go of it, and when the test's process ends in whatever way.
const KEEPER: &str = r#"
folder=$1
shift
"$@" >>"$folder/log" 2>&1 &
server=$!
echo "$server"
read -r _
kill -9 "$server" 2>/dev/null
wait "$server"
rm -rf "$folder"
"#;

/// A shell that keeps one server process.
#[derive(Debug)]
pub struct Keeper {
    shell: Child,
    /// The id of the server's process.
    pub server: u32,
}

impl Keeper {
    /// Starts `command`, which logs to `folder/log`. The folder is removed in the end.
    pub fn start(folder: &Path, command: &[String]) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", KEEPER, "keeper"]).arg(folder).args(command);
        shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut shell = shell.spawn().expect("a shell");
        let output = shell.stdout.take().expect("standard output is piped");
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).expect("the server's process id");
        let server = line.trim().parse().expect("a process id");
        Self { shell, server }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

/// Sends a signal to one process.
pub fn signal(name: &str, process: u32) {
    // The shell's own `kill`: a bare system has no other.
    let sent = Command::new("sh").args(["-c", &format!("kill -{name} {process}")]).status().expect("a shell");
    assert!(sent.success(), "process {process} cannot be told");
}

/// A port that nobody listens on at this moment.
pub async fn free_port() -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    listener.local_addr().expect("an address").port()
}
