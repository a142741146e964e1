//! What scripts are asked for, and what they may answer.

use super::keys::MeetingKey;
use super::servers::{ServerRef, ServerState};
use std::time::Duration;

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
    /// How its server stands.
    pub standing: Standing,
}

/// How the server of a recorded meeting stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Online and enabled.
    Enabled,
    /// Online, and takes no new meetings: cordoned or disabled.
    Closed,
    /// Offline, and not given up yet.
    Offline,
}

/// Why a meeting is to leave its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// A create failed there.
    Failed,
    /// The server takes no new meetings, and does not have this one; its first create may still be
    /// under way.
    Stale,
    /// The same, and it was asked again a while later.
    Gone,
}

/// Outcomes of `reassign.lua`.
#[derive(Debug, Clone)]
pub enum ReassignOutcome {
    /// Recorded there now.
    Moved(Placement),
    /// Somebody else has moved it meanwhile.
    Existing(Placement),
    /// No other candidate; it stays.
    NoServer,
    /// No other candidate with a required tag, the tags; it stays.
    TagUnavailable(String),
    /// It must not move now; nothing changed.
    Kept,
    /// There is no such record.
    Unknown,
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

/// A meeting as a server lists it.
#[derive(Debug, Clone, Default)]
pub struct Listed {
    /// People.
    pub users: u64,
    /// Its server's createTime, ms since 1970.
    pub created_ms: u64,
    /// Its dial-in number; empty if it is none.
    pub voice_bridge: String,
    /// Its moderator password.
    pub moderator_pw: String,
    /// The tenant in its metadata; empty without one.
    pub tenant: String,
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
    /// The meetings that are no breakout rooms.
    pub listed: Vec<(MeetingKey, Listed)>,
}

/// Outcomes of `lease.lua`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaseOutcome {
    /// Held from now on, or still.
    Held {
        /// What the writes of this holder's polls carry.
        fence: String,
        /// Time since the last round of polls began, whoever made it; None if there was none.
        since_round: Option<Duration>,
    },
    /// Somebody else holds it.
    Other,
    /// Given up.
    Free,
}

/// Outcomes of `brake.lua`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrakeOutcome {
    /// Holds since now.
    On,
    /// Holds still.
    Holding,
    /// Released now.
    Off,
    /// There is none.
    None,
    /// The lease is lost.
    Fenced,
}

/// Outcomes of `abandon.lua`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AbandonOutcome {
    /// Given up; the meetings that were released.
    Abandoned(Vec<String>),
    /// Nothing to do: online, within its grace, braked, or gone.
    Kept,
    /// The lease is lost.
    Fenced,
}

/// Outcomes of `adopt.lua`, `apply_poll.lua` and `poll_failed.lua`.
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
        /// Meetings that it lists and nobody has recorded; after
        /// [`crate::servers::poll::Poller::poll_server`] these are the ones that were adopted.
        unrecorded: Vec<String>,
    },
    /// No such server any more.
    Unknown,
    /// The poller has lost its lease: nothing was written.
    Fenced,
    /// The server was asked again later, and that answer stands: nothing was written.
    Stale,
}
