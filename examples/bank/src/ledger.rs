//! What has been executed, and the bodies of the requests that do.

use std::sync::{Mutex, PoisonError};

use bloonio_sudo::Grant;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::Problem;

/// What has been executed, in order: one ledger for all users.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<Vec<Entry>>);

/// One executed transfer.
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    transfer_id: usize,
    approved_by: String,
    amount: String,
    recipient: String,
}

/// Body of a transfer.
#[derive(Debug, Deserialize)]
pub struct Transfer {
    amount: String,
    recipient: String,
}

impl Ledger {
    /// Moves money. The grant says who approved it: without one nobody can call this.
    pub fn execute(&self, grant: &Grant, order: Transfer) -> Entry {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Transfer { amount, recipient } = order;
        let approved_by = grant.approved_by().to_string();
        let entry = Entry { transfer_id: entries.len() + 1, approved_by, amount, recipient };
        entries.push(entry.clone());
        entry
    }

    /// Everything, as `GET /ledger` answers it.
    pub fn listed(&self) -> Value {
        let items = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        json!({"count": items.len(), "items": *items})
    }
}

/// Body of a change of password.
#[derive(Debug, Deserialize)]
pub struct NewPassword {
    new_password: String,
}

/// Changes the password; this bank forgets it at once.
///
/// # Errors
/// [`Problem`] for an empty one.
pub fn change_password(_grant: &Grant, wanted: &NewPassword) -> Result<Value, Problem> {
    if wanted.new_password.is_empty() {
        return Err(Problem::invalid("new_password", "must not be empty"));
    }
    Ok(json!({"changed": true}))
}
