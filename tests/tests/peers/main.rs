//! The suite held against what others have written: libraries of other languages on the other end of each signature, and a
//! fuzzer of OpenAPI documents.

mod messages;
mod schema;
mod webhooks;
