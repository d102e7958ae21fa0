//! Single steps of the engine, by criterion: `cargo bench -p bloonio-bench --bench engine`.

use std::sync::Arc;
use std::time::Duration;

use bloonio_sudo::fingerprint::{Asking, Binding, Fingerprint};
use bloonio_sudo::identity::InitiatorHash;
use bloonio_sudo::instruction::{Claim, Redemption, TokenHash, Usage, Verdict};
use bloonio_sudo::request::{Headers, RequestView};
use bloonio_sudo::store::memory::MemoryStore;
use bloonio_sudo::store::{InstructionStore, Limits, NewInstruction};
use bloonio_sudo::wire::clock::SystemClock;
use bloonio_sudo::{CustomType, InstructionId, TenantId, UserSocketHash};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};

struct Json;

impl Headers for Json {
    fn values(&self, name: &str) -> Vec<&[u8]> {
        if name == "content-type" { vec![b"application/json"] } else { Vec::new() }
    }
}

/// What an approval of a 1 KiB request is bound to.
fn fingerprint(c: &mut Criterion) {
    let body = format!("{{\"amount\":\"1000.00\",\"memo\":\"{}\"}}", "x".repeat(993));
    let view = RequestView::new("POST", "/transfer", None, &Json).with_body(body.as_bytes());
    let tenant = TenantId::parse("tnt_0123456789abcdef0123456789abcdef").expect("a tenant");
    let user = UserSocketHash::parse("jane-0001").expect("a user");
    let initiator = InitiatorHash::from_bytes([1; 32]);
    let asking = Asking { tenant: &tenant, user: &user, initiator: &initiator, action: "transfer_funds" };
    for (name, binding) in [("exact", Binding::Exact), ("canonical json", Binding::CanonicalJson)] {
        c.bench_function(&format!("fingerprint of 1 KiB, {name}"), |b| {
            b.iter(|| Fingerprint::of(binding, asking, &view, std::iter::empty()));
        });
    }
}

/// Using an approval, in memory.
fn consume(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let store = MemoryStore::with_capacity(Arc::new(SystemClock), 2_000_000);
    let tenant = TenantId::parse("tnt_0123456789abcdef0123456789abcdef").expect("a tenant");
    let approved = Verdict { approved: true, wrong_number: false, device_id: None, webhook_id: None };
    let mut n = 0_u64;
    let mut prepare = || {
        n += 1;
        let mut name = [0; 32];
        name[..8].copy_from_slice(&n.to_le_bytes());
        let new = NewInstruction {
            instruction_id: InstructionId::parse(format!("instruction-{n}")).expect("a name"),
            user: UserSocketHash::parse(format!("user-{n:08}")).expect("a user"),
            initiator: InitiatorHash::from_bytes(name),
            action: "transfer_funds".to_owned(),
            custom_type: CustomType::LocalAuth,
            fingerprint: Fingerprint::from_bytes(name),
            golden_candidates: Vec::new(),
            response_token: TokenHash::of("token"),
            challenge_digest: "digest".to_owned(),
            redemption: Redemption::ByKey,
            shared: true,
            ttl: Duration::from_secs(600),
            execution_window: Duration::from_secs(600),
        };
        let claim = Claim {
            initiator: new.initiator,
            fingerprint: new.fingerprint,
            redemption: Redemption::ByKey,
            usage: Usage::Once,
        };
        let id = new.instruction_id.clone();
        runtime.block_on(async {
            store.create(&tenant, new, Limits { per_initiator: 2, per_user: 3 }).await.expect("created");
            store.decide(&tenant, &id, &approved).await.expect("decided");
        });
        (id, claim)
    };
    c.bench_function("use of an approval, in memory", |b| {
        b.iter_batched(
            &mut prepare,
            |(id, claim)| runtime.block_on(store.consume(&tenant, &id, &claim)),
            BatchSize::SmallInput,
        );
    });
}

criterion_group!(benches, fingerprint, consume);
criterion_main!(benches);
