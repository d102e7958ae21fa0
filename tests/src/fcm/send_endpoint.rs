//! The endpoint that takes messages (PUSH.md 1.1 and 6, S1 to S10).

use bloonio_wire::clock::Timestamp;
use bloonio_wire::random::{SystemRandom, hex_token};
use serde_json::{Value, json};

use super::desk::{Desk, Ledger};
use super::fault::{Answer, Fault};
use super::journal::{SendRequest, Verdict};
use super::rules::{self, Refusal};
use super::schema;
use super::server::Taken;

/// The project of a path, if the path is one to send to.
pub(super) fn project(path: &str) -> Option<&str> {
    let project = path.strip_prefix("/v1/projects/")?.strip_suffix("/messages:send")?;
    (!project.is_empty() && !project.contains('/')).then_some(project)
}

/// Judges a request, writes it down, and says what to answer.
pub(super) async fn answer(desk: &Desk, project: &str, taken: &Taken) -> Fault {
    let body: Value = serde_json::from_slice(&taken.body).unwrap_or_default();
    let spelled = schema::camel(&body);
    let message = &spelled["message"];
    let address = rules::address(message).map(|(_, address)| address.to_owned());
    let mut fault = desk.ledger().sends.take(address.as_deref());
    if let Some(Fault::Hold(gate)) = fault {
        desk.journal.held();
        gate.pass().await;
        fault = None;
    }
    if fault.is_none() {
        fault = desk.ledger().quota.as_mut().and_then(|quota| quota.refuses(desk.clock.now()));
    }
    let (verdict, answer) = {
        let ledger = desk.ledger();
        let request = Request { desk, ledger: &ledger, project, taken, body: &body, message, now: desk.clock.now() };
        request.judge(fault)
    };
    desk.journal.sent(SendRequest {
        at: desk.clock.now(),
        version: taken.head.version,
        project: project.to_owned(),
        raw: taken.body.to_vec(),
        body: spelled,
        address,
        verdict,
    });
    answer
}

struct Request<'a> {
    desk: &'a Desk,
    ledger: &'a Ledger,
    project: &'a str,
    taken: &'a Taken,
    body: &'a Value,
    message: &'a Value,
    now: Timestamp,
}

impl Request<'_> {
    /// A request that is wrong is refused whatever is scripted; then comes the fault, then the device.
    fn judge(&self, fault: Option<Fault>) -> (Verdict, Fault) {
        let deliverable = || rules::delivery(self.message, self.ledger);
        let outcome = match (self.check(), fault) {
            (Err(refusal), _) => Err(refusal),
            (Ok(()), Some(fault)) => {
                let delivered = fault.is_done() && deliverable().is_ok();
                return (Verdict::Faulted { fault: fault.name(), delivered }, fault);
            }
            (Ok(()), None) => deliverable(),
        };
        match outcome {
            Err(refusal) => {
                let answer = Answer::json(refusal.status, &refusal.body());
                (Verdict::Refused(refusal), Fault::Answer(answer))
            }
            Ok(()) => {
                let dry = self.body["validateOnly"] == true || self.body["validate_only"] == true;
                let id = if dry { "fake_message_id".to_owned() } else { message_id(self.now) };
                let name = format!("projects/{}/messages/{id}", self.project);
                let answer = Fault::Answer(Answer::json(200, &json!({"name": name})));
                (if dry { Verdict::Validated } else { Verdict::Accepted(name) }, answer)
            }
        }
    }

    fn check(&self) -> Result<(), Refusal> {
        self.authorised()?;
        if !self.taken.header("content-type").starts_with("application/json") {
            return Err(Refusal::bare(400, "INVALID_ARGUMENT", "the content type is not application/json"));
        }
        if self.body.is_null() {
            return Err(Refusal::bare(400, "INVALID_ARGUMENT", "Invalid JSON payload received."));
        }
        self.desk.schema.check(self.body)?;
        rules::message(self.message)?;
        let Some(device) = self.ledger.device(self.message) else { return Ok(()) };
        rules::suits(self.message, device)?;
        rules::recipe(self.message, &self.taken.body, device, self.now)?;
        match self.ledger.secrets.iter().find(|secret| contains(&self.taken.body, secret)) {
            Some(secret) => Err(Refusal::own(format!("the push tells {secret:?}"))),
            None => Ok(()),
        }
    }

    fn authorised(&self) -> Result<(), Refusal> {
        let given = self.taken.header("authorization").strip_prefix("Bearer ");
        let Some(owner) = given.and_then(|token| self.ledger.tokens.project(token, self.now)) else {
            let reason = "Request had invalid authentication credentials. Expected OAuth 2 access token.";
            return Err(Refusal::bare(401, "UNAUTHENTICATED", reason));
        };
        if !self.ledger.accounts.iter().any(|account| account.project == self.project) {
            return Err(Refusal::bare(404, "NOT_FOUND", "Requested entity was not found."));
        }
        if owner != self.project {
            let reason = "Permission 'cloudmessaging.messages.create' denied on resource.";
            return Err(Refusal::bare(403, "PERMISSION_DENIED", reason));
        }
        Ok(())
    }
}

/// As FCM names a message to Android.
fn message_id(now: Timestamp) -> String {
    let random = hex_token::<8>(&SystemRandom).expect("random");
    format!("0:{}%{random}", now.as_millis().unsigned_abs() * 1000)
}

fn contains(bytes: &[u8], text: &str) -> bool {
    !text.is_empty() && bytes.windows(text.len()).any(|window| window == text.as_bytes())
}
