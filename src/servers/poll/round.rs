//! One round: all servers, all at once within a bound, each with its own deadline, so that a slow
//! server delays none of the others. Servers that did not answer last time come last.

use super::{PollError, UNFENCED, one};
use crate::config::Config;
use crate::servers::Backend;
use crate::store::{
    AbandonOutcome, BrakeOutcome, Fence, PollHistory, PollOutcome, Server, ServerState, Store, StoreError,
};
use futures_util::StreamExt;
use std::collections::HashMap;
use std::time::{Duration, Instant};
use tracing::{debug, error, info};

/// So often an offline server is asked whether it is back, between rounds.
const OFFLINE_RECHECK: Duration = Duration::from_secs(5);

/// Servers given up at once.
const ABANDON_CONCURRENCY: usize = 16;

/// What a round found.
#[derive(Debug, Clone, Default)]
pub struct Round {
    /// Servers that answered.
    pub answered: usize,
    /// Servers that did not.
    pub failed: usize,
    /// Meetings that have ended since.
    pub released: usize,
    /// Meetings that nobody had recorded, and that were taken up.
    pub adopted: usize,
    /// Meetings released since their server was offline for longer than its grace.
    pub abandoned: usize,
    /// More than half of the pool did not answer: no server was given up.
    pub braked: bool,
    /// Another poller holds the lease: what was not written by then was not.
    pub fenced: bool,
    /// How long it took.
    pub took: Duration,
}

/// Polls all servers once. `done` is told of each.
///
/// # Errors
/// Redis does not answer. A server that does not is no error.
pub async fn round(
    store: &Store,
    backend: &Backend,
    config: &Config,
    fence: &Fence,
    mut done: impl FnMut(&Server, &Result<PollOutcome, PollError>),
) -> Result<Round, StoreError> {
    let begun = Instant::now();
    let began_ms = store.now_ms().await?;
    if fence == UNFENCED {
        store.note_round(began_ms).await?;
    }
    store.sweep_some().await?;
    store.reindex().await?;
    let mut servers = store.servers().await?;
    servers.sort_by_key(|server| !server.online);
    let ids: Vec<&str> = servers.iter().map(|server| server.at.id.as_str()).collect();
    let histories = store.poll_history(&ids).await?;
    let expected =
        servers.iter().zip(&histories).filter(|(server, history)| is_expected(server, history)).count();

    let mut round = Round::default();
    let mut failures = Vec::new();
    let mut polls = futures_util::stream::iter(servers.iter().zip(&histories))
        .map(|(server, history)| async move {
            let started_ms = began_ms + begun.elapsed().as_millis() as u64;
            let result = one(store, backend, config, &server.at, started_ms, fence).await;
            (server, history, result)
        })
        .buffer_unordered(config.poll.concurrency);
    while let Some((server, history, result)) = polls.next().await {
        done(server, &result);
        match result {
            Ok(PollOutcome::Applied { released, unrecorded, .. }) => {
                round.answered += 1;
                round.released += released.len();
                round.adopted += unrecorded.len();
            }
            Ok(PollOutcome::Fenced) | Err(PollError::Backend(_, PollOutcome::Fenced)) => {
                round.fenced = true;
                break;
            }
            // Somebody else has asked it since: that counts.
            Ok(PollOutcome::Stale | PollOutcome::Unknown)
            | Err(PollError::Backend(_, PollOutcome::Stale | PollOutcome::Unknown)) => {}
            // Not the server's fault.
            Err(failure @ PollError::Store(_)) => failure.log(&server.at),
            Err(failure) => {
                round.failed += 1;
                failures.push((server, history, failure));
            }
        }
    }
    drop(polls);
    if !round.fenced {
        settle(store, config, fence, expected, &failures, &mut round).await?;
    }
    round.took = begun.elapsed();
    Ok(round)
}

/// Asks servers whose last poll or request failed again, between rounds: those that are online to see
/// whether they are; those that are offline whether they are back.
#[derive(Default)]
pub struct Recheck {
    asked: HashMap<String, Instant>,
}

