//! Suspects: servers whose last request or poll failed. A failed request counts against its server, which is
//! then probed at once rather than at the next round. Only a poll takes a server offline, so that one odd
//! request does not.

use super::{PollError, Poller};
use crate::servers::ServerCallError;
use crate::store::{Fence, PollOutcome, ServerRef, StoreError, SuspectOutcome};
use futures_util::StreamExt;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Of the requests that fail on one server within this time, only the first is reported.
const REPORT_INTERVAL: Duration = Duration::from_millis(200);

/// A probe that fails at once is repeated after this: a web server that restarts is no outage.
const SECOND_PROBE_DELAY: Duration = Duration::from_secs(1);

/// How often an offline server is polled between rounds.
const OFFLINE_RECHECK_INTERVAL: Duration = Duration::from_secs(5);

/// Reports servers on which requests failed. One for each thread; cheap to clone.
#[derive(Clone)]
pub struct SuspectReporter {
    poller: Poller,
    last_reports: Arc<Mutex<HashMap<String, Instant>>>,
}

impl SuspectReporter {
    /// Probes suspects with this poller.
    pub fn new(poller: Poller) -> SuspectReporter {
        SuspectReporter { poller, last_reports: Arc::default() }
    }

    /// Reports a failed request, in the background. Must be called inside a runtime.
    pub fn report(&self, server: &ServerRef, failure: &ServerCallError) {
        if !failure.counts_against_server() || self.was_just_reported(&server.id) {
            return;
        }
        let (poller, server) = (self.poller.clone(), server.clone());
        tokio::spawn(async move {
            if let Err(failure) = poller.probe(&server).await {
                failure.log(&server);
            }
        });
    }

    fn was_just_reported(&self, server: &str) -> bool {
        let now = Instant::now();
        let mut reports = self.last_reports.lock().unwrap_or_else(PoisonError::into_inner);
        reports.retain(|_, at| now.duration_since(*at) < REPORT_INTERVAL);
        if reports.contains_key(server) {
            return true;
        }
        reports.insert(server.to_owned(), now);
        false
    }
}

impl Poller {
    /// Counts a failed request against a server, and polls it if no other replica does.
    async fn probe(&self, server: &ServerRef) -> Result<(), PollError> {
        let store = &self.store;
        let SuspectOutcome::Probe(delay) = store.suspect(&server.id, &self.config.poll).await? else {
            return Ok(());
        };
        tokio::time::sleep(delay).await;
        let begun = Instant::now();
        let mut started_ms = store.now_ms().await?;
        let mut response = self.query_server(server).await;
        if response.is_err() && begun.elapsed() < SECOND_PROBE_DELAY {
            tokio::time::sleep(SECOND_PROBE_DELAY).await;
            started_ms = store.now_ms().await?;
            response = self.query_server(server).await;
        }
        self.write_result(server, started_ms, &Fence::None, response).await.map(|_| ())
    }
}

/// Polls suspects between rounds: those that are online, to see whether they still are; those that are
/// offline, to see whether they are back.
pub(super) struct SuspectPoller<'a> {
    poller: &'a Poller,
    last_polls: HashMap<String, Instant>,
}

impl SuspectPoller<'_> {
    pub(super) fn new(poller: &Poller) -> SuspectPoller<'_> {
        SuspectPoller { poller, last_polls: HashMap::new() }
    }

    /// Polls all suspects that are due, once. False if the lease is lost.
    ///
    /// # Errors
    /// Redis does not respond.
    pub(super) async fn poll_suspects(&mut self, fence: &Fence) -> Result<bool, StoreError> {
        let (poller, store) = (self.poller, &self.poller.store);
        let ids = store.suspects().await?;
        self.last_polls.retain(|id, _| ids.contains(id));
        if ids.is_empty() {
            return Ok(true);
        }
        let mut servers = Vec::new();
        for id in &ids {
            let just_polled =
                self.last_polls.get(id).is_some_and(|at| at.elapsed() < OFFLINE_RECHECK_INTERVAL);
            if let Some(server) = store.server(id).await?
                && (server.online || !just_polled)
            {
                self.last_polls.insert(id.clone(), Instant::now());
                servers.push(server);
            }
        }
        let (begun, began_ms) = (Instant::now(), store.now_ms().await?);
        let mut polls = futures_util::stream::iter(&servers)
            .map(|server| async move {
                let started_ms = began_ms + begun.elapsed().as_millis() as u64;
                (server, poller.poll_server(&server.at, started_ms, fence).await)
            })
            .buffer_unordered(poller.config.poll.max_parallel);
        while let Some((server, result)) = polls.next().await {
            match result {
                Ok(PollOutcome::Fenced)
                | Err(
                    PollError::Server(_, PollOutcome::Fenced) | PollError::Unreadable(_, PollOutcome::Fenced),
                ) => return Ok(false),
                Err(failure) if server.online => failure.log(&server.at),
                Ok(
                    PollOutcome::Applied { .. }
                    | PollOutcome::AdoptFirst(_)
                    | PollOutcome::Unknown
                    | PollOutcome::Stale,
                )
                | Err(_) => {}
            }
        }
        Ok(true)
    }
}
