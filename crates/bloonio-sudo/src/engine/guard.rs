//! One protected request, from the question who asks to the decision (PROTOCOL 9.1).

use std::sync::Arc;

use bloonio_wire::code::ErrorCode;
use bloonio_wire::header;
use bloonio_wire::id::{InstructionId, UserSocketHash};

use super::{SudoEngine, short_hash};
use crate::decision::{Decision, Grant, Refusal};
use crate::fingerprint::{Asking, Fingerprint};
use crate::identity::{Caller, InitiatorHash};
use crate::instruction::{Claim, ConsumeRefusal, Redemption};
use crate::policy::{SudoRequirement, Worst};
use crate::request::{BodyError, RequestView, escaped};

/// Headers by which a client asks a framework to treat a request as of another method.
const OVERRIDE_HEADERS: [&str; 4] = ["x-http-method-override", "x-http-method", "x-method-override", "_method"];
/// The same as a parameter.
const OVERRIDE_PARAMETER: &str = "_method";

/// A protected request whose caller is known and whose body may now be read.
#[derive(Debug)]
#[must_use = "a request may run only if `check` says so"]
pub struct Guarded<'e> {
    engine: &'e SudoEngine,
    requirement: Arc<SudoRequirement>,
    caller: Caller,
}

/// A request and on whose behalf it is made: what an instruction is looked up or created for.
pub(super) struct Asked<'r> {
    pub(super) requirement: &'r SudoRequirement,
    pub(super) user: UserSocketHash,
    pub(super) initiator: InitiatorHash,
    pub(super) has_initiator: bool,
    pub(super) fingerprint: Fingerprint,
}

impl Asked<'_> {
    /// This request's claim on an approval.
    pub(super) fn claim(&self, redemption: Redemption) -> Claim {
        let Self { initiator, fingerprint, .. } = *self;
        Claim { initiator, fingerprint, redemption, usage: self.requirement.consume.usage() }
    }
}

impl SudoEngine {
    /// Finds out who makes a protected request.
    pub(super) async fn guard(
        &self,
        requirement: Arc<SudoRequirement>,
        view: &RequestView<'_>,
    ) -> Result<Guarded<'_>, Refusal> {
        let caller = self.identified(view).await?;
        Ok(Guarded { engine: self, requirement, caller })
    }

    /// Who asks, by the application's own closure.
    pub(crate) async fn identified(&self, view: &RequestView<'_>) -> Result<Caller, Refusal> {
        match self.inner.identify.identify(view).await {
            Ok(Some(caller)) => Ok(caller),
            Ok(None) => Err(Refusal::new(ErrorCode::SudoUserRequired)),
            Err(error) => {
                tracing::error!(error = %error, "the identity closure failed");
                Err(Refusal::new(ErrorCode::SudoMisconfigured))
            }
        }
    }

    /// The largest body of a protected request, in bytes.
    pub fn max_body_bytes(&self) -> usize {
        self.inner.settings.max_body_bytes
    }

    /// The refusal of a protected request that has no body to judge.
    pub fn body_refused(&self, why: BodyError) -> Refusal {
        match why {
            BodyError::TooLarge => Refusal::new(ErrorCode::SudoBodyTooLarge),
            BodyError::Broken => Refusal::malformed(),
        }
    }
}

pub(super) fn misconfigured(requirement: &SudoRequirement, cause: &dyn std::fmt::Display) -> Refusal {
    tracing::error!(action = requirement.action(), error = %cause, "a protected route is misconfigured");
    Refusal::new(ErrorCode::SudoMisconfigured)
}

/// The refusal of a request that a prompt or a fingerprint cannot be made of.
pub(super) fn unfit(requirement: &SudoRequirement, worst: Worst) -> Refusal {
    match worst {
        Worst::Application(cause) => misconfigured(requirement, &cause),
        Worst::NotJson => Refusal::malformed(),
        Worst::Invalid(details) => Refusal::invalid(details),
    }
}

