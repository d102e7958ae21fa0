//! A device's answer, given to the backend itself (PROTOCOL 9.4).

mod totp;

use async_trait::async_trait;
use bloonio_wire::callback::ResponseData;
use bloonio_wire::challenge::CustomType;
use bloonio_wire::code::ErrorCode;
use bloonio_wire::envelope::FieldProblem;
use bloonio_wire::field::{BodyError, Reader, parse_body};
use bloonio_wire::id::{InstructionId, UserSocketHash};
use serde_json::{Value, json};

use super::invalid;
use crate::decision::Refusal;
use crate::engine::{Proof, Signed, SudoEngine, counts_as_approved};
use crate::instruction::{Instruction, TokenHash, Verdict};
use crate::reply::Reply;
use crate::request::RequestView;
use crate::store::{DecideOutcome, StoreError};

/// What a device sends. `device_id`, `decided_at` and `challenge_sha256` belong to the signature.
struct Submission {
    instruction_id: InstructionId,
    approved: bool,
    custom_type: CustomType,
    selected_number: Option<i64>,
    totp_code: Option<String>,
    response_token: Option<String>,
    device_id: Option<String>,
    decided_at: Option<i64>,
    challenge_sha256: Option<String>,
    signature: Option<String>,
}

/// The cause of a failed check of a device; shown in the log only.
pub type DeviceCheckError = Box<dyn std::error::Error + Send + Sync>;

/// An application's own way to know a device of a user, such as a session that was bound to it.
///
/// It must prove the *device*. Whoever asked for an approval must never be able to give it: an answer that comes in the
/// initiator's own session is refused whatever this says.
#[async_trait]
pub trait DeviceCheck: Send + Sync {
    /// Whether this request comes from a device of `user`.
    ///
    /// # Errors
    /// Whatever kept the application from knowing; the answer is then refused as one without proof.
    async fn is_device_of(&self, user: &UserSocketHash, view: &RequestView<'_>) -> Result<bool, DeviceCheckError>;
}

impl SudoEngine {
    pub(super) async fn take_response(&self, view: &RequestView<'_>) -> Reply {
        let body = match parse_body(view.body()) {
            Ok(body) => body,
            Err(BodyError::NotJson) => return Reply::error(ErrorCode::MalformedRequest),
            Err(BodyError::Invalid(details)) => return invalid(details),
        };
        let submission = match Submission::read(&body) {
            Ok(submission) => submission,
            Err(details) => return invalid(details),
        };
        match self.take_submission(submission, view).await {
            Ok(reply) => reply,
            Err(error) => {
                tracing::error!(%error, "a device's answer could not be taken");
                Refusal::state_unavailable().into_reply()
            }
        }
    }

    async fn take_submission(&self, submission: Submission, view: &RequestView<'_>) -> Result<Reply, StoreError> {
        let found = self.inner.store.get(self.settings().tenant_id(), &submission.instruction_id).await?;
        // The same work for an unknown instruction as for a wrong token, and the same answer.
        let token = submission.response_token.as_deref().unwrap_or_default();
        let hash = found.as_ref().map_or_else(|| TokenHash::from_bytes([0; 32]), |found| found.response_token);
        let has_token = hash.matches(token);
        let Some(instruction) = found else { return Ok(Reply::error(ErrorCode::InvalidResponseToken)) };
        let proof = self.proof(&instruction, submission.signed()).await?;
        let is_device = has_token || matches!(proof, Proof::Device(_));
        if !is_device && !self.is_device(&instruction, view).await {
            return Ok(Reply::error(ErrorCode::InvalidResponseToken));
        }
        if instruction.decision.is_some() || instruction.status.is_final() {
            return Ok(Reply::error(ErrorCode::AlreadyDecided));
        }
        if let Some(problem) = submission.contradicts(&instruction) {
            return Ok(invalid(vec![problem]));
        }
        if !self.suffices(&proof, submission.approved) {
            return Ok(Reply::error(ErrorCode::InvalidDeviceSignature));
        }
        let mut response = ResponseData { selected_number: submission.selected_number, ..ResponseData::default() };
        if let (CustomType::Totp, true, Some(code)) =
            (instruction.custom_type, submission.approved, &submission.totp_code)
        {
            match self.check_code(&instruction, code).await? {
                Ok(()) => response.totp_verified = Some(true),
                Err(reply) => return Ok(reply),
            }
        }
        let approved = counts_as_approved(&instruction, submission.approved, &response);
        let wrong_number = submission.approved && !approved && instruction.custom_type == CustomType::GoldenNumber;
        let device_id = if let Proof::Device(device_id) = proof { Some(device_id) } else { None };
        let verdict = Verdict { approved, wrong_number, device_id, webhook_id: None };
        Ok(match self.record(&instruction, &verdict).await? {
            DecideOutcome::Recorded { .. } => {
                // The relay does not know that the device went past it: its prompt would stay on the other devices.
                self.withdraw(submission.instruction_id.clone());
                Reply::json(200, &json!({"recorded": true}))
            }
            DecideOutcome::Unknown => Reply::error(ErrorCode::InvalidResponseToken),
            DecideOutcome::Repeated | DecideOutcome::Final(_) => Reply::error(ErrorCode::AlreadyDecided),
        })
    }

