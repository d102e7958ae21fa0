//! The relay's own JWTs: pairing proofs and device sessions (PROTOCOL 4, SECURITY "Devices").
//!
//! Each kind has a key of its own, derived from the master key, and one fixed algorithm (HS256). `typ`, `iss`, `aud`,
//! `exp` and `jti` are all checked; times come from the caller's clock and not from the system's.
//!
//! `kid` names the master key: a token holds as long as that key is in the relay's ring, and no other key is tried. One
//! without `kid`, as they were issued before keys could be replaced, holds under whichever key of the ring verifies it.

use std::time::Duration;

use bloonio_wire::clock::Timestamp;
use bloonio_wire::id::{DeviceId, TenantId, UserSocketHash};
use bloonio_wire::random::{Random, RandomError, hex_token};
use bloonio_wire::secret::Secret;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::seal::{KeyRing, MasterKey};

/// How long a device session lasts (PROTOCOL 4).
pub const SESSION_TTL: Duration = Duration::from_secs(30 * 24 * 60 * 60);

const ISSUER: &str = "bloonio-relay";
/// Longer texts are refused unread.
const MAX_TOKEN: usize = 2048;

/// A token that does not hold, or none could be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not a token of this kind, of this relay, in its time.
    #[error("the token does not hold")]
    Invalid,
    /// Signing failed.
    #[error("a token could not be signed")]
    Unsignable,
    /// No randomness.
    #[error(transparent)]
    Random(#[from] RandomError),
}

/// What a pairing proof says: whoever bears it may register one device for this user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// Whose user.
    pub tenant_id: TenantId,
    /// Which user.
    pub user_socket_hash: UserSocketHash,
    /// Names the proof; consumed with the registration.
    pub jti: String,
    /// First instant at which it is void.
    pub expires_at: Timestamp,
}

/// What a session token says: its bearer is this device, as of this generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Whose device.
    pub tenant_id: TenantId,
    /// Which device.
    pub device_id: DeviceId,
    /// Grows at each refresh; compared with the device's row.
    pub generation: i64,
    /// First instant at which it is void.
    pub expires_at: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct ProofClaims {
    iss: String,
    aud: String,
    sub: UserSocketHash,
    tid: TenantId,
    jti: String,
    iat: i64,
    exp: i64,
}

#[derive(Serialize, Deserialize)]
struct SessionClaims {
    iss: String,
    aud: String,
    sub: DeviceId,
    tid: TenantId,
    #[serde(rename = "gen")]
    generation: i64,
    jti: String,
    iat: i64,
    exp: i64,
}

/// A kind's key under one master key.
struct KindKey {
    kid: String,
    encoding: EncodingKey,
    decoding: DecodingKey,
}

impl KindKey {
    fn new(master: &MasterKey, purpose: &str) -> Self {
        let key = master.derive(purpose);
        Self {
            kid: master.id().to_string(),
            encoding: EncodingKey::from_secret(key.as_slice()),
            decoding: DecodingKey::from_secret(key.as_slice()),
        }
    }
}

/// One kind of token: its keys, and what must stand in it.
struct Kind {
    typ: &'static str,
    audience: &'static str,
    /// Signs.
    current: KindKey,
    /// Verify what they have signed when they were current.
    others: Vec<KindKey>,
    validation: Validation,
}

impl Kind {
    fn new(ring: &KeyRing, purpose: &str, typ: &'static str, audience: &'static str) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[audience]);
        validation.set_required_spec_claims(&["iss", "aud", "sub", "exp"]);
        // The library would ask the system's clock; `exp` is checked in `read` against the relay's.
        validation.validate_exp = false;
        Self {
            typ,
            audience,
            current: KindKey::new(ring.current(), purpose),
            others: ring.keys().skip(1).map(|key| KindKey::new(key, purpose)).collect(),
            validation,
        }
    }

    fn sign(&self, claims: &impl Serialize) -> Result<Secret, TokenError> {
        let KindKey { kid, encoding, .. } = &self.current;
        let header = Header { typ: Some(self.typ.to_owned()), kid: Some(kid.clone()), ..Header::new(Algorithm::HS256) };
        let token = jsonwebtoken::encode(&header, claims, encoding).map_err(|_| TokenError::Unsignable)?;
        Ok(Secret::new(token))
    }

    fn read<C: DeserializeOwned>(&self, token: &str) -> Result<C, TokenError> {
        if token.len() > MAX_TOKEN {
            return Err(TokenError::Invalid);
        }
        // Nothing vouches for the header yet: it is asked for no more than which key to verify with.
        let kid = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Invalid)?.kid;
        let fits = |key: &&KindKey| kid.as_ref().is_none_or(|kid| *kid == key.kid);
        let mut candidates = std::iter::once(&self.current).chain(&self.others).filter(fits);
        candidates.find_map(|key| self.verified(token, key)).ok_or(TokenError::Invalid)
    }

    fn verified<C: DeserializeOwned>(&self, token: &str, key: &KindKey) -> Option<C> {
        let read = jsonwebtoken::decode::<C>(token, &key.decoding, &self.validation).ok()?;
        (read.header.typ.as_deref() == Some(self.typ)).then_some(read.claims)
    }
}

