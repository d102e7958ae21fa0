//! A first call: draws an instruction, stores it, and has the prompt sent (PROTOCOL 5, 9.1).

use std::time::Duration;

use bloonio_wire::challenge::{AuthChallenge, CustomType};
use bloonio_wire::code::ErrorCode;
use bloonio_wire::digest::Framed;
use bloonio_wire::id::InstructionId;
use bloonio_wire::random::{RandomError, hex_token};

use super::choice::{self, Choices};
use super::guard::{Asked, misconfigured, unfit};
use super::wait::Waiting;
use super::{SudoEngine, short_hash};
use crate::client::RelayError;
use crate::decision::{Decision, Refusal};
use crate::fingerprint::Binding;
use crate::instruction::{Ending, Instruction, InstructionStatus, Redemption, TokenHash};
use crate::policy::Prompt;
use crate::request::RequestView;
use crate::store::{Created, ExpireOutcome, Limited, Limits, NewInstruction, StoreError};

/// The relay takes no shorter prompts.
const SHORTEST_TTL: Duration = Duration::from_secs(10);

/// There are ninety golden numbers, and each open prompt of a user has another one: beside so many there is no further one
/// of that type.
const MOST_BESIDE_GOLDEN: usize = 50;

/// What became of a prompt on its way to the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivery {
    /// The relay has it.
    Sent,
    /// The user has never paired a phone.
    NotPaired,
    /// The user's pairing has no device left.
    NoDevice,
    /// The relay wants us to wait.
    Later(Duration),
    /// The relay is away, or does not take it.
    Away,
}

/// An instruction that is not stored yet, and its prompt.
struct Draft {
    new: NewInstruction,
    challenge: AuthChallenge,
    choices: Option<Choices>,
    limits: Limits,
}

/// How far a first call has come.
enum Begun {
    /// Its prompt must now be sent, and waited for.
    Waits(Waiting, Box<AuthChallenge>),
    /// Its prompt was sent, with this success.
    Sent(Box<Instruction>, Delivery),
    /// The same request has a prompt already.
    Existing(Box<Instruction>),
    /// Not now.
    Limited(Limited),
    /// The process is ending.
    Nothing,
}

impl SudoEngine {
    pub(super) async fn ask(&self, asked: &Asked<'_>, view: &RequestView<'_>) -> Result<Decision, Refusal> {
        if asked.requirement.blocking && self.inner.stopping.is_cancelled() {
            // Nobody would wait for the answer.
            return Err(Refusal::state_unavailable());
        }
        // In a task of its own: a caller that hangs up halfway must not leave an instruction that nobody was asked about. And
        // what it needs is gone by the time that a request waits.
        let begun = self.inner.tasks.spawn(self.clone().begin(self.draft(asked, view)?)).await;
        match begun.unwrap_or(Ok(Begun::Nothing)) {
            Ok(Begun::Waits(waiting, challenge)) => self.wait(asked, view, waiting, challenge).await,
            Ok(Begun::Sent(instruction, delivery)) => self.first_answer(asked, &instruction, delivery),
            Ok(Begun::Existing(instruction)) => Err(Refusal::key_required(&instruction)),
            Ok(Begun::Limited(limited)) => {
                tracing::info!(action = asked.requirement.action(), reason = ?limited.reason, "no new prompt for now");
                Err(Refusal::later(ErrorCode::SudoTooManyPending, limited.retry_after))
            }
            Ok(Begun::Nothing) => Err(Refusal::state_unavailable()),
            Err(error) => {
                tracing::error!(action = asked.requirement.action(), %error, "an instruction could not be stored");
                Err(Refusal::state_unavailable())
            }
        }
    }

    /// Stores an instruction, and has its prompt sent unless its request waits and does that itself.
    async fn begin(self, draft: Box<Draft>) -> Result<Begun, StoreError> {
        let Draft { new, mut challenge, choices, limits } = *draft;
        let waits = new.redemption == Redemption::ByWaiter;
        Ok(match self.inner.store.create(&self.inner.settings.tenant_id, new, limits).await? {
            // A caller that has hung up meanwhile drops this, and with it the instruction ends.
            Created::New { instruction, .. } if waits => {
                Begun::Waits(Waiting::of(self, instruction.instruction_id), Box::new(challenge))
            }
            Created::New { instruction, typed_only } => {
                challenge.numbers =
                    choices.zip(instruction.golden_number).map(|(choices, right)| choices.around(right));
                challenge.numbers.take_if(|_| typed_only);
                Begun::Sent(Box::new(instruction), self.send(&challenge).await)
            }
            Created::Existing(instruction) => Begun::Existing(Box::new(instruction)),
            Created::Limited(limited) => Begun::Limited(limited),
        })
    }

