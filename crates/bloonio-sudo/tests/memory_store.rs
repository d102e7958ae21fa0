//! The memory store against the acceptance suite, and what only it promises: bounded memory.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::sync::Arc;

use bloonio_sudo::Clock;
use bloonio_sudo::device_keys::MemoryDeviceKeys;
use bloonio_sudo::store::InstructionStore;
use bloonio_sudo::store::memory::MemoryStore;

async fn fresh(clock: Arc<dyn Clock>) -> Arc<dyn InstructionStore> {
    Arc::new(MemoryStore::new(clock))
}

bloonio_sudo::instruction_store_suite!(fresh);

#[tokio::test]
async fn a_pinned_device_never_changes() {
    let keys = Arc::new(MemoryDeviceKeys::default());
    bloonio_sudo::store::suite::a_pinned_device_never_changes(keys).await.unwrap();
}

mod bounds {
    use std::sync::Arc;
    use std::time::Duration;

    use bloonio_sudo::fingerprint::Fingerprint;
    use bloonio_sudo::identity::InitiatorHash;
    use bloonio_sudo::instruction::{Ending, Redemption, TokenHash};
    use bloonio_sudo::store::memory::MemoryStore;
    use bloonio_sudo::store::{Created, InstructionStore, KEPT_FOR, Limits, NewInstruction, StoreError};
    use bloonio_sudo::wire::clock::ManualClock;
    use bloonio_sudo::{CustomType, InstructionId, TenantId, Timestamp, UserSocketHash};

    const TTL: Duration = Duration::from_secs(180);
    const CAPACITY: usize = 8;

    struct Small {
        clock: Arc<ManualClock>,
        store: MemoryStore,
        tenant: TenantId,
    }

    impl Small {
        fn new() -> Self {
            let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000)));
            let store = MemoryStore::with_capacity(clock.clone(), CAPACITY);
            Self { clock, store, tenant: "tnt_0123456789abcdef0123456789abcdef".parse().unwrap() }
        }

        async fn create(&self, n: u8) -> Result<Created, StoreError> {
            let new = NewInstruction {
                instruction_id: id(n),
                user: UserSocketHash::parse(format!("user-{n:04}")).unwrap(),
                initiator: InitiatorHash::from_bytes([n; 32]),
                action: "transfer_funds".to_owned(),
                custom_type: CustomType::LocalAuth,
                fingerprint: Fingerprint::from_bytes([n; 32]),
                golden_candidates: Vec::new(),
                response_token: TokenHash::of("token"),
                challenge_digest: "digest".to_owned(),
                redemption: Redemption::ByKey,
                shared: true,
                ttl: TTL,
                execution_window: TTL,
            };
            self.store.create(&self.tenant, new, Limits { per_initiator: 2, per_user: 3 }).await
        }

        async fn knows(&self, n: u8) -> bool {
            self.store.get(&self.tenant, &id(n)).await.unwrap().is_some()
        }
    }

    fn id(n: u8) -> InstructionId {
        InstructionId::parse(format!("instruction-{n}")).unwrap()
    }

    #[tokio::test]
    async fn a_full_store_refuses_rather_than_drop_what_is_unexpired() {
        let small = Small::new();
        for n in 0..8 {
            assert!(matches!(small.create(n).await, Ok(Created::New { .. })), "{n}");
        }
        // Final, but within its life: a late callback must still find it.
        small.store.expire(&small.tenant, &id(0), Ending::Undelivered).await.unwrap();
        assert!(matches!(small.create(8).await, Err(StoreError::Full)));
        for n in 0..8 {
            assert!(small.knows(n).await, "{n}");
        }
    }

    #[tokio::test]
    async fn a_full_store_forgets_the_oldest_that_is_over_first() {
        let small = Small::new();
        for n in 0..8 {
            small.create(n).await.unwrap();
            small.clock.advance(Duration::from_secs(1));
        }
        small.clock.advance(TTL);
        assert!(matches!(small.create(8).await, Ok(Created::New { .. })));
        assert!(!small.knows(0).await);
        for n in 1..=8 {
            assert!(small.knows(n).await, "{n}");
        }
    }

    #[tokio::test]
    async fn what_is_long_over_takes_no_room() {
        let small = Small::new();
        for n in 0..8 {
            small.create(n).await.unwrap();
        }
        small.clock.advance(TTL + KEPT_FOR);
        for n in 10..18 {
            assert!(matches!(small.create(n).await, Ok(Created::New { .. })), "{n}");
        }
        assert!(!small.knows(7).await);
    }
}
