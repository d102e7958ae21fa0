//! Actors of the engine's tests: a relay that only records, a clock that stands still, a store that can fail.
//! The adapter's tests use them too.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bloonio_sudo::client::{Outcome, RelayCall};
use bloonio_sudo::instruction::{Claim, ConsumeRefusal, Ending, Instruction, InstructionStatus, Verdict};
use bloonio_sudo::request::Headers;
use bloonio_sudo::store::memory::MemoryStore;
use bloonio_sudo::store::{
    Created, DecideOutcome, ExpireOutcome, InstructionStore, Limits, MissOutcome, NewInstruction, StoreError, Wakeups,
};
use bloonio_sudo::wire::challenge::{AuthChallenge, PushReceipt};
use bloonio_sudo::wire::clock::ManualClock;
use bloonio_sudo::wire::id::RelayUserLinkedId;
use bloonio_sudo::wire::{header, sign, webhook};
use bloonio_sudo::{
    Answer, Caller, Clock, Decision, ErrorCode, Grant, InstructionId, MountedRoute, PairingOffer, PreparePairing,
    RelayClient, RelayError, RelaySettings, Reply, RequestView, Secret, SecurityAlert, SudoEngine, SudoEngineBuilder,
    SudoRequirement, TenantId, Timestamp, UserSocketHash,
};
use serde_json::{Value, json};
use tokio::sync::watch;

pub const SECRET: &str = "sk_0000000000000000000000000000000000000000000000000000000000000000";
pub const TENANT: &str = "tnt_0123456789abcdef0123456789abcdef";
pub const OTHER_TENANT: &str = "tnt_fedcba9876543210fedcba9876543210";

/// The pairing of the user whose codes the relay knows, and the code that is right.
pub const PAIRING: &str = "76543210fedcba9876543210";
pub const RIGHT_CODE: &str = "246810";

/// How the relay answers the next prompts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    Delivers,
    Hangs,
    Away,
    Unreadable,
    Refuses(u16, ErrorCode),
}

#[derive(Debug, Default)]
struct Journal {
    challenges: Vec<AuthChallenge>,
    cancelled: Vec<InstructionId>,
    alerts: Vec<SecurityAlert>,
    outcomes: Vec<Outcome>,
    asked_outcomes: usize,
    codes: Vec<(RelayUserLinkedId, String)>,
}

/// A relay that notes down what it is told.
#[derive(Debug)]
pub struct RecordingRelay {
    journal: Mutex<Journal>,
    mood: watch::Sender<Mood>,
    changed: watch::Sender<()>,
}

impl RecordingRelay {
    pub fn new() -> Arc<Self> {
        let journal = Mutex::default();
        Arc::new(Self { journal, mood: watch::Sender::new(Mood::Delivers), changed: watch::Sender::new(()) })
    }

    pub fn set(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }

    pub fn challenges(&self) -> Vec<AuthChallenge> {
        self.journal.lock().unwrap().challenges.clone()
    }

    pub fn last(&self) -> AuthChallenge {
        self.challenges().pop().expect("a prompt was sent")
    }

    pub fn cancelled(&self) -> Vec<InstructionId> {
        self.journal.lock().unwrap().cancelled.clone()
    }

    pub fn alerts(&self) -> Vec<SecurityAlert> {
        self.journal.lock().unwrap().alerts.clone()
    }

    pub fn codes(&self) -> Vec<(RelayUserLinkedId, String)> {
        self.journal.lock().unwrap().codes.clone()
    }

    pub fn asked_outcomes(&self) -> usize {
        self.journal.lock().unwrap().asked_outcomes
    }

    /// What the next question for an outcome is answered with; later ones stay pending.
    pub fn tell(&self, outcome: Outcome) {
        self.journal.lock().unwrap().outcomes.push(outcome);
    }