    fn first_answer(
        &self,
        asked: &Asked<'_>,
        instruction: &Instruction,
        delivery: Delivery,
    ) -> Result<Decision, Refusal> {
        match delivery {
            Delivery::NotPaired if asked.requirement.enrolment_exception => Ok(Decision::Exempt),
            // Whoever asks must not learn whether the user has a phone (ATTACKS A102): the ordinary answer.
            Delivery::Sent | Delivery::NotPaired | Delivery::NoDevice => Err(Refusal::key_required(instruction)),
            Delivery::Later(wait) => Err(Refusal::later(ErrorCode::SudoTooManyPending, wait)),
            Delivery::Away => Err(Refusal::relay_unavailable()),
        }
    }

    /// Computes the prompt, and draws everything random about its instruction.
    fn draft(&self, asked: &Asked<'_>, view: &RequestView<'_>) -> Result<Box<Draft>, Refusal> {
        let prompt = asked.requirement.prompt(view).map_err(|worst| unfit(asked.requirement, worst))?;
        let drawn = self.drawn(asked, prompt).and_then(|(new, challenge)| Ok((new, challenge, self.choices(asked)?)));
        let (new, challenge, choices) = drawn.map_err(|error| misconfigured(asked.requirement, &error))?;
        let limits = Limits {
            per_initiator: self.inner.settings.max_pending_per_initiator,
            per_user: self.most_open(asked.requirement.custom_type),
        };
        Ok(Box::new(Draft { new, challenge, choices, limits }))
    }

    /// Draws everything random about an instruction, and writes its prompt.
    fn drawn(&self, asked: &Asked<'_>, prompt: Prompt) -> Result<(NewInstruction, AuthChallenge), RandomError> {
        let Asked { requirement, .. } = asked;
        let random = self.inner.random.as_ref();
        let instruction_id = InstructionId::draw(random)?;
        let response_token = hex_token::<32>(random)?;
        let golden_candidates = match requirement.custom_type {
            CustomType::GoldenNumber => self.golden_candidates()?,
            _ => Vec::new(),
        };
        let challenge_digest = challenge_digest(asked, &instruction_id, &prompt, &hex_token::<32>(random)?);
        let ttl = match requirement.blocking {
            true => self.inner.settings.block_timeout().max(SHORTEST_TTL),
            false => requirement.ttl.unwrap_or(self.inner.settings.instruction_ttl),
        };
        let challenge = AuthChallenge {
            user_socket_hash: asked.user.clone(),
            instruction_id: instruction_id.clone(),
            custom_type: requirement.custom_type,
            expected_action: requirement.action.clone(),
            backend_url: self.inner.settings.backend_url(),
            description: prompt.description,
            ttl_seconds: i64::try_from(ttl.as_secs()).ok(),
            numbers: None,
            mode: None,
            display: Some(prompt.display),
            callback_url: self.inner.settings.callback_url(),
            response_token: Some(response_token.clone()),
            challenge_digest: Some(challenge_digest.clone()),
        };
        let new = NewInstruction {
            instruction_id,
            user: asked.user.clone(),
            initiator: asked.initiator,
            action: requirement.action.clone(),
            custom_type: requirement.custom_type,
            fingerprint: asked.fingerprint,
            golden_candidates,
            response_token: TokenHash::of(&response_token),
            challenge_digest,
            redemption: if requirement.blocking { Redemption::ByWaiter } else { Redemption::ByKey },
            shared: asked.has_initiator && !requirement.blocking && requirement.binding != Binding::None,
            ttl,
            execution_window: self.inner.settings.execution_window,
        };
        Ok((new, challenge))
    }

    /// How many prompts a user may have open when another one is asked for.
    fn most_open(&self, custom_type: CustomType) -> usize {
        let configured = self.inner.settings.max_pending_per_user;
        if custom_type == CustomType::GoldenNumber { configured.min(MOST_BESIDE_GOLDEN) } else { configured }
    }

    /// Distinct numbers in random order, one more than the user may have open: the store takes the first free one, which
    /// so is uniform among those that none of his prompts has.
    fn golden_candidates(&self) -> Result<Vec<u32>, RandomError> {
        choice::distinct(self.most_open(CustomType::GoldenNumber) + 1, self.inner.random.as_ref())
    }

