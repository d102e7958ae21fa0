//! The gate before FCM: whether a message may leave, by the project's lane and its breakers, and what answers teach them.
//!
//! | closes | when | opens |
//! | --- | --- | --- |
//! | the lane | 429, unless it is about one device | when the pause is over, at half the pace |
//! | the project's breaker | ten like answers that blame the project: 403 or 404 without details, refused credentials | after a probe that FCM has looked into |
//! | a platform's breaker (iOS, web) | ten times `THIRD_PARTY_AUTH_ERROR` | after a probe that was accepted |
//!
//! A message that may not leave is not attempted: it stays due, and runs out of time like any other.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bloonio_wire::clock::{Clock, Timestamp};
use bloonio_wire::device::Platform;
use tracing::{error, info};

use super::breaker::{Breaker, Change, Evidence};
use super::error::{Cause, SendError};
use super::lane::{Lane, LaneLimits, Turn};
use crate::push::Held;
use crate::telemetry::metrics::{FCM_BREAKER_OPEN, FCM_PACE, FCM_PAUSED_UNTIL, FCM_PAUSES};

/// Leave to send one message, to be given back with its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Permit {
    platform: Platform,
    pauses: u64,
    /// It is a breaker's probe, which that breaker does not hold.
    probe: bool,
}

#[derive(Debug)]
struct State {
    lane: Lane,
    project: Breaker,
    ios: Breaker,
    web: Breaker,
}

#[derive(Debug)]
pub(super) struct Gate {
    clock: Arc<dyn Clock>,
    patience: Duration,
    state: Mutex<State>,
}

impl State {
    /// FCM reaches iPhones and browsers with keys of the project that may be bad while everything else works.
    fn platform(&mut self, platform: Platform) -> Option<(&mut Breaker, &'static str)> {
        match platform {
            Platform::Ios => Some((&mut self.ios, "ios")),
            Platform::Web => Some((&mut self.web, "web")),
            Platform::Android | Platform::Stream => None,
        }
    }

    /// What stands in the way of a message, pace and breakers apart.
    fn pause(&mut self, now: Timestamp) -> Option<Held> {
        let until = self.lane.paused_until(now)?;
        Some(Held { until: self.lane.place_after(until), error: "fcm_paused" })
    }

    /// What stands in the way of a message, pace apart.
    fn obstacle(&mut self, platform: Platform, now: Timestamp) -> Option<Held> {
        if let Some(held) = self.pause(now) {
            return Some(held);
        }
        let own = self.platform(platform).and_then(|(breaker, _)| breaker.holds_until(now));
        let until = self.project.holds_until(now).max(own)?;
        Some(Held { until: self.lane.place_after(until), error: "fcm_breaker_open" })
    }
}

