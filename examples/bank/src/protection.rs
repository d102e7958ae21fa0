//! Which routes need an approval, and what the phone shows. The texts come from the request itself.

use bloonio_sudo::{CustomType, DataType, SudoRequirement};

fn money(action: &str, title: &str) -> SudoRequirement {
    SudoRequirement::new(action)
        .with_title(title)
        .with_description("Money leaves your account.")
        .with_json_field("amount", "Amount", DataType::CurrencyUsd, "/amount")
        .with_json_field("recipient", "Recipient", DataType::PartyName, "/recipient")
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
