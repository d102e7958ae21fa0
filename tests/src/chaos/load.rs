//! Asks every question and answers it, a bounded number at a time.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;

use super::call::until_definite;
use super::crowd::{Crowd, Phone};
use super::ears::Ears;
use super::ledger::{Ledger, Told};
use super::plan::{Plan, Question};

/// Prompts under way at once.
const AT_ONCE: usize = 16;

/// Everything that a prompt needs.
#[derive(Debug, Clone, Copy)]
pub struct Load<'a> {
    /// What is asked.
    pub plan: &'a Plan,
    /// Whom.
    pub crowd: &'a Crowd,
    /// Where it is written down.
    pub ledger: &'a Ledger,
    /// What phones have heard.
    pub ears: &'a Ears,
}

impl Load<'_> {
    /// Until every prompt was asked and answered.
    pub async fn run(self) {
        let next = AtomicUsize::new(0);
        let worker = || async {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= self.plan.prompts {
                    return;
                }
                self.play(&self.plan.question(number)).await;
            }
        };
        join_all((0..AT_ONCE).map(|_| worker())).await;
        self.ledger.over();
    }

    async fn play(&self, question: &Question) {
        let Question { number, tenant, relay, .. } = *question;
        let body = self.crowd.challenge(question);
        let ask = |relay| self.crowd.post(tenant, relay, "/relay/send/auth-challenge", &body);
        let answer = until_definite(self.ledger, "POST auth-challenge", relay, ask).await;
        match (answer.status, answer.error()) {
            (200, _) => self.ledger.asked(number, true),
            (502, "PUSH_NOT_DELIVERED") => self.ledger.asked(number, false),
            _ => return self.ledger.strange(format!("prompt {number} was answered {} {}", answer.status, answer.body)),
        }
        let phones = &self.crowd.tenants[tenant].people[question.person].phones;
        if question.waits {
            self.ears.heard(tenant, question.person, &question.id).await;
        }
        if question.looks {
            self.look(question, &phones[0]).await;
        }
        let first = self.answer(question, &phones[0], question.approved, relay + 1);
        if question.rivals {
            tokio::join!(first, self.answer(question, &phones[1], !question.approved, relay + 2));
        } else {
            first.await;
        }
    }

    /// The phone is shown its own tenant's text, from whichever relay.
    async fn look(&self, question: &Question, phone: &Phone) {
        let look = |relay| self.crowd.look(phone, relay, &question.id);
        let shown = until_definite(self.ledger, "GET challenge", question.relay + 2, look).await;
        let tenant = self.crowd.tenants[question.tenant].id.as_str();
        let data = &shown.body["data"];
        if shown.status != 200 || data["tenant_id"] != tenant || data["description"] != tenant {
            self.ledger.strange(format!("prompt {} was shown as {} {}", question.number, shown.status, shown.body));
        }
    }

    async fn answer(&self, question: &Question, phone: &Phone, approved: bool, relay: usize) {
        let respond = |relay| self.crowd.respond(phone, relay, &question.id, approved);
        let said = until_definite(self.ledger, "POST submit-response", relay, respond).await;
        match (said.status, said.error()) {
            (200, _) if said.body["data"]["approved"] == approved => {
                self.ledger.told(question.number, approved, Told::Recorded);
            }
            (409, "ALREADY_DECIDED") => self.ledger.told(question.number, approved, Told::AlreadyDecided),
            _ => {
                let number = question.number;
                self.ledger
                    .strange(format!("the answer to prompt {number} was answered {} {}", said.status, said.body));
            }
        }
    }
}
