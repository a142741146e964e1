//! All live state, in Redis. Decisions are Lua scripts (`lua/`), each one atomic step and one
//! round trip; what only reads several records is one pipeline.
//!
//! - [`keys`]: the only place where a key is spelled
//! - [`connection`]: one multiplexed connection per thread, fast failure, reconnects by itself
//! - `lua`: their text, with the includes expanded
//! - [`scripts`]: each lua file as one typed function; [`outcomes`]: each outcome as an enum
//! - `lookups`: where meetings run, remembered until Redis says that it has changed
//! - [`health`]: the poll's part of the scripts: lease, figures, brake, suspicion
//! - [`servers`], [`meetings`]: records, listings
//! - [`outbox`]: what is on its way to Postgres
//! - [`tokens`]: who may play a protected recording

pub mod connection;
pub mod health;
pub mod keys;
mod lookups;
mod lua;
pub mod meetings;
pub mod outbox;
pub mod outcomes;
pub mod scripts;
pub mod servers;
pub mod tokens;

pub use connection::{Store, StoreError};
pub use health::{Brake, Standings};
pub use keys::MeetingKey;
pub use meetings::Meeting;
pub use outcomes::{
    AbandonOutcome, AssignOutcome, Assignment, BrakeOutcome, FindOutcome, JoinOutcome, LeaseOutcome, Listed,
    Placement, PollFigures, PollOutcome, ReassignOutcome, ReleaseOutcome, RemoveOutcome, Standing, Why,
};
pub use servers::{Server, ServerRef, ServerState};
pub use tokens::PlaybackToken;
