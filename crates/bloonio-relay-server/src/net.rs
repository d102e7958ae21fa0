//! Every way out of the relay: which addresses may be reached, and the clients that reach them.
//!
//! | part | what it settles |
//! | --- | --- |
//! | [`address`] | the table of addresses, and what hides inside an IPv6 address |
//! | [`guard`] | the check of URLs that a tenant can name, at the address actually connected to |
//! | [`client`] | the HTTP clients: one for callbacks, behind the guard; one for the push service |

pub mod address;
pub mod client;
pub mod guard;