    /// Waits until `what` holds of this relay.
    pub async fn until(&self, what: impl Fn(&Self) -> bool) {
        let mut changes = self.changed.subscribe();
        while !what(self) {
            changes.changed().await.unwrap();
        }
    }

    fn note(&self, note: impl FnOnce(&mut Journal)) {
        note(&mut self.journal.lock().unwrap());
        self.changed.send_replace(());
    }
}

fn receipt(id: &str) -> PushReceipt {
    PushReceipt {
        instruction_id: id.to_owned(),
        delivered_count: 1,
        failed_count: 0,
        fcm_message_ids: Vec::new(),
        failed_tokens_sample: Vec::new(),
        sent_at: Timestamp::from_secs(0),
    }
}

#[async_trait]
impl RelayClient for RecordingRelay {
    async fn send_auth_challenge(&self, challenge: &AuthChallenge) -> Result<PushReceipt, RelayError> {
        self.note(|journal| journal.challenges.push(challenge.clone()));
        let mut moods = self.mood.subscribe();
        let mood = *moods.wait_for(|mood| *mood != Mood::Hangs).await.unwrap();
        match mood {
            Mood::Delivers | Mood::Hangs => Ok(receipt(challenge.instruction_id.as_str())),
            Mood::Away => Err(RelayError::Unreachable("no connection")),
            Mood::Unreadable => Err(RelayError::Unreadable("it is not of the protocol")),
            Mood::Refuses(status, code) => Err(RelayError::Rejected {
                status,
                code: Some(code),
                retry_after: (status == 429).then_some(Duration::from_secs(7)),
            }),
        }
    }

    async fn cancel_auth_challenge(&self, instruction: &InstructionId) -> Result<(), RelayError> {
        self.note(|journal| journal.cancelled.push(instruction.clone()));
        Ok(())
    }

    async fn fetch_outcome(&self, _instruction: &InstructionId, wait: Duration) -> Result<Outcome, RelayError> {
        let mut told = None;
        self.note(|journal| {
            journal.asked_outcomes += 1;
            told = journal.outcomes.pop();
        });
        match told {
            Some(outcome) => Ok(outcome),
            None => {
                tokio::time::sleep(wait).await;
                Ok(Outcome::Pending)
            }
        }
    }

    async fn prepare_pairing(&self, _profile: &PreparePairing) -> Result<PairingOffer, RelayError> {
        Err(RelayError::Unreachable("nobody pairs in these tests"))
    }

    async fn revoke_pairing(&self, _user: &UserSocketHash) -> Result<(), RelayError> {
        Err(RelayError::Unreachable("nobody pairs in these tests"))
    }

    async fn send_security_alert(&self, alert: &SecurityAlert) -> Result<PushReceipt, RelayError> {
        self.note(|journal| journal.alerts.push(alert.clone()));
        Ok(receipt("alert"))
    }

    async fn verify_totp(&self, user: &RelayUserLinkedId, code: &str) -> Result<bool, RelayError> {
        self.note(|journal| journal.codes.push((user.clone(), code.to_owned())));
        let code_is_right = code == RIGHT_CODE && user.as_str() == PAIRING;
        let mood = *self.mood.borrow();
        match mood {
            Mood::Away => Err(RelayError::Unreachable("no connection")),
            Mood::Refuses(status, code) => {
                Err(RelayError::Rejected { status, code: Some(code), retry_after: Some(Duration::from_secs(7)) })
            }
            _ => Ok(code_is_right),
        }
    }

    async fn call(&self, _call: &RelayCall) -> Result<Value, RelayError> {
        Err(RelayError::Unreachable("nobody makes other calls in these tests"))
    }
}

/// A store that works until it is told not to.
#[derive(Debug)]
pub struct FragileStore {
    inner: Arc<dyn InstructionStore>,
    broken: AtomicBool,
}

impl FragileStore {
    pub fn over(inner: Arc<dyn InstructionStore>) -> Arc<Self> {
        Arc::new(Self { inner, broken: AtomicBool::new(false) })
    }