    /// Whether the application vouches for the device. The session that asked never is one.
    async fn is_device(&self, of: &Instruction, view: &RequestView<'_>) -> bool {
        let Some(check) = &self.inner.device_check else { return false };
        let is_initiator = match self.inner.identify.identify(view).await {
            Ok(caller) => caller.is_some_and(|it| it.initiator_hash(self.settings().tenant_id()) == of.initiator),
            Err(_) => true,
        };
        if is_initiator {
            return false;
        }
        check.is_device_of(&of.user, view).await.unwrap_or_else(|error| {
            tracing::error!(%error, "the application's check of a device failed");
            false
        })
    }
}

fn is_code(text: &str) -> bool {
    text.len() == 6 && text.bytes().all(|byte| byte.is_ascii_digit())
}

impl Submission {
    fn read(body: &Value) -> Result<Self, Vec<FieldProblem>> {
        let mut reader = Reader::object(body);
        let instruction_id = reader.parsed("instruction_id");
        let approved = reader.boolean("approved");
        let custom_type = reader.parsed("custom_type");
        let selected_number = reader.optional_integer("selected_number", i64::MIN..=i64::MAX);
        let response_token = reader.optional_text("response_token", 0..=512);
        let totp_code = reader.optional_text("totp_code", 1..=16);
        let signature = reader.optional_text("signature", 1..=512);
        let device_id = reader.optional_text("device_id", 1..=64);
        let decided_at = reader.optional_integer("decided_at", 0..=i64::MAX);
        let challenge_sha256 = reader.optional_text("challenge_sha256", 64..=64);
        reader.optional_text("reason", 0..=1024);
        reader.finish()?;
        // The reader has named whatever is missing; this is only what the type system asks for.
        let missing = || vec![FieldProblem::new("", "is incomplete")];
        Ok(Self {
            instruction_id: instruction_id.ok_or_else(missing)?,
            approved: approved.ok_or_else(missing)?,
            custom_type: custom_type.ok_or_else(missing)?,
            selected_number,
            totp_code,
            response_token,
            device_id,
            decided_at,
            challenge_sha256,
            signature,
        })
    }

    fn signed(&self) -> Signed<'_> {
        Signed {
            device_id: self.device_id.as_deref(),
            approved: self.approved,
            selected_number: self.selected_number,
            decided_at: self.decided_at,
            challenge_sha256: self.challenge_sha256.as_deref(),
            signature: self.signature.as_deref(),
        }
    }

    /// The stored type decides how to approve; an approval without its factor is no answer yet.
    fn contradicts(&self, instruction: &Instruction) -> Option<FieldProblem> {
        if self.custom_type != instruction.custom_type {
            return Some(FieldProblem::new("custom_type", "must be the prompt's own"));
        }
        match instruction.custom_type {
            CustomType::GoldenNumber if self.approved && self.selected_number.is_none() => {
                Some(FieldProblem::new("selected_number", "is required"))
            }
            CustomType::Totp if self.approved && self.totp_code.as_deref().is_none_or(|code| !is_code(code)) => {
                Some(FieldProblem::new("totp_code", "must be six digits"))
            }
            _ => None,
        }
    }
}
