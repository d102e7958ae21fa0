//! The SDK's relay client against the real relay, async and blocking.

use std::sync::Arc;
use std::time::Duration;

use bloonio_sudo::client::blocking::BlockingRelayClient;
use bloonio_sudo::client::http::HttpRelayClient;
use bloonio_sudo::client::{Outcome, RelayError};
use bloonio_sudo::wire::challenge::AuthChallenge;
use bloonio_sudo::wire::clock::SystemClock;
use bloonio_sudo::wire::delivery::{DeliveryState, DeviceState};
use bloonio_sudo::wire::device::Platform;
use bloonio_sudo::{
    AlertKind, CustomType, ErrorCode, InstructionId, NextStep, PreparePairing, RelayApi, RelayClient, RelaySettings,
    SecurityAlert, TenantId, UserSocketHash,
};
use bloonio_tests::fcm::FcmEmulator;
use bloonio_tests::fcm::fault::{Fault, Gate};
use bloonio_tests::handset::Handset;
use bloonio_tests::phone::Phone;
use bloonio_tests::relay::{Relay, RelaySetup};
use bloonio_tests::tenant::TenantBackend;
use bloonio_tests::wait;
use serde_json::json;

fn settings(relay: &Relay, tenant: &TenantBackend) -> RelaySettings {
    let id = TenantId::parse(tenant.tenant_id.as_str()).unwrap();
    RelaySettings::new(relay.base_url(), id, tenant.secret.clone()).unwrap()
}

async fn relay_and_client() -> (Relay, TenantBackend, HttpRelayClient) {
    let relay = Relay::start().await;
    let tenant = relay.operator().provision("Bank").await;
    let client = HttpRelayClient::new(&settings(&relay, &tenant), Arc::new(SystemClock)).unwrap();
    (relay, tenant, client)
}

fn user() -> UserSocketHash {
    UserSocketHash::parse("jane-0123456789").unwrap()
}

fn instruction(name: &str) -> InstructionId {
    InstructionId::parse(name).unwrap()
}

fn profile() -> PreparePairing {
    PreparePairing {
        user_socket_hash: user(),
        backend_user_id: "7".into(),
        display_name: "Jane".into(),
        user_email: Some("jane@bank.example".into()),
        user_phone: None,
        first_name: None,
        last_name: None,
        display_logo_url: None,
    }
}

fn challenge(name: &str) -> AuthChallenge {
    AuthChallenge {
        user_socket_hash: user(),
        instruction_id: instruction(name),
        custom_type: CustomType::LocalAuth,
        expected_action: "transfer_funds".into(),
        backend_url: "https://bank.example".into(),
        description: None,
        ttl_seconds: None,
        numbers: None,
        mode: None,
        display: None,
        callback_url: None,
        response_token: None,
        challenge_digest: Some("0123".into()),
    }
}

fn alert() -> SecurityAlert {
    SecurityAlert {
        user_socket_hash: user(),
        title: "New sign-in".into(),
        body: "From a new place.".into(),
        kind: AlertKind::SignIn,
        notification_id: Some(instruction("notice-1")),
        ttl_seconds: Some(60),
    }
}

fn code<T: std::fmt::Debug>(answer: Result<T, RelayError>) -> (ErrorCode, NextStep) {
    let error = answer.unwrap_err();
    (error.code().unwrap_or_else(|| panic!("{error:?}")), error.next_step())
}

#[tokio::test]
async fn a_prompt_is_sent_followed_answered_and_fetched() {
    let (_relay, _tenant, client) = relay_and_client().await;
    let offer = client.prepare_pairing(&profile()).await.unwrap();
    assert!(offer.qr_svg().unwrap().contains("<svg") && !offer.qr_png().unwrap().is_empty());
    let phone = Phone::paired(&offer.pairing_uri).await;

    let sent = client.send_auth_challenge(&challenge("prompt-01")).await.unwrap();
    assert_eq!((sent.delivered_count, sent.failed_count), (1, 0));
    assert_eq!(client.send_auth_challenge(&challenge("prompt-01")).await.unwrap(), sent, "the first answer again");
    let id = instruction("prompt-01");
    let status = client.fetch_delivery_status(&id).await.unwrap();
    assert_eq!((status.status, status.devices[0].status), (DeliveryState::Delivered, DeviceState::Delivered));
    assert_eq!(client.fetch_outcome(&id, Duration::ZERO).await.unwrap(), Outcome::Pending);

    let waiting = client.fetch_outcome(&id, Duration::from_secs(30));
    let (outcome, ()) = tokio::join!(waiting, phone.approve("prompt-01"));
    let Outcome::Decided(event) = outcome.unwrap() else { panic!("decided") };
    assert!(event.approved && event.user_socket_hash == user());
    assert_eq!(event.challenge_digest.as_deref(), Some("0123"));
    assert_eq!(client.fetch_delivery_status(&id).await.unwrap().status, DeliveryState::Answered);
    let late = code(client.cancel_auth_challenge(&id).await);
    assert_eq!(late, (ErrorCode::AlreadyDecided, NextStep::Watch));
}

