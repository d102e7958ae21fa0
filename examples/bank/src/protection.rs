//! Which routes need an approval, and what the phone shows. The texts come from the request itself.

use bloonio_sudo::{CustomType, DataType, FieldError, RequestView, SudoRequirement};
use serde_json::Value;

fn money(action: &str, title: &str) -> SudoRequirement {
    SudoRequirement::new(action)
        .with_title(title)
        .with_description("Money leaves your account.")
        .with_field("amount", "Amount", DataType::CurrencyUsd, |view| text(view, "amount"))
        .with_field("recipient", "Recipient", DataType::PartyName, |view| text(view, "recipient"))
}

/// A member of the body that the handlers take as text and as nothing else: what they would refuse nobody is asked about.
fn text(view: &RequestView<'_>, name: &str) -> Result<String, FieldError> {
    match &view.json()?[name] {
        Value::String(text) => Ok(text.clone()),
        Value::Null => Err(FieldError::invalid("is required")),
        _ => Err(FieldError::invalid("must be text")),
    }
}

/// A transfer: refused first, repeated with the key after the approval.
pub fn transfer() -> SudoRequirement {
    money("transfer_funds", "Approve a transfer")
}

/// A payout: the request waits for the approval.
pub fn payout() -> SudoRequirement {
    money("payout_funds", "Approve a payout").with_blocking()
}

/// A new password: the number on the page must be typed on the phone. The password itself is never shown.
pub fn password() -> SudoRequirement {
    SudoRequirement::new("change_password")
        .with_custom_type(CustomType::GoldenNumber)
        .with_title("Change your password")
}

/// A code that pairs another phone, once there is one: whoever steals a session must not add a phone of his own.
pub fn pair() -> SudoRequirement {
    SudoRequirement::new("pair_device").with_title("Pair another device").with_enrolment_exception()
}
