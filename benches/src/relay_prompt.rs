//! A signed prompt to one stream device, against the bare transaction that it makes, and against all that it writes.
//!
//! The transaction is made by the relay's own statements from this process: what is left is HTTP, signatures, sealing, and
//! the reads before and after.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use bloonio_relay_server::audit::{Event, Kind, digest_of};
use bloonio_relay_server::push::PushKind;
use bloonio_relay_server::storage::delivery::Lease;
use bloonio_relay_server::storage::prompt::NewPrompt;
use bloonio_relay_server::storage::push::NewPush;
use bloonio_relay_server::storage::{audit, device, pairing, prompt, push, replay};
use bloonio_sudo::UserSocketHash;
use bloonio_sudo::wire::clock::{Clock, SystemClock};
use bloonio_sudo::wire::id::{InstructionId, TenantId};

use crate::play::{Turns, rate};
use crate::site::{SEALED, Site, TENANTS, counting_server, engine, statements};

/// The relay takes no more than 30 unanswered prompts a person in ten minutes.
const PER_PERSON: usize = 25;
const MINUTE: Duration = Duration::from_secs(60);

/// Prints the comparisons.
pub fn run(rounds: usize, prompts: usize) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let server = counting_server().await;
        let made = 3 * prompts * (2 * rounds + 1);
        println!("| database | relay, prompts a second | of the transaction's rate | of the rate of all that is written | relay's ms of CPU a prompt |");
        println!("| --- | --- | --- | --- | --- |");
        for server in [None, Some(&server)] {
            let bench = Bench { site: Site::start(server, made.div_ceil(TENANTS * PER_PERSON)).await?, nonce: AtomicU64::default() };
            println!("| {} | {} |", engine(server), bench.compare(rounds, prompts).await?);
            if let Some(server) = server {
                let statements = statements(server, "prompt", prompts, async |_| bench.site.prompt().await);
                println!("\n{}", statements.await?);
            }
        }
        Ok(())
    })
}

struct Bench {
    site: Site,
    nonce: AtomicU64,
}

impl Bench {
    async fn compare(&self, rounds: usize, prompts: usize) -> anyhow::Result<String> {
        let site = &self.site;
        let before = site.relay.running.cpu()?;
        let turns = Turns::play(rounds, 3, async |thing| match thing {
            0 => rate(prompts, TENANTS, async |_| site.prompt().await).await,
            1 => rate(prompts, TENANTS, async |_| self.store().await).await,
            _ => rate(prompts, TENANTS, async |_| self.write().await).await,
        });
        let turns = turns.await?;
        let made = prompts * (2 * rounds + 1);
        let spent = (site.relay.running.cpu()? - before) * 1000.0 / made as f64;
        Ok([turns.of(0), turns.ratio(0, 1), turns.ratio(0, 2), format!("{spent:.2}")].join(" | "))
    }

    /// The two writes: the signature into the replay memory, and the prompt.
    async fn write(&self) -> anyhow::Result<()> {
        let n = self.nonce.fetch_add(1, Ordering::Relaxed);
        let tenant = TenantId::parse(self.site.tenants[n as usize % TENANTS].tenant_id.as_str())?;
        let mut key = [0; 32];
        key[..8].copy_from_slice(&n.to_be_bytes());
        let now = SystemClock.now();
        ensure!(replay::claim(&self.site.storage, &tenant, &[key], now, now).await?, "a key was used twice");
        self.store().await
    }

    /// The transaction of a prompt, as `service::prompt` of the relay makes it.
    async fn store(&self) -> anyhow::Result<()> {
        let (ask, storage, now) = (self.site.ask(), &self.site.storage, SystemClock.now());
        let (tenant, id) = (TenantId::parse(ask.tenant.tenant_id.as_str())?, InstructionId::parse(ask.instruction)?);
        let mut tx = storage.begin(&tenant).await?;
        ensure!(prompt::get(&mut tx, &tenant, &id).await?.is_none(), "a name was used twice");
        let pairing = pairing::of_user(&mut tx, &tenant, &UserSocketHash::parse(ask.user)?).await?;
        let linked_id = pairing.context("no pairing")?.relay_user_linked_id;
        let devices = device::targets(&mut tx, &tenant, &linked_id, now).await?;
        prompt::nth_unanswered(&mut tx, &tenant, &linked_id, now.minus(10 * MINUTE), 30).await?;
        let new = NewPrompt {
            instruction_id: &id,
            relay_user_linked_id: &linked_id,
            request_sha256: [7; 32],
            content_sealed: vec![7; SEALED],
            created_at: now,
            expires_at: now.plus(3 * MINUTE),
        };
        ensure!(prompt::insert(&mut tx, &tenant, &new).await?, "a name was used twice");
        let lease = Lease { token: "0".repeat(32), until: now.plus(MINUTE) };
        let about = NewPush { kind: PushKind::AuthChallenge, subject_id: id.as_str(), expires_at: new.expires_at };
        push::enqueue(&mut tx, &tenant, about, &devices, now, &lease).await?;
        let event = Event::new(Kind::PromptAsked, digest_of(&tenant, id.as_str())).with("pairing", linked_id.as_str());
        audit::append(&mut tx, &tenant, event.with("request_sha256", "7".repeat(64)), now).await?;
        Ok(storage.commit(tx).await?)
    }
}
