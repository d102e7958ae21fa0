//! The device side of the Bloonio suite: everything that a phone says to a relay (PROTOCOL 4 and 5).
//!
//! | module | what it does |
//! | --- | --- |
//! | [`client`] | the calls of a device: register, fetch prompts, answer |
//! | [`stream`] | hints that something waits, over server-sent events |
//! | [`answer`] | turns a person's decision into a signed response |
//! | [`totp`] | one-time codes from the seed that the relay hands over |
//! | [`text`] | shows a stranger's text so that it cannot lie about itself |
//! | [`error`] | what can go wrong, and what to do then |
//!
//! A device pairs once, then fetches and answers:
//!
//! ```no_run
//! use std::sync::Arc;
//! use bloonio_authenticator::answer::{Answer, DeviceIdentity};
//! use bloonio_authenticator::client::{PushAddress, Relay, RelayOptions};
//! use bloonio_wire::clock::SystemClock;
//! use bloonio_wire::qr::PairingUri;
//! use bloonio_wire::random::SystemRandom;
//!
//! # async fn example(scanned: &str) -> Result<(), Box<dyn std::error::Error>> {
//! let uri = PairingUri::parse(scanned)?;
//! let relay = Relay::new(&uri.relay, &RelayOptions::default())?;
//! let (key, _bytes_to_keep) = DeviceIdentity::draw_key(&SystemRandom)?;
//! let registered = relay.register(&uri.proof, &PushAddress::Stream.registration(Some("my phone"), &key)).await?;
//!
//! let device = relay.device(Arc::new(registered.session.token));
//! let identity = DeviceIdentity::new(registered.pairing, key);
//! for prompt in device.challenges().await? {
//!     let response = identity.respond(&prompt, &Answer::approve(), &SystemClock)?;
//!     device.submit(&response).await?;
//! }
//! # Ok(())
//! # }
//! ```
#![deny(missing_docs)]

pub mod answer;
pub mod client;
pub mod error;
pub mod stream;
pub mod text;
pub mod totp;
