//! What the command line can do.

pub mod addresses;
pub mod audit;
pub mod backup;
pub mod callbacks;
pub mod doctor;
pub mod healthcheck;
pub mod migrate;
pub mod output;
pub mod rekey;
pub mod restored;
pub mod tenant;

use bloonio_wire::code::ErrorCode;
use clap::Subcommand;
use serde::Serialize;
use serde_json::Value;

use crate::config::{Config, RelayArgs, StoreArgs, StoreConfig};
use crate::seal::KeyRing;
use crate::service::error::ServiceError;
use crate::storage::Storage;
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
    Migrate(migrate::MigrateArgs),
    /// Look at everything that `serve` needs with these settings, and say what to do about what is found.
    ///
    /// Nothing is changed. Exit code 0 if a relay can run, else 1; with --strict, 1 for warnings, too.
    Doctor(doctor::DoctorArgs),
    /// Manage tenants directly in the database, without a running relay and without the admin key.
    #[command(subcommand)]
    Tenant(tenant::TenantCommand),
    /// Look at the outbox of callbacks and send them again, directly in the database.
    #[command(subcommand)]
    Callbacks(callbacks::CallbacksCommand),
    /// Bring push addresses back that were taken out of use by mistake, directly in the database.
    #[command(subcommand)]
    Addresses(addresses::AddressesCommand),
    /// Seal again, under the first master key, what the others have sealed. Relays may run meanwhile; all of them must seal
    /// with that key by now. It can be ended and run again at any time.
    Rekey(rekey::RekeyArgs),
    /// Look at the audit trail, and verify that nothing of it was changed.
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Copy a SQLite database to a file, beside running relays. The master key is not in it.
    Backup(backup::BackupArgs),
    /// Treat a database that was restored from a backup, before a relay serves it: nothing that may have been answered, used,
    /// ended or replaced since then holds any more. No relay may be running.
    Restored(restored::RestoredArgs),
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
            Self::Migrate(args) => args.run().await,
            Self::Doctor(args) => args.run().await,
            Self::Tenant(command) => command.run().await,
            Self::Callbacks(command) => command.run().await,
            Self::Addresses(command) => command.run().await,
            Self::Audit(command) => command.run().await,
            Self::Rekey(args) => args.run().await,
            Self::Backup(args) => args.run().await,
            Self::Restored(args) => args.run().await,
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

/// Opens the database, does the work, closes the database; gives the work's answer as JSON.
pub(crate) async fn on_storage<T: Serialize>(
    args: StoreArgs,
    work: impl AsyncFnOnce(&Storage, &KeyRing) -> Result<T, ServiceError>,
) -> anyhow::Result<Result<Value, ServiceError>> {
    let config = store(args)?;
    let (storage, keys) = serve::open(&config).await?;
    let done = work(&storage, &keys).await.and_then(|answer| Ok(serde_json::to_value(answer)?));
    storage.close().await;
    Ok(done)
}

/// A refusal, for the person at the terminal.
pub(crate) fn explain(error: ServiceError, subject: &str) -> anyhow::Error {
    match error {
        ServiceError::Invalid(problems) => {
            let problems: Vec<_> = problems.iter().map(|p| format!("{} {}", p.field, p.problem)).collect();
            anyhow::anyhow!("{}", problems.join("; "))
        }
        ServiceError::Refused(ErrorCode::NotFound) => anyhow::anyhow!("there is no such {subject} (NOT_FOUND)"),
        other => other.into(),
    }
}

/// Prints to standard output; whoever closes the pipe early has seen enough.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    use std::io::{ErrorKind, Write};
    match writeln!(std::io::stdout().lock(), "{text}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
