//! The `sl` command against a running pool.

mod dev;
mod meetings;
mod recordings;
mod servers;
mod settings;
