//! The acceptance suite of every instruction store.
