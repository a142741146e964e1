//! What every poll works with, and how it fails.

use crate::config::Config;
use crate::servers::{ServerCallError, ServerClient};
use crate::store::{PollOutcome, ServerRef, Store, StoreError};
use crate::telemetry::permit_log;
use std::sync::Arc;
use tracing::{error, warn};

/// Polls servers and writes the results to Redis. Cheap to clone.
#[derive(Clone)]
pub struct Poller {
    pub(super) store: Store,
    pub(super) client: ServerClient,
    pub(super) config: Arc<Config>,
    /// Every meeting without a record is adopted, not only those with the pool's mark.
    pub(super) adopts_all: bool,
}

impl Poller {
    /// Polls with this client, into this store.
    pub fn new(store: Store, client: ServerClient, config: Arc<Config>) -> Poller {
        Poller { store, client, config, adopts_all: false }
    }

    /// Adopts every meeting without a record, also those without the pool's mark.
    pub fn adopt_all(mut self) -> Poller {
        self.adopts_all = true;
        self
    }
}

/// Why a server could not be polled.
#[derive(Debug, thiserror::Error)]
pub enum PollError {
    /// The server did not respond, or not as BBB does; and the outcome of counting that against it.
    #[error("{0}")]
    Server(ServerCallError, PollOutcome),
    /// The server responded, but its list of meetings cannot be read; and the outcome of noting that. It counts
    /// neither as answered nor against the server.
    #[error("{0}")]
    Unreadable(ServerCallError, PollOutcome),
    /// Redis did not accept the result. Not the server's fault.
    #[error("{0}")]
    Store(#[from] StoreError),
}

impl PollError {
    /// Logs the failure, and whether it took the server offline.
    pub fn log(&self, server: &ServerRef) {
        let (id, host) = (server.id.as_str(), server.hostname());
        match self {
            PollError::Server(failure, PollOutcome::Applied { changed: true, .. }) => {
                error!(server = id, host, %failure, "the server is offline");
            }
            PollError::Server(failure, _) => warn!(server = id, host, %failure, "the poll failed"),
            PollError::Unreadable(failure, _) => error!(
                server = id,
                host,
                %failure,
                "the list of meetings of a server that responds cannot be read: its state, figures and meetings \
                 stay as they are"
            ),
            PollError::Store(failure) => {
                if let Some(permit) = permit_log("Redis", "poll") {
                    let suppressed = permit.suppressed;
                    error!(server = id, %failure, suppressed, "the result of a poll could not be written to Redis");
                }
            }
        }
    }
}