#[tokio::test]
async fn a_prompt_is_withdrawn_twice_and_an_alert_told_once() {
    let (_relay, _tenant, client) = relay_and_client().await;
    let phone = Phone::paired(&client.prepare_pairing(&profile()).await.unwrap().pairing_uri).await;
    client.send_auth_challenge(&challenge("prompt-01")).await.unwrap();
    let id = instruction("prompt-01");
    client.cancel_auth_challenge(&id).await.unwrap();
    client.cancel_auth_challenge(&id).await.unwrap();
    assert_eq!(client.fetch_outcome(&id, Duration::from_secs(30)).await.unwrap(), Outcome::Cancelled);
    assert!(phone.prompts().await.is_empty());

    let told = client.send_security_alert(&alert()).await.unwrap();
    assert_eq!(client.send_security_alert(&alert()).await.unwrap(), told);
    assert_eq!(told.instruction_id, "notice-1");
    let status = client.fetch_delivery_status(&instruction("notice-1")).await.unwrap();
    assert_eq!(status.delivered_count, 1);
}

#[tokio::test]
async fn a_pairing_that_is_not_there_or_has_no_device_says_so() {
    let (_relay, _tenant, client) = relay_and_client().await;
    let not_paired = (ErrorCode::PairingNotFound, NextStep::PairDevice);
    assert_eq!(code(client.send_auth_challenge(&challenge("prompt-01")).await), not_paired);
    assert_eq!(code(client.revoke_pairing(&user()).await), not_paired);

    let phone = Phone::paired(&client.prepare_pairing(&profile()).await.unwrap().pairing_uri).await;
    phone.run(&["unpair"]).await.ok();
    let no_device = (ErrorCode::NoDevice, NextStep::PairDevice);
    assert_eq!(code(client.send_auth_challenge(&challenge("prompt-02")).await), no_device);
    client.revoke_pairing(&user()).await.unwrap();
    assert_eq!(code(client.send_security_alert(&alert()).await), not_paired);
    let never_sent = code(client.fetch_outcome(&instruction("prompt-03"), Duration::ZERO).await);
    assert_eq!(never_sent, (ErrorCode::NotFound, NextStep::StartOver));
}

#[tokio::test]
async fn a_call_that_breaks_rules_is_told_from_one_that_an_operator_must_mend() {
    let (relay, tenant, client) = relay_and_client().await;
    Phone::paired(&client.prepare_pairing(&profile()).await.unwrap().pairing_uri).await;
    let hasty = AuthChallenge { ttl_seconds: Some(1), ..challenge("prompt-01") };
    let error = client.send_auth_challenge(&hasty).await.unwrap_err();
    assert!(matches!(&error, RelayError::Invalid(details) if details[0].field == "ttl_seconds"), "{error:?}");
    client.send_auth_challenge(&challenge("prompt-02")).await.unwrap();
    let other = AuthChallenge { expected_action: "payout".into(), ..challenge("prompt-02") };
    let conflict = code(client.send_auth_challenge(&other).await);
    assert_eq!(conflict, (ErrorCode::IdempotencyConflict, NextStep::FixCall));

    let stranger = TenantBackend::new(relay.base_url(), &tenant.tenant_id, &format!("sk_{}", "0".repeat(64)));
    let stranger = HttpRelayClient::new(&settings(&relay, &stranger), Arc::new(SystemClock)).unwrap();
    let unsigned = code(stranger.revoke_pairing(&user()).await);
    assert_eq!(unsigned, (ErrorCode::InvalidSignature, NextStep::AskOperator));
    relay.operator().post(&format!("/suspend/tenant?tenant_id={}", tenant.tenant_id), json!({})).await.data();
    let suspended = code(client.revoke_pairing(&user()).await);
    assert_eq!(suspended, (ErrorCode::TenantSuspended, NextStep::AskOperator));
}

