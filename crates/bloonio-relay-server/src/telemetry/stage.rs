//! How long the stages of an approval take, from the signed call to the acknowledged callback.

use std::time::Duration;

use tokio::time::Instant;
use tracing::{Instrument, Span, debug_span};

use super::metrics::STAGE_SECONDS;

/// A stage. Only what came to its end well is measured: refusals and failures have counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// A tenant's call, from its last byte to the knowledge of who sent it.
    Authenticate,
    /// A prompt's transaction.
    Store,
    /// The first attempts of a prompt's pushes.
    Push,
    /// A decision's transaction.
    Decide,
    /// From the event to the first attempt of its callback.
    OutboxWait,
    /// From the event, or the order to send again, to the acknowledgement of its callback.
    Callback,
}

impl Stage {
    /// Its name in the metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authenticate => "authenticate",
            Self::Store => "store",
            Self::Push => "push",
            Self::Decide => "decide",
            Self::OutboxWait => "outbox_wait",
            Self::Callback => "callback",
        }
    }

    fn span(self) -> Span {
        match self {
            Self::Authenticate => debug_span!("authenticate"),
            Self::Store => debug_span!("store"),
            Self::Push => debug_span!("push"),
            Self::Decide => debug_span!("decide"),
            Self::OutboxWait => debug_span!("outbox_wait"),
            Self::Callback => debug_span!("callback"),
        }
    }

    /// The stage is `work`, in a span of its own.
    ///
    /// # Errors
    /// Those of `work`.
    pub async fn measure<T, E>(self, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let stage = self.start();
        let done = work.instrument(self.span()).await?;
        stage.over();
        Ok(done)
    }

    /// The stage begins.
    pub fn start(self) -> Started {
        Started { stage: self, at: Instant::now() }
    }

    /// The stage took `time`.
    pub fn took(self, time: Duration) {
        metrics::histogram!(STAGE_SECONDS, "stage" => self.as_str()).record(time.as_secs_f64());
    }
}

/// A stage under way; dropped, it was never there.
#[derive(Debug)]
#[must_use = "a stage is measured when it is over"]
pub struct Started {
    stage: Stage,
    at: Instant,
}

impl Started {
    /// It came to its end.
    pub fn over(self) {
        self.stage.took(self.at.elapsed());
    }
}
