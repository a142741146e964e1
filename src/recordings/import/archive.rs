//! One archive: unpacked, its formats put on their shelf, its recordings into the index.

use super::Importer;
use super::claim::{Claim, Key};
use crate::blocking::{BlockingError, run_blocking};
use crate::db::DbError;
use crate::recordings::spool::directory as spool;
use crate::recordings::unpack::{self, BadArchive, UnpackError, Unpacked, Watch};
use crate::recordings::{FormatMetadata, ImportOptions, RecordId, StorageError, metadata, text_tracks};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;
use tracing::info;

/// What came of an archive.
#[derive(Debug, Default)]
pub struct Report {
    /// The recordings, each with the formats that came.
    pub recordings: Vec<(RecordId, Vec<String>)>,
    /// Bytes of all files, those of bad formats included.
    pub bytes: u64,
    /// Files.
    pub files: u64,
    /// Formats that are no good, a line each. The others were imported.
    pub bad: Vec<String>,
    /// Files that belong to no recording.
    pub ignored: Vec<String>,
}

/// Why nothing, or not all, of an archive was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// It is no good, and will not get better. The reasons, a line each.
    #[error("{}", .0.join("; "))]
    Bad(Vec<String>),
    /// It breaks off. Perhaps it is still being written.
    #[error("{0}")]
    Truncated(String),
    /// Another importer works on it.
    #[error("another importer works on it")]
    Busy,
    /// There is no such file.
    #[error("there is no such file")]
    Gone,
    /// The index cannot be asked. It may pass.
    #[error("{0}")]
    Index(#[source] DbError),
    /// The disk is full, or something else of this machine. It may pass.
    #[error("{0}")]
    Passing(String),
    /// Told to stop.
    #[error("told to stop")]
    Stopped,
}

impl From<DbError> for ImportError {
    fn from(error: DbError) -> ImportError {
        match error.is_transient() {
            // Somebody works on this recording for long: no reason to keep the others waiting.
            true if matches!(error, DbError::Busy) => ImportError::Passing(error.to_string()),
            true => ImportError::Index(error),
            false => ImportError::Bad(vec![format!("the index refuses it: {error}")]),
        }
    }
}

/// Only claims speak to Postgres directly.
impl From<sqlx::Error> for ImportError {
    fn from(error: sqlx::Error) -> ImportError {
        ImportError::Index(error.into())
    }
}

impl From<StorageError> for ImportError {
    fn from(error: StorageError) -> ImportError {
        match error {
            StorageError::BadName(_) => ImportError::Bad(vec![error.to_string()]),
            error => ImportError::Passing(error.to_string()),
        }
    }
}

impl From<UnpackError> for ImportError {
    fn from(error: UnpackError) -> ImportError {
        match error {
            UnpackError::Bad(bad @ BadArchive::Truncated(_)) => ImportError::Truncated(bad.to_string()),
            UnpackError::Bad(bad) => ImportError::Bad(vec![bad.to_string()]),
            UnpackError::Io { .. } => ImportError::Passing(error.to_string()),
            UnpackError::Stopped => ImportError::Stopped,
        }
    }
}

impl From<BlockingError> for ImportError {
    fn from(error: BlockingError) -> ImportError {
        match error {
            BlockingError::Stopping => ImportError::Stopped,
            BlockingError::Panicked => ImportError::Passing(error.to_string()),
        }
    }
}

/// A format that was unpacked and whose metadata.xml is good.
struct Ready {
    path: PathBuf,
    about: FormatMetadata,
}

impl Importer {
    /// Imports a file from anywhere. It stays where it is, unless `remove`: then it goes once all of it
    /// is imported, and nobody has put another in its place.
    pub async fn import_file(
        &self,
        path: &Path,
        watch: Arc<Watch>,
        remove: bool,
    ) -> Result<Report, ImportError> {
        let failed =
            |error: std::io::Error| ImportError::Passing(format!("cannot read {}: {error}", path.display()));
        let path = path.canonicalize().map_err(failed)?;
        // In the spool it is the same archive as for the importers that run there.
        let in_spool = self.spool.directory().canonicalize().ok().as_deref() == path.parent();
        let name = if in_spool { path.file_name() } else { Some(path.as_os_str()) };
        let key = Key::of(&name.unwrap_or_default().to_string_lossy());
        let Some((file, stamp)) = spool::open(&path).map_err(failed)? else { return Err(ImportError::Gone) };
        let mut claim = self.claims.claim(key).await?.ok_or(ImportError::Busy)?;
        // Whoever names a file wants its recording, also one that was deleted since.
        let mut result = self.import(file, key, &mut claim, watch, None).await;
        if remove && result.as_ref().is_ok_and(|report| report.bad.is_empty()) {
            let (directory, name) = (path.parent(), path.file_name().and_then(|name| name.to_str()));
            let removed = match (directory, name) {
                (Some(directory), Some(name)) => spool::Spool::new(directory).remove(name, &stamp),
                _ => Err(ErrorKind::InvalidFilename.into()),
            };
            if let Err(error) = removed {
                result = Err(ImportError::Passing(format!("imported, but cannot remove it: {error}")));
            }
        }
        claim.release().await;
        result
    }

