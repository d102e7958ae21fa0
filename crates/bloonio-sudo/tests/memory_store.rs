//! The memory store against the acceptance suite, and what only it promises: bounded memory.

use std::sync::Arc;

use bloonio_sudo::Clock;
use bloonio_sudo::store::InstructionStore;
use bloonio_sudo::store::memory::MemoryStore;

async fn fresh(clock: Arc<dyn Clock>) -> Arc<dyn InstructionStore> {
    Arc::new(MemoryStore::new(clock))
}

bloonio_sudo::instruction_store_suite!(fresh);
