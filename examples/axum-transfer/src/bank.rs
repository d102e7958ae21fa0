//! The bank's handlers. Each takes [`Sudo`]: without an approval the extractor fails, so no route can forget it.

use std::sync::{Arc, Mutex, PoisonError};

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use bloonio_axum::Sudo;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What has been executed, in order.
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

impl Ledger {
    fn append(&self, approved_by: String, order: Transfer) -> Entry {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Transfer { amount, recipient } = order;
        let entry = Entry { transfer_id: entries.len() + 1, approved_by, amount, recipient };
        entries.push(entry.clone());
        entry
    }

    fn entries(&self) -> Vec<Entry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Body of a transfer.
#[derive(Debug, Deserialize)]
pub struct Transfer {
    amount: String,
    recipient: String,
}

/// Body of a change of password.
#[derive(Debug, Deserialize)]
pub struct NewPassword {
    new_password: String,
}

type Refusal = (StatusCode, Json<Value>);

fn invalid(field: &str, problem: &str) -> Refusal {
    let body = json!({
        "success": false, "status_code": 422, "error": "VALIDATION_FAILED", "data": null,
        "message": "The request breaks one or more rules.", "details": [{"field": field, "problem": problem}]
    });
    (StatusCode::UNPROCESSABLE_ENTITY, Json(body))
}

/// Moves money.
pub async fn transfer(
    State(ledger): State<Arc<Ledger>>,
    Sudo(grant): Sudo,
    body: Result<Json<Transfer>, JsonRejection>,
) -> Result<Json<Entry>, Refusal> {
    let Json(order) = body.map_err(|rejection| invalid("", &rejection.body_text()))?;
    Ok(Json(ledger.append(grant.approved_by().to_string(), order)))
}

/// Changes the password; this bank forgets it at once.
pub async fn change_password(
    Sudo(_grant): Sudo,
    body: Result<Json<NewPassword>, JsonRejection>,
) -> Result<Json<Value>, Refusal> {
    let Json(wanted) = body.map_err(|rejection| invalid("", &rejection.body_text()))?;
    if wanted.new_password.is_empty() {
        return Err(invalid("new_password", "must not be empty"));
    }
    Ok(Json(json!({"changed": true})))
}

/// What has been executed.
pub async fn ledger(State(ledger): State<Arc<Ledger>>) -> Json<Value> {
    let items = ledger.entries();
    Json(json!({"count": items.len(), "items": items}))
}
