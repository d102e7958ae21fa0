//! Access tokens for FCM (PUSH.md 1.2): a service account's assertion, exchanged at its token endpoint.
//!
//! One task does all exchanges, so there is never more than one under way. It renews a token at about four fifths of its
//! life and, where that fails, the old one stays in use to its real end. Senders only read what the task has published,
//! and wait no longer than they say themselves: a token endpoint that hangs delays nobody beyond that.

mod assertion;
mod exchange;
mod renewal;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bloonio_wire::clock::{Clock, Timestamp};
use bloonio_wire::secret::{Secret, same_digest};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::credentials::Credentials;

/// After a token was dropped, the next may not be dropped for so long: a service that refuses every token must not turn
/// each push into a token request.
pub(super) const DROP_PAUSE: Duration = Duration::from_secs(10);

/// An access token and how long it holds.
#[derive(Debug, Clone)]
pub struct AccessToken {
    value: Secret,
    expires_at: Timestamp,
}

impl AccessToken {
    /// What goes into the `Authorization` header, after `Bearer`.
    pub fn expose(&self) -> &str {
        self.value.expose()
    }

    fn is(&self, other: &Self) -> bool {
        same_digest(self.expose(), other.expose())
    }
}

/// Why there is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Permanent until somebody acts.
    #[error("the token endpoint refuses the service account: wrong key, disabled account, or the clock is off")]
    InvalidGrant,
    /// Any other refusal.
    #[error("the token endpoint answered {status}")]
    Status {
        /// HTTP status.
        status: u16,
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
    /// 200 with something else than a token.
    #[error("the token endpoint's answer holds no usable token")]
    BadAnswer,
    /// No connection, or none that lasted.
    #[error("the token endpoint cannot be reached")]
    Unreachable,
    /// No answer in time; the exchange was given up.
    #[error("the token endpoint does not answer in time")]
    TooSlow,
    /// The key does not sign.
    #[error("the assertion cannot be signed")]
    Unsigned,
}

/// What the renewing task has to say.
#[derive(Debug, Default)]
struct State {
    token: Option<AccessToken>,
    /// The last exchange failed so, and the next one begins then.
    failure: Option<(TokenError, Instant)>,
    /// The last token that FCM refused, and when that was.
    dropped: Option<(AccessToken, Timestamp)>,
}

impl State {
    fn usable(&self, now: Timestamp) -> Option<&AccessToken> {
        self.token.as_ref().filter(|token| now < token.expires_at)
    }
}

#[derive(Debug)]
struct Shared {
    credentials: Credentials,
    http: reqwest::Client,
    clock: Arc<dyn Clock>,
    state: watch::Sender<State>,
    /// Somebody found no usable token.
    wanted: Notify,
}

/// Gives access tokens. Its task ends with it.
#[derive(Debug)]
pub struct TokenSource {
    shared: Arc<Shared>,
    task: OnceLock<AbortOnDropHandle<()>>,
}

impl TokenSource {
    /// A source for this account. Nothing is exchanged before the first call of [`Self::start`] or [`Self::token`].
    pub fn new(credentials: Credentials, http: reqwest::Client, clock: Arc<dyn Clock>) -> Self {
        let shared = Shared { credentials, http, clock, state: watch::Sender::default(), wanted: Notify::new() };
        Self { shared: Arc::new(shared), task: OnceLock::new() }
    }

    /// Begins to exchange, within a tokio runtime; later calls do nothing. Called at start-up, it makes the first push
    /// faster and brings a refused account into the log before anybody needs it.
    pub fn start(&self) {
        self.task.get_or_init(|| AbortOnDropHandle::new(tokio::spawn(renewal::run(Arc::clone(&self.shared)))));
    }

    /// A token that has not expired; waits for one until `deadline` where there is a chance of it.
    ///
    /// # Errors
    /// [`TokenError`]: the last exchange's failure if no other begins before `deadline`, else [`TokenError::TooSlow`].
    pub async fn token(&self, deadline: Instant) -> Result<AccessToken, TokenError> {
        self.start();
        tokio::time::timeout_at(deadline, self.next_token(deadline)).await.unwrap_or(Err(TokenError::TooSlow))
    }

    async fn next_token(&self, deadline: Instant) -> Result<AccessToken, TokenError> {
        let mut states = self.shared.state.subscribe();
        loop {
            {
                let state = states.borrow_and_update();
                if let Some(token) = state.usable(self.shared.clock.now()) {
                    return Ok(token.clone());
                }
                match state.failure {
                    Some((error, next)) if error == TokenError::InvalidGrant || next >= deadline => return Err(error),
                    _ => self.shared.wanted.notify_one(),
                }
            }
            // The sender lives in `self`: this only ends with news.
            if states.changed().await.is_err() {
                return Err(TokenError::Unreachable);
            }
        }
    }

    /// Reports that FCM refused this token, so that it is replaced. However many senders report the same token, it is
    /// dropped once.
    ///
    /// Returns whether another token can be expected.
    pub fn drop_token(&self, refused: &AccessToken) -> bool {
        let now = self.shared.clock.now();
        let mut another = true;
        self.shared.state.send_if_modified(|state| {
            let current = state.token.as_ref().is_some_and(|token| token.is(refused));
            if !current {
                return false;
            }
            if state.dropped.as_ref().is_some_and(|(last, at)| last.is(refused) || now.since(*at) < DROP_PAUSE) {
                another = false;
                return false;
            }
            state.dropped = state.token.take().map(|token| (token, now));
            true
        });
        another
    }
}
