//! The index: which recordings exist, in Postgres. It holds nothing that cannot be read from the files again.
//!
//! - [`lock`]: one recording under its lock: import, publish, delete
//! - [`query`]: getRecordings as SQL; [`page`]: its result as [`Recording`]s
//! - `playable`: the queries of playback
//! - `document`: metadata, formats and images of a recording as one JSON text in its row
//! - [`update`]: metadata and protection of several recordings at once
//! - `timestamp`: Postgres timestamps in milliseconds

mod document;
pub mod lock;
pub mod page;
mod playable;
pub mod query;
mod timestamp;
pub mod update;

pub use lock::{ImportOptions, Imported, IndexEntry, LockedRecording};
pub use page::{PlaybackFormat, Recording, RecordingPages};
pub use playable::{PlayableFormat, PlayableRecording};
pub use query::{MetaFilter, MetaValue, RecordingQuery, ValueFilter};
pub use update::RecordingUpdate;

use crate::config::RecordingsConfig;
use crate::db::{DEFAULT_CONNECTIONS, Database};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Recordings that requests of one runtime may lock at the same time. Each lock holds a connection while files
/// move; the other connections are for readers.
const MAX_LOCKS: usize = 2;

/// The index of recordings. Cheap to clone; clones share the connections.
#[derive(Debug, Clone)]
pub struct Index {
    db: Database,
    /// None: as many as there are connections.
    lock_slots: Option<Arc<Semaphore>>,
}

impl Index {
    /// The index for requests; see [`Database::for_requests`]. None if the settings name no database. Must be
    /// called inside the runtime that will use it.
    pub fn for_requests(config: &RecordingsConfig) -> Option<Index> {
        let db = Database::for_requests(config)?;
        Some(Index { db, lock_slots: Some(Arc::new(Semaphore::new(MAX_LOCKS))) })
    }

    /// The index for commands and background work, which may wait longer.
    pub fn for_background(config: &RecordingsConfig) -> Option<Index> {
        Index::for_importer(config, DEFAULT_CONNECTIONS)
    }

    /// [`Index::for_background`] with a given number of connections: an import holds one while its files move.
    pub fn for_importer(config: &RecordingsConfig, connections: u32) -> Option<Index> {
        let db = Database::for_background(config, connections)?;
        Some(Index { db, lock_slots: None })
    }

    /// The connections.
    pub fn db(&self) -> &Database {
        &self.db
    }
}

/// The state that `published` means.
fn default_state(published: bool) -> &'static str {
    if published { "published" } else { "unpublished" }
}
