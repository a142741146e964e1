//! The `sl` command against a running pool.

mod dev;
mod drain;
mod meetings;
mod recordings;
mod script;
mod servers;
mod settings;