impl Recheck {
    /// One pass. False if the lease is lost.
    ///
    /// # Errors
    /// Redis does not answer.
    pub async fn pass(
        &mut self,
        store: &Store,
        backend: &Backend,
        config: &Config,
        fence: &Fence,
    ) -> Result<bool, StoreError> {
        let ids = store.suspects().await?;
        self.asked.retain(|id, _| ids.contains(id));
        if ids.is_empty() {
            return Ok(true);
        }
        let mut servers = Vec::new();
        for id in &ids {
            let lately = self.asked.get(id).is_some_and(|asked| asked.elapsed() < OFFLINE_RECHECK);
            if let Some(server) = store.server(id).await?
                && (server.online || !lately)
            {
                self.asked.insert(id.clone(), Instant::now());
                servers.push(server);
            }
        }
        let (begun, began_ms) = (Instant::now(), store.now_ms().await?);
        let mut polls = futures_util::stream::iter(&servers)
            .map(|server| async move {
                let started_ms = began_ms + begun.elapsed().as_millis() as u64;
                (server, one(store, backend, config, &server.at, started_ms, fence).await)
            })
            .buffer_unordered(config.poll.concurrency);
        while let Some((server, result)) = polls.next().await {
            match result {
                Ok(PollOutcome::Fenced) | Err(PollError::Backend(_, PollOutcome::Fenced)) => {
                    return Ok(false);
                }
                Err(failure) if server.online => failure.log(&server.at),
                _ => {}
            }
        }
        Ok(true)
    }
}

/// Whether it says something about us when this server does not answer: not for one that was never
/// there, that was given up, or that nobody needs.
fn is_expected(server: &Server, history: &PollHistory) -> bool {
    let unused = server.state == ServerState::Disabled && history.meetings == 0;
    !history.lost && !unused && (server.online || history.answered_once || history.meetings > 0)
}

/// What only the whole round can tell: whether it is them or us; and if it is them, which servers
/// are to be given up.
async fn settle(
    store: &Store,
    config: &Config,
    fence: &Fence,
    expected: usize,
    failures: &[(&Server, &PollHistory, PollError)],
    round: &mut Round,
) -> Result<(), StoreError> {
    let failed = failures.iter().filter(|(server, history, _)| is_expected(server, history)).count();
    match store.update_brake(failed, expected, fence).await? {
        BrakeOutcome::On => {
            round.braked = true;
            let example = failures.first().map(|(_, _, failure)| failure.to_string()).unwrap_or_default();
            error!(
                failed,
                expected,
                example,
                "{failed} of {expected} servers do not answer: is it the network on this side? \
                 Until more than half answer again, no meeting is given up"
            );
        }
        BrakeOutcome::Holding => round.braked = true,
        BrakeOutcome::Off => info!("more than half of the servers answer again"),
        BrakeOutcome::None => {}
        BrakeOutcome::Fenced => round.fenced = true,
    }
    for (server, _, failure) in failures {
        if round.braked {
            debug!(server = server.at.id, %failure, "the poll failed");
        } else {
            failure.log(&server.at);
        }
    }
    if round.braked || round.fenced {
        return Ok(());
    }
    let grace = config.poll.offline_grace;
    let mut given_up = futures_util::stream::iter(failures)
        .map(|(server, _, _)| async move {
            let id = server.at.id.as_str();
            (id, store.abandon(id, grace, fence).await)
        })
        .buffer_unordered(ABANDON_CONCURRENCY);
    while let Some((server, outcome)) = given_up.next().await {
        match outcome? {
            AbandonOutcome::Abandoned(meetings) if !meetings.is_empty() => {
                round.abandoned += meetings.len();
                error!(
                    server,
                    meetings = meetings.len(),
                    "offline for longer than OFFLINE_GRACE: its meetings are released"
                );
            }
            AbandonOutcome::Abandoned(_) | AbandonOutcome::Kept => {}
            AbandonOutcome::Fenced => {
                round.fenced = true;
                break;
            }
        }
    }
    Ok(())
}
