//! All live state, in Redis. Decisions are Lua scripts (`lua/`), each one atomic step and one
//! round trip; what only reads several records is one pipeline.
//!
//! - [`keys`]: the only place where a key is spelled
//! - [`connection`]: one multiplexed connection per thread, fast failure, reconnects by itself
//! - `lua`: their text, with the includes expanded
//! - [`scripts`]: each lua file as one typed function; [`outcomes`]: each outcome as an enum
//! - `location_cache`: where meetings run, remembered until Redis says that it has changed
//! - [`polls`]: the poll's part of the scripts: lease, figures, brake, suspicion
//! - [`servers`], [`meetings`]: records, listings
//! - [`outbox`]: what is on its way to Postgres
//! - [`tokens`]: who may play a protected recording

pub mod connection;
pub mod keys;
mod location_cache;
mod lua;
pub mod meetings;
pub mod outbox;
pub mod outcomes;
pub mod polls;
pub mod scripts;
pub mod servers;
pub mod tokens;

pub use connection::{Store, StoreError};
pub use keys::MeetingKey;
pub use meetings::Meeting;
pub use outcomes::{
    AbandonOutcome, AssignOutcome, Assignment, BrakeOutcome, FindOutcome, JoinOutcome, LeaseOutcome, Listed,
    Placement, PollFigures, PollOutcome, ReassignOutcome, ReleaseOutcome, RemoveOutcome, Standing, Why,
};
pub use polls::{Brake, Standings};
pub use servers::{Server, ServerRef, ServerState};
pub use tokens::PlaybackToken;
