//! The poll: every server is asked for its meetings, all at once within a bound, each with its own
//! deadline, so that a slow server delays none of the others.

use super::client::{Backend, BackendError};
use crate::bbb::xml::{self, MeetingFigures};
use crate::config::Config;
use crate::store::{MeetingKey, PollFigures, PollOutcome, Server, Store, StoreError};
use futures_util::StreamExt;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tracing::{debug, error, info, warn};

/// What a round found.
#[derive(Debug, Clone, Default)]
pub struct Round {
    /// Servers that answered.
    pub answered: usize,
    /// Servers that did not.
    pub failed: usize,
    /// Meetings that have ended since.
    pub released: usize,
    /// How long it took.
    pub took: Duration,
}

/// Polls all servers once. `done` is told of each.
pub async fn round(
    store: &Store,
    backend: &Backend,
    config: &Config,
    mut done: impl FnMut(&Server, &Result<PollOutcome, PollError>),
) -> Result<Round, StoreError> {
    let begun = Instant::now();
    let began_ms = store.now_ms().await?;
    store.sweep().await?;
    store.reindex().await?;
    let servers = store.servers().await?;
    let mut round = Round::default();
    let mut polls = futures_util::stream::iter(servers.iter())
        .map(|server| async move {
            let started_ms = began_ms + begun.elapsed().as_millis() as u64;
            (server, one(store, backend, config, server, started_ms).await)
        })
        .buffer_unordered(config.poll.concurrency);
    while let Some((server, result)) = polls.next().await {
        match &result {
            Ok(PollOutcome::Applied { released, .. }) => {
                round.answered += 1;
                round.released += released.len();
            }
            Ok(PollOutcome::Unknown) => {}
            Err(_) => round.failed += 1,
        }
        done(server, &result);
    }
    round.took = begun.elapsed();
    Ok(round)
}

/// Why a server could not be polled.
#[derive(Debug, thiserror::Error)]
pub enum PollError {
    /// It did not answer, or not as BBB does. Counted against it.
    #[error("{0}")]
    Backend(#[from] BackendError),
    /// Redis did not take the figures. Not the server's fault.
    #[error("{0}")]
    Store(#[from] StoreError),
}

/// Polls one server and writes what it answered. `started_ms` is now, by Redis' clock.
pub async fn one(
    store: &Store,
    backend: &Backend,
    config: &Config,
    server: &Server,
    started_ms: u64,
) -> Result<PollOutcome, PollError> {
    let id = server.at.id.as_str();
    match ask(backend, config, server).await {
        Ok((meetings, version)) => {
            let figures = figures(started_ms, meetings, version, config);
            let outcome = store.apply_poll(id, &figures, &config.poll, &config.load).await?;
            if let PollOutcome::Applied { online, changed, released, .. } = &outcome {
                if *online && *changed {
                    info!(server = id, host = server.hostname(), "the server is online");
                }
                for meeting in released {
                    info!(server = id, meeting, "the meeting has ended");
                }
            }
            Ok(outcome)
        }
        Err(failure) => {
            let outcome = store.poll_failed(id, &config.poll).await?;
            match outcome {
                PollOutcome::Applied { changed: true, .. } => {
                    error!(server = id, host = server.hostname(), %failure, "the server is offline");
                }
                _ => warn!(server = id, host = server.hostname(), %failure, "the poll failed"),
            }
            Err(failure.into())
        }
    }
}

/// Polls one server now, as after it was enabled.
pub async fn now(
    store: &Store,
    backend: &Backend,
    config: &Config,
    server: &Server,
) -> Result<PollOutcome, PollError> {
    let started_ms = store.now_ms().await?;
    one(store, backend, config, server, started_ms).await
}

async fn ask(
    backend: &Backend,
    config: &Config,
    server: &Server,
) -> Result<(Vec<MeetingFigures>, String), BackendError> {
    let deadline = config.poll.deadline;
    let meetings = async {
        let body = tokio::time::timeout(deadline, backend.raw(&server.at, "getMeetings"))
            .await
            .map_err(|_| BackendError::Timeout(deadline))??;
        Ok::<_, BackendError>(xml::meetings(&body)?)
    };
    let version = tokio::time::timeout(deadline, backend.version(&server.at));
    let (meetings, version) = tokio::join!(meetings, version);
    Ok((meetings?, version.ok().flatten().unwrap_or_default()))
}

fn figures(started_ms: u64, meetings: Vec<MeetingFigures>, version: String, config: &Config) -> PollFigures {
    let mut figures = PollFigures { started_ms, version, ..PollFigures::default() };
    figures.meetings = meetings.len();
    for meeting in meetings {
        let users = u64::from(meeting.participants);
        figures.users += users;
        figures.largest = figures.largest.max(users);
        figures.videos += u64::from(meeting.videos);
        if !meeting.breakout {
            let twice = if config.load.moderators_twice { u64::from(meeting.moderators) } else { 0 };
            figures.listed.push((MeetingKey::of(&meeting.id), users + twice, meeting.create_time));
        }
    }
    figures
}

/// Polls once every interval until told to stop. Of all replicas that run this on the same Redis,
/// one does each round.
pub async fn run(
    store: Store,
    backend: Backend,
    config: std::sync::Arc<Config>,
    mut stop: watch::Receiver<bool>,
) {
    let me = uuid::Uuid::new_v4().to_string();
    let interval = config.poll.interval;
    // A claim lasts a little less than the interval, so that the next round is free again.
    let claim_ms = (interval.as_millis() as u64).saturating_mul(9) / 10;
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        let finished = async {
            if !store.claim_round(&me, claim_ms).await? {
                return Ok(None);
            }
            round(&store, &backend, &config, |_, _| {}).await.map(Some)
        };
        let result = tokio::select! {
            result = finished => result,
            // Half a round does no harm: each server's figures are written by themselves.
            _ = stop.wait_for(|stop| *stop) => return,
        };
        match result {
            Ok(Some(round)) => debug!(
                answered = round.answered,
                failed = round.failed,
                released = round.released,
                took_ms = round.took.as_millis() as u64,
                "polled"
            ),
            Ok(None) => {}
            Err(failure) => error!(%failure, "cannot poll"),
        }
    }
}
