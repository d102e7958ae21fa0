//! What the command line can do.

pub mod audit;
pub mod healthcheck;
pub mod rekey;
pub mod tenant;

use clap::Subcommand;

use crate::config::{Config, RelayArgs, StoreArgs, StoreConfig};
use crate::{http, serve, telemetry};

/// A command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the relay until SIGTERM or SIGINT.
    ///
    /// Prints `listening on http://ADDR` to standard output once it accepts connections; logs go to standard error (choose
    /// with RUST_LOG, default info). Every flag can be given as an environment variable.
    Serve(Box<RelayArgs>),
    /// Create the database, or bring it up to date, and end.
    Migrate(StoreArgs),
    /// Manage tenants directly in the database, without a running relay and without the admin key.
    #[command(subcommand)]
    Tenant(tenant::TenantCommand),
    /// Seal again, under the first master key, what the others have sealed. Relays may run meanwhile; all of them must seal
    /// with that key by now. It can be ended and run again at any time.
    Rekey(rekey::RekeyArgs),
    /// Look at the audit trail, and verify that nothing of it was changed.
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Print the OpenAPI document of the relay.
    Openapi,
    /// Ask a running relay whether it is ready; exit code 0 if it is.
    Healthcheck(healthcheck::HealthcheckArgs),
}

impl Command {
    /// Runs it.
    ///
    /// # Errors
    /// What went wrong, for the person at the terminal.
    pub async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Serve(args) => {
                let config = Config::from_args(*args)?;
                telemetry::start_log(config.store.log_format);
                serve::serve(config).await
            }
            Self::Migrate(args) => {
                let (storage, _keys) = serve::open(&store(args)?).await?;
                storage.close().await;
                Ok(())
            }
            Self::Tenant(command) => command.run().await,
            Self::Audit(command) => command.run().await,
            Self::Rekey(args) => args.run().await,
            Self::Openapi => print(&http::openapi::json()?),
            Self::Healthcheck(args) => args.run().await,
        }
    }
}

/// Settings of a command that opens the database, with the log started as they say.
pub(crate) fn store(args: StoreArgs) -> anyhow::Result<StoreConfig> {
    let config = StoreConfig::from_args(args)?;
    telemetry::start_log(config.log_format);
    Ok(config)
}

/// Prints to standard output; whoever closes the pipe early has seen enough.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    use std::io::{ErrorKind, Write};
    match writeln!(std::io::stdout().lock(), "{text}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