    pub fn set_broken(&self, broken: bool) {
        self.broken.store(broken, Ordering::SeqCst);
    }

    fn check(&self) -> Result<(), StoreError> {
        if self.broken.load(Ordering::SeqCst) { Err(StoreError::Unavailable("pulled the plug".into())) } else { Ok(()) }
    }
}

#[async_trait]
impl InstructionStore for FragileStore {
    async fn create(&self, t: &TenantId, new: NewInstruction, limits: Limits) -> Result<Created, StoreError> {
        self.check()?;
        self.inner.create(t, new, limits).await
    }

    async fn get(&self, t: &TenantId, id: &InstructionId) -> Result<Option<Instruction>, StoreError> {
        self.check()?;
        self.inner.get(t, id).await
    }

    async fn decide(&self, t: &TenantId, id: &InstructionId, v: &Verdict) -> Result<DecideOutcome, StoreError> {
        self.check()?;
        self.inner.decide(t, id, v).await
    }

    async fn miss(&self, t: &TenantId, id: &InstructionId) -> Result<MissOutcome, StoreError> {
        self.check()?;
        self.inner.miss(t, id).await
    }

    async fn complete(&self, t: &TenantId, id: &InstructionId) -> Result<bool, StoreError> {
        self.check()?;
        self.inner.complete(t, id).await
    }

    async fn release(&self, t: &TenantId, id: &InstructionId) -> Result<bool, StoreError> {
        self.check()?;
        self.inner.release(t, id).await
    }

    async fn consume(
        &self,
        t: &TenantId,
        id: &InstructionId,
        claim: &Claim,
    ) -> Result<Result<Instruction, ConsumeRefusal>, StoreError> {
        self.check()?;
        self.inner.consume(t, id, claim).await
    }

    async fn expire(&self, t: &TenantId, id: &InstructionId, ending: Ending) -> Result<ExpireOutcome, StoreError> {
        self.check()?;
        self.inner.expire(t, id, ending).await
    }

    async fn subscribe(&self, t: &TenantId, id: &InstructionId) -> Result<Option<Wakeups>, StoreError> {
        self.check()?;
        self.inner.subscribe(t, id).await
    }
}

/// An engine with everything around it under the test's control.
pub struct Stage {
    pub engine: SudoEngine,
    pub relay: Arc<RecordingRelay>,
    pub clock: Arc<ManualClock>,
    pub store: Arc<FragileStore>,
}

pub fn settings() -> RelaySettings {
    let tenant = TenantId::parse(TENANT).unwrap();
    RelaySettings::new("https://relay.example", tenant, Secret::new(SECRET)).unwrap()
}

/// Who asks, in the tests: `x-user` is the user, `x-session` the session.
pub fn identify(view: &RequestView<'_>) -> Option<Caller> {
    let user = UserSocketHash::parse(view.header("x-user")?).ok()?;
    Some(Caller::new(user, view.header("x-session").unwrap_or_default()))
}

impl Stage {
    pub fn new() -> Self {
        Self::with(settings(), |builder| builder.with_identity(identify))
    }

    pub fn with(settings: RelaySettings, more: impl FnOnce(SudoEngineBuilder) -> SudoEngineBuilder) -> Self {
        let clock = Self::clock();
        Self::over(settings, clock.clone(), Arc::new(MemoryStore::new(clock)), more)
    }

