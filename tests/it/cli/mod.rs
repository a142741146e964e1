//! The `sl` command against a running pool.

mod dev;
mod drain;
mod meetings;
mod recordings;
mod scalelite;
mod script;
mod servers;
mod servers_refused;
mod settings;
