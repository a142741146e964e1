//! One round: all servers, up to POLLER_THREADS in parallel, each with its own timeout, so that a slow
//! server delays none of the others. Servers that did not respond last time come last.

use super::{PollError, Poller};
use crate::servers::ServerCallError;
use crate::store::{
    AbandonOutcome, BrakeOutcome, Fence, PollHistory, PollOutcome, Server, ServerState, StoreError,
    WarningSubject,
};
use futures_util::StreamExt;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tracing::{debug, error, info};

/// Servers abandoned in parallel.
const MAX_PARALLEL_ABANDONS: usize = 16;

/// The result of a round.
#[derive(Debug, Clone, Default)]
pub struct Round {
    /// Servers that responded.
    pub answered: usize,
    /// Servers that did not.
    pub failed: usize,
    /// Meetings that have ended since the last round.
    pub released: usize,
    /// Meetings without a record that were adopted.
    pub adopted: usize,
    /// Meetings released because their server was offline for longer than OFFLINE_GRACE.
    pub abandoned: usize,
    /// More than half of the pool did not respond: no server was abandoned.
    pub braked: bool,
    /// Another replica took the lease: results after that were not written.
    pub fenced: bool,
    /// Conditions that operators must know of: see [`Round::warn`].
    pub warnings: BTreeMap<WarningSubject, String>,
    /// Duration of the round.
    pub took: Duration,
}

/// A server whose poll failed, and why.
type FailedPoll<'a> = (&'a Server, &'a PollHistory, PollError);

impl Poller {
    /// Polls all servers once. `on_result` is called for each.
    ///
    /// # Errors
    /// Redis does not respond. A server that does not is no error.
    pub async fn poll_round(
        &self,
        fence: &Fence,
        mut on_result: impl FnMut(&Server, &Result<PollOutcome, PollError>),
    ) -> Result<Round, StoreError> {
        let store = &self.store;
        let begun = Instant::now();
        let began_ms = store.now_ms().await?;
        if *fence == Fence::None {
            store.note_round(began_ms).await?;
        }
        // The first round on the registry of a Scalelite begins a rebuild.
        store.mark_key().await?;
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
                let result = self.poll_server(&server.at, started_ms, fence).await;
                (server, history, result)
            })
            .buffer_unordered(self.config.poll.max_parallel);
        while let Some((server, history, result)) = polls.next().await {
            on_result(server, &result);
            match result {
                Ok(PollOutcome::Applied { released, unrecorded, strays, elsewhere, .. }) => {
                    round.answered += 1;
                    round.released += released.len();
                    round.adopted += unrecorded.len();
                    round.warn_of_strays(server, &strays);
                    round.warn_of_copies(server, &elsewhere, &servers);
                }
                Ok(PollOutcome::Fenced)
                | Err(
                    PollError::Server(_, PollOutcome::Fenced) | PollError::Unreadable(_, PollOutcome::Fenced),
                ) => {
                    round.fenced = true;
                    break;
                }
                // A later poll has written its result already.
                Ok(PollOutcome::Stale | PollOutcome::Unknown | PollOutcome::AdoptFirst(_))
                | Err(PollError::Server(_, PollOutcome::Stale | PollOutcome::Unknown)) => {}
                Err(failure @ PollError::Unreadable(..)) => {
                    round.answered += 1;
                    let kind = match failure {
                        PollError::Unreadable(ServerCallError::TooManyMeetings { .. }, _) => {
                            "too-many-meetings"
                        }
                        _ => "unreadable-list",
                    };
                    round.warn(kind, &server.at.id, unreadable_warning(server, &failure));
                    failure.log(&server.at);
                }
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
            self.finish_round(fence, expected, &failures, &mut round).await?;
        }
        if !round.fenced {
            self.warn_without_candidates(servers.len(), &mut round).await?;
            self.warn_of_redis_settings(&mut round).await;
            self.warn_of_foreign_poller(&mut round).await?;
            self.publish_warnings(&round, began_ms).await?;
        }
        round.took = begun.elapsed();
        Ok(round)
    }

    /// Decides what takes a whole round to decide: whether the servers failed or this replica's network did
    /// (the brake); and if the servers failed, which of them to abandon.
    async fn finish_round(
        &self,
        fence: &Fence,
        expected: usize,
        failures: &[FailedPoll<'_>],
        round: &mut Round,
    ) -> Result<(), StoreError> {
        let failed = failures.iter().filter(|(server, history, _)| is_expected(server, history)).count();
        match self.store.update_brake(failed, expected, fence).await? {
            BrakeOutcome::On => {
                round.braked = true;
                let example = failures.first().map(|(_, _, failure)| failure.to_string()).unwrap_or_default();
                error!(
                    failed,
                    expected,
                    example,
                    "{failed} of {expected} servers do not answer: check this replica's network. \
                     No server is abandoned until at least half of them answer again"
                );
            }
            BrakeOutcome::Holding => round.braked = true,
            BrakeOutcome::Off => info!("at least half of the servers answer again"),
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
        self.abandon_servers(fence, failures, round).await
    }

    /// Releases the meetings of servers that have been offline for longer than OFFLINE_GRACE.
    async fn abandon_servers(
        &self,
        fence: &Fence,
        failures: &[FailedPoll<'_>],
        round: &mut Round,
    ) -> Result<(), StoreError> {
        let grace = self.config.poll.offline_grace;
        let mut abandoning = futures_util::stream::iter(failures)
            .map(|(server, _, _)| async move {
                let id = server.at.id.as_str();
                (id, self.store.abandon(id, grace, fence).await)
            })
            .buffer_unordered(MAX_PARALLEL_ABANDONS);
        while let Some((server, outcome)) = abandoning.next().await {
            match outcome? {
                AbandonOutcome::Abandoned(meetings) if !meetings.is_empty() => {
                    round.abandoned += meetings.len();
                    error!(
                        server,
                        meetings = meetings.len(),
                        "offline for longer than OFFLINE_GRACE: released its meetings"
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
}

fn unreadable_warning(server: &Server, failure: &PollError) -> String {
    let id = &server.at.id;
    format!(
        "the list of meetings of {id} cannot be read: {failure}; its load and its meetings are the last known"
    )
}

/// Whether a failed poll of this server can be a sign that our own network is at fault. Not if the server
/// was never there, was abandoned, or is not in use.
fn is_expected(server: &Server, history: &PollHistory) -> bool {
    let unused = server.state == ServerState::Disabled && history.meetings == 0;
    !history.lost && !unused && (server.online || history.answered_once || history.meetings > 0)
}
