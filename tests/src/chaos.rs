//! The chaos run: three relays on one PostgreSQL and one Redis answer prompts of several tenants while a seeded script kills
//! relays, crashes both servers, and lets FCM and the receivers fail. In the end everything that a device, a backend or a
//! receiver was told is held against everything that the relays have written down.
//!
//! | part | what it does |
//! | --- | --- |
//! | [`plan`] | how much, from which seed, and what each prompt is |
//! | [`cluster`] | the processes, and killing them |
//! | [`crowd`] | tenants, their receivers, their people with phones |
//! | [`call`] | a caller that tries again until it gets a definite answer |
//! | [`ears`] | phones that listen to streams |
//! | [`load`] | asks and answers every prompt |
//! | [`script`] | what goes wrong, and when |
//! | [`hook`] | a receiver of callbacks that fails as it is told |
//! | [`ledger`] | what callers were told |
//! | [`findings`], [`trail`], [`pushes`] | whether it all fits together |
//! | [`report`] | progress, and the table in the end |

pub mod call;
pub mod cluster;
pub mod crowd;
pub mod ears;
pub mod findings;
pub mod hook;
pub mod ledger;
pub mod load;
pub mod plan;
pub mod pushes;
pub mod report;
pub mod script;
pub mod trail;
