//! The promises of whoever keeps the devices of users.

use std::sync::Arc;

use bloonio_wire::decision::DeviceKey;
use bloonio_wire::id::{RelayUserLinkedId, TenantId, UserSocketHash};

use super::SuiteError;
use crate::device_keys::{DeviceKeys, PinOutcome, PinnedDevice};

fn device(name: &str, x: &str) -> Result<PinnedDevice, SuiteError> {
    let key = DeviceKey { kty: "EC".to_owned(), crv: "P-256".to_owned(), x: x.to_owned(), y: "y".to_owned() };
    Ok(PinnedDevice {
        device_id: name.to_owned(),
        relay_user_linked_id: RelayUserLinkedId::parse("0123456789abcdef01234567")?,
        device_public_key: Some(key),
    })
}

/// The first key of a device stays, whatever comes; another user's and another tenant's devices are others; forgotten is
/// forgotten.
pub async fn a_pinned_device_never_changes(keys: Arc<dyn DeviceKeys>) -> super::Outcome {
    let tenant = TenantId::parse("tnt_0123456789abcdef0123456789abcdef")?;
    let other_tenant = TenantId::parse("tnt_fedcba9876543210fedcba9876543210")?;
    let (jane, john) = (UserSocketHash::parse("jane-0001")?, UserSocketHash::parse("john-0001")?);
    let (first, changed) = (device("d1", "x1")?, device("d1", "x2")?);
    assert_eq!(keys.pin(&tenant, &jane, &first).await?, PinOutcome::Pinned);
    assert_eq!(keys.pin(&tenant, &jane, &first).await?, PinOutcome::Known);
    assert_eq!(keys.pin(&tenant, &jane, &changed).await?, PinOutcome::Conflict);
    let keyless = PinnedDevice { device_public_key: None, ..first.clone() };
    assert_eq!(keys.pin(&tenant, &jane, &keyless).await?, PinOutcome::Conflict);
    assert_eq!(keys.devices(&tenant, &jane).await?, std::slice::from_ref(&first));

    assert_eq!(keys.devices(&tenant, &john).await?, []);
    assert_eq!(keys.devices(&other_tenant, &jane).await?, []);
    assert_eq!(keys.pin(&tenant, &john, &changed).await?, PinOutcome::Pinned);
    assert_eq!(keys.pin(&tenant, &jane, &device("d2", "x3")?).await?, PinOutcome::Pinned);
    assert_eq!(keys.devices(&tenant, &jane).await?.len(), 2);
    keys.forget(&tenant, &jane).await?;
    assert_eq!(keys.devices(&tenant, &jane).await?, []);
    assert_eq!(keys.devices(&tenant, &john).await?, [changed]);
    Ok(())
}
