//! `doctor`: looks at everything that a relay needs, changes nothing, and says what to do about what it found.
//!
//! | part | what it looks at |
//! | --- | --- |
//! | `finding` | how a look ends, and how that is printed |
//! | `settings` | public address, keys, proxies, callbacks |
//! | `files` | data folder, modes, space on the disk |
//! | `database` | schema, writer, master key, clock, outbox |
//! | `redis` | whether it is there, and what it forgets |
//! | `push` | the key file of FCM; on request, FCM itself |

mod database;
mod files;
mod finding;
mod push;
mod redis;
mod settings;

use anyhow::bail;
use clap::Args;

use crate::config::{Config, RelayArgs};
use crate::telemetry;
use finding::{Finding, Level};

/// What to look at. The settings are those of `serve`, from the same flags and variables.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Also let FCM check a message that it does not deliver, and compare its clock with this machine's.
    #[arg(long)]
    pub fcm: bool,
    /// Count warnings as failures.
    #[arg(long)]
    pub strict: bool,
    /// Print the findings as JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    relay: Box<RelayArgs>,
}

impl DoctorArgs {
    /// Looks, prints what it found, and fails if a relay with these settings would.
    ///
    /// # Errors
    /// How many checks failed; what they found is printed before.
    pub async fn run(self) -> anyhow::Result<()> {
        telemetry::start_quiet_log(self.relay.store.relay_log_format);
        let findings = match Config::from_args(*self.relay) {
            Ok(config) => examine(&config, self.fcm).await,
            Err(error) => {
                vec![Finding::fail("settings", error.to_string(), "correct the setting; nothing else was looked at")]
            }
        };
        match self.json {
            true => super::print(&serde_json::to_string_pretty(&findings)?)?,
            false => super::print(finding::text(&findings).trim_end())?,
        }
        let bad = |finding: &&Finding| finding.level == Level::Fail || (self.strict && finding.level == Level::Warn);
        match findings.iter().filter(bad).count() {
            0 => Ok(()),
            bad => bail!("{bad} of {} checks found something", findings.len()),
        }
    }
}

async fn examine(config: &Config, ask_fcm: bool) -> Vec<Finding> {
    let mut findings = settings::examine(config);
    findings.extend(files::examine(&config.store));
    findings.extend(database::examine(&config.store).await);
    findings.push(redis::examine(config).await);
    findings.extend(push::examine(config, ask_fcm).await);
    findings
}
