//! What polls and failed requests say about a server, and what follows for its meetings.

use super::connection::{Store, StoreError, StoreResult};
use super::keys::MeetingKey;
use super::lease::Fence;
use super::model::ServerState;
use super::scripts::{Abandon, Adopt, ApplyPoll, CreatedAt, PollFailed, Reply, Suspect};
use crate::config::{Accounting, LoadConfig, PollConfig};
use std::time::Duration;

/// Servers read in one pipeline.
const PAGE_SERVERS: usize = 500;

/// Meetings in one script, so that none blocks Redis for long.
const PART_MEETINGS: usize = 500;

/// A meeting as a server lists it.
#[derive(Debug, Clone, Default)]
pub struct Listed {
    /// Participants.
    pub users: u64,
    /// Its server's createTime, ms since 1970.
    pub created_ms: u64,
    /// A breakout room: it counts only if it has a record, and is never adopted.
    pub breakout: bool,
    /// Its dial-in number; empty if it has none.
    pub voice_bridge: String,
    /// Its moderator password.
    pub moderator_pw: String,
    /// The tenant in its metadata; empty without one.
    pub tenant: String,
    /// The mark in its metadata; empty without one.
    pub mark: String,
}

impl Listed {
    fn created_at(&self) -> CreatedAt {
        if self.breakout { CreatedAt::Breakout } else { CreatedAt::Ms(self.created_ms) }
    }
}

/// What a server answered to a poll.
#[derive(Debug, Clone, Default)]
pub struct PollFigures {
    /// When the poll was sent, ms by Redis' clock.
    pub started_ms: u64,
    /// BBB version; empty if unknown.
    pub version: String,
    /// Meetings, breakout rooms included.
    pub meetings: usize,
    /// Participants in all of them.
    pub users: u64,
    /// Participants in the largest one.
    pub largest: u64,
    /// Cameras.
    pub videos: u64,
    /// What can be adopted of the meetings has been.
    pub adopted: bool,
    /// The meetings; a breakout room by the id that its create gave it.
    pub listed: Vec<(MeetingKey, Listed)>,
}

/// Outcomes of `apply_poll.lua`, `poll_failed.lua` and `poll_unreadable.lua`.
#[derive(Debug, Clone, PartialEq)]
pub enum PollOutcome {
    /// Written.
    Applied {
        /// Online now.
        online: bool,
        /// Whether that has changed.
        changed: bool,
        /// Its state now.
        state: ServerState,
        /// Meetings released because their server no longer has them.
        released: Vec<String>,
        /// Meetings that it lists and that have no record. The poller narrows these to the ones that it
        /// has adopted.
        unrecorded: Vec<String>,
        /// Meetings that it lists and that have no record; not adopted, since they have no mark of the pool.
        strays: Vec<String>,
        /// Meetings that it lists and that run on the server that their record names, too; with that server.
        elsewhere: Vec<(MeetingKey, String)>,
    },
    /// It is offline: adopt these meetings, then apply the poll again with `adopted`.
    AdoptFirst(Vec<String>),
    /// The server has left the pool.
    Unknown,
    /// The poller has lost its lease: nothing was written.
    Fenced,
    /// A later poll of this server has been written: nothing was written.
    Stale,
}

impl PollOutcome {
    /// Written without a list of meetings.
    pub(super) fn unlisted(online: bool, changed: bool, state: ServerState) -> PollOutcome {
        let (released, unrecorded, strays, elsewhere) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        PollOutcome::Applied { online, changed, state, released, unrecorded, strays, elsewhere }
    }
}

/// Outcomes of `adopt.lua`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdoptOutcome {
    /// The meetings that were recorded.
    Adopted(Vec<String>),
    /// The server has left the pool.
    Unknown,
    /// The poller has lost its lease.
    Fenced,
    /// A later poll of this server has been written.
    Stale,
}

/// Outcomes of `suspect.lua`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SuspectOutcome {
    /// The caller must poll it, after this time.
    Probe(Duration),
    /// Another caller polls it.
    Wait,
    /// The server has left the pool.
    Unknown,
}

/// Outcomes of `abandon.lua`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AbandonOutcome {
    /// Abandoned; the meetings that were released.
    Abandoned(Vec<String>),
    /// Not abandoned: online, within its grace, braked, or not in the pool.
    Kept,
    /// The lease is lost.
    Fenced,
}

/// What earlier polls found out about a server.
#[derive(Debug, Clone, Copy, Default)]
pub struct PollHistory {
    /// It has answered a poll before.
    pub answered_once: bool,
    /// It was abandoned, and has not answered since.
    pub lost: bool,
    /// Meetings recorded there.
    pub meetings: u64,
}

