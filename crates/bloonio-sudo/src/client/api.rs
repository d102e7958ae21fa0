//! The calls of the relay that the engine does not make itself.

use async_trait::async_trait;
use bloonio_wire::delivery::DeliveryStatus;
use bloonio_wire::dispatch::{DispatchReceipt, SudoDispatch};
use bloonio_wire::envelope::Items;
use bloonio_wire::group::{Group, PairedUser, PendingValidation, SignatureImage};
use bloonio_wire::id::{GroupPublicId, InstructionId, QrSessionId, RelayUserLinkedId, UserPublicId};
use bloonio_wire::passkey::{
    Passkey, PasskeyAssertion, PasskeyAttestation, PasskeyCeremony, PasskeyName, PasskeyRegistration, PasskeyRequest,
    PasskeySignIn, RegisteredPasskey,
};
use bloonio_wire::qr_login::{InitiateQrLogin, QrLogin, QrLoginStatus};
use bloonio_wire::secret::Secret;
use serde_json::json;

use super::{RelayCall, RelayClient, RelayError, Repeat, read};

/// The tenant calls beyond those of [`RelayClient`]: delivery, dispatch, lookups, QR login, passkeys. Everything that is a
/// `RelayClient` has them.
///
/// Calls that read, and those under an id of yours, are made once more by themselves if the connection fails; each method
/// says where that is not so.
#[async_trait]
pub trait RelayApi: RelayClient {
    /// How far a prompt has come, device by device; an alert under its notification id (PROTOCOL 5).
    ///
    /// # Errors
    /// [`RelayError`]; `NOT_FOUND` for one that the relay does not know.
    async fn fetch_delivery_status(&self, id: &InstructionId) -> Result<DeliveryStatus, RelayError> {
        let call = RelayCall::get("fetch/delivery-status").with_query("instruction_id", id.as_str());
        read::delivery_status(self.call(&call).await?, id)
    }

    /// Puts an action before validators or groups (PROTOCOL 6). The same `idempotency_key` again gets the same event.
    ///
    /// # Errors
    /// [`RelayError`]; `IDEMPOTENCY_CONFLICT` for a key that was used with another body.
    async fn dispatch(&self, dispatch: &SudoDispatch) -> Result<DispatchReceipt, RelayError> {
        let call = RelayCall::post("sudo/dispatch", dispatch)?.with_repeat(Repeat::Safe);
        read::data(self.call(&call).await?)
    }

    /// Every group of this tenant.
    ///
    /// # Errors
    /// [`RelayError`].
    async fn groups(&self) -> Result<Items<Group>, RelayError> {
        read::data(self.call(&RelayCall::get("sudo/groups")).await?)
    }

    /// One group, by the name that people use.
    ///
    /// # Errors
    /// [`RelayError`]; `NOT_FOUND`.
    async fn group_by_public_id(&self, id: &GroupPublicId) -> Result<Group, RelayError> {
        let call = RelayCall::get("sudo/groups/by-public-id").with_query("public_id_str", id.as_str());
        read::one(self.call(&call).await?, "public_id_str", id.as_str())
    }

    /// Everybody who has paired a phone with this tenant.
    ///
    /// # Errors
    /// [`RelayError`].
    async fn paired_users(&self) -> Result<Items<PairedUser>, RelayError> {
        read::data(self.call(&RelayCall::get("sudo/paired-users")).await?)
    }

    /// One paired user, by the name that people use.
    ///
    /// # Errors
    /// [`RelayError`]; `NOT_FOUND`.
    async fn paired_user_by_public_id(&self, id: &UserPublicId) -> Result<PairedUser, RelayError> {
        let call = RelayCall::get("sudo/paired-users/by-public-id").with_query("public_id_str", id.as_str());
        read::one(self.call(&call).await?, "public_id_str", id.as_str())
    }

    /// What waits for a user's vote.
    ///
    /// # Errors
    /// [`RelayError`].
    async fn pending_validations(&self, user: &RelayUserLinkedId) -> Result<Items<PendingValidation>, RelayError> {
        let call = RelayCall::get("sudo/pending-validations").with_query("relay_user_linked_id", user.as_str());
        read::data(self.call(&call).await?)
    }

    /// A user's handwritten signature.
    ///
    /// # Errors
    /// [`RelayError`]; status 403 without the user's consent, 404 without a picture.
    async fn user_signature(&self, user: &RelayUserLinkedId) -> Result<SignatureImage, RelayError> {
        let call = RelayCall::get("sudo/paired-users/signature").with_query("relay_user_linked_id", user.as_str());
        read::signature(self.call(&call).await?)
    }

