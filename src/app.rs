//! Dependencies of every request: settings, state, the BBB servers, recordings. Data only.

use crate::config::Config;
use crate::health::HealthCheck;
use crate::recordings::Recordings;
use crate::servers::ServerClient;
use crate::servers::fan_out::FanOuts;
use crate::servers::poll::suspects::SuspectReporter;
use crate::store::Store;
use std::sync::Arc;

/// Dependencies of every request. One for each thread; cheap to clone.
#[derive(Clone)]
pub struct App {
    /// The settings.
    pub config: Arc<Config>,
    /// The state in Redis.
    pub store: Store,
    /// The client of the BBB servers.
    pub servers: ServerClient,
    /// Queries of all servers for their meetings, shared by requests.
    pub fan_outs: FanOuts,
    /// Reports servers on which requests failed.
    pub suspects: SuspectReporter,
    /// The check of this replica's health.
    pub health: HealthCheck,
    /// None in a pool without recordings.
    pub recordings: Option<Recordings>,
}
