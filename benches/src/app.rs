//! The application that is measured: the same routes in both frameworks, with nothing in front of them and with each layer.

use std::sync::Arc;
use std::time::Duration;

use bloonio_sudo::fingerprint::Fingerprint;
use bloonio_sudo::identity::InitiatorHash;
use bloonio_sudo::instruction::{Claim, Redemption, TokenHash, Usage};
use bloonio_sudo::resolver::Resolved;
use bloonio_sudo::store::{InstructionStore, NewInstruction};
use bloonio_sudo::{
    Caller, CustomType, InstructionId, RelaySettings, RequestView, Secret, SudoEngine, SudoRequirement, TenantId,
    UserSocketHash,
};
use clap::ValueEnum;
use tokio::sync::mpsc::UnboundedSender;

use crate::quiet_relay::QuietRelay;

/// The tenant of every run.
pub const TENANT: &str = "tnt_0123456789abcdef0123456789abcdef";

/// The body of every request: 1 KiB of JSON.
pub fn body() -> String {
    format!("{{\"amount\":\"1000.00\",\"memo\":\"{}\"}}", "x".repeat(993))
}

/// A web framework.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Framework {
    Axum,
    Actix,
}

/// What stands between a request and its handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scene {
    /// Nothing.
    Bare,
    /// The resolver's layer, which lets it through.
    Unguarded,
    /// The approval, given and used.
    Recall,
    /// The approval, with a key that nobody has.
    Refusal,
    /// The plainest script of Redis that could use an approval, and nothing else.
    OneScript,
    /// The store's own step that uses an approval, and nothing else.
    OneStep,
}

impl Scene {
    /// The route of the `n`th request.
    pub fn path(self, n: usize) -> String {
        match self {
            Self::Bare => "/bare".to_owned(),
            Self::Unguarded => "/unguarded".to_owned(),
            Self::Recall | Self::Refusal => format!("/guarded/{n}"),
            Self::OneScript => format!("/one-script/{n}"),
            Self::OneStep => format!("/one-step/{n}"),
        }
    }
}

/// The user of the `n`th request: everybody asks once, so that nobody has too many prompts.
pub fn user(n: usize) -> String {
    format!("user-{n:08}")
}

fn identify(view: &RequestView<'_>) -> Option<Caller> {
    let user = view.header("x-user")?;
    Some(Caller::new(UserSocketHash::parse(user).ok()?, user))
}

/// The `n`th instruction that is made past the engine.
pub fn instruction(n: usize) -> anyhow::Result<NewInstruction> {
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&n.to_le_bytes());
    Ok(NewInstruction {
        instruction_id: InstructionId::parse(format!("instruction-{n:020}"))?,
        user: UserSocketHash::parse(user(n))?,
        initiator: InitiatorHash::from_bytes(digest),
        action: "transfer_funds".to_owned(),
        custom_type: CustomType::LocalAuth,
        fingerprint: Fingerprint::from_bytes(digest),
        golden_candidates: Vec::new(),
        response_token: TokenHash::of("token"),
        challenge_digest: "0".repeat(64),
        redemption: Redemption::ByKey,
        shared: true,
        ttl: Duration::from_secs(180),
        execution_window: Duration::from_secs(600),
    })
}

/// The claim on it.
pub fn claim(new: &NewInstruction) -> Claim {
    Claim { initiator: new.initiator, fingerprint: new.fingerprint, redemption: Redemption::ByKey, usage: Usage::Once }
}

/// An engine over this store.
pub fn engine(
    store: Arc<dyn InstructionStore>,
    told: Option<UnboundedSender<bloonio_sudo::InstructionId>>,
) -> anyhow::Result<SudoEngine> {
    let settings = RelaySettings::new("https://relay.example", TenantId::parse(TENANT)?, Secret::new("s".repeat(64)))?
        .with_block_timeout(Duration::from_secs(180));
    let engine = SudoEngine::builder(settings)
        .with_identity(identify)
        .with_store(store)
        .with_relay(Arc::new(QuietRelay(told)))
        .sudo_resolver(async |_: &RequestView<'_>| -> Resolved { Ok(None) })
        .build()?;
    Ok(engine)
}

/// What the guarded routes demand.
pub fn requirement() -> SudoRequirement {
    SudoRequirement::new("transfer_funds").with_title("Transfer")
}

/// The application on axum.
pub mod on_axum {
    use axum::Router;
    use axum::body::Bytes;
    use axum::routing::post;
    use bloonio_axum::{BloonioAuth, Sudo, SudoEngine};

    use super::requirement;

    async fn read(body: Bytes) -> String {
        body.len().to_string()
    }

    async fn run(Sudo(_): Sudo, body: Bytes) -> String {
        body.len().to_string()
    }

    /// Every route.
    pub fn app(engine: SudoEngine) -> Router {
        let auth = BloonioAuth::from(engine);
        Router::new()
            .route("/bare", post(read))
            .route("/unguarded", post(read).layer(auth.sudo_resolved()))
            .route("/guarded/{n}", post(run).layer(auth.sudo_required(requirement())))
            .route("/waiting/{n}", post(run).layer(auth.sudo_required(requirement().with_blocking())))
    }
}

/// The application on actix.
pub mod on_actix {
    use actix_web::web::{self, Bytes, ServiceConfig};
    use bloonio_actix::{BloonioAuth, Sudo, SudoEngine};

    use super::requirement;

    async fn read(body: Bytes) -> String {
        body.len().to_string()
    }

    async fn run(_: Sudo, body: Bytes) -> String {
        body.len().to_string()
    }

    /// Every route.
    pub fn app(engine: SudoEngine) -> impl FnOnce(&mut ServiceConfig) {
        let auth = BloonioAuth::from(engine);
        move |config| {
            let unguarded = web::resource("/unguarded").route(web::post().to(read)).wrap(auth.sudo_resolved());
            let guarded = web::resource("/guarded/{n}").route(web::post().to(run));
            config
                .service(web::resource("/bare").route(web::post().to(read)))
                .service(unguarded)
                .service(guarded.wrap(auth.sudo_required(requirement())));
        }
    }
}
