//! Dependencies of every request: settings, state, the BBB servers, recordings. Data only.

use crate::config::Config;
use crate::recordings::Recordings;
use crate::servers::Backend;
use crate::servers::poll::suspicion::Suspicions;
use crate::store::Store;
use std::sync::Arc;

/// Dependencies of every request. One for each thread; cheap to clone.
#[derive(Clone)]
pub struct App {
    /// The settings.
    pub config: Arc<Config>,
    /// State in Redis.
    pub store: Store,
    /// Client of the BBB servers.
    pub backend: Backend,
    /// Servers on which requests of this thread failed recently.
    pub suspicions: Suspicions,
    /// Recordings, unless the pool has none.
    pub recordings: Option<Recordings>,
}
