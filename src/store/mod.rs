//! All live state, in Redis. Decisions are Lua scripts (`lua/`), each one atomic step and one round trip;
//! reads of several records are one pipeline.
//!
//! - [`connection`]: one multiplexed connection per thread, fast failure, reconnects by itself
//! - [`keys`]: the only place where a key is spelled
//! - [`model`]: servers and meetings as Redis has them
//! - [`placement`]: which server a meeting runs on; `location_cache`: cached until Redis reports a change
//! - [`servers`]: the servers of the pool; [`meetings`]: lists of meetings
//! - [`marks`]: which meetings the pool has created; `registry`: the key of the marks, and the servers, cached
//! - [`polls`]: what polls find out; `unreadable`: when they cannot read it; [`lease`]: which replica polls, and the brake
//! - [`upkeep`]: sweeps, and the index by tag
//! - [`redis_settings`]: settings of Redis that endanger the state
//! - [`warnings`]: warnings about the pool
//! - [`outbox`]: entries that must reach Postgres
//! - [`tokens`]: access to protected recordings
//! - [`scripts`]: the scripts with their arguments by name; `lua`: their text, with the includes expanded
//!
//! Each function that runs a script has the outcomes of that script beside it, as an enum.

pub mod connection;
pub mod keys;
pub mod lease;
mod location_cache;
mod lua;
pub mod marks;
pub mod meetings;
pub mod model;
pub mod outbox;
pub mod placement;
pub mod polls;
pub mod redis_settings;
mod registry;
pub mod scripts;
pub mod server_fields;
pub mod servers;
pub mod tokens;
mod unreadable;
pub mod upkeep;
pub mod warnings;

pub use connection::{Store, StoreError};
pub use keys::MeetingKey;
pub use lease::{Brake, BrakeOutcome, Fence, LeaseOutcome};
pub use marks::MarkKey;
pub use model::{Meeting, Server, ServerAvailability, ServerRef, ServerState};
pub use placement::{
    AssignOutcome, Assignment, FindOutcome, FoundRecord, JoinOutcome, Placement, ReassignOutcome,
    ReassignReason, RecreatedOutcome, ReleaseOutcome,
};
pub use polls::{
    AbandonOutcome, AdoptOutcome, Listed, PollFigures, PollHistory, PollOutcome, SuspectOutcome,
};
pub use servers::{AddOutcome, PanicOutcome, RemoveOutcome, SetStateOutcome, UpdateOutcome};
pub use tokens::PlaybackToken;
pub use upkeep::Swept;
pub use warnings::{PoolWarning, WarningSubject};
