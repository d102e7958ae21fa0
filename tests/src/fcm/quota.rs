//! The quota of a project: a bucket that refills evenly (PUSH.md 1.7).

use bloonio_wire::clock::Timestamp;

use super::fault::{Answer, Fault};

#[derive(Debug)]
pub(super) struct Quota {
    per_sec: f64,
    most: f64,
    left: f64,
    at: Timestamp,
}

impl Quota {
    /// So many messages a minute, a sixth of which may come at once.
    pub(super) fn full(per_min: u32, now: Timestamp) -> Self {
        let most = f64::from(per_min) / 6.0;
        Self { per_sec: f64::from(per_min) / 60.0, most, left: most, at: now }
    }

    /// Takes one message out, or refuses it.
    pub(super) fn refuses(&mut self, now: Timestamp) -> Option<Fault> {
        self.left = (self.left + now.since(self.at).as_secs_f64() * self.per_sec).min(self.most);
        self.at = now;
        if self.left >= 1.0 {
            self.left -= 1.0;
            return None;
        }
        let answer = Answer::fcm_error(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED").with_header("retry-after", "2");
        Some(Fault::Answer(answer))
    }
}
