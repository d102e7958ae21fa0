//! The example bank as far as no web framework is concerned; `axum-transfer` and `actix-transfer` put it on the net.
//!
//! | module | what it shows |
//! | --- | --- |
//! | [`sign_in`] | who asks: the one identity closure of the application |
//! | [`protection`] | which routes need an approval, and what the phone shows |
//! | [`ledger`] | what was executed |
//! | [`page`] | the page in the browser, and what it is served with |
//! | [`pairing`] | how a phone is paired |
//! | [`process`] | the log, and the signal to stop |

pub mod ledger;
pub mod page;
pub mod pairing;
pub mod process;
pub mod protection;
pub mod sign_in;

use serde_json::{Value, json};

/// Why the bank does not do what it was asked: an HTTP status and the body to answer with.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// HTTP status.
    pub status: u16,
    /// JSON body.
    pub body: Value,
}

impl Problem {
    fn new(status: u16, error: &str, message: &str) -> Self {
        let body = json!({"success": false, "status_code": status, "error": error, "message": message});
        Self { status, body }
    }

    /// The request breaks a rule at `field`.
    pub fn invalid(field: &str, problem: &str) -> Self {
        let mut invalid = Self::new(422, "VALIDATION_FAILED", "The request breaks one or more rules.");
        invalid.body["data"] = Value::Null;
        invalid.body["details"] = json!([{"field": field, "problem": problem}]);
        invalid
    }

    /// Nobody is signed in.
    pub fn sign_in_first() -> Self {
        Self::new(401, "SUDO_USER_REQUIRED", "Sign in first.")
    }

    /// The relay does not give a pairing code.
    pub fn no_pairing() -> Self {
        Self::new(503, "SUDO_RELAY_UNAVAILABLE", "Pairing is not possible at the moment.")
    }
}