/// Issues and reads the relay's tokens.
pub struct Tokens {
    proof: Kind,
    session: Kind,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens(redacted)")
    }
}

/// The life of a token in whole seconds, as JWTs count.
fn life(now: Timestamp, ttl: Duration) -> (i64, i64) {
    (now.as_secs(), now.plus(ttl).as_secs())
}

/// `jti` is what [`hex_token`] draws, and the token is in its time.
fn check(jti: &str, exp: i64, now: Timestamp) -> Result<Timestamp, TokenError> {
    let expires_at = Timestamp::from_secs(exp);
    let well_formed = jti.len() == 32 && jti.bytes().all(|b| b.is_ascii_hexdigit());
    if well_formed && now < expires_at { Ok(expires_at) } else { Err(TokenError::Invalid) }
}

impl Tokens {
    /// Tokens signed under the first key of a ring, and verified under all of them.
    pub fn new(keys: impl Into<KeyRing>) -> Self {
        let keys = keys.into();
        Self {
            proof: Kind::new(&keys, "bloonio-proof+jwt", "bloonio-proof+jwt", "bloonio-pairing"),
            session: Kind::new(&keys, "bloonio-session+jwt", "bloonio-session+jwt", "bloonio-device"),
        }
    }

    /// Issues a pairing proof.
    ///
    /// # Errors
    /// [`TokenError::Unsignable`], [`TokenError::Random`].
    pub fn issue_proof(
        &self,
        random: &dyn Random,
        now: Timestamp,
        ttl: Duration,
        tenant: &TenantId,
        user: &UserSocketHash,
    ) -> Result<(Secret, Proof), TokenError> {
        let (iat, exp) = life(now, ttl);
        let claims = ProofClaims {
            iss: ISSUER.to_owned(),
            aud: self.proof.audience.to_owned(),
            sub: user.clone(),
            tid: tenant.clone(),
            jti: hex_token::<16>(random)?,
            iat,
            exp,
        };
        let token = self.proof.sign(&claims)?;
        let ProofClaims { sub, tid, jti, .. } = claims;
        let expires_at = Timestamp::from_secs(exp);
        Ok((token, Proof { tenant_id: tid, user_socket_hash: sub, jti, expires_at }))
    }

    /// Reads a pairing proof. Whether it was used or voided is the storage's to say.
    ///
    /// # Errors
    /// [`TokenError::Invalid`].
    pub fn read_proof(&self, token: &str, now: Timestamp) -> Result<Proof, TokenError> {
        let claims: ProofClaims = self.proof.read(token)?;
        let expires_at = check(&claims.jti, claims.exp, now)?;
        Ok(Proof { tenant_id: claims.tid, user_socket_hash: claims.sub, jti: claims.jti, expires_at })
    }

    /// Issues a session token of a device's generation.
    ///
    /// # Errors
    /// [`TokenError::Unsignable`], [`TokenError::Random`].
    pub fn issue_session(
        &self,
        random: &dyn Random,
        now: Timestamp,
        tenant: &TenantId,
        device: &DeviceId,
        generation: i64,
    ) -> Result<Secret, TokenError> {
        let (iat, exp) = life(now, SESSION_TTL);
        self.session.sign(&SessionClaims {
            iss: ISSUER.to_owned(),
            aud: self.session.audience.to_owned(),
            sub: device.clone(),
            tid: tenant.clone(),
            generation,
            jti: hex_token::<16>(random)?,
            iat,
            exp,
        })
    }

    /// Reads a session token. Whether the device still holds it is the storage's to say.
    ///
    /// # Errors
    /// [`TokenError::Invalid`].
    pub fn read_session(&self, token: &str, now: Timestamp) -> Result<Session, TokenError> {
        let claims: SessionClaims = self.session.read(token)?;
        let expires_at = check(&claims.jti, claims.exp, now)?;
        let SessionClaims { tid, sub, generation, .. } = claims;
        Ok(Session { tenant_id: tid, device_id: sub, generation, expires_at })
    }
}

#[cfg(test)]
mod tests;
