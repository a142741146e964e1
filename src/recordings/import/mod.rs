//! The importer: archives from the spool become recordings.
//!
//! # Why it can be killed at any instant
//!
//! | step | a kill after it leaves | and the next run |
//! | --- | --- | --- |
//! | claim the archive (`claim`) | nothing: the claim dies with its holder | begins anew |
//! | unpack into a work directory, sync it (`work_dir`, [`unpack`](super::unpack)) | a work directory | removes it, begins anew |
//! | lock the recording, ask the index for its shelf | nothing: the lock dies with its holder | begins anew |
//! | put each format on the shelf, whole (`Storage::place`) | files that the index does not show, or new files of a recording that it shows; what is on its way is hidden | clears what is hidden, puts the formats there once more |
//! | write the index in one transaction | a recording that is there, and its archive | imports it once more, which changes nothing |
//! | take the archive away | a work directory, nearly empty | removes it |
//! | remove the work directory, let go of the claim | nothing | |
//!
//! So nothing is lost, since the archive goes last; nothing is half-visible, since getRecordings shows
//! what the index has, and that is written after the files are in place; and nothing stays behind,
//! since what is under way bears a name that says for which claim or recording it is, and whoever holds
//! that one clears it. The same holds where the disk is full, Postgres is down or restarted, or
//! somebody stops the importer: it lets go, and tries again later.
//!
//! An importer that lost its claim without noticing (Postgres was restarted) may go on beside its
//! successor for a while. It finds out before it touches the storage; and if not even then, both put
//! the same files in the same place, under the recording's lock, one after the other.
//!
//! Two archives of one recording (reprocessed, or a format that was published later) are two imports,
//! in any order: the index and the storage take what comes under the recording's lock.
//!
//! - `archive`: the steps for one archive; `attempt`: one of the spool, whether it is whole, where it goes
//! - `worker`: which archive when, and how many at once; `queue`: their order
//! - `claim`, `work_dir`: see the table

mod archive;
mod attempt;
mod claim;
mod queue;
mod work_dir;
mod worker;

pub use archive::{ImportError, Report};
pub use worker::run;

use super::spool::Spool;
use super::unpack::Limits;
use super::{ImportOptions, Index, Storage, StorageError};
use crate::config::Config;
use claim::Claims;
use work_dir::Work;

/// What imports are made with. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Importer {
    index: Index,
    storage: Storage,
    spool: Spool,
    claims: Claims,
    work: Work,
    limits: Limits,
    options: ImportOptions,
}

impl Importer {
    /// By the settings; None where they name no database. Must be called inside the runtime that will
    /// use it.
    pub fn new(config: &Config) -> Result<Option<Importer>, StorageError> {
        let recordings = &config.recordings;
        let workers = config.import.workers as u32;
        let (Some(index), Some(database)) =
            (Index::for_importer(recordings, workers + 1), recordings.database.as_ref())
        else {
            return Ok(None);
        };
        Ok(Some(Importer {
            index,
            storage: Storage::new(recordings)?,
            spool: Spool::new(&recordings.spool_dir),
            claims: Claims::new(database, workers + 1),
            work: Work::new(config.import.work_dir.clone()),
            limits: Limits {
                members: config.import.max_members,
                bytes: config.import.max_size,
                ratio: config.import.max_ratio,
            },
            options: ImportOptions {
                unpublished: config.import.unpublished,
                protected: recordings.protected_enabled,
                archived: None,
            },
        }))
    }

    /// Where archives arrive.
    pub fn spool(&self) -> &Spool {
        &self.spool
    }
}
