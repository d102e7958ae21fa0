//! The endpoint that changes a signed assertion into an access token (RFC 7523; PUSH.md 1.2 and 6, T1 to T8).
//!
//! It is stricter than Google's: padded base64url, `sub: null` and a missing `kid` are refused too.

use std::collections::HashMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bloonio_wire::clock::Timestamp;
use bloonio_wire::random::{SystemRandom, hex_token};
use serde_json::{Map, Value, json};
use url::form_urlencoded;

use super::account::Account;
use super::desk::Desk;
use super::fault::{Answer, Fault};
use super::journal::TokenVerdict;
use super::server::Taken;

/// Where it is.
pub(super) const PATH: &str = "/token";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const SCOPES: [&str; 2] =
    ["https://www.googleapis.com/auth/firebase.messaging", "https://www.googleapis.com/auth/cloud-platform"];
/// How far ahead of ours a caller's clock may be, in seconds.
const SKEW_SECS: i64 = 60;
const LONGEST_SECS: i64 = 3_600;

/// Judges an exchange, writes it down, and says what to answer.
pub(super) async fn answer(desk: &Desk, taken: &Taken) -> Fault {
    let number = desk.journal.token_asked(desk.clock.now());
    let fault = desk.ledger().exchanges.take(None);
    if let Some(Fault::Hold(gate)) = &fault {
        gate.pass().await;
    }
    let mut ledger = desk.ledger();
    let now = desk.clock.now();
    let verified = verify(&ledger.accounts, &desk.token_url, taken.header("content-type"), &taken.body, now);
    let verified = verified.map(|account| account.project.clone());
    let (verdict, answer) = match (verified, fault) {
        (Err(no), _) => {
            let answer = Answer::json(400, &no.body());
            (TokenVerdict::Refused { error: no.error, reason: no.reason }, Fault::Answer(answer))
        }
        (Ok(_), Some(fault)) if !matches!(fault, Fault::Hold(_)) => (TokenVerdict::Faulted(fault.name()), fault),
        (Ok(project), _) => {
            let (body, early) = ledger.tokens.issue(&project, now);
            (TokenVerdict::Issued { early }, Fault::Answer(Answer::json(200, &body)))
        }
    };
    desk.journal.token_answered(number, verdict);
    answer
}

/// A refusal as RFC 6749 words it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NoToken {
    pub(super) error: &'static str,
    pub(super) reason: String,
}

impl NoToken {
    pub(super) fn body(&self) -> Value {
        json!({"error": self.error, "error_description": self.reason})
    }
}

fn no_grant(reason: impl Into<String>) -> NoToken {
    NoToken { error: "invalid_grant", reason: reason.into() }
}

/// Names the account that an exchange speaks for.
pub(super) fn verify<'a>(
    accounts: &'a [Account],
    own_url: &str,
    content_type: &str,
    body: &[u8],
    now: Timestamp,
) -> Result<&'a Account, NoToken> {
    let assertion = form(content_type, body)?;
    let parts: Vec<&str> = assertion.split('.').collect();
    let [header, claims, signature] = parts[..] else { return Err(no_grant("the assertion is no JWT")) };
    let account = signer(accounts, &json_part(header, "header")?)?;
    let signature = bytes(signature, "signature")?;
    if !account.has_signed(&assertion[..header.len() + 1 + claims.len()], &signature) {
        return Err(no_grant("Invalid JWT Signature."));
    }
    check_claims(&json_part(claims, "claims")?, account, own_url, now)?;
    if account.disabled {
        return Err(no_grant("Invalid grant: account disabled"));
    }
    Ok(account)
}

fn form(content_type: &str, body: &[u8]) -> Result<String, NoToken> {
    let refuse = |error, reason: String| Err(NoToken { error, reason });
    if content_type.split(';').next().map(str::trim) != Some("application/x-www-form-urlencoded") {
        return refuse("invalid_request", format!("the content type is {content_type}"));
    }
    let fields: Vec<(String, String)> = form_urlencoded::parse(body).into_owned().collect();
    let by_name: HashMap<&str, &str> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    match (by_name.get("grant_type"), by_name.get("assertion"), fields.len()) {
        (Some(&GRANT), Some(assertion), 2) => Ok((*assertion).to_owned()),
        (Some(&GRANT), _, _) => refuse("invalid_request", "grant_type and assertion are all there may be".into()),
        (grant, _, _) => refuse("unsupported_grant_type", format!("the grant type is {grant:?}")),
    }
}

