//! `healthcheck`: for container images, which often have no other HTTP client.

use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;

/// Which relay to ask.
#[derive(Debug, Args)]
pub struct HealthcheckArgs {
    /// Address on which the relay listens.
    #[arg(long, env = "RELAY_LISTEN", default_value = "127.0.0.1:8700", value_name = "ADDR")]
    pub relay_listen: String,
}

impl HealthcheckArgs {
    /// Asks `GET /health/ready`.
    ///
    /// # Errors
    /// When the relay does not answer, or is not ready.
    pub async fn run(self) -> anyhow::Result<()> {
        // A relay that listens on all addresses is asked on this machine's own.
        let address = self.relay_listen.replace("0.0.0.0:", "127.0.0.1:").replace("[::]:", "[::1]:");
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build()?;
        let url = format!("http://{address}/health/ready");
        let answer = client.get(&url).send().await.with_context(|| format!("{url} does not answer"))?;
        ensure!(answer.status().is_success(), "{url} answers {}", answer.status());
        Ok(())
    }
}
