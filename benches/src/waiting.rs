//! The memory of requests that wait for a person, against that of requests that are merely parked.

use anyhow::{Context, ensure};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::app::{Framework, body, user};
use crate::serve::Server;

/// Prints both, and their ratio.
pub fn run(requests: usize) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let parked = grown("park", "parked", requests).await?;
        let waiting = grown("waiting", "asked", requests).await?;
        println!("| requests | parked, KiB each | waiting for approval, KiB each | ratio |\n| --- | --- | --- | --- |");
        println!("| {requests} | {parked:.1} | {waiting:.1} | {:.2} |", waiting / parked);
        Ok(())
    })
}

/// KiB by which a server grows for each of so many requests, each on its own connection.
async fn grown(route: &str, counter: &str, requests: usize) -> anyhow::Result<f64> {
    let server = Server::start(Framework::Axum, None)?;
    let address = server.url.strip_prefix("http://").context("an address")?.to_owned();
    let empty = server.peak_kib()?;
    let mut open = Vec::with_capacity(requests);
    for n in 0..requests {
        let mut stream = TcpStream::connect(&address).await.context("raise the limit of open files (ulimit -n)")?;
        let (user, body) = (user(n), body());
        let request = format!(
            "POST /{route}/{n} HTTP/1.1\r\nhost: bench\r\nx-user: {user}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len(),
        );
        stream.write_all(request.as_bytes()).await?;
        open.push(stream);
    }
    let http = reqwest::Client::builder().no_proxy().build()?;
    loop {
        let counted: usize = http.get(format!("{}/{counter}", server.url)).send().await?.text().await?.parse()?;
        ensure!(counted <= requests, "more than were sent");
        if counted == requests {
            return Ok((server.peak_kib()? - empty) as f64 / requests as f64);
        }
        tokio::task::yield_now().await;
    }
}