    /// What surrounds the number, where it may be picked.
    fn choices(&self, asked: &Asked<'_>) -> Result<Option<Choices>, RandomError> {
        let offered = asked.requirement.golden_choices;
        offered.map(|offered| Choices::draw(offered, self.inner.random.as_ref())).transpose()
    }

    /// Sends a prompt in a task of its own: a caller that hangs up halfway must not leave an instruction that nobody was
    /// asked about.
    pub(super) async fn deliver(&self, challenge: Box<AuthChallenge>) -> Delivery {
        let engine = self.clone();
        let sending = self.inner.tasks.spawn(async move { engine.send(&challenge).await });
        sending.await.unwrap_or(Delivery::Away)
    }

    async fn send(&self, challenge: &AuthChallenge) -> Delivery {
        let id = &challenge.instruction_id;
        let instruction = short_hash(id);
        let error = match self.inner.relay.send_auth_challenge(challenge).await {
            Ok(receipt) => {
                tracing::info!(%instruction, delivered = receipt.delivered_count, "a prompt was sent");
                self.delivered(id).await;
                return Delivery::Sent;
            }
            Err(error) => error,
        };
        tracing::warn!(%instruction, %error, "a prompt was not delivered");
        let delivery = match (&error, error.code()) {
            // The prompt stands, and the phone finds it when it next looks.
            (_, Some(ErrorCode::PushNotDelivered)) => {
                self.delivered(id).await;
                return Delivery::Sent;
            }
            (_, Some(ErrorCode::PairingNotFound)) => Delivery::NotPaired,
            (_, Some(ErrorCode::NoDevice)) => Delivery::NoDevice,
            (RelayError::Rejected { status: 429, retry_after, .. }, _) => {
                Delivery::Later(retry_after.unwrap_or(Duration::from_secs(1)))
            }
            _ => Delivery::Away,
        };
        if delivery == Delivery::Away && self.is_answered(id).await {
            // The relay had it, and the answer was faster than the relay's own.
            return Delivery::Sent;
        }
        self.end(id, Ending::Undelivered).await;
        if delivery == Delivery::Away {
            // The relay may have it all the same.
            self.withdraw(id.clone());
        }
        delivery
    }

    /// A prompt is on the phone. If nobody waits for its answer any more, it goes again: a waiting request may have gone
    /// away while the relay was being asked, and its withdrawal may have come there first.
    async fn delivered(&self, id: &InstructionId) {
        match self.inner.store.get(&self.inner.settings.tenant_id, id).await {
            Ok(Some(instruction)) if instruction.status == InstructionStatus::Expired => self.withdraw(id.clone()),
            _ => self.watch_outcome(id),
        }
    }

    async fn is_answered(&self, id: &InstructionId) -> bool {
        let found = self.inner.store.get(&self.inner.settings.tenant_id, id).await;
        found.is_ok_and(|found| found.is_some_and(|instruction| instruction.decision.is_some()))
    }

    /// Ends an instruction in one atomic step. Whether it is over now by this step.
    pub(super) async fn end(&self, id: &InstructionId, ending: Ending) -> bool {
        match self.inner.store.expire(&self.inner.settings.tenant_id, id, ending).await {
            Ok(outcome) => outcome == ExpireOutcome::Expired,
            Err(error) => {
                tracing::error!(instruction = %short_hash(id), %error, "an instruction could not be ended");
                false
            }
        }
    }

    /// Asks the relay to take a prompt off the devices; nobody waits for it.
    pub(crate) fn withdraw(&self, id: InstructionId) {
        let engine = self.clone();
        self.inner.tasks.spawn(async move {
            if let Err(error) = engine.inner.relay.cancel_auth_challenge(&id).await {
                tracing::info!(instruction = %short_hash(&id), %error, "a prompt could not be withdrawn");
            }
        });
    }
}

/// What the relay echoes, so that an event of one prompt never decides another. Salted: the relay must not be able to try
/// out what the protected request may have held.
fn challenge_digest(asked: &Asked<'_>, id: &InstructionId, prompt: &Prompt, salt: &str) -> String {
    let mut framed = Framed::new("bloonio-challenge-v1");
    framed
        .text(salt)
        .text(id.as_str())
        .text(asked.user.as_str())
        .part(asked.fingerprint.as_bytes())
        .text(asked.requirement.custom_type.as_str())
        .text(&asked.requirement.action)
        .text(&serde_json::to_string(&prompt.display).unwrap_or_default())
        .optional(prompt.description.as_deref().map(str::as_bytes));
    hex::encode(framed.digest())
}
