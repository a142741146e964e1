//! What every request works with: settings, state, the BBB servers, recordings. Data only.

use crate::config::Config;
use crate::recordings::Recordings;
use crate::servers::ServerClient;
use crate::servers::poll::suspicion::Suspicions;
use crate::store::Store;
use std::sync::Arc;

/// What every call works with. One for each thread; cheap to clone.
#[derive(Clone)]
pub struct App {
    /// The settings.
    pub config: Arc<Config>,
    /// The state.
    pub store: Store,
    /// The way to the BBB servers.
    pub servers: ServerClient,
    /// Servers on which requests of this thread have failed lately.
    pub suspicions: Suspicions,
    /// Recordings, where this pool has some.
    pub recordings: Option<Recordings>,
}
