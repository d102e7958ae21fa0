//! `pair`: becomes a device of the user whose page shows a code.

use std::io::Read;
use std::sync::Arc;

use bloonio_authenticator::answer::DeviceIdentity;
use bloonio_authenticator::client::{PushAddress, Registered, Relay, RelayDevice};
use bloonio_authenticator::error::{Advice, ClientError};
use bloonio_authenticator::text::visible;
use bloonio_wire::device::{DeviceStatus, Platform};
use bloonio_wire::qr::PairingUri;
use bloonio_wire::secret::Secret;
use serde_json::{Value, json};

use crate::args::PairArgs;
use crate::error::PhoneError;
use crate::phone::Phone;
use crate::state::{Pairing, State};

/// No pairing address is nearly as long.
const MAX_URI_BYTES: u64 = 16 * 1024;

pub async fn pair(phone: &Phone, args: PairArgs) -> Result<(), PhoneError> {
    let uri = read_uri(&args.uri)?;
    let platform = args.platform.unwrap_or(Platform::Stream);
    let push = push_address(platform, args.fcm_token.clone())?;
    let relay = phone.relay(&uri.relay)?;
    let mut locked = phone.lock().await?;
    // The proof works once: before it is spent, the memory must have shown that it can be written.
    locked.save()?;

    let (key, bytes) = DeviceIdentity::draw_key(phone.random.as_ref())?;
    let mut registered =
        relay.register(&uri.proof, &push.registration(args.name.as_deref(), &key)).await.map_err(PhoneError::Client)?;
    let device = relay.device(Arc::new(registered.session.token.clone()));
    let former = find_former(&locked.state, &uri, &registered);
    if let Some(former) = &former {
        confirm_by_former(&relay, former, &device, &mut registered).await?;
    }

    let now = phone.clock.now();
    let mut pairing = Pairing {
        relay: uri.relay,
        info: registered.pairing.clone(),
        platform,
        fcm_token: args.fcm_token,
        device_key: Secret::new(hex::encode(bytes.as_slice())),
        session_token: registered.session.token.clone(),
        session_since: now,
        session_until: now.plus(registered.session.lifetime),
        otpauth_uri: registered.otpauth_uri.clone(),
        last_totp_step: None,
    };
    if let Some(former) = &former {
        pairing.keep_seed_of(former);
    }
    let has_seed = pairing.otpauth_uri.is_some();
    locked.state.put(pairing);
    if let Err(error) = locked.save() {
        // Nobody will ever speak for the new device: it would only block the next one.
        device.unpair().await.ok();
        return Err(error.into());
    }
    if let Some(former) = former {
        // Superseded by its successor. If this fails it stays a device that nobody holds the key of.
        if relay.device(Arc::new(former.session_token)).unpair().await.is_err() {
            phone.output.note("note: the relay still lists this phone's former key as a device");
        }
    }
    report(phone, &registered, has_seed)
}

/// The address from the command line, or from standard input.
fn read_uri(argument: &Secret) -> Result<PairingUri, PhoneError> {
    let parsed = if argument.expose() == "-" {
        let mut text = String::new();
        std::io::stdin().lock().take(MAX_URI_BYTES).read_to_string(&mut text)?;
        PairingUri::parse(&text)
    } else {
        PairingUri::parse(argument.expose())
    };
    // The address itself stays out of the message: it holds the proof.
    parsed.map_err(|rule| PhoneError::Usage(format!("the pairing address {rule}")))
}

fn push_address(platform: Platform, fcm_token: Option<Secret>) -> Result<PushAddress, PhoneError> {
    match (platform, fcm_token) {
        (Platform::Stream, None) => Ok(PushAddress::Stream),
        (Platform::Stream, Some(_)) => Err(PhoneError::Usage("a stream device has no --fcm-token".to_owned())),
        (platform, None) => Err(PhoneError::Usage(format!("--platform {platform} needs --fcm-token"))),
        (platform, Some(token)) => Ok(PushAddress::FcmToken(platform, token)),
    }
}

fn find_former(state: &State, uri: &PairingUri, registered: &Registered) -> Option<Pairing> {
    state.pairings.iter().find(|known| known.is_same(&uri.relay, &registered.pairing)).cloned()
}

/// The same phone, paired again: its former key, which is about to be forgotten, confirms the new one. Otherwise the
/// phone would wait for a confirmation by a device whose key it has just thrown away.
async fn confirm_by_former(
    relay: &Relay,
    former: &Pairing,
    new: &RelayDevice,
    registered: &mut Registered,
) -> Result<(), PhoneError> {
    if registered.status != DeviceStatus::AwaitingConfirmation {
        return Ok(());
    }
    let device = relay.device(Arc::new(former.session_token.clone()));
    match device.confirm_device(&registered.pairing.device_id, true).await {
        Ok(()) => registered.status = DeviceStatus::Active,
        // The former key is worth nothing any more: another device has to confirm.
        Err(error) if error.advice() == Advice::PairAgain || is_refused(&error) => {}
        Err(error) => {
            new.unpair().await.ok();
            return Err(error.into());
        }
    }
    Ok(())
}

fn is_refused(error: &ClientError) -> bool {
    matches!(error, ClientError::Refused(refusal) if refusal.status < 500 && refusal.status != 429)
}

fn report(phone: &Phone, registered: &Registered, has_seed: bool) -> Result<(), PhoneError> {
    let mut value = json!({"paired": true, "device_status": registered.status, "one_time_codes": has_seed});
    if let (Value::Object(fields), Ok(Value::Object(info))) = (&mut value, serde_json::to_value(&registered.pairing)) {
        fields.extend(info);
    }
    let (tenant, user) = (visible(&registered.pairing.tenant_name), visible(&registered.pairing.display_name));
    let mut text = format!("Paired with {tenant} as {user}.\n  device: {}", registered.pairing.device_id);
    if has_seed {
        text.push_str("\nIt has the seed of your one-time codes: bloonio-phone totp shows them.");
    }
    if registered.status == DeviceStatus::AwaitingConfirmation {
        let command = format!("bloonio-phone confirm-device {}", registered.pairing.device_id);
        text.push_str(&format!("\nIt may do nothing yet: confirm it on a device that is paired already ({command})."));
    }
    Ok(phone.output.print(&value, &text)?)
}
