//! The poll of one server.

use super::{PollError, Poller};
use crate::bbb::voice_bridge;
use crate::bbb::xml_reader::{MeetingList, MeetingStats};
use crate::config::LoadConfig;
use crate::servers::ServerCallError;
use crate::store::{Fence, Listed, MeetingKey, PollFigures, PollOutcome, ServerRef};
use std::collections::HashSet;
use tokio::time::timeout;
use tracing::{info, warn};

/// What a server answered to [`Poller::check_server`].
#[derive(Debug)]
pub struct ServerCheck {
    /// The BBB version; empty if unknown.
    pub version: String,
    /// The number of meetings that it lists.
    pub meetings: usize,
}

/// Longest id of a meeting that is recorded, in characters: BBB's limit.
const MAX_ID_CHARS: usize = 256;

/// Longest password and tenant that are recorded, bytes.
const MAX_FIELD_BYTES: usize = 256;

/// Meetings of one poll that are logged each.
const MAX_LOGGED_MEETINGS: usize = 20;

/// A server's response to a poll.
pub(super) struct PollResponse {
    list: MeetingList,
    /// The BBB version; empty if unknown.
    version: String,
}

/// Why there is no list of a server's meetings.
pub(super) enum QueryFailure {
    /// The server does not respond, or not as BBB does.
    Down(ServerCallError),
    /// It is alive, but its list cannot be read.
    Unreadable(ServerCallError),
}

impl Poller {
    /// Polls one server and writes the result. `started_ms` is now, by Redis' clock. In the outcome,
    /// `unrecorded` are the meetings that were adopted. The caller logs failures.
    pub async fn poll_server(
        &self,
        server: &ServerRef,
        started_ms: u64,
        fence: &Fence,
    ) -> Result<PollOutcome, PollError> {
        let response = self.query_server(server).await;
        self.write_result(server, started_ms, fence, response).await
    }

    /// Asks a server once, as a poll does, and writes nothing.
    ///
    /// # Errors
    /// It does not respond, or rejects the secret.
    pub async fn check_server(&self, server: &ServerRef) -> Result<ServerCheck, ServerCallError> {
        match self.query_server(server).await {
            Ok(response) => {
                Ok(ServerCheck { version: response.version, meetings: response.list.meetings.len() })
            }
            Err(QueryFailure::Down(failure) | QueryFailure::Unreadable(failure)) => Err(failure),
        }
    }

    /// Polls one server outside the round, as after it was enabled. Logs failures.
    pub async fn poll_immediately(&self, server: &ServerRef) -> Result<PollOutcome, PollError> {
        let started_ms = self.store.now_ms().await?;
        let result = self.poll_server(server, started_ms, &Fence::None).await;
        if let Err(failure) = &result {
            failure.log(server);
        }
        result
    }

    pub(super) async fn query_server(&self, server: &ServerRef) -> Result<PollResponse, QueryFailure> {
        let limit = self.config.poll.timeout;
        let in_time = || ServerCallError::Timeout(limit);
        let meetings = timeout(limit, self.client.meetings(server, self.config.poll.max_meetings));
        let version = timeout(limit, self.client.version(server));
        let (meetings, version) = tokio::join!(meetings, version);
        match (meetings.unwrap_or_else(|_| Err(in_time())), version.unwrap_or_else(|_| Err(in_time()))) {
            (Ok(list), version) => {
                Ok(PollResponse { list, version: version.ok().flatten().unwrap_or_default() })
            }
            // It has sent a returncode, or a list.
            (Err(failure @ (ServerCallError::CutOff(_) | ServerCallError::TooManyMeetings { .. })), _) => {
                Err(QueryFailure::Unreadable(failure))
            }
            (Err(failure), Ok(_)) if failure.is_unreadable_response() => {
                Err(QueryFailure::Unreadable(failure))
            }
            (Err(failure), _) => Err(QueryFailure::Down(failure)),
        }
    }

