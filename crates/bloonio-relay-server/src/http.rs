//! The relay's door: authenticate, parse, answer. Nothing is decided here.
//!
//! | part | what it settles |
//! | --- | --- |
//! | [`router`] | which path leads to which handler: one flat table |
//! | [`listener`] | connections: accepted, served, let go of |
//! | [`auth`] | who calls: tenant, operator or device |
//! | [`body`], [`query`] | reading without trusting |
//! | [`error`] | how answers and refusals look |
//! | [`middleware`] | request ids, log, metrics, panics |
//! | [`detach`] | a caller who hangs up stops nothing half-way |
//! | [`read`] | bodies, every broken rule named |
//! | [`openapi`] | the description of it all |

pub mod auth;
pub mod body;
pub mod client_address;
pub mod detach;
pub mod error;
pub mod listener;
pub mod middleware;
pub mod openapi;
pub mod query;
pub mod read;
pub mod router;
pub mod routes;