impl Store {
    /// Writes what a server answered to a poll, a long list in parts: see `lua/apply_poll.lua`.
    pub async fn apply_poll(
        &self,
        id: &str,
        figures: &PollFigures,
        fence: &Fence,
        poll: &PollConfig,
        load: &LoadConfig,
    ) -> StoreResult<PollOutcome> {
        let parts = figures.listed.len().div_ceil(PART_MEETINGS).max(1);
        let (mut unrecorded, mut elsewhere) = (Vec::new(), Vec::new());
        for part in 0..parts {
            let listed = figures.listed.iter().skip(part * PART_MEETINGS).take(PART_MEETINGS);
            let call = ApplyPoll {
                server: id,
                started_ms: figures.started_ms,
                healthy_threshold: poll.healthy_threshold,
                reserve: load.min_users,
                young_ms: load.join_buffer.as_millis(),
                ttl_seconds: load.meeting_ttl.as_secs(),
                version: &figures.version,
                meetings: figures.meetings,
                users: figures.users,
                largest: figures.largest,
                videos: figures.videos,
                fence,
                increment: load.accounting == Accounting::Increment,
                part: match part + 1 {
                    1 if parts == 1 => "",
                    n if n == parts => "last",
                    _ => "more",
                },
                adopted: match figures.adopted {
                    true => "1",
                    false if unrecorded.is_empty() => "",
                    false => "pending",
                },
                listed: listed
                    .map(|(meeting, listed)| (meeting, listed.users, listed.created_at()))
                    .collect(),
            };
            let mut reply = self.run(&call).await?;
            let online = match reply.text()?.as_str() {
                "more" => {
                    reply.elsewhere(&mut elsewhere)?;
                    unrecorded.extend(reply.rest());
                    continue;
                }
                "adopt_first" => {
                    unrecorded.extend(reply.rest());
                    return Ok(PollOutcome::AdoptFirst(unrecorded));
                }
                "online" => true,
                "offline" => false,
                other => return reply.not_applied(other),
            };
            let (state, _load, changed) = (reply.state()?, reply.text()?, reply.flag()?);
            let released = reply.number()?;
            let released = reply.texts(released)?;
            reply.elsewhere(&mut elsewhere)?;
            unrecorded.extend(reply.rest());
            let strays = Vec::new();
            return Ok(PollOutcome::Applied {
                online,
                changed,
                state,
                released,
                unrecorded,
                strays,
                elsewhere,
            });
        }
        Err(StoreError::UnexpectedReply("apply_poll"))
    }

    /// Counts a poll that a server did not answer: see `lua/poll_failed.lua`.
    pub async fn poll_failed(
        &self,
        id: &str,
        started_ms: u64,
        fence: &Fence,
        poll: &PollConfig,
    ) -> StoreResult<PollOutcome> {
        let unhealthy_threshold = poll.unhealthy_threshold;
        let mut reply = self.run(&PollFailed { server: id, unhealthy_threshold, started_ms, fence }).await?;
        let online = match reply.text()?.as_str() {
            "online" => true,
            "offline" => false,
            other => return reply.not_applied(other),
        };
        let (state, _failures, changed) = (reply.state()?, reply.text()?, reply.flag()?);
        Ok(PollOutcome::unlisted(online, changed, state))
    }

    /// Records meetings that a server runs and that have no record, many in parts: see `lua/adopt.lua`.
    pub async fn adopt(
        &self,
        id: &str,
        started_ms: u64,
        fence: &Fence,
        load: &LoadConfig,
        meetings: impl Iterator<Item = (&MeetingKey, &Listed)>,
    ) -> StoreResult<AdoptOutcome> {
        let meetings: Vec<_> = meetings
            .map(|(meeting, listed)| {
                let Listed { users, created_ms, voice_bridge, moderator_pw, tenant, .. } = listed;
                let (bridge, password) = (voice_bridge.as_str(), moderator_pw.as_str());
                (meeting, *created_ms, *users, bridge, password, tenant.as_str())
            })
            .collect();
        let mut adopted = Vec::new();
        for part in meetings.chunks(PART_MEETINGS) {
            let call = Adopt {
                server: id,
                started_ms,
                fence,
                reserve: load.min_users,
                young_ms: load.join_buffer.as_millis(),
                ttl_seconds: load.meeting_ttl.as_secs(),
                meetings: part,
            };
            let mut reply = self.run(&call).await?;
            match reply.text()?.as_str() {
                "adopted" => adopted.extend(reply.rest()),
                "unknown" => return Ok(AdoptOutcome::Unknown),
                "fenced" => return Ok(AdoptOutcome::Fenced),
                "stale" => return Ok(AdoptOutcome::Stale),
                _ => return Err(reply.unexpected()),
            }
        }
        Ok(AdoptOutcome::Adopted(adopted))
    }

