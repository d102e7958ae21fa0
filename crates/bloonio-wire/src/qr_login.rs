//! Signing in to a web page by scanning its code with a paired phone (PROTOCOL 7).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::id::{QrSessionId, RelayUserLinkedId, UserSocketHash};
use crate::secret::{Secret, debug_shows, hand_over};

/// Body of POST /relay/qr-login/initiate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct InitiateQrLogin {
    /// Origin of the page, which must be listed in the tenant's `qr_login_allowed_origins`.
    pub browser_origin: String,
}

/// Answer to [`InitiateQrLogin`]. Show the picture; keep the poll token in the backend.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct QrLogin {
    /// Names the login.
    pub session_id: QrSessionId,
    /// Fetches its outcome. Whoever has it can sign in as whoever scans: it never goes to the page.
    #[serde(serialize_with = "hand_over")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub poll_token: Secret,
    /// What the picture says: `bloonio://qr-login?…`
    pub qr_payload: String,
    /// The picture, a PNG in base64.
    pub qr_code_str: String,
    /// The relay's own mark on the payload, hex; devices send it back.
    pub signature: String,
    /// When it is too late; exclusive.
    pub expires_at: Timestamp,
    /// Seconds until then.
    pub expires_in: u64,
}

debug_shows!(QrLogin { session_id, expires_at, expires_in });

/// Answer to GET /relay/qr-login/poll: where a login stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum QrLoginStatus {
    /// Nobody has scanned it.
    Pending,
    /// A device has it and has not decided.
    Scanned,
    /// The person said no.
    Rejected,
    /// The person said yes. Handed out once; afterwards the login is over.
    Approved(QrLoginApproval),
}

/// Who signed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct QrLoginApproval {
    /// The pairing.
    pub relay_user_linked_id: RelayUserLinkedId,
    /// The tenant's handle of the user.
    pub user_socket_hash: UserSocketHash,
    /// The tenant's own id of the user.
    pub backend_user_id: String,
    /// When he said yes.
    pub approved_at: Timestamp,
}

impl QrLogin {
    /// The picture, if `qr_code_str` is base64.
    pub fn png(&self) -> Option<Vec<u8>> {
        STANDARD.decode(&self.qr_code_str).ok()
    }
}
