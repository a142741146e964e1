//! Which server a meeting runs on: decided by create, looked up, counted by join, released.

use super::connection::{Store, StoreResult};
use super::keys::MeetingKey;
use super::location_cache::tracking;
use super::model::{ServerAvailability, ServerRef};
use super::scripts::{Assign, AssignBreakout, Find, Join, Reassign, Recreated, Release, Reply, ScriptCall};
use crate::bbb::Secret;
use crate::config::Accounting;
use crate::telemetry::permit_log;
use tracing::error;

/// What a new meeting needs.
#[derive(Debug, Clone)]
pub struct Assignment<'a> {
    /// The meeting.
    pub meeting: &'a MeetingKey,
    /// `meta_server-tag`: '', `a;b` or `a;b!`.
    pub tag: &'a str,
    /// Participants that it counts for until they have joined.
    pub reserve: u32,
    /// The moderator password to record for a new meeting.
    pub moderator_pw: &'a str,
    /// The tenant to record; empty without tenancy.
    pub tenant: &'a str,
    /// If the pool has no untagged server, any server will do.
    pub any_if_no_untagged: bool,
    /// Seconds until the record expires unless renewed.
    pub ttl_seconds: u64,
    /// The servers were asked, and none has the meeting.
    pub asked: bool,
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
    /// The moderator password recorded when it was created.
    pub moderator_pw: String,
    /// Number of creates of its record; [`Store::release`] compares it.
    pub generation: String,
    /// Whether its server can serve it.
    pub availability: ServerAvailability,
}

/// Outcomes of `assign.lua`.
#[derive(Debug, Clone)]
pub enum AssignOutcome {
    /// Picked now.
    Assigned(Placement),
    /// Recorded before.
    Existing(Placement),
    /// Not recorded, and there are servers whose meetings are unknown: ask the servers before placing it.
    Ask,
    /// No candidate.
    NoServer,
    /// No candidate with a required tag; the tags.
    TagUnavailable(String),
    /// Every voice bridge offered is taken.
    NoVoiceBridge,
    /// Of a breakout room: its parent is not recorded, or the parent's server has left the pool.
    NoParent,
}

/// Why a meeting must leave its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReassignReason {
    /// A create was sent there and failed.
    Failed {
        /// Servers that the create may try yet, this move included; 1 or more.
        tries_left: usize,
    },
    /// A create could not be sent there.
    Unreachable,
    /// A create was not sent there, by no fault of the server.
    Busy,
    /// The server takes no new meetings and does not have this one; its first create may still be under
    /// way.
    Stale,
    /// The same, confirmed by a second look a while later.
    Gone,
}

/// Outcomes of `reassign.lua`.
#[derive(Debug, Clone)]
pub enum ReassignOutcome {
    /// Recorded there now.
    Moved(Placement),
    /// Another create has moved it meanwhile.
    Existing(Placement),
    /// No other candidate; not moved.
    NoServer,
    /// No other candidate with a required tag, the tags; not moved.
    TagUnavailable(String),
    /// It must not move now; nothing changed.
    Kept,
    /// Its creates have failed on several servers, too often in the last minutes; not moved.
    Spent,
    /// There is no such record.
    Unknown,
}

/// Outcomes of `find.lua`.
#[derive(Debug, Clone)]
pub enum FindOutcome {
    /// It runs there; and the record to release, if asked for.
    Found(ServerRef, Option<FoundRecord>),
    /// Not recorded, or its server has left the pool.
    Unknown,
}

/// A record as `find.lua` found it.
#[derive(Debug, Clone)]
pub struct FoundRecord {
    /// Its meeting, which may have been looked for by its internal id.
    pub meeting: MeetingKey,
    /// Its generation, as in [`Placement`].
    pub generation: String,
}

/// Outcomes of `join.lua`.
#[derive(Debug, Clone)]
pub enum JoinOutcome {
    /// Join there; counted.
    Found(ServerRef),
    /// Its server is offline, or disabled and refused.
    Unavailable,
    /// Not recorded, or its server has left the pool.
    Unknown,
}

/// Outcomes of `recreated.lua`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecreatedOutcome {
    /// Recorded.
    Noted,
    /// No such record, or it is on another server; nothing changed.
    Kept,
}

/// Outcomes of `release.lua`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReleaseOutcome {
    /// Released.
    Released,
    /// There was no record.
    Unknown,
    /// It is on another server, or was created again meanwhile.
    Kept,
}