    /// The steps of an import. Whoever calls holds the claim of `key`. A recording that was deleted
    /// after the archive was made (`archived`) stays so; without that time it comes back.
    pub(super) async fn import(
        &self,
        file: File,
        key: Key,
        claim: &mut Claim,
        watch: Arc<Watch>,
        archived: Option<SystemTime>,
    ) -> Result<Report, ImportError> {
        let options = ImportOptions { archived, ..self.options };
        let (work, limits) = (self.work.clone(), self.limits);
        let (workshop, unpacked) = run_blocking(move || {
            let passing = |error| ImportError::Passing(format!("cannot make a work directory: {error}"));
            let workshop = work.open(key).map_err(passing)?;
            let unpacked = unpack::unpack(&file, workshop.path(), &limits, &watch);
            Ok::<_, ImportError>((workshop, unpacked.map_err(ImportError::from).and_then(read_all)))
        })
        .await?;
        let result = match unpacked {
            Ok((ready, mut report)) => {
                self.publish(ready, options, claim, &mut report).await.map(|()| report)
            }
            Err(error) => Err(error),
        };
        // Many files take their time to go.
        let _ = tokio::task::spawn_blocking(move || drop(workshop)).await;
        result
    }

    async fn publish(
        &self,
        ready: Vec<Ready>,
        options: ImportOptions,
        claim: &mut Claim,
        report: &mut Report,
    ) -> Result<(), ImportError> {
        let mut recordings: BTreeMap<RecordId, Vec<Ready>> = BTreeMap::new();
        for format in ready {
            recordings.entry(format.about.record_id.clone()).or_default().push(format);
        }
        for (id, formats) in recordings {
            // Whoever lost the claim while unpacking has a successor by now.
            claim.check().await?;
            match self.publish_one(&id, &formats, options).await {
                // A client deleted it after the archive was made.
                Ok(false) => info!(record_id = %id, "stays deleted"),
                Ok(true) => {
                    let names = formats.iter().map(|f| f.about.format.to_string()).collect();
                    report.recordings.push((id, names));
                }
                // The other recordings are not to blame.
                Err(ImportError::Bad(reasons)) => {
                    report.bad.extend(reasons.into_iter().map(|why| format!("{id}: {why}")));
                }
                Err(error) => return Err(error),
            }
        }
        if report.recordings.is_empty() && !report.bad.is_empty() {
            return Err(ImportError::Bad(std::mem::take(&mut report.bad)));
        }
        Ok(())
    }

    /// Files first, under the recording's lock, then the index: what the index shows is there. False
    /// if the recording is to stay deleted.
    async fn publish_one(
        &self,
        id: &RecordId,
        formats: &[Ready],
        options: ImportOptions,
    ) -> Result<bool, ImportError> {
        let about: Vec<FormatMetadata> = formats.iter().map(|format| format.about.clone()).collect();
        let mut locked = self.index.lock(id).await?;
        let Some(shelf) = locked.shelf(&about, options) else { return Ok(false) };
        // Formats that came earlier stay beside the new ones, wherever the recording belongs now.
        let shift = self.storage.shift(id, locked.shelf_now(), shelf).await?;
        for format in formats {
            text_tracks::keep(&self.storage, id, &format.about.format, shelf, &format.path).await?;
            self.storage.place(&format.path, id, &format.about.format, shelf).await?;
        }
        locked.import(&about, options).await?;
        locked.commit().await?;
        self.storage.finish(shift).await;
        Ok(true)
    }
}

/// Reads the metadata.xml of every format. An error if none is good.
fn read_all(contents: unpack::Contents) -> Result<(Vec<Ready>, Report), ImportError> {
    let mut report = Report {
        bytes: contents.bytes,
        files: contents.files,
        bad: contents.refused,
        ignored: contents.ignored,
        ..Report::default()
    };
    let mut ready = Vec::new();
    for format in contents.formats {
        let name = format!("{}/{}", format.format, format.record_id);
        match read_one(&format) {
            Ok(about) => ready.push(Ready { path: format.path, about }),
            Err(ReadError::Bad(why)) => report.bad.push(format!("{name}: {why}")),
            Err(ReadError::Io(error)) => {
                return Err(ImportError::Passing(format!("cannot read metadata.xml of {name}: {error}")));
            }
        }
    }
    if ready.is_empty() {
        if report.bad.is_empty() {
            report.bad.push("it holds no recording (FORMAT/RECORD-ID/metadata.xml)".into());
        }
        return Err(ImportError::Bad(report.bad));
    }
    Ok((ready, report))
}

enum ReadError {
    Bad(String),
    Io(std::io::Error),
}

fn read_one(format: &Unpacked) -> Result<FormatMetadata, ReadError> {
    let mut bytes = Vec::new();
    let file = match File::open(format.path.join("metadata.xml")) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(ReadError::Bad("no metadata.xml".into()));
        }
        file => file.map_err(ReadError::Io)?,
    };
    // One more than it may have, so that it is seen to have more.
    match file.take(metadata::MAX_BYTES + 1).read_to_end(&mut bytes) {
        Err(error) if error.kind() == ErrorKind::IsADirectory => {
            return Err(ReadError::Bad("metadata.xml is a directory".into()));
        }
        done => done.map_err(ReadError::Io)?,
    };
    let about = metadata::read(&bytes).map_err(|error| ReadError::Bad(error.to_string()))?;
    if about.record_id != format.record_id {
        return Err(ReadError::Bad(format!("metadata.xml is of another recording, {}", about.record_id)));
    }
    if about.format != format.format {
        return Err(ReadError::Bad(format!("metadata.xml is of another format, {}", about.format)));
    }
    Ok(about)
}
