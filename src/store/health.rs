//! The poll's part of the scripts: who polls, what servers answered, who is under suspicion.

use super::connection::{Store, StoreError, StoreResult};
use super::keys::MeetingKey;
use super::outcomes::{AbandonOutcome, BrakeOutcome, LeaseOutcome, Listed, PollFigures, PollOutcome};
use super::scripts::{Lua, SCRIPTS, increment};
use super::servers::ServerState;
use crate::config::{LoadConfig, PollConfig};
use std::time::Duration;

/// More than half of the pool does not answer: no server is given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brake {
    /// Since when, ms since 1970.
    pub since_ms: u64,
    /// Servers that did not answer in the last round.
    pub failed: u64,
    /// Servers that should have.
    pub expected: u64,
}

/// What polls know of a server beside its record.
#[derive(Debug, Clone, Copy, Default)]
pub struct Standings {
    /// It has answered a poll before.
    pub answered_once: bool,
    /// It was given up, and has not answered since.
    pub lost: bool,
    /// Meetings recorded there.
    pub meetings: u64,
}

impl Store {
    /// Takes or renews the lease on polling; `round_begins` notes that a round does. See
    /// `lua/lease.lua`.
    pub async fn lease(&self, who: &str, lasts: Duration, round_begins: bool) -> StoreResult<LeaseOutcome> {
        let script = &SCRIPTS.lease;
        let ms = lasts.as_millis().to_string();
        let reply: Vec<String> =
            self.run(script, &[who, ms.as_str(), if round_begins { "1" } else { "" }]).await?;
        match reply.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["held", fence, since] => Ok(LeaseOutcome::Held {
                fence: fence.to_owned(),
                since_round: since.parse().ok().map(Duration::from_millis),
            }),
            ["other", _] => Ok(LeaseOutcome::Other),
            ["free"] => Ok(LeaseOutcome::Free),
            _ => Err(script.unexpected()),
        }
    }

    /// Gives the lease up.
    pub async fn give_up_lease(&self, who: &str) -> StoreResult<()> {
        self.lease(who, Duration::ZERO, false).await.map(|_| ())
    }

    /// What a server answered to a poll: see `lua/apply_poll.lua`.
    pub async fn apply_poll(
        &self,
        id: &str,
        figures: &PollFigures,
        fence: &str,
        poll: &PollConfig,
        load: &LoadConfig,
    ) -> StoreResult<PollOutcome> {
        let mut args = vec![
            id.to_owned(),
            figures.started_ms.to_string(),
            poll.healthy_threshold.to_string(),
            load.min_users.to_string(),
            load.join_buffer.as_millis().to_string(),
            load.meeting_ttl.as_secs().to_string(),
            figures.version.clone(),
            figures.meetings.to_string(),
            figures.users.to_string(),
            figures.largest.to_string(),
            figures.videos.to_string(),
            fence.to_owned(),
            increment(load.accounting).to_owned(),
        ];
        for (meeting, listed) in &figures.listed {
            let created = listed.created_ms.to_string();
            args.extend([meeting.as_str().to_owned(), listed.users.to_string(), created]);
        }
        let script = &SCRIPTS.apply_poll;
        let reply: Vec<String> = self.run(script, &args).await?;
        match reply.as_slice() {
            [online, state, _, changed, released, meetings @ ..] => {
                let released: usize = released.parse().map_err(|_| script.unexpected())?;
                let (released, unrecorded) =
                    meetings.split_at_checked(released).ok_or(script.unexpected())?;
                Ok(PollOutcome::Applied {
                    online: online == "online",
                    changed: changed == "1",
                    state: ServerState::parse(state).ok_or(script.unexpected())?,
                    released: released.to_vec(),
                    unrecorded: unrecorded.to_vec(),
                })
            }
            [late] => too_late(script, late),
            _ => Err(script.unexpected()),
        }
    }

    /// A server did not answer a poll: see `lua/poll_failed.lua`.
    pub async fn poll_failed(
        &self,
        id: &str,
        started_ms: u64,
        fence: &str,
        poll: &PollConfig,
    ) -> StoreResult<PollOutcome> {
        let script = &SCRIPTS.poll_failed;
        let (threshold, started) = (poll.unhealthy_threshold.to_string(), started_ms.to_string());
        let reply: Vec<String> = self.run(script, &[id, &threshold, &started, fence]).await?;
        match reply.as_slice() {
            [online, state, _, changed] => Ok(PollOutcome::Applied {
                online: online == "online",
                changed: changed == "1",
                state: ServerState::parse(state).ok_or(script.unexpected())?,
                released: Vec::new(),
                unrecorded: Vec::new(),
            }),
            [late] => too_late(script, late),
            _ => Err(script.unexpected()),
        }
    }

    /// Records meetings that a server runs and nobody has recorded: see `lua/adopt.lua`. Returns
    /// those that were.
    pub async fn adopt(
        &self,
        id: &str,
        started_ms: u64,
        fence: &str,
        load: &LoadConfig,
        meetings: impl Iterator<Item = (&MeetingKey, &Listed)>,
    ) -> StoreResult<Vec<String>> {
        let mut args = vec![
            id.to_owned(),
            started_ms.to_string(),
            fence.to_owned(),
            load.min_users.to_string(),
            load.join_buffer.as_millis().to_string(),
            load.meeting_ttl.as_secs().to_string(),
        ];
        for (meeting, listed) in meetings {
            args.extend([
                meeting.as_str().to_owned(),
                listed.created_ms.to_string(),
                listed.users.to_string(),
                listed.voice_bridge.clone(),
                listed.moderator_pw.clone(),
                listed.tenant.clone(),
            ]);
        }
        let script = &SCRIPTS.adopt;
        let mut reply: Vec<String> = self.run(script, &args).await?;
        match reply.first().map(String::as_str) {
            Some("adopted") => Ok(reply.split_off(1)),
            Some("unknown" | "fenced" | "stale") => Ok(Vec::new()),
            _ => Err(script.unexpected()),
        }
    }

    /// A request failed on this server; whether it is to be polled by whoever asks, and after what
    /// time. See `lua/suspect.lua`.
    pub async fn suspect(&self, id: &str, poll: &PollConfig) -> StoreResult<Option<Duration>> {
        let script = &SCRIPTS.suspect;
        let (threshold, ms) = (poll.unhealthy_threshold.to_string(), poll.timeout.as_millis().to_string());
        let reply: Vec<String> = self.run(script, &[id, threshold.as_str(), ms.as_str()]).await?;
        match reply.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["probe", _, delay] => {
                Ok(Some(Duration::from_millis(delay.parse().map_err(|_| script.unexpected())?)))
            }
            ["wait", _] | ["unknown"] => Ok(None),
            _ => Err(script.unexpected()),
        }
    }

    /// Servers whose last poll or request failed, those given up left out.
    pub async fn suspects(&self) -> StoreResult<Vec<String>> {
        self.command(redis::cmd("SMEMBERS").arg(self.keys.suspects())).await
    }

    /// What a whole round found: see `lua/brake.lua`.
    pub async fn brake(&self, failed: usize, expected: usize, fence: &str) -> StoreResult<BrakeOutcome> {
        let script = &SCRIPTS.brake;
        let (failed, expected) = (failed.to_string(), expected.to_string());
        let reply: String = self.run(script, &[failed.as_str(), expected.as_str(), fence]).await?;
        match reply.as_str() {
            "on" => Ok(BrakeOutcome::On),
            "holding" => Ok(BrakeOutcome::Holding),
            "off" => Ok(BrakeOutcome::Off),
            "none" => Ok(BrakeOutcome::None),
            "fenced" => Ok(BrakeOutcome::Fenced),
            _ => Err(script.unexpected()),
        }
    }

    /// Gives a server up that has been offline for longer than its grace: see `lua/abandon.lua`.
    pub async fn abandon(&self, id: &str, grace: Duration, fence: &str) -> StoreResult<AbandonOutcome> {
        let script = &SCRIPTS.abandon;
        let ms = grace.as_millis().to_string();
        let mut reply: Vec<String> = self.run(script, &[id, ms.as_str(), fence]).await?;
        match reply.first().map(String::as_str) {
            Some("abandoned") => Ok(AbandonOutcome::Abandoned(reply.split_off(1))),
            Some("waiting" | "online" | "braked" | "unknown") => Ok(AbandonOutcome::Kept),
            Some("fenced") => Ok(AbandonOutcome::Fenced),
            _ => Err(script.unexpected()),
        }
    }

    /// Notes that a round of polls begins, that no lease stands behind.
    pub async fn note_round(&self, now_ms: u64) -> StoreResult<()> {
        self.command(redis::cmd("SET").arg(self.keys.poll_round()).arg(now_ms)).await
    }

    /// Who polls, if anybody holds the lease, and when the last round began, ms since 1970.
    pub async fn poller(&self) -> StoreResult<(Option<String>, Option<u64>)> {
        let mut pipeline = redis::pipe();
        pipeline.get(self.keys.poll_lease()).get(self.keys.poll_round());
        self.pipeline(&pipeline).await
    }

    /// The brake, if it holds.
    pub async fn brake_held(&self) -> StoreResult<Option<Brake>> {
        let mut command = redis::cmd("HMGET");
        command.arg(self.keys.brake()).arg(&["since", "failed", "expected"]);
        let (since, failed, expected): (Option<u64>, Option<u64>, Option<u64>) =
            self.command(&command).await?;
        Ok(since.map(|since_ms| Brake {
            since_ms,
            failed: failed.unwrap_or(0),
            expected: expected.unwrap_or(0),
        }))
    }

    /// What polls know of these servers, in their order.
    pub async fn standings(&self, ids: &[&str]) -> StoreResult<Vec<Standings>> {
        let mut found = Vec::with_capacity(ids.len());
        for page in ids.chunks(500) {
            let mut pipeline = redis::pipe();
            for id in page {
                pipeline.hexists(self.keys.server_notes(id), "polled");
                pipeline.hexists(self.keys.server_notes(id), "lost");
                pipeline.zcard(self.keys.server_meetings(id));
            }
            let reply: Vec<u64> = self.pipeline(&pipeline).await?;
            let (rows, _) = reply.as_chunks::<3>();
            found.extend(rows.iter().map(|[answered, lost, meetings]| Standings {
                answered_once: *answered == 1,
                lost: *lost == 1,
                meetings: *meetings,
            }));
        }
        Ok(found)
    }
}

fn too_late(script: &Lua, late: &str) -> Result<PollOutcome, StoreError> {
    match late {
        "unknown" => Ok(PollOutcome::Unknown),
        "fenced" => Ok(PollOutcome::Fenced),
        "stale" => Ok(PollOutcome::Stale),
        _ => Err(script.unexpected()),
    }
}
