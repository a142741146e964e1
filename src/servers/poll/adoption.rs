//! Meetings that a server lists and that its records do not have: adopted if they are the pool's own, or while a
//! rebuild is on; strays otherwise. And meetings that run on two servers: the copy without participants is ended.

use super::server::log_meetings;
use super::{PollError, Poller};
use crate::bbb::Params;
use crate::servers::{Payload, ServerCallError};
use crate::store::{AdoptOutcome, Fence, Listed, MeetingKey, PollFigures, ServerRef, StoreError};
use std::collections::{HashMap, HashSet};
use tracing::{info, warn};

/// A copy of a meeting is younger than this while its create may still be under way.
const MIN_DUPLICATE_AGE_MS: u64 = 60_000;

/// Copies that one poll of a server looks into.
const MAX_CHECKED_COPIES: usize = 20;

impl Poller {
    /// Adopts those of the unrecorded meetings that may be; returns their ids.
    pub(super) async fn adopt_unrecorded(
        &self,
        server: &str,
        figures: &PollFigures,
        unrecorded: &[String],
        fence: &Fence,
    ) -> Result<Vec<String>, StoreError> {
        let wanted: HashSet<&str> = unrecorded.iter().map(String::as_str).collect();
        let found: Vec<&(MeetingKey, Listed)> =
            figures.listed.iter().filter(|(meeting, _)| wanted.contains(meeting.as_str())).collect();
        let key = self.store.mark_key().await?;
        // After the key, since a new key begins a rebuild.
        let adopts_all = self.adopts_all || self.store.is_rebuilding().await?;
        let ours: Vec<_> = found
            .into_iter()
            .filter(|(meeting, listed)| adopts_all || key.verify(meeting, server, &listed.mark))
            .map(|(meeting, listed)| (meeting, listed))
            .collect();
        if ours.is_empty() {
            return Ok(Vec::new());
        }
        let load = &self.config.load;
        let adopted =
            match self.store.adopt(server, figures.started_ms, fence, load, ours.into_iter()).await? {
                AdoptOutcome::Adopted(meetings) => meetings,
                AdoptOutcome::Unknown | AdoptOutcome::Fenced | AdoptOutcome::Stale => Vec::new(),
            };
        log_meetings(server, &adopted, "adopted a meeting that ran without a record");
        Ok(adopted)
    }

    /// Ends the copies of meetings that a failover has left on this server, if nobody is in them and the
    /// meeting really runs where its record says. Removes those from `elsewhere`.
    pub(super) async fn end_empty_duplicates(
        &self,
        server: &ServerRef,
        figures: &PollFigures,
        elsewhere: &mut Vec<(MeetingKey, String)>,
    ) -> Result<(), PollError> {
        let key = self.store.mark_key().await?;
        let now_ms = self.store.now_ms().await?;
        let listed: HashMap<&MeetingKey, &Listed> =
            figures.listed.iter().map(|(meeting, listed)| (meeting, listed)).collect();
        let (mut ended, mut checked) = (HashSet::new(), 0);
        for (meeting, recorded_on) in elsewhere.iter() {
            let Some(copy) = listed.get(meeting) else { continue };
            if copy.users > 0
                || copy.created_ms + MIN_DUPLICATE_AGE_MS > now_ms
                || checked >= MAX_CHECKED_COPIES
                || !key.verify(meeting, &server.id, &copy.mark)
            {
                continue;
            }
            checked += 1;
            let Some(other) = self.store.server(recorded_on).await? else { continue };
            let runs_there = self.query_participants(&other.at, meeting).await;
            // Participants may have joined since the poll.
            let participants = self.query_participants(server, meeting).await;
            if !matches!(runs_there, Ok(Some(_))) || !matches!(participants, Ok(Some(0))) {
                continue;
            }
            // An operator may have released the meeting since the poll, and a create may have found it here.
            let record = self.store.meeting(meeting).await?;
            if record.is_none_or(|record| record.server_id != *recorded_on) {
                continue;
            }
            match self.end_copy(server, meeting, copy).await {
                Ok(true) => {
                    info!(
                        server = server.id,
                        meeting = meeting.as_str(),
                        recorded_on,
                        "ended an empty copy of a meeting that runs on the server of its record"
                    );
                    ended.insert(meeting.clone());
                }
                Ok(false) => {}
                Err(failure) => {
                    warn!(server = server.id, meeting = meeting.as_str(), %failure,
                        "could not end an empty copy of a meeting");
                }
            }
        }
        elsewhere.retain(|(meeting, _)| !ended.contains(meeting));
        Ok(())
    }

    /// The number of participants of a meeting on a server; None if it does not have it.
    async fn query_participants(
        &self,
        at: &ServerRef,
        meeting: &MeetingKey,
    ) -> Result<Option<u32>, ServerCallError> {
        Ok(self.client.meeting(at, meeting).await?.map(|meeting| meeting.participants))
    }

    async fn end_copy(
        &self,
        at: &ServerRef,
        meeting: &MeetingKey,
        copy: &Listed,
    ) -> Result<bool, ServerCallError> {
        let mut params = Params::default();
        params.set("meetingID", meeting.as_str());
        if !copy.moderator_pw.is_empty() {
            params.set("password", copy.moderator_pw.as_str());
        }
        Ok(self.client.call(at, "end", &params, Payload::None).await?.envelope.success)
    }
}
