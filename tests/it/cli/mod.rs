//! The `sl` command against a running pool.

mod dev;
mod meetings;
mod servers;
mod settings;
