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

/// A server's response to a poll.
pub(super) struct PollResponse {
    meetings: Vec<MeetingStats>,
    /// The BBB version; empty if unknown.
    version: String,
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
        Ok(ServerCheck { version: response.version, meetings: response.meetings.len() })
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
            Ok::<_, ServerCallError>(xml_reader::read_meetings(&body)?.meetings)
        };
        let version = timeout(limit, self.client.version(server));
        let (meetings, version) = tokio::join!(meetings, version);
        Ok(PollResponse { meetings: meetings?, version: version.ok().flatten().unwrap_or_default() })
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
            for meeting in released {
                info!(server = id, meeting, "the meeting has ended");
            }
            if !unrecorded.is_empty() {
                let wanted: HashSet<&str> = unrecorded.iter().map(String::as_str).collect();
                let found =
                    figures.listed.iter().filter(|(m, _)| wanted.contains(m.as_str())).map(|(m, l)| (m, l));
                *unrecorded = match store.adopt(id, started_ms, fence, load, found).await? {
                    AdoptOutcome::Adopted(meetings) => meetings,
                    AdoptOutcome::Unknown | AdoptOutcome::Fenced | AdoptOutcome::Stale => Vec::new(),
                };
                for meeting in unrecorded {
                    info!(server = id, meeting, "adopted a meeting that ran without a record");
                }
            }
        }
        Ok(outcome)
    }
}

fn figures(started_ms: u64, response: PollResponse, load: &LoadConfig) -> PollFigures {
    let mut figures = PollFigures { started_ms, version: response.version, ..PollFigures::default() };
    figures.meetings = response.meetings.len();
    for meeting in response.meetings {
        let users = u64::from(meeting.participants);
        figures.users += users;
        figures.largest = figures.largest.max(users);
        figures.videos += u64::from(meeting.videos);
        // BBB lists a meeting for a while after it has ended.
        if !meeting.breakout && !meeting.ended {
            let twice = if load.moderators_twice { u64::from(meeting.moderators) } else { 0 };
            let listed = Listed {
                users: users + twice,
                created_ms: meeting.create_time,
                voice_bridge: Some(meeting.voice_bridge)
                    .filter(|number| voice_bridge::is_number(number))
                    .unwrap_or_default(),
                moderator_pw: meeting.moderator_pw,
                tenant: meeting.tenant,
            };
            figures.listed.push((MeetingKey::of(&meeting.id), listed));
        }
    }
    figures
}
