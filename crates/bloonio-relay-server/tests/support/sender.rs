//! A push service that the test controls.

use std::collections::VecDeque;
use std::sync::Mutex;

use async_trait::async_trait;
use bloonio_relay_server::push::{Push, PushOutcome, PushSender};

/// Keeps every push, and answers what the test has laid ready, or else that it was accepted.
#[derive(Debug, Default)]
pub struct RecordingSender {
    sent: Mutex<Vec<Push>>,
    answers: Mutex<VecDeque<PushOutcome>>,
}

impl RecordingSender {
    /// Lays an answer ready; each is given once, in order.
    pub fn will_answer(&self, outcome: PushOutcome) {
        self.answers.lock().unwrap().push_back(outcome);
    }

    /// What was sent so far.
    pub fn sent(&self) -> Vec<Push> {
        self.sent.lock().unwrap().clone()
    }
}

#[async_trait]
impl PushSender for RecordingSender {
    async fn send(&self, push: &Push) -> PushOutcome {
        let number = {
            let mut sent = self.sent.lock().unwrap();
            sent.push(push.clone());
            sent.len()
        };
        let accepted = || PushOutcome::Accepted { message_id: format!("projects/test/messages/{number}") };
        self.answers.lock().unwrap().pop_front().unwrap_or_else(accepted)
    }
}
