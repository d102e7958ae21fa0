//! The phone itself: its memory, its clock, and its way to the relays.

use std::path::PathBuf;
use std::sync::Arc;

use bloonio_authenticator::client::{Relay, RelayDevice, RelayOptions, SessionSource};
use bloonio_authenticator::error::SessionError;
use bloonio_wire::clock::{Clock, SystemClock};
use bloonio_wire::id::{DeviceId, TenantId};
use bloonio_wire::random::{Random, SystemRandom};
use bloonio_wire::secret::Secret;
use url::Url;

use crate::args::Args;
use crate::error::PhoneError;
use crate::output::Output;
use crate::state::{Home, Locked, Pairing};

/// What every command works with.
#[derive(Debug)]
pub struct Phone {
    /// Where the memory lies.
    pub home: Home,
    /// Where results go.
    pub output: Output,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Keys and jitter.
    pub random: Arc<dyn Random>,
    options: RelayOptions,
}

impl Phone {
    /// A phone as the command line asks for it.
    pub fn new(args: &Args, output: Output) -> Result<Self, PhoneError> {
        let folder = args.home.clone().or_else(|| variable("BLOONIO_PHONE_HOME")).or_else(default_home);
        let folder = folder.ok_or_else(|| {
            PhoneError::Usage("no home folder: name one with --home or BLOONIO_PHONE_HOME".to_owned())
        })?;
        let ca_file = args.ca_file.clone().or_else(|| variable("BLOONIO_PHONE_CA_FILE"));
        let extra_ca_pem = ca_file.map(std::fs::read).transpose();
        let options = RelayOptions {
            extra_ca_pem: extra_ca_pem.map_err(PhoneError::CertificateFile)?,
            insecure_http: args.insecure_http,
            ..RelayOptions::default()
        };
        let (clock, random) = (Arc::new(SystemClock), Arc::new(SystemRandom));
        Ok(Self { home: Home::new(folder), output, clock, random, options })
    }

    /// The relay at `base`.
    pub fn relay(&self, base: &Url) -> Result<Relay, PhoneError> {
        Ok(Relay::new(base, &self.options)?)
    }

    /// This phone as the device of a pairing, with whatever session token is in its memory at each call.
    pub fn device(&self, pairing: &Pairing) -> Result<RelayDevice, PhoneError> {
        let session = StoredSession { home: self.home.clone(), device: pairing.info.device_id.clone() };
        Ok(self.relay(&pairing.relay)?.device(Arc::new(session)))
    }

    /// The pairings that a command means. There may be none.
    pub async fn pairings(&self, tenant: Option<&TenantId>) -> Result<Vec<Pairing>, PhoneError> {
        let ends_soon = |pairing: &Pairing| pairing.wants_refresh(self.clock.now());
        if self.home.read()?.pairings.iter().any(ends_soon)
            && let Err(error) = self.refresh_in_time().await
        {
            self.output.note(&format!("note: sessions that end soon are not renewed: {}", error.explain()));
        }
        let all = self.home.read()?.pairings;
        Ok(all.into_iter().filter(|pairing| pairing.is_of(tenant)).collect())
    }

    /// The pairings that a command means: one at least.
    pub async fn some_pairings(&self, tenant: Option<&TenantId>) -> Result<Vec<Pairing>, PhoneError> {
        let pairings = self.pairings(tenant).await?;
        match (pairings.is_empty(), tenant) {
            (false, _) => Ok(pairings),
            (true, None) => Err(PhoneError::NotPaired("")),
            (true, Some(_)) => Err(PhoneError::NotPaired(" with this tenant")),
        }
    }

    /// Locks the memory; other processes may hold it for as long as a call to a relay takes.
    pub async fn lock(&self) -> Result<Locked, PhoneError> {
        let home = self.home.clone();
        let locked = tokio::task::spawn_blocking(move || home.lock()).await.map_err(std::io::Error::other)?;
        Ok(locked?)
    }

    /// Renews the session tokens that end soon. A relay that fails now is asked again by the next command.
    async fn refresh_in_time(&self) -> Result<(), PhoneError> {
        let mut locked = self.lock().await?;
        let now = self.clock.now();
        for i in 0..locked.state.pairings.len() {
            let pairing = locked.state.pairings[i].clone();
            let Ok(device) = self.device(&pairing) else { continue };
            if !pairing.wants_refresh(now) {
                continue;
            }
            if let Ok(session) = device.refresh(&pairing.push_address()).await {
                locked.state.pairings[i].renew(&session, now);
                locked.save()?;
            }
        }
        Ok(())
    }
}

/// A path from the environment; set to nothing is not set.
fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn default_home() -> Option<PathBuf> {
    std::env::home_dir().filter(|home| !home.as_os_str().is_empty()).map(|home| home.join(".bloonio-phone"))
}

/// The session token in the phone's memory, read at each call: another process may have refreshed it.
#[derive(Debug)]
struct StoredSession {
    home: Home,
    device: DeviceId,
}

impl SessionSource for StoredSession {
    fn session(&self) -> Result<Secret, SessionError> {
        let state = self.home.read().map_err(|error| SessionError(error.to_string()))?;
        let pairing = state.pairing(&self.device);
        pairing.map(|pairing| pairing.session_token.clone()).ok_or_else(|| SessionError("the pairing has ended".into()))
    }
}
