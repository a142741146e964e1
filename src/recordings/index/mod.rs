//! The index: which recordings there are, in Postgres. It holds nothing that cannot be found again in the files.
//!
//! - [`lock`]: one recording that nobody else changes meanwhile; import, publish, update, delete
//! - [`query`]: what getRecordings asks for, as SQL; [`page`]: its answer as [`Recording`]s
//! - `playable`: what playback asks
//! - `document`: what belongs to a recording, kept with it as one text
//! - [`update`]: metadata and protection, of several recordings at once

mod document;
pub mod lock;
pub mod page;
mod playable;
pub mod query;
mod time;
pub mod update;

pub use lock::{ImportOptions, Imported, Locked};
pub use page::{Pages, PlaybackFormat, Recording};
pub use playable::{Playable, PlayableFormat};
pub use query::{MetaFilter, MetaValue, RecordingQuery};
pub use update::Update;

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

    /// The same for commands and background work, which may wait longer.
    pub fn for_background(config: &RecordingsConfig) -> Option<Index> {
        Index::for_importer(config, DEFAULT_CONNECTIONS)
    }

    /// The same with a given number of connections: an import holds one for as long as moving its files takes.
    pub fn for_importer(config: &RecordingsConfig, connections: u32) -> Option<Index> {
        let db = Database::for_background(config, connections)?;
        Some(Index { db, lock_slots: None })
    }

    /// The connections.
    pub fn db(&self) -> &Database {
        &self.db
    }
}
