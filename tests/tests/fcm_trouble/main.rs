//! FCM in real trouble: the relay's sender on bad roads, before slow, broken and overloaded services (PUSH.md 6, F1 to F13).
//! A test's name begins with the row that it plays.

mod answers;
mod connect;
mod http2;
mod quota;
mod scene;
