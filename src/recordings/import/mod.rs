//! The importer: archives from the spool become recordings.
//!
//! # Why it can be killed at any instant
//!
//! | step | a kill after it leaves | and the next run |
//! | --- | --- | --- |
//! | claim the archive (`claim`) | nothing: the claim dies with its holder | starts over |
//! | unpack into a work directory, sync it (`work_dir`, [`unpack`](super::unpack)) | a work directory | removes it, starts over |
//! | lock the recording, query its shelf from the index | nothing: the lock dies with its holder | starts over |
//! | place each format on the shelf, whole (`Storage::put_format`) | files that the index does not show, or new files of a recording that it shows; a format that is still being copied is hidden | removes what is hidden, places the formats again |
//! | write the index in one transaction | a recording that is complete, and its archive | imports it again, which changes nothing |
//! | remove the archive | a work directory, nearly empty | removes it |
//! | remove the work directory, release the claim | nothing | |
//!
//! So nothing is lost, since the archive is removed last; nothing is half-visible, since getRecordings shows
//! what the index has, and that is written after the files are in place; and nothing stays behind, since the
//! name of every temporary file or directory contains its claim or recording, and the next holder of that
//! claim or lock removes it. The same holds where the disk is full, Postgres is down or restarted, or the
//! importer is stopped: the attempt ends, and another follows later.
//!
//! An importer that lost its claim unnoticed (Postgres was restarted) may continue beside its successor for a
//! while. It checks the claim before it touches the storage; should it be lost after that, both place the same
//! files in the same place, under the recording's lock, one after the other.
//!
//! Two archives of one recording (reprocessed, or a format that was published later) are two imports, in any
//! order: index and storage merge them under the recording's lock.
//!
//! - `worker`: the loop: which archive when, how many at once; `queue`: their order; `inotify`: how it notices them
//! - `archive_job`: the steps for one archive; `outcome`: their results
//! - `upload_rules`: what a server may upload
//! - `claim`, `work_dir`: see the table
//! - `recovery`: removes what is left of archives and recordings that no retry will touch

mod archive_job;
mod claim;
mod inotify;
mod outcome;
mod queue;
mod recovery;
mod upload_rules;
mod work_dir;
mod worker;

pub use outcome::{ImportError, ImportReport};
pub use worker::run;

use super::spool::Spool;
use super::unpack::UnpackLimits;
use super::{ImportOptions, Index, Storage, StorageError};
use crate::config::Config;
use claim::ClaimPool;
use std::time::Duration;
use work_dir::WorkDirs;

/// What imports need. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Importer {
    index: Index,
    storage: Storage,
    spool: Spool,
    claims: ClaimPool,
    work_dirs: WorkDirs,
    limits: UnpackLimits,
    options: ImportOptions,
    settle: Duration,
}

impl Importer {
    /// None if the settings name no database. Must be called inside the runtime that will use it.
    pub fn new(config: &Config) -> Result<Option<Importer>, StorageError> {
        let (import, recordings) = (&config.import, &config.recordings);
        // One more than jobs, for the recovery.
        let max_parallel = import.workers as u32 + 1;
        let (Some(index), Some(database)) =
            (Index::for_importer(recordings, max_parallel), recordings.database.as_ref())
        else {
            return Ok(None);
        };
        Ok(Some(Importer {
            index,
            storage: Storage::new(recordings)?,
            spool: Spool::new(&recordings.spool_dir),
            claims: ClaimPool::new(&database.options, max_parallel),
            work_dirs: WorkDirs::new(import.work_dir.clone()),
            limits: UnpackLimits {
                max_members: import.max_members,
                max_bytes: import.max_size,
                max_ratio: import.max_ratio,
            },
            options: ImportOptions {
                unpublished: import.unpublished,
                protected: recordings.protected_enabled,
                archived: None,
            },
            settle: import.settle,
        }))
    }
}
