//! What instances tell each other: that something was committed, never what. Whoever is woken reads the database.

use bloonio_wire::clock::Timestamp;
use bloonio_wire::id::{DeviceId, InstructionId, RelayUserLinkedId, TenantId};
use serde::{Deserialize, Serialize};

use crate::push::PushKind;
use crate::push::stream::{Hint, StreamEvent};

/// On it instances speak.
pub(super) const CHANNEL: &str = "bloonio:relay:wake";

/// Something was committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wake {
    /// A prompt was answered, withdrawn or sent.
    Prompt {
        /// Whose.
        tenant_id: TenantId,
        /// Which.
        instruction_id: InstructionId,
    },
    /// The streams of a pairing have something to tell, or their right to listen may be over.
    Stream {
        /// Whose.
        tenant_id: TenantId,
        /// Which pairing.
        relay_user_linked_id: RelayUserLinkedId,
        /// What to tell; without it the session is to be looked at.
        hint: Option<HintWords>,
    },
    /// The right of all streams of a tenant may be over.
    Tenant {
        /// Whose.
        tenant_id: TenantId,
    },
    /// There is a callback to make.
    Outbox,
    /// Something went untold: everybody reads everything again.
    Everybody,
    /// Nothing; whoever said it hears that he is heard.
    Beat,
}

/// A [`Hint`] on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HintWords {
    kind: String,
    subject_id: String,
    expires_at: Timestamp,
    device_id: Option<DeviceId>,
}

impl HintWords {
    /// The hint, if this version knows its kind.
    pub fn hint(self) -> Option<Hint> {
        let Self { kind, subject_id, expires_at, device_id } = self;
        Some(Hint { kind: PushKind::from_name(&kind)?, subject_id, expires_at, device_id })
    }
}

impl Wake {
    /// Of a prompt.
    pub fn prompt((tenant_id, instruction_id): &(TenantId, InstructionId)) -> Self {
        Self::Prompt { tenant_id: tenant_id.clone(), instruction_id: instruction_id.clone() }
    }

    /// Of a pairing's streams.
    pub fn stream((tenant_id, linked_id): &(TenantId, RelayUserLinkedId), event: &StreamEvent) -> Self {
        let hint = match event {
            StreamEvent::Recheck => None,
            StreamEvent::Hint(hint) => Some(HintWords {
                kind: hint.kind.as_str().to_owned(),
                subject_id: hint.subject_id.clone(),
                expires_at: hint.expires_at,
                device_id: hint.device_id.clone(),
            }),
        };
        Self::Stream { tenant_id: tenant_id.clone(), relay_user_linked_id: linked_id.clone(), hint }
    }
}

/// What an instance says at once.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Message {
    /// Who speaks.
    pub(super) from: String,
    /// In the order in which it happened.
    pub(super) wakes: Vec<Wake>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wakes() -> Vec<Wake> {
        let tenant_id = TenantId::parse(format!("tnt_{}", "a".repeat(32))).unwrap();
        let pairing = (tenant_id.clone(), RelayUserLinkedId::parse("0123456789abcdef01234567").unwrap());
        let hint = Hint {
            kind: PushKind::SecurityAlert,
            subject_id: "notice-01".to_owned(),
            expires_at: Timestamp::from_millis(1_800_000_000_123),
            device_id: None,
        };
        vec![
            Wake::prompt(&(tenant_id.clone(), InstructionId::parse("instruction-1").unwrap())),
            Wake::stream(&pairing, &StreamEvent::Recheck),
            Wake::stream(&pairing, &StreamEvent::Hint(hint)),
            Wake::Tenant { tenant_id },
            Wake::Outbox,
            Wake::Everybody,
            Wake::Beat,
        ]
    }

    #[test]
    fn what_is_said_is_what_is_heard() {
        let said = serde_json::to_string(&Message { from: "a".to_owned(), wakes: wakes() }).unwrap();
        let heard: Message = serde_json::from_str(&said).unwrap();
        assert_eq!(heard.wakes, wakes());
    }

    #[test]
    fn a_hint_of_an_unknown_kind_is_none() {
        let words = HintWords {
            kind: "of a newer version".to_owned(),
            subject_id: "x".to_owned(),
            expires_at: Timestamp::from_millis(0),
            device_id: None,
        };
        assert_eq!(words.hint(), None);
    }
}
