//! How a customer pairs a phone: the page shows a QR code that the phone scans.

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::IntoResponse;
use axum::{Extension, Json};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bloonio_axum::{BloonioAuth, Sudo};
use bloonio_wire::device::PreparePairing;
use serde_json::{Value, json};

use crate::sign_in::Session;

/// A fresh pairing code for whoever is signed in.
pub async fn pair(
    State(auth): State<BloonioAuth>,
    Extension(session): Extension<Session>,
    // `None` for who has never paired; without the layer the extractor fails, so this route cannot lose its protection.
    _approval: Option<Sudo>,
) -> Result<impl IntoResponse, (StatusCode, Json<Value>)> {
    let away = || {
        let body = json!({
            "success": false, "status_code": 503, "error": "SUDO_RELAY_UNAVAILABLE",
            "message": "Pairing is not possible at the moment."
        });
        (StatusCode::SERVICE_UNAVAILABLE, Json(body))
    };
    let profile = PreparePairing {
        user_socket_hash: session.user_socket_hash().ok_or_else(away)?,
        backend_user_id: session.user.to_owned(),
        display_name: session.user.to_owned(),
        user_email: Some(format!("{}@bank.example", session.user)),
        user_phone: None,
        first_name: None,
        last_name: None,
        display_logo_url: None,
    };
    let offer = auth.relay().prepare_pairing(&profile).await.map_err(|_| away())?;
    let picture = bloonio_wire::qr::png(&offer.pairing_uri).map_err(|_| away())?;
    let code = json!({"pairing_uri": offer.pairing_uri, "qr_png_base64": STANDARD.encode(picture)});
    // Whoever has the code can pair: no cache may keep it.
    Ok(([(CACHE_CONTROL, "no-store")], Json(code)))
}
