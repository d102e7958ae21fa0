//! Starting the parts of the suite as processes of their own: for the demo, and for the end-to-end tests.

pub mod process;
