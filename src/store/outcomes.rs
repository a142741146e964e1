//! What scripts are asked for, and what they may answer.

use super::keys::MeetingKey;
use super::servers::{ServerRef, ServerState};

/// What a new meeting asks for.
#[derive(Debug, Clone)]
pub struct Assignment<'a> {
    /// The meeting.
    pub meeting: &'a MeetingKey,
    /// `meta_server-tag`: '', `a;b` or `a;b!`.
    pub tag: &'a str,
    /// People it counts for until they have come.
    pub reserve: u32,
    /// The moderator password to note for a new meeting.
    pub moderator_pw: &'a str,
    /// The tenant to note; empty without tenancy.
    pub tenant: &'a str,
    /// Any server will do when the pool has no untagged one.
    pub any_if_no_untagged: bool,
    /// Seconds until the record expires unless renewed.
    pub ttl_seconds: u64,
    /// Voice bridges to try, in order.
    pub voice_bridges: &'a [String],
}

/// A meeting and its server, as a create needs it.
#[derive(Debug, Clone)]
pub struct Placement {
    /// Where it runs.
    pub server: ServerRef,
    /// That server's tag; empty without one.
    pub tag: String,
    /// Its dial-in number.
    pub voice_bridge: String,
    /// The moderator password noted when it was created.
    pub moderator_pw: String,
    /// How many creates its record has seen; [`crate::store::Store::release`] asks for it.
    pub generation: String,
}

/// Outcomes of `assign.lua`.
#[derive(Debug, Clone)]
pub enum AssignOutcome {
    /// Picked now.
    Assigned(Placement),
    /// Recorded before.
    Existing(Placement),
    /// No candidate.
    NoServer,
    /// No candidate with a required tag; the tags.
    TagUnavailable(String),
    /// Every voice bridge offered is taken.
    NoVoiceBridge,
}

/// Outcomes of `find.lua`.
#[derive(Debug, Clone)]
pub enum FindOutcome {
    /// It runs there; and its generation, as in [`Placement`].
    Found(ServerRef, String),
    /// Not recorded, or its server has left the pool.
    Unknown,
}

/// Outcomes of `join.lua`.
#[derive(Debug, Clone)]
pub enum JoinOutcome {
    /// Go there; counted.
    Found(ServerRef),
    /// Its server is offline, or disabled and refused.
    Unavailable,
    /// Not recorded, or its server has left the pool.
    Unknown,
}

/// Outcomes of `release.lua`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReleaseOutcome {
    /// Released.
    Released,
    /// There was no record.
    Unknown,
    /// It is on another server, or was created again in between.
    Kept,
}

/// Outcomes of `remove_server.lua`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemoveOutcome {
    /// Gone, with so many meetings released.
    Removed(usize),
    /// So many meetings are recorded there; nothing changed.
    Busy(usize),
    /// No such server.
    Unknown,
}

/// What a server answered to a poll.
#[derive(Debug, Clone, Default)]
pub struct PollFigures {
    /// When the question was sent, ms by Redis' clock.
    pub started_ms: u64,
    /// BBB version; empty if not known.
    pub version: String,
    /// Meetings, breakout rooms included.
    pub meetings: usize,
    /// People in all of them.
    pub users: u64,
    /// People in the largest one.
    pub largest: u64,
    /// Cameras.
    pub videos: u64,
    /// Per meeting that is no breakout room: key, people, its server's createTime in ms.
    pub listed: Vec<(MeetingKey, u64, u64)>,
}

/// Outcomes of `apply_poll.lua` and `poll_failed.lua`.
#[derive(Debug, Clone, PartialEq)]
pub enum PollOutcome {
    /// Written.
    Applied {
        /// Online now.
        online: bool,
        /// It was not so before.
        changed: bool,
        /// Its state now.
        state: ServerState,
        /// Meetings released since their server no longer has them.
        released: Vec<String>,
    },
    /// No such server any more.
    Unknown,
}
