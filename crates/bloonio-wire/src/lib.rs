//! What a relay, a backend and a device of the Bloonio suite must agree on.
//!
//! This crate holds the wire protocol and nothing else: no async, no network, no web framework.
//! Sections named in the documentation ("PROTOCOL 2.1") are those of `docs/src/protocol.md`.
//!
//! | module | what it settles |
//! | --- | --- |
//! | [`sign`], [`message`], [`webhook`] | signatures of calls and callbacks |
//! | [`id`], [`secret`] | identifiers and secrets, parsed once at the edge |
//! | [`header`], [`envelope`], [`code`] | how answers and errors look |
//! | [`field`] | reading JSON so that every broken rule is named |
//! | [`challenge`], [`display`], [`device`] | prompts, and the devices that show them |
//! | [`delivery`] | how far a prompt has come |
//! | [`dispatch`], [`group`] | what several people approve, and who they are |
//! | [`qr_login`], [`passkey`] | signing in with a phone or a passkey |
//! | [`callback`] | the decision on its way back |
//! | [`digest`], [`decision`] | unambiguous digests, and what a device signs |
//! | [`qr`] | pairing addresses and their picture |
//! | [`clock`], [`random`] | the two inputs that tests replace |
#![deny(missing_docs)]

pub mod callback;
pub mod challenge;
pub mod clock;
pub mod code;
pub mod decision;
pub mod delivery;
pub mod device;
pub mod digest;
pub mod dispatch;
pub mod display;
pub mod envelope;
pub mod field;
pub mod group;
pub mod header;
pub mod id;
pub mod message;
pub mod passkey;
pub mod qr;
pub mod qr_login;
pub mod random;
pub mod secret;
pub mod sign;
pub mod webhook;
