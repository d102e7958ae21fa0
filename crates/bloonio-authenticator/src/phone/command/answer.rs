//! `show`, `approve` and `deny`: one prompt, found among all pairings.

use bloonio_authenticator::answer::Answer;
use bloonio_authenticator::error::{Advice, ClientError};
use bloonio_wire::challenge::{Challenge, CustomType};
use futures_util::future::join_all;
use serde_json::json;

use super::totp;
use crate::args::PromptArgs;
use crate::error::PhoneError;
use crate::phone::Phone;
use crate::prompt::render;
use crate::state::{Pairing, StateError};

pub async fn show(phone: &Phone, args: &PromptArgs) -> Result<(), PhoneError> {
    let (_, prompt) = find(phone, args).await?;
    Ok(phone.output.print(&prompt, &render(&prompt))?)
}

pub async fn approve(
    phone: &Phone,
    args: &PromptArgs,
    number: Option<i64>,
    code: Option<String>,
) -> Result<(), PhoneError> {
    let (pairing, prompt) = find(phone, args).await?;
    let code = match code {
        None if prompt.custom_type == CustomType::Totp => Some(totp::spend(phone, &pairing).await?.expose().to_owned()),
        given => given,
    };
    submit(phone, &pairing, &prompt, &Answer::approve().with_number(number).with_totp(code)).await
}

pub async fn deny(phone: &Phone, args: &PromptArgs, reason: Option<String>) -> Result<(), PhoneError> {
    let (pairing, prompt) = find(phone, args).await?;
    submit(phone, &pairing, &prompt, &Answer::deny().with_reason(reason)).await
}

async fn submit(phone: &Phone, pairing: &Pairing, prompt: &Challenge, answer: &Answer) -> Result<(), PhoneError> {
    let identity = pairing.identity().map_err(StateError::from)?;
    let response = identity.respond(prompt, answer, phone.clock.as_ref())?;
    phone.device(pairing)?.submit(&response).await?;
    let value = json!({"instruction_id": prompt.instruction_id, "approved": response.approved, "recorded": true});
    let verb = if response.approved { "Approved" } else { "Denied" };
    Ok(phone.output.print(&value, &format!("{verb}:\n{}", render(prompt)))?)
}

/// What the relays said about one id.
#[derive(Default)]
struct Search {
    found: Vec<(Pairing, Challenge)>,
    over: Option<ClientError>,
    unsure: Option<ClientError>,
    absent: Option<ClientError>,
    no_device: Option<ClientError>,
}

/// Finds the prompt of that id.
///
/// Ids are the tenants' own, so two of them may use the same one, and one may do so on purpose, to have its prompt approved
/// in the place of another's. The phone never guesses: unless exactly one pairing has it, `--tenant` must say.
async fn find(phone: &Phone, args: &PromptArgs) -> Result<(Pairing, Challenge), PhoneError> {
    let pairings = phone.some_pairings(args.only.tenant.as_ref()).await?;
    let asking = pairings.into_iter().map(|pairing| async move {
        let device = phone.device(&pairing)?;
        Ok::<_, PhoneError>((pairing, device.challenge(&args.instruction_id).await))
    });
    let mut search = Search::default();
    for asked in join_all(asking).await {
        let (pairing, answer) = asked?;
        search.take(pairing, answer);
    }
    search.conclude(args.only.tenant.is_some())
}

impl Search {
    fn take(&mut self, pairing: Pairing, answer: Result<Challenge, ClientError>) {
        let error = match answer {
            Ok(challenge) => return self.found.push((pairing, challenge)),
            Err(error) => error,
        };
        let place = match (error.advice(), error.status()) {
            (Advice::Settled, Some(404)) => &mut self.absent,
            (Advice::Settled, _) => &mut self.over,
            (Advice::PairAgain | Advice::AwaitConfirmation, _) => &mut self.no_device,
            _ => &mut self.unsure,
        };
        place.get_or_insert(error);
    }

    fn conclude(mut self, tenant_named: bool) -> Result<(Pairing, Challenge), PhoneError> {
        match (self.found.pop(), self.unsure) {
            (Some(_), _) if !self.found.is_empty() || self.over.is_some() => Err(PhoneError::Ambiguous),
            (Some(_), Some(error)) if !tenant_named => Err(PhoneError::Unsure(error)),
            (Some(found), _) => Ok(found),
            (None, unsure) => {
                let error = self.over.or(unsure).or(self.absent).or(self.no_device);
                Err(error.map_or(PhoneError::NotPaired(""), PhoneError::Client))
            }
        }
    }
}
