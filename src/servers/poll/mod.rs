//! The poll: every server is asked for its meetings. What it answers sets its load, renews and
//! releases its meetings, and takes up those that nobody has recorded.
//!
//! - here: one server; [`round`]: all of them, the brake, and servers that are given up
//! - [`lease`]: which replica polls, round after round
//! - [`suspicion`]: a request failed on a server: it is polled now

pub mod lease;
pub mod round;
pub mod suspicion;

use super::client::{Backend, BackendError};
use crate::bbb::voice_bridge;
use crate::bbb::xml_reader::{self, MeetingStats};
use crate::config::Config;
use crate::store::{
    AdoptOutcome, Fence, Listed, MeetingKey, PollFigures, PollOutcome, ServerRef, Store, StoreError,
};
use std::collections::HashSet;
use tracing::{error, info, warn};

/// The fence of a poll that no lease stands behind: an operator's, or one after a failed request.
/// What it writes is checked against later answers of the same server only.
pub const UNFENCED: &Fence = &Fence::None;

/// Why a server could not be polled.
#[derive(Debug, thiserror::Error)]
pub enum PollError {
    /// It did not answer, or not as BBB does; and what came of counting that against it.
    #[error("{0}")]
    Backend(BackendError, PollOutcome),
    /// Redis did not take the figures. Not the server's fault.
    #[error("{0}")]
    Store(#[from] StoreError),
}

impl PollError {
    /// Says in the log what did not answer, and whether that took it offline.
    pub fn log(&self, server: &ServerRef) {
        let (id, host) = (server.id.as_str(), server.hostname());
        match self {
            PollError::Backend(failure, PollOutcome::Applied { changed: true, .. }) => {
                error!(server = id, host, %failure, "the server is offline");
            }
            PollError::Backend(failure, _) => warn!(server = id, host, %failure, "the poll failed"),
            PollError::Store(failure) => error!(server = id, %failure, "the poll could not be written"),
        }
    }
}

/// Polls one server and writes what it answered. `started_ms` is now, by Redis' clock. Of the
/// outcome, `unrecorded` are the meetings that were taken up. Failures are the caller's to log.
pub async fn one(
    store: &Store,
    backend: &Backend,
    config: &Config,
    server: &ServerRef,
    started_ms: u64,
    fence: &Fence,
) -> Result<PollOutcome, PollError> {
    let answer = ask(backend, config, server).await;
    write(store, config, server, started_ms, fence, answer).await
}

/// Writes what a server answered to a question sent at `started_ms`, or that it did not.
async fn write(
    store: &Store,
    config: &Config,
    server: &ServerRef,
    started_ms: u64,
    fence: &Fence,
    answer: Result<Answered, BackendError>,
) -> Result<PollOutcome, PollError> {
    let id = server.id.as_str();
    let (meetings, version) = match answer {
        Ok(answer) => answer,
        Err(failure) => {
            let outcome = store.poll_failed(id, started_ms, fence, &config.poll).await?;
            return Err(PollError::Backend(failure, outcome));
        }
    };
    let figures = figures(started_ms, meetings, version, config);
    let mut outcome = store.apply_poll(id, &figures, fence, &config.poll, &config.load).await?;
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
            *unrecorded = match store.adopt(id, started_ms, fence, &config.load, found).await? {
                AdoptOutcome::Adopted(meetings) => meetings,
                AdoptOutcome::Unknown | AdoptOutcome::Fenced | AdoptOutcome::Stale => Vec::new(),
            };
            for meeting in unrecorded {
                info!(server = id, meeting, "the meeting runs there without a record: taken up");
            }
        }
    }
    Ok(outcome)
}

/// Polls one server now, as after it was enabled or after a request failed there.
pub async fn now(
    store: &Store,
    backend: &Backend,
    config: &Config,
    server: &ServerRef,
) -> Result<PollOutcome, PollError> {
    let started_ms = store.now_ms().await?;
    let result = one(store, backend, config, server, started_ms, UNFENCED).await;
    if let Err(failure) = &result {
        failure.log(server);
    }
    result
}

/// Its meetings, and its version; empty if it does not tell.
type Answered = (Vec<MeetingStats>, String);

async fn ask(backend: &Backend, config: &Config, server: &ServerRef) -> Result<Answered, BackendError> {
    let deadline = config.poll.deadline;
    let meetings = async {
        let body = tokio::time::timeout(deadline, backend.raw(server, "getMeetings"))
            .await
            .map_err(|_| BackendError::Timeout(deadline))??;
        Ok::<_, BackendError>(xml_reader::read_meetings(&body)?)
    };
    let version = tokio::time::timeout(deadline, backend.version(server));
    let (meetings, version) = tokio::join!(meetings, version);
    Ok((meetings?, version.ok().flatten().unwrap_or_default()))
}

fn figures(started_ms: u64, meetings: Vec<MeetingStats>, version: String, config: &Config) -> PollFigures {
    let mut figures = PollFigures { started_ms, version, ..PollFigures::default() };
    figures.meetings = meetings.len();
    for meeting in meetings {
        let users = u64::from(meeting.participants);
        figures.users += users;
        figures.largest = figures.largest.max(users);
        figures.videos += u64::from(meeting.videos);
        // A meeting that was ended is listed for a while; it is over.
        if !meeting.breakout && !meeting.ended {
            let twice = if config.load.moderators_twice { u64::from(meeting.moderators) } else { 0 };
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
