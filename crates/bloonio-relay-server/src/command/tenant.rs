//! `tenant`: operator calls without a relay, on the machine that has the database and the master key.

mod fields;

use anyhow::ensure;
use bloonio_wire::clock::SystemClock;
use bloonio_wire::id::TenantId;
use bloonio_wire::random::SystemRandom;
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::Value;

use super::output::PlaceArgs;
use crate::config::CallbackArgs;
use crate::seal::Sealer;
use crate::service::error::ServiceError;
use crate::service::tenant::{Registry, TenantStatus};
use crate::telemetry::AUDIT;
pub use fields::ConfigArgs;

/// What a list shows of a tenant in text.
const COLUMNS: &[&str] = &["tenant_id", "tenant_name", "status", "rate_limit_per_min", "created_at"];

/// What can be done to tenants.
#[derive(Debug, Subcommand)]
pub enum TenantCommand {
    /// Add a tenant; print its id and its secret, which is shown this once. Its calls must carry HTTP message signatures, as
    /// those of bloonio-sudo do, unless `--require-message-signatures false` says otherwise.
    Provision(Box<ProvisionArgs>),
    /// List the tenants, oldest first.
    List(ListArgs),
    /// Show a tenant's configuration and status; never its secret.
    Show(OneTenant),
    /// Change a tenant's configuration; what is not named stays. Neither its secret nor its status changes.
    Update(Box<UpdateArgs>),
    /// Replace a tenant's secret and print the new one. The old one is dead at once.
    #[command(alias = "rotate")]
    RotateSecret(OneTenant),
    /// Hold a tenant: its calls, its devices and its callbacks. Open streams of a running relay end within a minute.
    Suspend(OneTenant),
    /// Let a suspended tenant work again.
    Reactivate(OneTenant),
}

/// A new tenant.
#[derive(Debug, Args)]
pub struct ProvisionArgs {
    /// Name of the tenant.
    pub tenant_name: String,
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    callbacks: CallbackArgs,
    #[command(flatten)]
    place: PlaceArgs,
}

/// A change.
#[derive(Debug, Args)]
pub struct UpdateArgs {
    /// `tnt_` and 32 hex digits.
    pub tenant_id: TenantId,
    /// New name of the tenant.
    #[arg(long, value_name = "NAME")]
    pub tenant_name: Option<String>,
    /// Bring fields back to their defaults: names separated by commas, such as callback_url_base.
    #[arg(long, value_name = "FIELDS", value_delimiter = ',')]
    pub clear: Vec<String>,
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    callbacks: CallbackArgs,
    #[command(flatten)]
    place: PlaceArgs,
}

/// Which page.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Tenants at most.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(i64).range(1..))]
    pub limit: i64,
    /// Tenants to leave out.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
    pub offset: i64,
    #[command(flatten)]
    place: PlaceArgs,
}

/// Which tenant.
#[derive(Debug, Args)]
pub struct OneTenant {
    /// `tnt_` and 32 hex digits.
    pub tenant_id: TenantId,
    #[command(flatten)]
    place: PlaceArgs,
}

impl ProvisionArgs {
    fn fields(&self) -> anyhow::Result<Value> {
        let mut fields = self.config.fields()?;
        fields.insert("tenant_name".to_owned(), Value::from(self.tenant_name.as_str()));
        // HMAC #1 alone signs neither method, path nor query (SECURITY, "Signatures and replay").
        fields.entry("require_message_signatures").or_insert(Value::Bool(true));
        Ok(Value::Object(fields))
    }
}

impl UpdateArgs {
    fn fields(&self) -> anyhow::Result<Value> {
        let mut fields = self.config.fields()?;
        fields.extend(self.tenant_name.iter().map(|name| ("tenant_name".to_owned(), Value::from(name.as_str()))));
        for name in &self.clear {
            let given = fields.insert(name.clone(), Value::Null);
            ensure!(given.is_none_or(|value| value.is_null()), "{name} is both set and cleared");
        }
        ensure!(!fields.is_empty(), "nothing to change: name a field, or one to --clear");
        Ok(Value::Object(fields))
    }
}

impl TenantCommand {
    /// Runs it.
    ///
    /// # Errors
    /// What went wrong, for the person at the terminal.
    pub async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Provision(args) => {
                let fields = args.fields()?;
                let allow_http = args.callbacks.relay_allow_private_callbacks;
                let provision =
                    async |registry: Registry<'_>| Registry { allow_http, ..registry }.provision(&fields).await;
                with_registry("provision", args.place, provision).await
            }
            Self::Update(args) => {
                let fields = args.fields()?;
                let allow_http = args.callbacks.relay_allow_private_callbacks;
                let update = async |registry: Registry<'_>| {
                    Registry { allow_http, ..registry }.update(&args.tenant_id, &fields).await
                };
                with_registry("update", args.place, update).await
            }
            Self::List(args) => {
                with_registry("list", args.place, async |registry| registry.page(args.limit, args.offset).await).await
            }
            Self::Show(args) => {
                with_registry("show", args.place, async |registry| registry.fetch(&args.tenant_id).await).await
            }
            Self::RotateSecret(args) => {
                with_registry("rotate", args.place, async |registry| registry.rotate(&args.tenant_id).await).await
            }
            Self::Suspend(args) => set_status(args, TenantStatus::Suspended).await,
            Self::Reactivate(args) => set_status(args, TenantStatus::Active).await,
        }
    }
}

async fn set_status(args: OneTenant, status: TenantStatus) -> anyhow::Result<()> {
    with_registry(status.as_str(), args.place, async |registry| registry.set_status(&args.tenant_id, status).await)
        .await
}

/// Does the work in the database, notes it in the log, and prints its answer.
async fn with_registry<T: Serialize>(
    operation: &'static str,
    place: PlaceArgs,
    work: impl AsyncFnOnce(Registry<'_>) -> Result<T, ServiceError>,
) -> anyhow::Result<()> {
    let done = super::on_storage(place.store, async |storage, keys| {
        let sealer = Sealer::new(keys);
        work(Registry { storage, sealer: &sealer, clock: &SystemClock, random: &SystemRandom, allow_http: false }).await
    });
    let done = done.await?;
    let tenant = done.as_ref().ok().and_then(|answer| answer["tenant_id"].as_str()).unwrap_or_default();
    let succeeded = done.is_ok();
    tracing::info!(target: AUDIT, operation, tenant.id = tenant, succeeded, "operator call from the command line");
    place.output.print(&done.map_err(|error| super::explain(error, "tenant"))?, COLUMNS)
}