impl Guarded<'_> {
    /// Decides over the request; `view` holds the whole body.
    pub async fn check(&self, view: &RequestView<'_>) -> Decision {
        match self.decide(view).await {
            Ok(decision) => decision,
            Err(refusal) => Decision::Refuse(refusal),
        }
    }

    async fn decide(&self, view: &RequestView<'_>) -> Result<Decision, Refusal> {
        // Before the condition is asked: it would judge the request as what it says it is not.
        if overrides_method(view) || (self.requirement.condition.is_some() && is_disguised(view.path())) {
            return Err(Refusal::malformed());
        }
        if !self.applies(view) {
            return Ok(Decision::Exempt);
        }
        let asked = self.asked(view)?;
        match view.header_values(header::INSTRUCTION_KEY).as_slice() {
            // On the heap: a second call needs none of it.
            [] => Box::pin(self.engine.ask(&asked, view)).await,
            [key] => self.redeem(&asked, key).await,
            _ => Err(Refusal::new(ErrorCode::SudoActionExpired)),
        }
    }

    /// Whether the requirement's condition holds; one that fails protects.
    fn applies(&self, view: &RequestView<'_>) -> bool {
        let Some(condition) = &self.requirement.condition else { return true };
        condition(view).unwrap_or_else(|error| {
            tracing::warn!(action = self.requirement.action(), ?error, "a condition failed, so the route is protected");
            true
        })
    }

    fn asked(&self, view: &RequestView<'_>) -> Result<Asked<'_>, Refusal> {
        let user = match &self.requirement.user {
            None => self.caller.user().clone(),
            Some(other) => match other(view) {
                Ok(Some(user)) => user,
                Ok(None) => return Err(Refusal::new(ErrorCode::SudoUserRequired)),
                Err(error) => return Err(misconfigured(&self.requirement, &format_args!("{error:?}"))),
            },
        };
        let tenant = &self.engine.inner.settings.tenant_id;
        let initiator = self.caller.initiator_hash(tenant);
        let asking = Asking { tenant, user: &user, initiator: &initiator, action: self.requirement.action() };
        let bound = self.engine.inner.bound_headers.iter().chain(&self.requirement.bound_headers).map(String::as_str);
        let fingerprint = Fingerprint::of(self.requirement.binding, asking, view, bound);
        let fingerprint = fingerprint.map_err(|error| unfit(&self.requirement, error.into()))?;
        let has_initiator = self.caller.has_initiator();
        Ok(Asked { requirement: &self.requirement, user, initiator, has_initiator, fingerprint })
    }

    async fn redeem(&self, asked: &Asked<'_>, key: &[u8]) -> Result<Decision, Refusal> {
        // A malformed key is answered like an unknown one, and is never looked up.
        let key = std::str::from_utf8(key).ok().and_then(|key| InstructionId::parse(key).ok());
        let Some(id) = key else { return Err(Refusal::new(ErrorCode::SudoActionExpired)) };
        self.engine.consume(&id, &asked.claim(Redemption::ByKey)).await
    }
}

impl SudoEngine {
    /// Uses an approval in one atomic step of the store, and says what that means for the request.
    pub(super) async fn consume(&self, id: &InstructionId, claim: &Claim) -> Result<Decision, Refusal> {
        let instruction = short_hash(id);
        let tenant = &self.inner.settings.tenant_id;
        let consumed = self.inner.store.consume(tenant, id, claim).await.map_err(|error| {
            tracing::error!(%instruction, %error, "an approval could not be checked");
            Refusal::state_unavailable()
        })?;
        let why = match consumed.map(|instruction| Grant::of(tenant, instruction, claim.usage)) {
            Ok(Some(grant)) => {
                tracing::info!(%instruction, action = grant.action(), "an approval was used");
                return Ok(Decision::Pass(grant));
            }
            // A store that says so of a record that it does not hold for: its fault, and nothing runs on it.
            Ok(None) => return Err(Refusal::state_unavailable()),
            Err(why) => why,
        };
        let refusal = match &why {
            ConsumeRefusal::Expired => Refusal::new(ErrorCode::SudoActionExpired),
            ConsumeRefusal::Denied => Refusal::new(ErrorCode::SudoActionDenied),
            ConsumeRefusal::Mismatch => Refusal::new(ErrorCode::SudoRequestMismatch),
            ConsumeRefusal::Pending(instruction) => Refusal::pending(instruction),
        };
        tracing::info!(%instruction, code = refusal.kind().name(), "an approval was not used");
        Err(refusal)
    }
}

/// Whether a path spells a character in percent-encoding that no client has reason to encode (RFC 3986, section 2.3): a
/// router may decode it, and so find another route than whoever reads the path as it stands.
pub(super) fn is_disguised(path: &str) -> bool {
    path.split('%')
        .skip(1)
        .filter_map(|rest| escaped(rest.as_bytes()))
        .any(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
}

fn overrides_method(view: &RequestView<'_>) -> bool {
    let is_form = view
        .header_values("content-type")
        .iter()
        .any(|value| value.to_ascii_lowercase().starts_with(b"application/x-www-form-urlencoded"));
    let form = if is_form { view.body() } else { b"" };
    OVERRIDE_HEADERS.iter().any(|name| !view.header_values(name).is_empty())
        || view.query_pairs().any(|(name, _)| name == OVERRIDE_PARAMETER)
        || url::form_urlencoded::parse(form).any(|(name, _)| name == OVERRIDE_PARAMETER)
}
