//! A store on a server of its own, and the usual names.

use bloonio_sudo::fingerprint::Fingerprint;
use bloonio_sudo::identity::InitiatorHash;
use bloonio_sudo::instruction::{Claim, ConsumeRefusal, Instruction, Redemption, TokenHash, Usage, Verdict};
use bloonio_sudo::store::redis::{RedisOptions, RedisStore};
use bloonio_sudo::store::{Created, InstructionStore, Limits, NewInstruction, StoreError};
use bloonio_sudo::{CustomType, InstructionId, Secret, TenantId, UserSocketHash};
use bloonio_tests::redis::RedisServer;
use std::time::Duration;

pub const LIMITS: Limits = Limits { per_initiator: 2, per_user: 3 };
pub const APPROVED: Verdict = Verdict { approved: true, wrong_number: false, device_id: None, webhook_id: None };
pub const DENIED: Verdict = Verdict { approved: false, ..APPROVED };

pub fn tenant() -> TenantId {
    TenantId::parse("tnt_0123456789abcdef0123456789abcdef").unwrap()
}

pub async fn connect(url: &str) -> RedisStore {
    RedisStore::connect(&Secret::new(url), RedisOptions::default()).await.unwrap()
}

/// A store, and the server that nobody else uses.
pub struct Bench {
    pub server: RedisServer,
    pub store: RedisStore,
}

impl Bench {
    pub async fn new() -> Self {
        Self::over(RedisServer::start().await).await
    }

    pub async fn over(server: RedisServer) -> Self {
        let store = connect(&server.url()).await;
        Self { server, store }
    }
}

/// A wish for the `n`th instruction: its own request, by its own session, of its own user.
pub fn wish(n: usize) -> NewInstruction {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&n.to_be_bytes());
    NewInstruction {
        instruction_id: InstructionId::parse(format!("instruction-{n}")).unwrap(),
        user: UserSocketHash::parse(format!("user-{n:06}")).unwrap(),
        initiator: InitiatorHash::from_bytes(bytes),
        action: "transfer_funds".to_owned(),
        custom_type: CustomType::LocalAuth,
        fingerprint: Fingerprint::from_bytes(bytes),
        golden_candidates: Vec::new(),
        response_token: TokenHash::of("token"),
        challenge_digest: "digest".to_owned(),
        redemption: Redemption::ByKey,
        shared: true,
        ttl: Duration::from_secs(180),
        execution_window: Duration::from_secs(180),
    }
}

/// The same request as the `n`th, under another name.
pub fn again(n: usize, name: &str) -> NewInstruction {
    NewInstruction { instruction_id: InstructionId::parse(name).unwrap(), ..wish(n) }
}

pub fn claim(instruction: &Instruction) -> Claim {
    let Instruction { initiator, fingerprint, redemption, .. } = *instruction;
    Claim { initiator, fingerprint, redemption, usage: Usage::Once }
}

pub fn key(instruction: &Instruction) -> String {
    format!("bloonio:auth:sudo:{{{}}}", instruction.instruction_id)
}

pub async fn created(store: &RedisStore, wish: NewInstruction) -> Instruction {
    match store.create(&tenant(), wish, LIMITS).await.unwrap() {
        Created::New { instruction, .. } => instruction,
        other => panic!("{other:?}"),
    }
}

/// A new instruction that was approved.
pub async fn approved(store: &RedisStore, wish: NewInstruction) -> Instruction {
    let instruction = created(store, wish).await;
    store.decide(&tenant(), &instruction.instruction_id, &APPROVED).await.unwrap();
    instruction
}

pub async fn consume(
    store: &RedisStore,
    instruction: &Instruction,
) -> Result<Result<Instruction, ConsumeRefusal>, StoreError> {
    store.consume(&tenant(), &instruction.instruction_id, &claim(instruction)).await
}