impl Gate {
    pub(super) fn new(clock: Arc<dyn Clock>, limits: LaneLimits) -> Self {
        let lane = Lane::new(limits, clock.now());
        metrics::gauge!(FCM_PACE).set(lane.pace_per_sec());
        let state = State { lane, project: Breaker::default(), ios: Breaker::default(), web: Breaker::default() };
        Self { clock, patience: limits.patience, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Until when nothing at all leaves; then there is no use in looking for what is due.
    pub(super) fn closed_until(&self) -> Option<Timestamp> {
        let (state, now) = (self.state(), self.clock.now());
        state.lane.paused_until(now).max(state.project.holds_until(now))
    }

    /// Waits for a message's turn, if that is near.
    ///
    /// # Errors
    /// [`Held`]: it shall not be sent now, and ask again at the time given.
    pub(super) async fn pass(&self, platform: Platform) -> Result<Permit, Held> {
        let now = self.clock.now();
        let (turn, permit) = self.take_turn(platform, now)?;
        if turn <= now {
            return Ok(permit);
        }
        tokio::time::sleep(turn.since(now).min(self.patience)).await;
        // What came to be known while it waited concerns it, too.
        let (mut state, now) = (self.state(), self.clock.now());
        let obstacle = if permit.probe { state.pause(now) } else { state.obstacle(platform, now) };
        obstacle.map_or(Ok(permit), Err)
    }

    fn take_turn(&self, platform: Platform, now: Timestamp) -> Result<(Timestamp, Permit), Held> {
        let mut state = self.state();
        if let Some(held) = state.obstacle(platform, now) {
            return Err(held);
        }
        let turn = match state.lane.turn(now) {
            Turn::At(turn) => turn,
            Turn::NotBefore(until) => return Err(Held { until, error: "fcm_lane_full" }),
        };
        let of_project = state.project.leaves(now);
        let of_platform = state.platform(platform).is_some_and(|(breaker, _)| breaker.leaves(now));
        Ok((turn, Permit { platform, pauses: state.lane.pauses(), probe: of_project || of_platform }))
    }

    /// Learns from an answer.
    pub(super) fn learn(&self, permit: Permit, outcome: Result<(), &SendError>) {
        let now = self.clock.now();
        let mut state = self.state();
        match outcome {
            Ok(()) => state.lane.accepted(now, permit.pauses),
            Err(error) if error.cause == Cause::QuotaExceeded => {
                if let Some(pause) = state.lane.refused(now, permit.pauses, error.retry_after) {
                    metrics::counter!(FCM_PAUSES).increment(1);
                    error!(
                        alarm = "fcm_paused",
                        seconds = pause.until.since(now).as_secs(),
                        pace_per_sec = state.lane.pace_per_sec(),
                        "FCM takes no more messages of this project for now; all of them wait"
                    );
                }
                let until = state.lane.paused_until(now).map_or(0, Timestamp::as_secs);
                metrics::gauge!(FCM_PAUSED_UNTIL).set(until as f64);
            }
            Err(_) => (),
        }
        metrics::gauge!(FCM_PACE).set(state.lane.pace_per_sec());
        report("project", state.project.learn(now, about_the_project(outcome)));
        if let Some((breaker, name)) = state.platform(permit.platform) {
            report(name, breaker.learn(now, about_the_platform(outcome)));
        }
    }
}

/// Whoever judges the device has believed the project's credentials.
fn about_the_project(outcome: Result<(), &SendError>) -> Evidence {
    let Err(error) = outcome else { return Evidence::Works };
    match error.cause {
        Cause::Unregistered
        | Cause::MalformedAddress
        | Cause::SenderIdMismatch
        | Cause::ThirdPartyAuth
        | Cause::DeviceQuotaExceeded => Evidence::Works,
        Cause::PermissionDenied | Cause::NotFoundBare | Cause::AccountRefused => Evidence::Broken(error.cause),
        // With a time to wait, a fresh token has not been tried yet.
        Cause::AccessTokenRejected if error.retry_after.is_none() => Evidence::Broken(error.cause),
        _ => Evidence::Nothing,
    }
}

fn about_the_platform(outcome: Result<(), &SendError>) -> Evidence {
    match outcome {
        Ok(()) => Evidence::Works,
        Err(error) if error.cause == Cause::ThirdPartyAuth => Evidence::Broken(error.cause),
        Err(_) => Evidence::Nothing,
    }
}

fn report(breaker: &'static str, change: Option<Change>) {
    match change {
        None => (),
        Some(Change::Opened(cause)) => {
            metrics::gauge!(FCM_BREAKER_OPEN, "breaker" => breaker).set(1.0);
            error!(
                alarm = "fcm_breaker_open",
                breaker,
                cause = cause.name(),
                "FCM refuses every message for a reason that somebody must mend; they wait, and a probe goes out every \
                 two minutes"
            );
        }
        Some(Change::Closed) => {
            metrics::gauge!(FCM_BREAKER_OPEN, "breaker" => breaker).set(0.0);
            info!(alarm = "fcm_breaker_closed", breaker, "FCM takes messages again");
        }
    }
}
