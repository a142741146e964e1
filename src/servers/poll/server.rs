//! The poll of one server.

use super::{PollError, Poller};
use crate::bbb::voice_bridge;
use crate::bbb::xml_reader::{self, MeetingStats};
use crate::config::LoadConfig;
use crate::servers::ServerCallError;
use crate::store::{AdoptOutcome, Fence, Listed, MeetingKey, PollFigures, PollOutcome, ServerRef};
use std::collections::HashSet;
use tokio::time::timeout;
use tracing::info;

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
    /// Its meetings, or why its list cannot be used.
    meetings: Result<Vec<MeetingStats>, TooManyMeetings>,
    /// The BBB version; empty if unknown.
    version: String,
}

/// A list that is not used because of its length.
#[derive(Debug, thiserror::Error)]
#[error(
    "it lists {listed} meetings, more than {max} (MAX_MEETINGS_PER_SERVER): its load and its meetings stay as \
     they were"
)]
struct TooManyMeetings {
    listed: usize,
    max: usize,
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
        let response = self.query_server(server).await?;
        Ok(ServerCheck {
            version: response.version,
            meetings: response.meetings.map_or_else(|excess| excess.listed, |all| all.len()),
        })
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

    pub(super) async fn query_server(&self, server: &ServerRef) -> Result<PollResponse, ServerCallError> {
        let limit = self.config.poll.timeout;
        let meetings = async {
            let body = timeout(limit, self.client.call_raw(server, "getMeetings"))
                .await
                .map_err(|_| ServerCallError::Timeout(limit))??;
            self.read_list(&body)
        };
        let version = timeout(limit, self.client.version(server));
        let (meetings, version) = tokio::join!(meetings, version);
        Ok(PollResponse { meetings: meetings?, version: version.ok().flatten().unwrap_or_default() })
    }

    /// Reads a list of meetings, unless it is longer than a server may make it.
    fn read_list(&self, body: &[u8]) -> Result<Result<Vec<MeetingStats>, TooManyMeetings>, ServerCallError> {
        let max = self.config.poll.max_meetings;
        let too_many = |listed: usize| Err(TooManyMeetings { listed, max });
        // Counted before it is read: a very long list takes a multiple of its size in memory.
        let count = memchr::memmem::find_iter(body, b"<meetingID>").count();
        if count > max {
            return Ok(too_many(count));
        }
        let meetings = xml_reader::read_meetings(body)?.meetings;
        Ok(if meetings.len() > max { too_many(meetings.len()) } else { Ok(meetings) })
    }

    /// Writes a server's response to a query sent at `started_ms`, or that there was none.
    pub(super) async fn write_result(
        &self,
        server: &ServerRef,
        started_ms: u64,
        fence: &Fence,
        response: Result<PollResponse, ServerCallError>,
    ) -> Result<PollOutcome, PollError> {
        let (store, poll, load) = (&self.store, &self.config.poll, &self.config.load);
        let id = server.id.as_str();
        let response = match response {
            Ok(response) => response,
            Err(failure) => {
                let outcome = store.poll_failed(id, started_ms, fence, poll).await?;
                return Err(PollError::Server(failure, outcome));
            }
        };
        let figures = figures(started_ms, response, load);
        let mut outcome = store.apply_poll(id, &figures, fence, poll, load).await?;
        if let PollOutcome::Applied { online, changed, released, unrecorded, .. } = &mut outcome {
            if *online && *changed {
                info!(server = id, host = server.hostname(), "the server is online");
            }
            log_meetings(id, released, "the meeting has ended");
            if !unrecorded.is_empty() {
                let wanted: HashSet<&str> = unrecorded.iter().map(String::as_str).collect();
                let found =
                    figures.listed.iter().filter(|(m, _)| wanted.contains(m.as_str())).map(|(m, l)| (m, l));
                *unrecorded = match store.adopt(id, started_ms, fence, load, found).await? {
                    AdoptOutcome::Adopted(meetings) => meetings,
                    AdoptOutcome::Unknown | AdoptOutcome::Fenced | AdoptOutcome::Stale => Vec::new(),
                };
                log_meetings(id, unrecorded, "adopted a meeting that ran without a record");
            }
        }
        Ok(outcome)
    }
}

/// Logs each of these meetings, or the first ones and how many there are beside them.
fn log_meetings(server: &str, meetings: &[String], what: &str) {
    for meeting in meetings.iter().take(MAX_LOGGED_MEETINGS) {
        info!(server, meeting, "{what}");
    }
    if meetings.len() > MAX_LOGGED_MEETINGS {
        info!(server, "{what}: and {} more", meetings.len() - MAX_LOGGED_MEETINGS);
    }
}

fn figures(started_ms: u64, response: PollResponse, load: &LoadConfig) -> PollFigures {
    let mut figures = PollFigures { started_ms, version: response.version, ..PollFigures::default() };
    let meetings = match response.meetings {
        Ok(meetings) => meetings,
        Err(reason) => return PollFigures { unusable: Some(reason.to_string()), ..figures },
    };
    figures.meetings = meetings.len();
    for meeting in meetings {
        let users = u64::from(meeting.participants);
        figures.users += users;
        figures.largest = figures.largest.max(users);
        figures.videos += u64::from(meeting.videos);
        // BBB lists a meeting for a while after it has ended.
        let id = if meeting.breakout { &meeting.internal_id } else { &meeting.id };
        if !meeting.ended && id.chars().count() <= MAX_ID_CHARS {
            let key = MeetingKey::of(id);
            let twice = if load.moderators_twice { u64::from(meeting.moderators) } else { 0 };
            let listed = Listed {
                users: users + twice,
                created_ms: meeting.create_time,
                breakout: meeting.breakout,
                voice_bridge: Some(meeting.voice_bridge)
                    .filter(|number| voice_bridge::is_number(number))
                    .unwrap_or_default(),
                moderator_pw: bounded(meeting.moderator_pw),
                tenant: bounded(meeting.tenant),
            };
            figures.listed.push((key, listed));
        }
    }
    figures
}

/// A text of a server; empty if it is longer than any that was made by a create.
fn bounded(text: String) -> String {
    if text.len() <= MAX_FIELD_BYTES { text } else { String::new() }
}