fn bytes(part: &str, what: &str) -> Result<Vec<u8>, NoToken> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| no_grant(format!("the {what} is not unpadded base64url")))
}

fn json_part(part: &str, what: &str) -> Result<Map<String, Value>, NoToken> {
    let part = serde_json::from_slice(&bytes(part, what)?).ok();
    part.ok_or_else(|| no_grant(format!("the {what} is no JSON object")))
}

fn signer<'a>(accounts: &'a [Account], header: &Map<String, Value>) -> Result<&'a Account, NoToken> {
    if header.get("alg") != Some(&json!("RS256")) {
        return Err(no_grant(format!("alg is {:?}", header.get("alg"))));
    }
    if header.get("typ").is_some_and(|typ| *typ != "JWT") {
        return Err(no_grant("typ is not JWT"));
    }
    let key_id = header.get("kid").and_then(Value::as_str).ok_or_else(|| no_grant("kid is missing"))?;
    accounts.iter().find(|account| account.key_id == key_id).ok_or_else(|| no_grant(format!("no key {key_id}")))
}

fn check_claims(claims: &Map<String, Value>, account: &Account, own_url: &str, now: Timestamp) -> Result<(), NoToken> {
    if claims.get("iss") != Some(&json!(account.email)) {
        return Err(no_grant("iss is not the account of this key"));
    }
    if claims.contains_key("sub") {
        return Err(no_grant("sub is for other uses"));
    }
    if claims.get("aud") != Some(&json!(own_url)) {
        return Err(no_grant(format!("aud is {:?}, not {own_url}", claims.get("aud"))));
    }
    let scope = claims.get("scope").and_then(Value::as_str).unwrap_or_default();
    if scope.is_empty() || !scope.split(' ').all(|scope| SCOPES.contains(&scope)) {
        return Err(NoToken { error: "invalid_scope", reason: format!("the scope is {scope:?}") });
    }
    let time =
        |name: &str| claims.get(name).and_then(Value::as_i64).ok_or_else(|| no_grant(format!("{name} is no time")));
    let (issued, expires, now) = (time("iat")?, time("exp")?, now.as_secs());
    if issued > now + SKEW_SECS || expires <= now || expires <= issued || expires > issued + LONGEST_SECS {
        return Err(no_grant(
            "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe.",
        ));
    }
    Ok(())
}

/// A token handed out.
#[derive(Debug, Clone)]
struct Issued {
    project: String,
    from: Timestamp,
    until: Timestamp,
    revoked: bool,
}

/// Every token handed out.
#[derive(Debug)]
pub(super) struct Tokens {
    pub(super) life: Duration,
    issued: HashMap<String, Issued>,
}

impl Default for Tokens {
    fn default() -> Self {
        Self { life: Duration::from_secs(3_599), issued: HashMap::new() }
    }
}

impl Tokens {
    /// Hands out a token: the answer's body, and whether there was no need of another one.
    pub(super) fn issue(&mut self, project: &str, now: Timestamp) -> (Value, bool) {
        let early = self.issued.values().any(|token| {
            let half = token.from.plus(token.until.since(token.from) / 2);
            token.project == project && !token.revoked && now < half
        });
        let name = format!("ya29.c.{}", hex_token::<48>(&SystemRandom).expect("random"));
        let until = now.plus(self.life);
        let token = Issued { project: project.to_owned(), from: now, until, revoked: false };
        let body = json!({"access_token": name, "expires_in": self.life.as_secs(), "token_type": "Bearer"});
        self.issued.insert(name, token);
        (body, early)
    }

    /// The project that a token opens, if it is one and alive.
    pub(super) fn project(&self, token: &str, now: Timestamp) -> Option<&str> {
        let token = self.issued.get(token).filter(|token| !token.revoked && now < token.until)?;
        Some(&token.project)
    }

    /// Ends every token.
    pub(super) fn revoke_all(&mut self) {
        self.issued.values_mut().for_each(|token| token.revoked = true);
    }
}
