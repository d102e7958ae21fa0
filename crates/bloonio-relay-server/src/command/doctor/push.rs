//! The push service: its key file, and on request the service itself.

use std::sync::Arc;
use std::time::Duration;

use bloonio_wire::clock::{Clock, SystemClock, Timestamp};

use super::finding::{Finding, chain};
use crate::config::Config;
use crate::net::client::{ExtraRoots, push_client};
use crate::push::fcm::{Cause, Credentials, FcmClient, Message, SendError};
use crate::telemetry::skew::{self, MOST_SKEW};

const TIMEOUT: Duration = Duration::from_secs(10);

pub(super) async fn examine(config: &Config, ask: bool) -> Vec<Finding> {
    let roots = match ExtraRoots::from_file(config.extra_ca_file.as_deref()) {
        Ok(roots) => roots,
        Err(error) => return vec![Finding::fail("trust roots", chain(&error), "correct RELAY_EXTRA_CA_FILE")],
    };
    let check = "FCM key file";
    let Some(path) = &config.fcm_credentials else {
        return vec![Finding::ok(check, "not set: stream devices alone can be paired")];
    };
    let credentials = match Credentials::from_file(path) {
        Ok(credentials) => credentials,
        Err(error) => return vec![Finding::fail(check, chain(&error), "correct RELAY_FCM_CREDENTIALS")],
    };
    let mut findings = vec![Finding::ok(check, format!("project {}", credentials.project_id()))];
    if ask {
        match push_client(&roots) {
            Ok(http) => {
                findings.push(clock(&http, config).await);
                findings.push(dry_run(credentials, http, config).await);
            }
            Err(error) => findings.push(Finding::fail("FCM", chain(&error), "correct RELAY_EXTRA_CA_FILE")),
        }
    }
    findings
}

/// Compares the `Date` of an answer, whatever it answers.
async fn clock(http: &reqwest::Client, config: &Config) -> Finding {
    let check = "clock";
    let answer = http.get(config.fcm_endpoint.clone()).timeout(TIMEOUT).send().await;
    let now = SystemClock.now();
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            let found = format!("{} does not answer: {}", config.fcm_endpoint, chain(&error.without_url()));
            return Finding::fail(check, found, "let the relay reach it: DNS, firewall, CA certificates");
        }
    };
    match skew::date(answer.headers()) {
        None => Finding::warn(check, "the answer has no date", "compare this machine's clock by hand"),
        Some(date) => compared(check, date, now),
    }
}

fn compared(check: &'static str, theirs: Timestamp, ours: Timestamp) -> Finding {
    let skew = if theirs > ours { theirs.since(ours) } else { ours.since(theirs) };
    match skew > MOST_SKEW {
        false => Finding::ok(check, "agrees with FCM's"),
        true => Finding::fail(
            check,
            format!("differs from FCM's by {} s", skew.as_secs()),
            "synchronise it: signatures and expiry are judged by it",
        ),
    }
}

async fn dry_run(credentials: Credentials, http: reqwest::Client, config: &Config) -> Finding {
    let check = "FCM";
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let sent = match FcmClient::new(credentials, &config.fcm_endpoint, http, clock) {
        Ok(client) => client.send(&Message::dry_run()).await,
        Err(error) => return Finding::fail(check, error.to_string(), "correct RELAY_FCM_ENDPOINT"),
    };
    match sent {
        Ok(_) => Finding::ok(check, "has checked a message, and would send it"),
        Err(error) => Finding::fail(check, error.to_string(), advice(error)),
    }
}

fn advice(error: SendError) -> &'static str {
    match error.cause {
        Cause::AccountRefused => "the service account is disabled, its key was deleted, or this machine's clock is off",
        Cause::PermissionDenied => {
            "give the account the role \"Firebase Cloud Messaging API Admin\", and enable that API"
        }
        Cause::NotFoundBare => "is the project still there, and RELAY_FCM_ENDPOINT right?",
        Cause::TokenUnavailable | Cause::Network { .. } => "let the relay reach Google: DNS, firewall, CA certificates",
        Cause::QuotaExceeded | Cause::Internal | Cause::Unavailable => "that is FCM's own trouble; try again later",
        _ => "see \"FCM\" in the operator's guide",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::doctor::finding::Level;
    use rstest::rstest;

    #[rstest]
    #[case(0, Level::Ok)]
    #[case(5_000, Level::Ok)]
    #[case(-5_000, Level::Ok)]
    #[case(6_000, Level::Fail)]
    #[case(-90_000, Level::Fail)]
    fn a95_a_clock_that_differs_is_found(#[case] by: i64, #[case] level: Level) {
        let ours = 1_800_000_000_000;
        let finding = compared("clock", Timestamp::from_millis(ours + by), Timestamp::from_millis(ours));
        assert_eq!(finding.level, level, "{finding:?}");
    }
}
