//! What is put before validators and groups, and what comes back at once (PROTOCOL 6).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::challenge::CustomType;
use crate::clock::Timestamp;
use crate::display::{DataType, wire_enum};
use crate::id::{EventId, RelayGroupLinkedId, RelayUserLinkedId};
use crate::secret::debug_shows;

wire_enum!(
    /// Who is asked, and for whom.
    EventType,
    "must be sudo_action, sudo_group_action or sudo_delegated_action",
    /// The user himself.
    SudoAction = "sudo_action",
    /// A group.
    SudoGroupAction = "sudo_group_action",
    /// Somebody else in the user's stead.
    SudoDelegatedAction = "sudo_delegated_action",
);

wire_enum!(
    /// What would happen to the thing.
    ActionType,
    "must be creation, deletion, update or upsert",
    /// It comes to be.
    Creation = "creation",
    /// It goes.
    Deletion = "deletion",
    /// It changes.
    Update = "update",
    /// It changes, or comes to be.
    Upsert = "upsert",
);

wire_enum!(
    /// Where the shown data come from.
    DataAccessType,
    "must be static or dynamic",
    /// Out of `data_items`.
    Static = "static",
    /// From `data_fetch_url`, fetched by the relay once.
    Dynamic = "dynamic",
);

wire_enum!(
    /// The plain kinds that only a dispatch's items know.
    PlainType,
    "must be STRING, NUMBER, DATETIME, PHONE or JSON",
    /// A text.
    String = "STRING",
    /// A number.
    Number = "NUMBER",
    /// A date and time.
    Datetime = "DATETIME",
    /// A phone number.
    Phone = "PHONE",
    /// JSON.
    Json = "JSON",
);

wire_enum!(
    /// Where an event stands.
    EventStatus,
    "must be pending, validated, rejected or expired",
    /// Not decided.
    Pending = "pending",
    /// Enough have approved.
    Validated = "validated",
    /// So many have rejected that enough can no longer approve.
    Rejected = "rejected",
    /// Out of time.
    Expired = "expired",
);

/// How an item of a dispatch is meant to be shown: as in a prompt, or plainly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum ItemType {
    /// As in a prompt.
    Shown(DataType),
    /// Plainly.
    Plain(PlainType),
}

impl From<DataType> for ItemType {
    fn from(shown: DataType) -> Self {
        Self::Shown(shown)
    }
}

impl From<PlainType> for ItemType {
    fn from(plain: PlainType) -> Self {
        Self::Plain(plain)
    }
}

/// One line of what validators see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DataItem {
    /// Label.
    pub display_title: String,
    /// Value.
    pub display_value: String,
    /// How to show it.
    pub data_type: ItemType,
}

/// Body of POST /relay/sudo/dispatch. Its `Debug` shows nothing of what validators see. Begun with [`SudoDispatch::new`].
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SudoDispatch {
    /// Who is asked, and for whom.
    pub event_type: EventType,
    /// What would happen.
    pub action_type: ActionType,
    /// The tenant's name of this dispatch, 8 to 128 characters: the same again gets the same event and no second push.
    pub idempotency_key: String,
    /// Validators, one by one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub relay_user_linked_id_list: Vec<RelayUserLinkedId>,
    /// Validators by their groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub relay_group_linked_id_list: Vec<RelayGroupLinkedId>,
    /// Headline, at most 200 characters.
    pub title: String,
    /// Text, at most 2,000 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Where the shown data come from.
    pub data_access_type: DataAccessType,
    /// The shown data, where static.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_items: Option<Vec<DataItem>>,
    /// Where the relay fetches them, where dynamic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_fetch_url: Option<String>,
    /// Told when enough have approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_validate_callback_url: Option<String>,
    /// Told when it is rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_reject_callback_url: Option<String>,
    /// Echoed to `on_validate_callback_url`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_validate_data: Option<Value>,
    /// Echoed to `on_reject_callback_url`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_reject_data: Option<Value>,
    /// Life of the event in seconds, default 180; group actions up to 150 days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_ttl_seconds: Option<i64>,
    /// How to approve. `goldenNumber` is refused here, since the relay could not check it; so there are no `numbers` either.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom_type: Option<CustomType>,
    /// How many must approve, default 1 or the group's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required_approvals: Option<u32>,
    /// Who began it, and so may not vote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initiator_relay_user_linked_id: Option<RelayUserLinkedId>,
    /// The SDK's digest of what it asked; echoed in the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub challenge_digest: Option<String>,
}

debug_shows!(SudoDispatch {
    event_type,
    action_type,
    relay_user_linked_id_list,
    relay_group_linked_id_list,
    data_access_type,
    requested_ttl_seconds,
    custom_type,
    required_approvals,
});

impl SudoDispatch {
    /// A dispatch that shows `items`, still without validators: set one of the two lists.
    pub fn new(
        event_type: EventType,
        action_type: ActionType,
        idempotency_key: impl Into<String>,
        title: impl Into<String>,
        items: Vec<DataItem>,
    ) -> Self {
        Self {
            event_type,
            action_type,
            idempotency_key: idempotency_key.into(),
            relay_user_linked_id_list: Vec::new(),
            relay_group_linked_id_list: Vec::new(),
            title: title.into(),
            description: None,
            data_access_type: DataAccessType::Static,
            data_items: Some(items),
            data_fetch_url: None,
            on_validate_callback_url: None,
            on_reject_callback_url: None,
            on_validate_data: None,
            on_reject_data: None,
            requested_ttl_seconds: None,
            custom_type: None,
            required_approvals: None,
            initiator_relay_user_linked_id: None,
            challenge_digest: None,
        }
    }
}

/// Answer to [`SudoDispatch`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DispatchReceipt {
    /// The event.
    pub event_id: EventId,
    /// Where it stands: `pending`, but for a repeat that comes after the decision.
    pub status: EventStatus,
    /// When it is too late; exclusive.
    pub expires_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_take_the_kinds_of_prompts_and_five_plain_ones() {
        for (kind, name) in [
            (ItemType::from(DataType::CurrencyUsd), "CURRENCY_USD"),
            (ItemType::from(PlainType::Datetime), "DATETIME"),
            (ItemType::from(PlainType::String), "STRING"),
        ] {
            assert_eq!(serde_json::to_value(kind).unwrap(), name);
            assert_eq!(serde_json::from_value::<ItemType>(name.into()).unwrap(), kind);
        }
        assert!(serde_json::from_value::<ItemType>("NOPE".into()).is_err());
    }

    #[test]
    fn what_is_not_set_does_not_travel() {
        let dispatch = SudoDispatch::new(EventType::SudoAction, ActionType::Update, "key-0001", "t", Vec::new());
        let body = serde_json::to_value(dispatch).unwrap();
        let mut names: Vec<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["action_type", "data_access_type", "data_items", "event_type", "idempotency_key", "title"]);
    }
}
