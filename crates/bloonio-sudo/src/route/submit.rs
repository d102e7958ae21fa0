//! A device's answer, given to the backend itself (PROTOCOL 9.4).

use bloonio_wire::callback::ResponseData;
use bloonio_wire::challenge::CustomType;
use bloonio_wire::code::ErrorCode;
use bloonio_wire::envelope::FieldProblem;
use bloonio_wire::field::{BodyError, Reader, parse_body};
use bloonio_wire::id::InstructionId;
use serde_json::{Value, json};

use super::invalid;
use crate::decision::Refusal;
use crate::engine::{SudoEngine, counts_as_approved};
use crate::instruction::{Instruction, TokenHash, Verdict};
use crate::reply::Reply;
use crate::request::RequestView;
use crate::store::{DecideOutcome, StoreError};

/// What a device sends. `totp_code` and `signature` are checked for their shape only: codes are the relay's to check, and
/// without a pinned key a signature proves nothing.
struct Submission {
    instruction_id: InstructionId,
    approved: bool,
    custom_type: CustomType,
    selected_number: Option<i64>,
    response_token: Option<String>,
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
        match self.take_submission(submission).await {
            Ok(reply) => reply,
            Err(error) => {
                tracing::error!(%error, "a device's answer could not be taken");
                Refusal::state_unavailable().into_reply()
            }
        }
    }

    async fn take_submission(&self, submission: Submission) -> Result<Reply, StoreError> {
        let found = self.inner.store.get(self.settings().tenant_id(), &submission.instruction_id).await?;
        // The same work for an unknown instruction as for a wrong token, and the same answer.
        let token = submission.response_token.as_deref().unwrap_or_default();
        let proof = found.as_ref().map_or_else(|| TokenHash::from_bytes([0; 32]), |found| found.response_token);
        let proven = proof.matches(token);
        let Some(instruction) = found.filter(|_| proven) else {
            return Ok(Reply::error(ErrorCode::InvalidResponseToken));
        };
        if instruction.decision.is_some() || instruction.status.is_final() {
            return Ok(Reply::error(ErrorCode::AlreadyDecided));
        }
        if let Some(problem) = submission.contradicts(&instruction) {
            return Ok(invalid(vec![problem]));
        }
        let response = ResponseData { selected_number: submission.selected_number, ..ResponseData::default() };
        let approved = counts_as_approved(&instruction, submission.approved, &response);
        let wrong_number = submission.approved && !approved;
        let verdict = Verdict { approved, wrong_number, device_id: None, webhook_id: None };
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
}

impl Submission {
    fn read(body: &Value) -> Result<Self, Vec<FieldProblem>> {
        let mut reader = Reader::object(body);
        let instruction_id = reader.parsed("instruction_id");
        let approved = reader.boolean("approved");
        let custom_type = reader.parsed("custom_type");
        let selected_number = reader.optional_integer("selected_number", i64::MIN..=i64::MAX);
        let response_token = reader.optional_text("response_token", 0..=512);
        reader.optional_text("totp_code", 1..=16);
        reader.optional_text("signature", 1..=512);
        reader.optional_text("reason", 0..=1024);
        reader.finish()?;
        // The reader has named whatever is missing; this is only what the type system asks for.
        let missing = || vec![FieldProblem::new("", "is incomplete")];
        Ok(Self {
            instruction_id: instruction_id.ok_or_else(missing)?,
            approved: approved.ok_or_else(missing)?,
            custom_type: custom_type.ok_or_else(missing)?,
            selected_number,
            response_token,
        })
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
            CustomType::Totp if self.approved => {
                Some(FieldProblem::new("totp_code", "is checked by the relay: answer there"))
            }
            _ => None,
        }
    }
}
