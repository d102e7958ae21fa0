//! One-time codes inside the relay: same process, same database, same transaction.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bloonio_wire::clock::Clock;
use bloonio_wire::id::{RelayUserLinkedId, TenantId};
use bloonio_wire::random::Random;
use bloonio_wire::secret::Secret;

use super::code::{Code, Seed};
use super::row::{self, NewSeed};
use super::{Enrolment, Judged, Totp, TotpError, Verdict};
use crate::db::{Pool, Tx};
use crate::seal::Sealer;

/// What [`TotpRoom`] is made of.
#[derive(Debug)]
pub struct TotpParts {
    /// Reads the database whose tables [`crate::storage::migrate`] has made.
    pub readers: Pool,
    /// Seals the seeds.
    pub sealer: Sealer,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Draws the seeds.
    pub random: Arc<dyn Random>,
}

/// The room.
pub struct TotpRoom {
    parts: TotpParts,
    decoy: Decoy,
}

impl fmt::Debug for TotpRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TotpRoom")
    }
}

/// A seed of nobody, sealed like a real one: codes for pairings without a seed are checked against it, so that they cost
/// the same work (SECURITY; ATTACKS A101).
struct Decoy {
    tenant: TenantId,
    linked_id: RelayUserLinkedId,
    sealed: Vec<u8>,
}

/// What a seed is sealed for.
fn row_of<'a>(tenant: &'a TenantId, linked_id: &'a RelayUserLinkedId) -> [&'a str; 3] {
    ["totp-seed", tenant.as_str(), linked_id.as_str()]
}

impl TotpRoom {
    /// Opens the room.
    ///
    /// # Errors
    /// [`TotpError`] if there is no randomness for the decoy.
    pub fn new(parts: TotpParts) -> Result<Self, TotpError> {
        let random = parts.random.as_ref();
        let (tenant, linked_id) = (TenantId::draw(random)?, RelayUserLinkedId::draw(random)?);
        let sealed = parts.sealer.seal(random, &row_of(&tenant, &linked_id), Seed::draw(random)?.as_bytes())?;
        Ok(Self { parts, decoy: Decoy { tenant, linked_id, sealed } })
    }

    fn open(&self, tenant: &TenantId, linked_id: &RelayUserLinkedId, sealed: &[u8]) -> Result<Seed, TotpError> {
        let bytes = self.parts.sealer.open(&row_of(tenant, linked_id), sealed)?;
        Seed::from_bytes(&bytes).ok_or(TotpError::Corrupt("totp seed"))
    }
}

#[async_trait]
impl Totp for TotpRoom {
    async fn enrol(&self, tx: &mut Tx, tenant: &TenantId, new: &Enrolment<'_>) -> Result<Option<Secret>, TotpError> {
        let random = self.parts.random.as_ref();
        let seed = Seed::draw(random)?;
        let row = NewSeed {
            relay_user_linked_id: new.relay_user_linked_id,
            device_id: new.device_id,
            seed_sealed: self.parts.sealer.seal(random, &row_of(tenant, new.relay_user_linked_id), seed.as_bytes())?,
            created_at: self.parts.clock.now(),
        };
        if !row::insert(tx, tenant, &row).await? {
            return Ok(None);
        }
        Ok(Some(seed.otpauth_uri(new.issuer, new.account)?))
    }

    async fn is_enrolled(
        &self,
        tx: &mut Tx,
        tenant: &TenantId,
        linked_id: &RelayUserLinkedId,
    ) -> Result<bool, TotpError> {
        Ok(row::get(tx, tenant, linked_id).await?.is_some())
    }

    async fn judge(&self, tenant: &TenantId, linked_id: &RelayUserLinkedId, code: &Code) -> Result<Judged, TotpError> {
        let found = row::get(&self.parts.readers, tenant, linked_id).await?;
        let (seed, device_id) = match found {
            Some(stored) => (self.open(tenant, linked_id, &stored.seed_sealed)?, Some(stored.device_id)),
            // The same look-up, the same opening of a sealed seed, the same comparisons.
            None => (self.open(&self.decoy.tenant, &self.decoy.linked_id, &self.decoy.sealed)?, None),
        };
        let step = seed.matching(code, self.parts.clock.now());
        let seed = device_id.map(|device_id| (device_id, step));
        Ok(Judged { tenant: tenant.clone(), relay_user_linked_id: linked_id.clone(), seed })
    }

    async fn settle(&self, tx: &mut Tx, judged: &Judged) -> Result<Verdict, TotpError> {
        let Judged { tenant, relay_user_linked_id: linked_id, seed } = judged;
        let now = self.parts.clock.now();
        let found = match seed {
            Some((device, step)) => row::throttle(tx, tenant, linked_id, device).await?.map(|t| (device, *step, t)),
            None => None,
        };
        let Some((device, step, mut throttle)) = found else {
            row::miss(tx, tenant, now).await?;
            return Ok(Verdict::Wrong { locks: false });
        };
        if let Some(retry_after) = throttle.locked_for(now) {
            return Ok(Verdict::Locked { retry_after });
        }
        if let Some(step) = step
            && row::accept(tx, tenant, linked_id, device, step, now).await?
        {
            return Ok(Verdict::Right);
        }
        let locks = throttle.count(now);
        row::set_throttle(tx, tenant, linked_id, device, &throttle).await?;
        Ok(Verdict::Wrong { locks })
    }

    async fn forget(&self, tx: &mut Tx, tenant: &TenantId, linked_id: &RelayUserLinkedId) -> Result<bool, TotpError> {
        row::delete(tx, tenant, linked_id).await
    }
}