impl Store {
    /// Chooses the server for a create: see `lua/assign.lua`.
    pub async fn assign(&self, wanted: &Assignment<'_>) -> StoreResult<AssignOutcome> {
        let call = Assign {
            meeting: wanted.meeting,
            tag: wanted.tag,
            reserve: wanted.reserve,
            ttl_seconds: wanted.ttl_seconds,
            moderator_pw: wanted.moderator_pw,
            tenant: wanted.tenant,
            any_if_no_untagged: wanted.any_if_no_untagged,
            asked: wanted.asked,
            voice_bridges: wanted.voice_bridges,
        };
        self.run(&call).await?.assigned()
    }

    /// Records a breakout room on the server of its parent: see `lua/assign_breakout.lua`.
    pub async fn assign_breakout(
        &self,
        wanted: &Assignment<'_>,
        parent: &MeetingKey,
    ) -> StoreResult<AssignOutcome> {
        let call = AssignBreakout {
            meeting: wanted.meeting,
            parent,
            reserve: wanted.reserve,
            ttl_seconds: wanted.ttl_seconds,
            moderator_pw: wanted.moderator_pw,
            tenant: wanted.tenant,
            voice_bridges: wanted.voice_bridges,
        };
        self.run(&call).await?.assigned()
    }

    /// Moves a meeting from the server `from` to one that is not in `excluded`: see `lua/reassign.lua`. Of
    /// `wanted` it uses the meeting, tag, reserve and expiry; voice bridge, password and tenant are those
    /// of the record.
    pub async fn reassign(
        &self,
        wanted: &Assignment<'_>,
        from: &str,
        reason: ReassignReason,
        excluded: &[String],
    ) -> StoreResult<ReassignOutcome> {
        let call = Reassign {
            meeting: wanted.meeting,
            from,
            tag: wanted.tag,
            reserve: wanted.reserve,
            ttl_seconds: wanted.ttl_seconds,
            any_if_no_untagged: wanted.any_if_no_untagged,
            reason: match reason {
                ReassignReason::Failed { .. } => "failed",
                ReassignReason::Unreachable => "unreachable",
                ReassignReason::Busy => "busy",
                ReassignReason::Stale => "stale",
                ReassignReason::Gone => "gone",
            },
            tries_left: match reason {
                ReassignReason::Failed { tries_left } => tries_left,
                _ => 1,
            },
            excluded,
        };
        let mut reply = self.run(&call).await?;
        match reply.text()?.as_str() {
            "moved" => Ok(ReassignOutcome::Moved(reply.placement()?)),
            "existing" => Ok(ReassignOutcome::Existing(reply.placement()?)),
            "none" => Ok(ReassignOutcome::NoServer),
            "tag_unavailable" => Ok(ReassignOutcome::TagUnavailable(reply.text()?)),
            "kept" => Ok(ReassignOutcome::Kept),
            "spent" => Ok(ReassignOutcome::Spent),
            "unknown" => Ok(ReassignOutcome::Unknown),
            _ => Err(reply.unexpected()),
        }
    }

    /// Says where a meeting runs: see `lua/find.lua`. Only a release needs the record.
    pub async fn find(&self, meeting: &MeetingKey, with_record: bool) -> StoreResult<FindOutcome> {
        self.run(&Find { meeting, with_generation: with_record }).await?.found()
    }

    /// [`Store::find`] with client tracking: Redis reports when a key that the script read is written. One
    /// round trip. Fails with NOSCRIPT if the script was never loaded.
    pub(super) async fn find_tracked(&self, meeting: &MeetingKey) -> StoreResult<FindOutcome> {
        let script = Find::script();
        let mut pipeline = tracking();
        pipeline.cmd("EVALSHA").arg(script.hash()).arg(2);
        pipeline.arg(self.keys.prefix()).arg(self.keys.meeting(meeting)).arg(meeting);
        let (value,) = self.pipeline(&pipeline).await?;
        Reply::new(script, value)?.found()
    }

    /// Says where a meeting runs, and counts one more participant: see `lua/join.lua`. Where Redis refuses to
    /// write, it is not counted.
    pub async fn join(
        &self,
        meeting: &MeetingKey,
        refuse_disabled: bool,
        accounting: Accounting,
    ) -> StoreResult<JoinOutcome> {
        match self.count_participants(meeting, refuse_disabled, 1, accounting).await {
            // The poll counts the participant.
            Err(failure) if failure.is_write_refused() => {
                if let Some(permit) = permit_log("Redis", "join") {
                    let suppressed = permit.suppressed;
                    error!(%failure, suppressed, "Redis refuses to write: joins are not counted");
                }
                self.count_participants(meeting, refuse_disabled, 0, accounting).await
            }
            result => result,
        }
    }

    /// Subtracts a participant that the server refused after all.
    pub async fn unjoin(&self, meeting: &MeetingKey, accounting: Accounting) -> StoreResult<()> {
        self.count_participants(meeting, false, -1, accounting).await.map(drop)
    }