#[tokio::test]
async fn a_prompt_is_sent_though_the_push_service_is_slower_than_the_client() {
    let emulator = FcmEmulator::start().await;
    let gate = Gate::default();
    // The relay gets no token to push with.
    emulator.fault_next_token([Fault::Hold(gate.clone())]);
    let relay = RelaySetup::default()
        .with("RELAY_FCM_CREDENTIALS", emulator.credentials_path().to_str().unwrap())
        .with("RELAY_FCM_ENDPOINT", emulator.endpoint())
        .with("RELAY_EXTRA_CA_FILE", emulator.ca_pem_path().to_str().unwrap())
        .start()
        .await;
    let tenant = relay.operator().provision("Bank").await;
    let settings = RelaySettings::from_lookup(|name| match name {
        "BLOONIO_RELAY_BASE_URL" => Some(relay.base_url().to_owned()),
        "BLOONIO_RELAY_TENANT_ID" => Some(tenant.tenant_id.clone()),
        "BLOONIO_RELAY_TENANT_SECRET" => Some(tenant.secret.expose().to_owned()),
        "BLOONIO_RELAY_STATE_BACKEND" => Some("memory".to_owned()),
        "BLOONIO_RELAY_REQUEST_TIMEOUT_SECONDS" => Some("4".to_owned()),
        _ => None,
    });
    let client = HttpRelayClient::new(&settings.unwrap(), Arc::new(SystemClock)).unwrap();
    emulator.add_device("token-android", Platform::Android);
    let offer = client.prepare_pairing(&profile()).await.unwrap();
    Handset::paired(&offer.pairing_uri, "android", "token-android").await;

    let sent = client.send_auth_challenge(&challenge("prompt-01")).await.unwrap();
    assert_eq!((sent.delivered_count, sent.failed_count), (0, 0), "it is with the relay, and nobody has it yet");
    gate.open();
    let id = instruction("prompt-01");
    let delivered = wait::until("the push", || async {
        client.fetch_delivery_status(&id).await.ok().filter(|found| found.status == DeliveryState::Delivered)
    });
    assert_eq!(delivered.await.delivered_count, 1);
}

#[tokio::test]
async fn many_calls_at_once_are_all_signed_apart() {
    let (_relay, _tenant, client) = relay_and_client().await;
    let client = Arc::new(client);
    let calls = (0..64).map(|_| {
        let client = Arc::clone(&client);
        tokio::spawn(async move { code(client.revoke_pairing(&user()).await).0 })
    });
    for call in calls.collect::<Vec<_>>() {
        assert_eq!(call.await.unwrap(), ErrorCode::PairingNotFound, "not taken for a replay");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_blocking_client_does_the_same() {
    let (relay, tenant, _) = relay_and_client().await;
    let client = Arc::new(BlockingRelayClient::new(&settings(&relay, &tenant)).unwrap());
    let offer = on_a_thread(&client, |client| client.prepare_pairing(&profile()).unwrap()).await;
    let phone = Phone::paired(&offer.pairing_uri).await;
    let sent = on_a_thread(&client, |client| client.send_auth_challenge(&challenge("prompt-01")).unwrap()).await;
    assert_eq!(sent.delivered_count, 1);
    phone.deny("prompt-01").await;
    let answered = on_a_thread(&client, |client| {
        let outcome = client.fetch_outcome(&instruction("prompt-01"), Duration::from_secs(30)).unwrap();
        let status = client.fetch_delivery_status(&instruction("prompt-01")).unwrap().status;
        client.revoke_pairing(&user()).unwrap();
        (outcome, status, code(client.revoke_pairing(&user())).0)
    });
    let (outcome, status, revoked) = answered.await;
    assert!(matches!(outcome, Outcome::Decided(event) if !event.approved));
    assert_eq!((status, revoked), (DeliveryState::Answered, ErrorCode::PairingNotFound));
}

/// Runs `calls` where no async runtime is, and waits for their end.
async fn on_a_thread<T: Send + 'static>(
    client: &Arc<BlockingRelayClient>,
    calls: impl FnOnce(&BlockingRelayClient) -> T + Send + 'static,
) -> T {
    let client = Arc::clone(client);
    let thread = std::thread::spawn(move || calls(&client));
    tokio::task::spawn_blocking(|| thread.join()).await.unwrap().unwrap()
}