    /// Writes a server's response to a query sent at `started_ms`, or that there was none.
    pub(super) async fn write_result(
        &self,
        server: &ServerRef,
        started_ms: u64,
        fence: &Fence,
        response: Result<PollResponse, QueryFailure>,
    ) -> Result<PollOutcome, PollError> {
        let (store, poll, load) = (&self.store, &self.config.poll, &self.config.load);
        let id = server.id.as_str();
        let response = match response {
            Ok(response) => response,
            Err(QueryFailure::Down(failure)) => {
                let outcome = store.poll_failed(id, started_ms, fence, poll).await?;
                return Err(PollError::Server(failure, outcome));
            }
            Err(QueryFailure::Unreadable(failure)) => {
                let outcome = store.poll_unreadable(id, started_ms, fence, load.meeting_ttl).await?;
                return Err(PollError::Unreadable(failure, outcome));
            }
        };
        let unreadable = response.list.unreadable;
        let mut figures = figures(started_ms, response, load);
        if unreadable > 0 {
            self.keep_unlisted(server, unreadable, &mut figures).await?;
        }
        let mut adopted = Vec::new();
        let mut outcome = store.apply_poll(id, &figures, fence, poll, load).await?;
        if let PollOutcome::AdoptFirst(unrecorded) = &outcome {
            adopted = self.adopt_unrecorded(id, &figures, unrecorded, fence).await?;
            figures.adopted = true;
            outcome = store.apply_poll(id, &figures, fence, poll, load).await?;
        }
        if let PollOutcome::Applied { online, changed, released, unrecorded, strays, elsewhere, .. } =
            &mut outcome
        {
            if *online && *changed {
                info!(server = id, host = server.hostname(), "the server is online");
            }
            log_meetings(id, released, "the meeting has ended");
            if !unrecorded.is_empty() {
                adopted.extend(self.adopt_unrecorded(id, &figures, unrecorded, fence).await?);
            }
            let known: HashSet<&str> = adopted.iter().map(String::as_str).collect();
            strays.extend(unrecorded.drain(..).filter(|meeting| !known.contains(meeting.as_str())));
            *unrecorded = adopted;
            if !elsewhere.is_empty() {
                self.end_empty_duplicates(server, &figures, elsewhere).await?;
            }
        }
        Ok(outcome)
    }

    /// Lists what is recorded on the server and not listed by it, as it was: any of it may be among the
    /// meetings that could not be read.
    async fn keep_unlisted(
        &self,
        server: &ServerRef,
        unreadable: usize,
        figures: &mut PollFigures,
    ) -> Result<(), PollError> {
        warn!(server = server.id, unreadable, "meetings of a server's list cannot be read");
        let recorded = self.store.meetings_recorded_on(&server.id).await?;
        let listed: HashSet<&MeetingKey> = figures.listed.iter().map(|(meeting, _)| meeting).collect();
        let unlisted: Vec<_> =
            recorded.into_iter().filter(|(meeting, _)| !listed.contains(meeting)).collect();
        for (meeting, users) in unlisted {
            figures.listed.push((meeting, Listed { users, ..Listed::default() }));
        }
        Ok(())
    }
}

/// Logs each of these meetings, or the first ones and how many there are beside them.
pub(super) fn log_meetings(server: &str, meetings: &[String], what: &str) {
    for meeting in meetings.iter().take(MAX_LOGGED_MEETINGS) {
        info!(server, meeting, "{what}");
    }
    if meetings.len() > MAX_LOGGED_MEETINGS {
        info!(server, "{what}: and {} more", meetings.len() - MAX_LOGGED_MEETINGS);
    }
}

fn figures(started_ms: u64, response: PollResponse, load: &LoadConfig) -> PollFigures {
    let mut figures = PollFigures { started_ms, version: response.version, ..PollFigures::default() };
    figures.meetings = response.list.meetings.len() + response.list.unreadable;
    for meeting in response.list.meetings {
        let users = u64::from(meeting.participants);
        figures.users += users;
        figures.largest = figures.largest.max(users);
        figures.videos += u64::from(meeting.videos);
        // BBB lists a meeting for a while after it has ended.
        let id = if meeting.breakout { &meeting.internal_id } else { &meeting.id };
        if !meeting.ended && id.chars().count() <= MAX_ID_CHARS {
            let key = MeetingKey::of(id);
            figures.listed.push((key, listed(meeting, load)));
        }
    }
    figures
}

/// A text of a server; empty if it is longer than any that was made by a create.
fn bounded(text: String) -> String {
    if text.len() <= MAX_FIELD_BYTES { text } else { String::new() }
}

/// A meeting of a server, as its record needs it.
pub(crate) fn listed(meeting: MeetingStats, load: &LoadConfig) -> Listed {
    let twice = if load.moderators_twice { u64::from(meeting.moderators) } else { 0 };
    Listed {
        users: u64::from(meeting.participants) + twice,
        created_ms: meeting.create_time,
        breakout: meeting.breakout,
        voice_bridge: Some(meeting.voice_bridge)
            .filter(|number| voice_bridge::is_number(number))
            .unwrap_or_default(),
        moderator_pw: bounded(meeting.moderator_pw),
        tenant: bounded(meeting.tenant),
        mark: bounded(meeting.mark),
    }
}
