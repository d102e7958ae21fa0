//! How a customer pairs a phone: the page shows a QR code that the phone scans.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bloonio_sudo::RelayClient;
use bloonio_wire::device::PreparePairing;
use serde_json::{Value, json};

use crate::Problem;
use crate::sign_in::Session;

/// A fresh pairing code for whoever is signed in, as `GET /pair` answers it.
///
/// # Errors
/// [`Problem`] where the relay gives none.
pub async fn offer(relay: &dyn RelayClient, session: &Session) -> Result<Value, Problem> {
    let profile = PreparePairing {
        user_socket_hash: session.user_socket_hash().ok_or_else(Problem::no_pairing)?,
        backend_user_id: session.user.to_owned(),
        display_name: session.user.to_owned(),
        user_email: Some(format!("{}@bank.example", session.user)),
        user_phone: None,
        first_name: None,
        last_name: None,
        display_logo_url: None,
    };
    let offer = relay.prepare_pairing(&profile).await.map_err(|_| Problem::no_pairing())?;
    let picture = bloonio_wire::qr::png(&offer.pairing_uri).map_err(|_| Problem::no_pairing())?;
    Ok(json!({"pairing_uri": offer.pairing_uri, "qr_png_base64": STANDARD.encode(picture)}))
}