    pub fn clock() -> Arc<ManualClock> {
        Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000)))
    }

    /// Over another store, which lives by `clock`.
    pub fn over(
        settings: RelaySettings,
        clock: Arc<ManualClock>,
        store: Arc<dyn InstructionStore>,
        more: impl FnOnce(SudoEngineBuilder) -> SudoEngineBuilder,
    ) -> Self {
        let relay = RecordingRelay::new();
        let store = FragileStore::over(store);
        let builder =
            SudoEngine::builder(settings).with_clock(clock.clone()).with_store(store.clone()).with_relay(relay.clone());
        Self { engine: more(builder).build().unwrap(), relay, clock, store }
    }

    /// Asks for `call` and gives the key that came back.
    pub async fn key(&self, requirement: &SudoRequirement, call: &Call) -> String {
        let body = call.refused(&self.engine, requirement, ErrorCode::SudoInstructionKeyRequired).await;
        body["instruction_id"].as_str().expect("a key").to_owned()
    }

    /// Asks for `call`, approves it, and gives the key.
    pub async fn approved(&self, requirement: &SudoRequirement, call: &Call) -> String {
        let key = self.key(requirement, call).await;
        self.tell(&self.event(&key, true)).await.assert(200);
        key
    }

    pub async fn instruction(&self, key: &str) -> Instruction {
        let id = InstructionId::parse(key).unwrap();
        self.store.inner.get(&TenantId::parse(TENANT).unwrap(), &id).await.unwrap().expect("known")
    }

    pub async fn status(&self, key: &str) -> InstructionStatus {
        self.instruction(key).await.status
    }

    /// The relay's event about a prompt that it was sent.
    pub fn event(&self, key: &str, approved: bool) -> Value {
        let sent = self.relay.challenges().into_iter().find(|sent| sent.instruction_id.as_str() == key);
        let sent = sent.expect("a prompt of that name was sent");
        json!({
            "instruction_id": key, "user_socket_hash": sent.user_socket_hash, "tenant_id": TENANT,
            "approved": approved, "response_data": {"device_id": "0123456789abcdef01234567"},
            "timestamp": self.clock.now(), "challenge_digest": sent.challenge_digest,
        })
    }

    /// Gives an event to the callback route, well signed.
    pub async fn tell(&self, event: &Value) -> Heard {
        self.callback(&event.to_string(), None, |_| {}).await
    }

    /// Gives a body to the callback route (or a flow's), signed and then spoilt by `spoil`.
    pub async fn callback(&self, body: &str, flow: Option<&str>, spoil: impl FnOnce(&mut Call)) -> Heard {
        let call = callback(body, flow, self.clock.now(), spoil);
        let route = if flow.is_some() { MountedRoute::FlowCallback } else { MountedRoute::Callback };
        self.serve(route, &call).await
    }

    pub async fn serve(&self, route: MountedRoute, call: &Call) -> Heard {
        match self.engine.serve(route, &call.view()).await {
            Answer::Reply(reply) => Heard::from(reply),
            Answer::Events { .. } => panic!("an event stream"),
        }
    }
}

/// A callback as the relay signs it.
pub fn callback(body: &str, flow: Option<&str>, at: Timestamp, spoil: impl FnOnce(&mut Call)) -> Call {
    let secret = Secret::new(SECRET);
    let path = flow.map_or("/api/sudo-callback".to_owned(), |flow| format!("/relay-callbacks/{flow}"));
    let mut call = Call::new("POST", &path)
        .body(body)
        .header(header::TENANT_ID, TENANT)
        .header(header::TIMESTAMP, &at.as_millis().to_string())
        .header(header::SIGNATURE, &sign::sign(&secret, at, body.as_bytes()).to_hex())
        .header(header::WEBHOOK_ID, "msg_1")
        .header(header::WEBHOOK_TIMESTAMP, &at.as_secs().to_string())
        .header(header::WEBHOOK_SIGNATURE, &webhook::sign(&secret, "msg_1", at.as_secs(), body.as_bytes()));
    spoil(&mut call);
    call
}

/// An answer, read.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Value,
}

impl From<Reply> for Heard {
    fn from(reply: Reply) -> Self {
        let body = serde_json::from_slice(&reply.body).expect("JSON");
        Self { status: reply.status, headers: reply.headers, body }
    }
}

