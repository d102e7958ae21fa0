//! What can happen.

/// What an entry tells of. The names are stored and hashed: they may be added to, never changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A tenant was added.
    TenantProvisioned,
    /// Its configuration was changed.
    TenantUpdated,
    /// It got another secret.
    SecretRotated,
    /// It was suspended.
    TenantSuspended,
    /// It was let work again.
    TenantReactivated,
    /// A pairing was offered.
    PairingPrepared,
    /// A pairing has a device that may act, and had none.
    PairingCompleted,
    /// A pairing was ended with all its devices.
    PairingRevoked,
    /// A device was registered.
    DeviceAdded,
    /// An existing device let it act.
    DeviceConfirmed,
    /// An existing device turned it away.
    DeviceRefused,
    /// It got another session token, and perhaps another push address.
    DeviceRefreshed,
    /// It was removed.
    DeviceRemoved,
    /// A person was asked.
    PromptAsked,
    /// The question was withdrawn.
    PromptCancelled,
    /// The question was answered.
    Decision,
    /// A receiver took a callback.
    CallbackAcknowledged,
    /// A callback was given up.
    CallbackDead,
    /// An operator ordered it to be sent again.
    CallbackResent,
    /// Push addresses that were taken out of use by mistake are in use again.
    AddressesRevived,
    /// Another master key seals and signs from now on.
    KeyUsed,
    /// What older keys had sealed was sealed again.
    KeyRekeyed,
    /// The database was restored from a backup, and what may have been used since does not hold any more.
    DatabaseRestored,
    /// The database was moved, with nothing lost.
    DatabaseMoved,
    /// Operator calls with a wrong key, summed up.
    OperatorRefused,
}

impl Kind {
    /// All kinds, for lists and documents.
    pub const ALL: &[Self] = &[
        Self::TenantProvisioned,
        Self::TenantUpdated,
        Self::SecretRotated,
        Self::TenantSuspended,
        Self::TenantReactivated,
        Self::PairingPrepared,
        Self::PairingCompleted,
        Self::PairingRevoked,
        Self::DeviceAdded,
        Self::DeviceConfirmed,
        Self::DeviceRefused,
        Self::DeviceRefreshed,
        Self::DeviceRemoved,
        Self::PromptAsked,
        Self::PromptCancelled,
        Self::Decision,
        Self::CallbackAcknowledged,
        Self::CallbackDead,
        Self::CallbackResent,
        Self::AddressesRevived,
        Self::KeyUsed,
        Self::KeyRekeyed,
        Self::DatabaseRestored,
        Self::DatabaseMoved,
        Self::OperatorRefused,
    ];

    /// The name, as it is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TenantProvisioned => "tenant.provisioned",
            Self::TenantUpdated => "tenant.updated",
            Self::SecretRotated => "tenant.secret_rotated",
            Self::TenantSuspended => "tenant.suspended",
            Self::TenantReactivated => "tenant.reactivated",
            Self::PairingPrepared => "pairing.prepared",
            Self::PairingCompleted => "pairing.completed",
            Self::PairingRevoked => "pairing.revoked",
            Self::DeviceAdded => "device.added",
            Self::DeviceConfirmed => "device.confirmed",
            Self::DeviceRefused => "device.refused",
            Self::DeviceRefreshed => "device.refreshed",
            Self::DeviceRemoved => "device.removed",
            Self::PromptAsked => "prompt.asked",
            Self::PromptCancelled => "prompt.cancelled",
            Self::Decision => "decision",
            Self::CallbackAcknowledged => "callback.acknowledged",
            Self::CallbackDead => "callback.dead",
            Self::CallbackResent => "callback.resent",
            Self::AddressesRevived => "addresses.revived",
            Self::KeyUsed => "key.used",
            Self::KeyRekeyed => "key.rekeyed",
            Self::DatabaseRestored => "database.restored",
            Self::DatabaseMoved => "database.moved",
            Self::OperatorRefused => "operator.refused",
        }
    }
}