    /// Begins the sign-in of a page by QR code (PROTOCOL 7). `browser_origin` is the page's, such as `https://bank.example`.
    ///
    /// # Errors
    /// [`RelayError`]; `ORIGIN_NOT_ALLOWED` or `QR_LOGIN_DISABLED`.
    async fn qr_login_initiate(&self, browser_origin: &str) -> Result<QrLogin, RelayError> {
        let body = InitiateQrLogin { browser_origin: browser_origin.to_owned() };
        read::data(self.call(&RelayCall::post("qr-login/initiate", &body)?).await?)
    }

    /// Where a sign-in by QR code stands. [`QrLoginStatus::Approved`] is handed out once, so this is never repeated by
    /// itself: if its answer is lost, so is the login.
    ///
    /// # Errors
    /// [`RelayError`]; `GONE` for one that is expired, fetched or of another token.
    async fn qr_login_poll(&self, session: &QrSessionId, poll_token: &Secret) -> Result<QrLoginStatus, RelayError> {
        let call = RelayCall::get("qr-login/poll")
            .with_query("session_id", session.as_str())
            .with_poll_token(poll_token.clone())
            .with_repeat(Repeat::Never);
        read::data(self.call(&call).await?)
    }

    /// Begins the registration of a passkey (PROTOCOL 8).
    ///
    /// # Errors
    /// [`RelayError`]; `PASSKEYS_DISABLED` or `ORIGIN_NOT_ALLOWED`.
    async fn passkey_register_options(&self, user: &PasskeyRegistration) -> Result<PasskeyCeremony, RelayError> {
        read::data(self.call(&RelayCall::post("webauthn/register/options", user)?).await?)
    }

    /// Ends the registration of a passkey. A ceremony verifies once, so this is never repeated by itself.
    ///
    /// # Errors
    /// [`RelayError`]; status 401 for an attestation that does not hold, `GONE` for a ceremony that is over.
    async fn passkey_register_verify(&self, made: &PasskeyAttestation) -> Result<RegisteredPasskey, RelayError> {
        let call = RelayCall::post("webauthn/register/verify", made)?.with_repeat(Repeat::Never);
        read::data(self.call(&call).await?)
    }

    /// Begins a sign-in with a passkey.
    ///
    /// # Errors
    /// [`RelayError`]; `PASSKEYS_DISABLED` or `ORIGIN_NOT_ALLOWED`.
    async fn passkey_authenticate_options(&self, who: &PasskeyRequest) -> Result<PasskeyCeremony, RelayError> {
        read::data(self.call(&RelayCall::post("webauthn/authenticate/options", who)?).await?)
    }

    /// Ends a sign-in with a passkey: who it is. A sign-in, never an approval. A ceremony verifies once, so this is never
    /// repeated by itself.
    ///
    /// # Errors
    /// [`RelayError`]; status 401 for an assertion that does not hold, `GONE` for a ceremony that is over.
    async fn passkey_authenticate_verify(&self, given: &PasskeyAssertion) -> Result<PasskeySignIn, RelayError> {
        let call = RelayCall::post("webauthn/authenticate/verify", given)?.with_repeat(Repeat::Never);
        read::data(self.call(&call).await?)
    }

    /// A user's passkeys.
    ///
    /// # Errors
    /// [`RelayError`].
    async fn fetch_passkeys(&self, user: &RelayUserLinkedId) -> Result<Items<Passkey>, RelayError> {
        let call = RelayCall::post("webauthn/fetch/passkeys", &json!({"relay_user_linked_id": user}))?;
        read::data(self.call(&call.with_repeat(Repeat::Safe)).await?)
    }

    /// Gives a passkey another name.
    ///
    /// # Errors
    /// [`RelayError`]; `NOT_FOUND` unless passkey and user are of one another.
    async fn rename_passkey(&self, passkey: &PasskeyName, nickname: &str) -> Result<(), RelayError> {
        let PasskeyName { passkey_id, relay_user_linked_id } = passkey;
        let body =
            json!({"passkey_id": passkey_id, "relay_user_linked_id": relay_user_linked_id, "nickname": nickname});
        let call = RelayCall::post("webauthn/rename/passkey", &body)?.with_repeat(Repeat::Safe);
        read::acknowledged(&self.call(&call).await?, &about(passkey))
    }

    /// Ends a passkey.
    ///
    /// # Errors
    /// [`RelayError`]; `NOT_FOUND` unless passkey and user are of one another.
    async fn revoke_passkey(&self, passkey: &PasskeyName) -> Result<(), RelayError> {
        let answer = self.call(&RelayCall::post("webauthn/revoke/passkey", passkey)?).await?;
        read::acknowledged(&answer, &about(passkey))
    }
}

impl<T: RelayClient + ?Sized> RelayApi for T {}

/// What an answer may repeat of the passkey that it is about.
fn about(passkey: &PasskeyName) -> [(&'static str, &str); 2] {
    [("passkey_id", &passkey.passkey_id), ("relay_user_linked_id", passkey.relay_user_linked_id.as_str())]
}