impl Heard {
    #[track_caller]
    pub fn assert(&self, status: u16) {
        assert_eq!(self.status, status, "{}", self.body);
    }

    #[track_caller]
    pub fn assert_error(&self, code: ErrorCode) {
        assert_eq!((self.status, &self.body["error"]), (code.status(), &json!(code.name())), "{}", self.body);
        assert_eq!(self.body["success"], false);
        assert_eq!(self.body["status_code"], code.status());
        assert!(self.body["message"].is_string());
        assert_eq!(self.header("cache-control"), Some("no-store"));
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str())
    }
}

/// A request, owned.
#[derive(Debug, Clone)]
pub struct Call {
    pub method: String,
    pub path: String,
    pub query: Option<String>,
    pub authority: Option<String>,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
}

impl Headers for Call {
    fn values(&self, name: &str) -> Vec<&[u8]> {
        let named = self.headers.iter().filter(|(key, _)| key == name);
        named.map(|(_, value)| value.as_slice()).collect()
    }
}

impl Call {
    pub fn new(method: &str, path: &str) -> Self {
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            query: None,
            authority: Some("bank.example".to_owned()),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// Jane's transfer from her first session.
    pub fn transfer() -> Self {
        Self::new("POST", "/transfer")
            .header("x-user", "jane-0001")
            .header("x-session", "one")
            .header("content-type", "application/json")
            .body(r#"{"amount": "1000.00", "recipient": "ACME Corp"}"#)
    }

    /// Another transfer, told apart by its amount.
    pub fn transfer_of(amount: usize) -> Self {
        Self::transfer().body(&format!(r#"{{"amount": "{amount}.00", "recipient": "ACME Corp"}}"#))
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.as_bytes().to_vec()));
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(key, _)| key != name);
        self
    }

    pub fn with(self, name: &str, value: &str) -> Self {
        self.without(name).header(name, value)
    }

    pub fn from(self, user: &str, session: &str) -> Self {
        self.with("x-user", user).with("x-session", session)
    }

    pub fn key(self, key: &str) -> Self {
        self.with("x-sudo-instruction-key", key)
    }

    pub fn query(mut self, query: &str) -> Self {
        self.query = Some(query.to_owned());
        self
    }

    pub fn body(mut self, body: &str) -> Self {
        self.body = body.as_bytes().to_vec();
        self
    }

    pub fn view(&self) -> RequestView<'_> {
        RequestView::new(&self.method, &self.path, self.query.as_deref(), self)
            .with_authority(self.authority.as_deref())
            .with_body(&self.body)
    }

    pub async fn decision(&self, engine: &SudoEngine, requirement: &SudoRequirement) -> Decision {
        let view = self.view();
        let demand = engine.demand(requirement.clone());
        match demand.route(&view).await {
            Ok(Some(guarded)) => guarded.check(&view).await,
            Ok(None) => panic!("it is protected"),
            Err(refusal) => Decision::Refuse(refusal),
        }
    }

    pub async fn passed(&self, engine: &SudoEngine, requirement: &SudoRequirement) -> Grant {
        match self.decision(engine, requirement).await {
            Decision::Pass(grant) => grant,
            other => panic!("{other:?}"),
        }
    }

    pub async fn heard(&self, engine: &SudoEngine, requirement: &SudoRequirement) -> Heard {
        match self.decision(engine, requirement).await {
            Decision::Refuse(refusal) => Heard::from(refusal.into_reply()),
            other => panic!("{other:?}"),
        }
    }

    pub async fn refused(&self, engine: &SudoEngine, requirement: &SudoRequirement, code: ErrorCode) -> Value {
        let heard = self.heard(engine, requirement).await;
        heard.assert_error(code);
        heard.body
    }
}

/// What most tests protect.
pub fn transfer() -> SudoRequirement {
    SudoRequirement::new("transfer_funds").with_title("Transfer")
}
