//! The phones that the emulator knows: an address is all there is to them.

use std::collections::HashMap;

use bloonio_wire::device::Platform;

/// Which field of a message names a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressKind {
    /// `token`: a registration token.
    Token,
    /// `fid`: a Firebase installation id; FCM takes it in `token` as well.
    Fid,
}

/// What the service knows about a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceState {
    /// It can be reached.
    Live,
    /// The app is gone from it.
    Unregistered,
    /// It belongs to another project.
    Foreign,
}

/// A phone, as the push service sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// The kind of its address.
    pub kind: AddressKind,
    /// What it is.
    pub platform: Platform,
    /// Whether it can be reached.
    pub state: DeviceState,
    /// The app's package name.
    pub package: String,
}

/// The devices by address.
#[derive(Debug, Default)]
pub(super) struct Devices(HashMap<String, Device>);

impl Devices {
    pub(super) fn add(&mut self, address: &str, kind: AddressKind, platform: Platform) {
        let package = "com.example.bank".to_owned();
        self.0.insert(address.to_owned(), Device { kind, platform, state: DeviceState::Live, package });
    }

    pub(super) fn get(&self, address: &str) -> Option<&Device> {
        self.0.get(address)
    }

    pub(super) fn set_state(&mut self, address: &str, state: DeviceState) {
        let device = self.0.get_mut(address).unwrap_or_else(|| panic!("no device has the address {address}"));
        device.state = state;
    }
}