    async fn count_participants(
        &self,
        meeting: &MeetingKey,
        refuse_disabled: bool,
        participants: i32,
        accounting: Accounting,
    ) -> StoreResult<JoinOutcome> {
        let increment = accounting == Accounting::Increment;
        let mut reply = self.run(&Join { meeting, refuse_disabled, participants, increment }).await?;
        match reply.text()?.as_str() {
            "found" => Ok(JoinOutcome::Found(reply.server()?)),
            "unavailable" => Ok(JoinOutcome::Unavailable),
            "unknown" => Ok(JoinOutcome::Unknown),
            _ => Err(reply.unexpected()),
        }
    }

    /// Records that a server has created a recorded meeting again: see `lua/recreated.lua`.
    pub async fn recreated(
        &self,
        meeting: &MeetingKey,
        server: &str,
        moderator_pw: &str,
        reserve: u32,
    ) -> StoreResult<RecreatedOutcome> {
        let mut reply = self.run(&Recreated { meeting, server, moderator_pw, reserve }).await?;
        match reply.text()?.as_str() {
            "noted" => Ok(RecreatedOutcome::Noted),
            "kept" => Ok(RecreatedOutcome::Kept),
            _ => Err(reply.unexpected()),
        }
    }

    /// Releases a meeting that has ended or was never created: see `lua/release.lua`. With a server and a
    /// generation, only if it is still recorded there and was not created again.
    pub async fn release(
        &self,
        meeting: &MeetingKey,
        only_on: Option<(&str, &str)>,
    ) -> StoreResult<ReleaseOutcome> {
        let (only_server, only_generation) = only_on.unwrap_or_default();
        let (create_failed, failed_on) = (false, &[][..]);
        self.release_if(Release { meeting, only_server, only_generation, create_failed, failed_on }).await
    }

    /// A create of a meeting has failed on this server: releases the meeting if all of its creates have
    /// failed and no participant can be in it. `failed_on` are all servers that this create was sent to and
    /// failed on: none if they are not at fault in any case.
    pub async fn withdraw(
        &self,
        meeting: &MeetingKey,
        server: &str,
        failed_on: &[String],
    ) -> StoreResult<ReleaseOutcome> {
        let (only_generation, create_failed) = ("", true);
        let call = Release { meeting, only_server: server, only_generation, create_failed, failed_on };
        self.release_if(call).await
    }

    async fn release_if(&self, call: Release<'_>) -> StoreResult<ReleaseOutcome> {
        let mut reply = self.run(&call).await?;
        match reply.text()?.as_str() {
            "released" => Ok(ReleaseOutcome::Released),
            "unknown" => Ok(ReleaseOutcome::Unknown),
            "kept" => Ok(ReleaseOutcome::Kept),
            _ => Err(reply.unexpected()),
        }
    }
}

impl Reply {
    /// The part that assign, find, join and online share: server id, url, secret.
    pub(super) fn server(&mut self) -> StoreResult<ServerRef> {
        Ok(ServerRef { id: self.text()?, url: self.text()?, secret: Secret::from(self.text()?) })
    }

    fn assigned(mut self) -> StoreResult<AssignOutcome> {
        match self.text()?.as_str() {
            "assigned" => Ok(AssignOutcome::Assigned(self.placement()?)),
            "existing" => Ok(AssignOutcome::Existing(self.placement()?)),
            "ask" => Ok(AssignOutcome::Ask),
            "none" => Ok(AssignOutcome::NoServer),
            "tag_unavailable" => Ok(AssignOutcome::TagUnavailable(self.text()?)),
            "no_voice_bridge" => Ok(AssignOutcome::NoVoiceBridge),
            "no_parent" => Ok(AssignOutcome::NoParent),
            _ => Err(self.unexpected()),
        }
    }

    fn placement(mut self) -> StoreResult<Placement> {
        Ok(Placement {
            server: self.server()?,
            tag: self.text()?,
            voice_bridge: self.text()?,
            moderator_pw: self.text()?,
            generation: self.text()?,
            availability: match self.text()?.as_str() {
                "enabled" => ServerAvailability::Enabled,
                "cordoned" | "disabled" => ServerAvailability::Closed,
                "offline" => ServerAvailability::Offline,
                _ => return Err(self.unexpected()),
            },
        })
    }

    fn found(mut self) -> StoreResult<FindOutcome> {
        match self.text()?.as_str() {
            "found" => {
                let (server, generation) = (self.server()?, self.text()?);
                let record = match self.is_empty() {
                    true => None,
                    false => Some(FoundRecord { meeting: MeetingKey::of(&self.text()?), generation }),
                };
                Ok(FindOutcome::Found(server, record))
            }
            "unknown" => Ok(FindOutcome::Unknown),
            _ => Err(self.unexpected()),
        }
    }
}