    /// Counts a request that failed on a server, and says whether the caller must poll it: see
    /// `lua/suspect.lua`.
    pub async fn suspect(&self, id: &str, poll: &PollConfig) -> StoreResult<SuspectOutcome> {
        let unhealthy_threshold = poll.unhealthy_threshold;
        let probe_ms = poll.timeout.as_millis();
        let mut reply = self.run(&Suspect { server: id, unhealthy_threshold, probe_ms }).await?;
        match reply.text()?.as_str() {
            "probe" => {
                let _failures = reply.text()?;
                Ok(SuspectOutcome::Probe(Duration::from_millis(reply.number()?)))
            }
            "wait" => Ok(SuspectOutcome::Wait),
            "unknown" => Ok(SuspectOutcome::Unknown),
            _ => Err(reply.unexpected()),
        }
    }

    /// Servers whose last poll or request failed, without the abandoned ones.
    pub async fn suspects(&self) -> StoreResult<Vec<String>> {
        self.command(redis::cmd("SMEMBERS").arg(self.keys.suspects())).await
    }

    /// A server whose figures another program has changed in the last ten minutes: another poller runs.
    pub async fn foreign_poller(&self) -> StoreResult<Option<String>> {
        self.command(redis::cmd("GET").arg(self.keys.foreign_poller())).await
    }

    /// Abandons a server that has been offline for longer than its grace: see `lua/abandon.lua`.
    pub async fn abandon(&self, id: &str, grace: Duration, fence: &Fence) -> StoreResult<AbandonOutcome> {
        let mut reply = self.run(&Abandon { server: id, grace_ms: grace.as_millis(), fence }).await?;
        match reply.text()?.as_str() {
            "abandoned" => Ok(AbandonOutcome::Abandoned(reply.rest())),
            "waiting" | "online" | "braked" | "unknown" => Ok(AbandonOutcome::Kept),
            "fenced" => Ok(AbandonOutcome::Fenced),
            _ => Err(reply.unexpected()),
        }
    }

    /// What earlier polls found out about these servers, in the same order.
    pub async fn poll_history(&self, ids: &[&str]) -> StoreResult<Vec<PollHistory>> {
        let mut found = Vec::with_capacity(ids.len());
        for page in ids.chunks(PAGE_SERVERS) {
            let mut pipeline = redis::pipe();
            for id in page {
                pipeline.hexists(self.keys.server_notes(id), "polled");
                pipeline.hexists(self.keys.server_notes(id), "lost");
                pipeline.zcard(self.keys.server_meetings(id));
            }
            let reply: Vec<u64> = self.pipeline(&pipeline).await?;
            let (rows, _) = reply.as_chunks::<3>();
            found.extend(rows.iter().map(|[answered, lost, meetings]| PollHistory {
                answered_once: *answered == 1,
                lost: *lost == 1,
                meetings: *meetings,
            }));
        }
        Ok(found)
    }
}

impl Reply {
    pub(super) fn state(&mut self) -> StoreResult<ServerState> {
        ServerState::parse(&self.text()?).ok_or(self.unexpected())
    }

    fn flag(&mut self) -> StoreResult<bool> {
        match self.text()?.as_str() {
            "1" => Ok(true),
            "0" => Ok(false),
            _ => Err(self.unexpected()),
        }
    }

    /// Appends the meetings that the reply lists as recorded elsewhere.
    fn elsewhere(&mut self, to: &mut Vec<(MeetingKey, String)>) -> StoreResult<()> {
        for _ in 0..self.number::<usize>()? {
            to.push((MeetingKey::of(&self.text()?), self.text()?));
        }
        Ok(())
    }

    /// The outcomes of apply_poll, poll_failed and poll_unreadable that write nothing.
    pub(super) fn not_applied(&self, outcome: &str) -> StoreResult<PollOutcome> {
        match outcome {
            "unknown" => Ok(PollOutcome::Unknown),
            "fenced" => Ok(PollOutcome::Fenced),
            "stale" => Ok(PollOutcome::Stale),
            _ => Err(self.unexpected()),
        }
    }
}
