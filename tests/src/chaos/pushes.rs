//! What FCM was sent, and whether it should have been.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;

use super::call::until_definite;
use super::cluster::Cluster;
use super::crowd::Phone;
use super::findings::{AT_ONCE, Findings, name};
use super::load::Load;
use super::plan::Question;
use crate::wait;

/// A message that was on its way when the prompt ended may still arrive: no attempt takes longer.
const ON_ITS_WAY: Duration = Duration::from_secs(12);

/// Instruction and address.
type Sent = (String, String);

/// Every message went to a phone of its own tenant while its prompt was open, and every phone behind FCM got its message,
/// or the delivery status says why not.
pub async fn look(load: Load<'_>, cluster: &Cluster, questions: &[Question], findings: &mut Findings) {
    let by_address = addresses(load, questions);
    let (mut attempts, mut got) = (0, HashMap::<Sent, u64>::new());
    for send in cluster.fcm.seen().sends {
        let data = &send.message()["data"];
        if data["type"] != "auth_challenge" {
            continue;
        }
        attempts += 1;
        let instruction = data["instruction_id"].as_str().unwrap_or_default().to_owned();
        let address = send.address.clone().unwrap_or_default();
        let sent = (instruction, address);
        let Some(question) = by_address.get(&sent) else {
            findings.wrong.push(format!("{} was pushed to {}, who was not asked", sent.0, sent.1));
            continue;
        };
        if data["tenant_id"] != load.crowd.tenants[question.tenant].id.as_str() {
            findings.wrong.push(format!("{}: pushed in the name of {}", name(load, question), data["tenant_id"]));
        }
        let over_at = load.ledger.known(question.number).over_at;
        if over_at.is_some_and(|over_at| send.at > over_at.plus(ON_ITS_WAY)) {
            findings.wrong.push(format!("{}: pushed to {} after it was decided", name(load, question), sent.1));
        }
        if send.is_delivered() {
            *got.entry(sent).or_default() += 1;
        }
    }
    let (delivered, twice) = (got.len(), got.values().filter(|times| **times > 1).count());
    findings.tally.extend([
        ("messages for FCM, all attempts", attempts),
        ("messages that a phone got", delivered as u64),
        ("of them more than once", twice as u64),
    ]);
    missing(load, questions, &got.into_keys().collect(), findings).await;
}

fn addresses<'a>(load: Load<'_>, questions: &'a [Question]) -> HashMap<Sent, &'a Question> {
    let of_question = |question| {
        let phones = phones(load, question).filter_map(|phone| phone.address.clone());
        phones.map(move |address| ((question.id.clone(), address), question))
    };
    questions.iter().flat_map(of_question).collect()
}

fn phones<'a>(load: Load<'a>, question: &Question) -> impl Iterator<Item = &'a Phone> + use<'a> {
    load.crowd.tenants[question.tenant].people[question.person].phones.iter()
}

/// Every line of the delivery status agrees with what the phones got.
async fn missing(load: Load<'_>, questions: &[Question], got: &HashSet<Sent>, findings: &mut Findings) {
    let mut unreached = 0;
    let lines = stream::iter(questions).map(|question| status(load, question, got)).buffered(AT_ONCE);
    let lines: Vec<_> = lines.collect().await;
    for line in lines.into_iter().flatten() {
        match line {
            Ok(()) => unreached += 1,
            Err(wrong) => findings.wrong.push(wrong),
        }
    }
    findings.tally.push(("messages that no phone got, with a reason", unreached));
}

/// For each phone behind FCM that did not get the message: whether the relay says why.
async fn status(load: Load<'_>, question: &Question, got: &HashSet<Sent>) -> Vec<Result<(), String>> {
    let of_fcm = |phone: &&Phone| {
        let sent = phone.address.as_ref().map(|address| (question.id.clone(), address.clone()));
        sent.is_some_and(|sent| !got.contains(&sent))
    };
    let mut lines = Vec::new();
    for phone in phones(load, question).filter(of_fcm) {
        lines.push(reason(load, question, phone).await);
    }
    lines
}

async fn reason(load: Load<'_>, question: &Question, phone: &Phone) -> Result<(), String> {
    let path = format!("/relay/fetch/delivery-status?instruction_id={}", question.id);
    let get = |relay| load.crowd.get(question.tenant, relay, &path);
    // A lease of a relay that was killed must lapse before another one ends the push.
    let settled = wait::until("the push to be over", || async {
        let answer = until_definite(load.ledger, "GET delivery-status", question.relay, get).await;
        let devices = answer.body["data"]["devices"].as_array().cloned().unwrap_or_default();
        let line = devices.into_iter().find(|line| line["device_id"] == phone.device_id.as_str());
        let line = line.unwrap_or_default();
        (line["status"] != "pending").then_some(line)
    })
    .await;
    let said = match settled["status"].as_str() {
        Some("expired") => true,
        Some("failed") => settled["error"].is_string(),
        _ => false,
    };
    said.then_some(()).ok_or_else(|| format!("{}: no phone got it, and the status is {settled}", name(load, question)))
}
