//! `tenant`: operator calls without a relay, on the machine that has the database and the master key.

use bloonio_wire::clock::SystemClock;
use bloonio_wire::id::TenantId;
use bloonio_wire::random::SystemRandom;
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::config::{CallbackArgs, StoreArgs};
use crate::seal::Sealer;
use crate::serve;
use crate::service::error::ServiceError;
use crate::service::tenant::{Registry, TenantStatus};
use crate::telemetry::AUDIT;

/// What can be done to tenants. Answers are JSON on standard output.
#[derive(Debug, Subcommand)]
pub enum TenantCommand {
    /// Add a tenant and print its id and its secret, which is shown this once. Its calls must carry HTTP message signatures, as
    /// those of bloonio-sudo do.
    Provision(ProvisionArgs),
    /// List the tenants.
    List(ListArgs),
    /// Replace a tenant's secret and print the new one. The old one is dead at once.
    Rotate(OneTenant),
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
    /// Calls a minute, 1 to 10000 [default: 60].
    #[arg(long, value_name = "N")]
    pub rate_limit_per_min: Option<u32>,
    /// Where callbacks go: https, no query.
    #[arg(long, value_name = "URL")]
    pub callback_url_base: Option<String>,
    /// Name that people see on their devices [default: the tenant's name].
    #[arg(long, value_name = "NAME")]
    pub branding_display_name: Option<String>,
    /// Take calls of this tenant that are signed by HMAC #1 alone: for backends that know no message signatures. Such a
    /// signature covers neither method, path nor query.
    #[arg(long)]
    pub insecure_hmac_alone: bool,
    #[command(flatten)]
    callbacks: CallbackArgs,
    #[command(flatten)]
    store: StoreArgs,
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
    store: StoreArgs,
}

/// Which tenant.
#[derive(Debug, Args)]
pub struct OneTenant {
    /// `tnt_` and 32 hex digits.
    pub tenant_id: TenantId,
    #[command(flatten)]
    store: StoreArgs,
}

impl ProvisionArgs {
    fn fields(&self) -> Value {
        let mut fields = Map::new();
        fields.insert("tenant_name".to_owned(), Value::from(self.tenant_name.as_str()));
        fields.insert("require_message_signatures".to_owned(), Value::from(!self.insecure_hmac_alone));
        let optional = [
            ("rate_limit_per_min", self.rate_limit_per_min.map(Value::from)),
            ("callback_url_base", self.callback_url_base.as_deref().map(Value::from)),
            ("branding_display_name", self.branding_display_name.as_deref().map(Value::from)),
        ];
        fields.extend(optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        Value::Object(fields)
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
                let fields = args.fields();
                let allow_http = args.callbacks.relay_allow_private_callbacks;
                let provision =
                    async |registry: Registry<'_>| Registry { allow_http, ..registry }.provision(&fields).await;
                with_registry("provision", args.store, provision).await
            }
            Self::List(args) => {
                with_registry("list", args.store, async |registry| registry.page(args.limit, args.offset).await).await
            }
            Self::Rotate(args) => {
                with_registry("rotate", args.store, async |registry| registry.rotate(&args.tenant_id).await).await
            }
            Self::Suspend(args) => set_status(args, TenantStatus::Suspended).await,
            Self::Reactivate(args) => set_status(args, TenantStatus::Active).await,
        }
    }
}

async fn set_status(args: OneTenant, status: TenantStatus) -> anyhow::Result<()> {
    with_registry(status.as_str(), args.store, async |registry| registry.set_status(&args.tenant_id, status).await)
        .await
}

/// Opens the database, does the work, prints its answer as JSON, closes the database.
async fn with_registry<T: Serialize>(
    operation: &'static str,
    args: StoreArgs,
    work: impl AsyncFnOnce(Registry<'_>) -> Result<T, ServiceError>,
) -> anyhow::Result<()> {
    let config = super::store(args)?;
    let (storage, master) = serve::open(&config).await?;
    let registry = Registry {
        storage: &storage,
        sealer: &Sealer::new(&master),
        clock: &SystemClock,
        random: &SystemRandom,
        allow_http: false,
    };
    let done = work(registry).await.and_then(|answer| Ok(serde_json::to_value(answer)?));
    storage.close().await;
    let tenant = done.as_ref().ok().and_then(|answer| answer["tenant_id"].as_str()).unwrap_or_default();
    let succeeded = done.is_ok();
    tracing::info!(target: AUDIT, operation, tenant.id = tenant, succeeded, "operator call from the command line");
    let answer = done.map_err(|error| match error {
        ServiceError::Invalid(problems) => {
            let problems: Vec<_> = problems.iter().map(|p| format!("{} {}", p.field, p.problem)).collect();
            anyhow::anyhow!("{}", problems.join("; "))
        }
        other => other.into(),
    })?;
    super::print(&serde_json::to_string_pretty(&answer)?)
}
