//! One archive: the steps of its import, in their order.

use super::Importer;
use super::claim::{Claim, ClaimKey};
use super::outcome::{ArchiveOutcome, ImportError, ImportReport};
use super::queue::Sighting;
use super::upload_rules::{check_contents, check_server};
use crate::blocking::run_blocking;
use crate::config::USUAL_FORMATS;
use crate::recordings::spool::{FileStamp, Spool, UploadedBy, open_archive, write_detection};
use crate::recordings::unpack::{self, UnpackControl, UnpackedFormat};
use crate::recordings::{FormatMetadata, ImportOptions, RecordId, metadata, text_tracks};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;
use tokio::time::Instant;
use tracing::{debug, info, warn};

/// A truncated archive is bad once it has not changed for this many times the settle time.
const TRUNCATED_SETTLE_FACTOR: u32 = 10;

/// An archive that looks complete.
struct CompleteArchive {
    /// None: an interrupted removal has hidden it, and recovery brings it back.
    stamp: Option<FileStamp>,
    unchanged_since: Instant,
    checked_at: Instant,
}

/// An unpacked format with a valid metadata.xml.
struct ParsedFormat {
    path: PathBuf,
    metadata: FormatMetadata,
}

impl Importer {
    /// One attempt at an archive of the spool: imports it if it is complete and unclaimed, then removes or
    /// quarantines it. `last_seen`: what the previous attempt saw.
    pub(super) async fn import_from_spool(
        &self,
        name: &str,
        last_seen: Option<Sighting>,
        control: Arc<UnpackControl>,
    ) -> Result<ArchiveOutcome, ImportError> {
        let checked_at = Instant::now();
        let (found, needs_recovery) = self
            .with_spool(name, |spool, name| {
                let found = spool.open(name)?;
                let found = found.map(|(file, stamp)| (write_detection::is_being_written(&file), stamp));
                Ok((found, spool.needs_recovery(name)))
            })
            .await?;
        let mut unchanged_since = checked_at;
        if let Some((is_being_written, stamp)) = found {
            if let Some(last_seen) = last_seen.filter(|seen| seen.stamp == stamp) {
                unchanged_since = last_seen.since;
            }
            let is_complete = match is_being_written {
                Some(is_being_written) => !is_being_written,
                None => checked_at - unchanged_since >= self.settle,
            };
            if !is_complete {
                debug!(archive = name, "archive is still being written, or has just arrived");
                return Ok(ArchiveOutcome::Incomplete(Sighting { stamp, since: unchanged_since }));
            }
        } else if !needs_recovery {
            return Ok(ArchiveOutcome::Gone);
        }
        let Some(mut claim) = self.claims.try_claim(ClaimKey::of(name)).await? else {
            return Ok(ArchiveOutcome::Busy);
        };
        let checked = CompleteArchive { stamp: found.map(|(_, stamp)| stamp), unchanged_since, checked_at };
        let outcome = self.import_claimed(name, checked, &mut claim, control).await;
        claim.release().await;
        outcome
    }

    /// Imports an archive of the spool under its claim; then removes it, or moves it to failed/.
    async fn import_claimed(
        &self,
        name: &str,
        checked: CompleteArchive,
        claim: &mut Claim,
        control: Arc<UnpackControl>,
    ) -> Result<ArchiveOutcome, ImportError> {
        let began = Instant::now();
        let opened = self
            .with_spool(name, |spool, name| {
                spool.recover(name)?;
                spool.open(name)
            })
            .await?;
        // The previous holder of the claim may just have finished it.
        let Some((file, stamp)) = opened else { return Ok(ArchiveOutcome::Gone) };
        let incomplete = ArchiveOutcome::Incomplete(Sighting { stamp, since: checked.unchanged_since });
        if checked.stamp.is_some_and(|expected| expected != stamp) {
            return Ok(incomplete);
        }
        let may_be_growing =
            checked.checked_at - checked.unchanged_since < self.settle * TRUNCATED_SETTLE_FACTOR;
        let archived = file.metadata().and_then(|about| about.modified()).ok();
        let uploaded_by = UploadedBy::from_archive_name(name);
        let reasons = match self.import_archive(file, claim, control, archived, uploaded_by).await {
            Ok(report) => {
                log_report(name, &report, began);
                if report.errors.is_empty() {
                    self.with_spool(name, move |spool, name| spool.remove(name, &stamp)).await?;
                    return Ok(ArchiveOutcome::Imported(report));
                }
                let mut reasons = report.errors;
                if !report.recordings.is_empty() {
                    reasons.push("The other formats were imported.".into());
                }
                reasons
            }
            Err(ImportError::Truncated(_)) if may_be_growing => return Ok(incomplete),
            Err(ImportError::Truncated(reason)) => vec![reason],
            Err(ImportError::Bad(reasons)) => reasons,
            Err(error) => return Err(error),
        };
        let written = reasons.clone();
        let is_moved =
            self.with_spool(name, move |spool, name| spool.quarantine(name, &stamp, &written)).await?;
        // Otherwise a newer archive has taken its place.
        Ok(if is_moved { ArchiveOutcome::Quarantined(reasons) } else { incomplete })
    }

    /// Imports a file from anywhere. The file stays, unless `remove` is set: then it is removed once all
    /// of it is imported, provided that no other file has taken its place.
    pub async fn import_file(
        &self,
        path: &Path,
        control: Arc<UnpackControl>,
        remove: bool,
    ) -> Result<ImportReport, ImportError> {
        let cannot_read =
            |error: io::Error| ImportError::Transient(format!("cannot read {}: {error}", path.display()));
        let path = path.canonicalize().map_err(cannot_read)?;
        // In the spool its claim must be that of the importers that run there.
        let in_spool = self.spool.directory().canonicalize().ok().as_deref() == path.parent();
        let name = if in_spool { path.file_name() } else { Some(path.as_os_str()) };
        let key = ClaimKey::of(&name.unwrap_or_default().to_string_lossy());
        let Some((file, stamp)) = open_archive(&path).map_err(cannot_read)? else {
            return Err(ImportError::Gone);
        };
        let mut claim = self.claims.try_claim(key).await?.ok_or(ImportError::Busy)?;
        // An operator who names a file wants its recording, even if it was deleted since, and from any server.
        let mut result = self.import_archive(file, &mut claim, control, None, None).await;
        if remove && result.as_ref().is_ok_and(|report| report.errors.is_empty()) {
            let (directory, name) = (path.parent(), path.file_name().and_then(|name| name.to_str()));
            let removed = match (directory, name) {
                (Some(directory), Some(name)) => Spool::new(directory).remove(name, &stamp),
                _ => Err(ErrorKind::InvalidFilename.into()),
            };
            if let Err(error) = removed {
                result = Err(ImportError::Transient(format!("imported, but cannot remove it: {error}")));
            }
        }
        claim.release().await;
        result
    }

    /// Unpacks an archive and imports its recordings. A recording that was deleted after `archived`, the
    /// time when the archive was made, stays deleted; without that time it comes back. `uploaded_by`: the server whose
    /// upload this is.
    async fn import_archive(
        &self,
        file: File,
        claim: &mut Claim,
        control: Arc<UnpackControl>,
        archived: Option<SystemTime>,
        uploaded_by: Option<UploadedBy>,
    ) -> Result<ImportReport, ImportError> {
        let expected_id = uploaded_by.as_ref().map(|upload| upload.record_id.clone());
        let (work_dirs, limits, key) = (self.work_dirs.clone(), self.limits, claim.key());
        let (work_dir, parsed) = run_blocking(move || {
            let work_dir = work_dirs.create(key).map_err(|error| {
                ImportError::Transient(format!("cannot create a work directory: {error}"))
            })?;
            let unpacked = unpack::unpack(&file, work_dir.path(), &limits, &control);
            let parsed = unpacked.map_err(ImportError::from).and_then(|contents| {
                check_contents(&contents, expected_id.as_ref())?;
                read_metadata_of_all(contents)
            });
            Ok::<_, ImportError>((work_dir, parsed))
        })
        .await?;
        let options = ImportOptions { archived, ..self.options };
        let result = match parsed {
            Ok((formats, report)) => {
                self.import_recordings(formats, options, uploaded_by.as_ref(), claim, report).await
            }
            Err(error) => Err(error),
        };
        // Removing many files takes a while.
        let _ = tokio::task::spawn_blocking(move || drop(work_dir)).await;
        result
    }

    /// Imports each recording of an archive; one that is rejected does not stop the others.
    async fn import_recordings(
        &self,
        formats: Vec<ParsedFormat>,
        options: ImportOptions,
        uploaded_by: Option<&UploadedBy>,
        claim: &mut Claim,
        mut report: ImportReport,
    ) -> Result<ImportReport, ImportError> {
        let mut recordings: BTreeMap<RecordId, Vec<ParsedFormat>> = BTreeMap::new();
        for format in formats {
            recordings.entry(format.metadata.record_id.clone()).or_default().push(format);
        }
        for (id, formats) in recordings {
            // If the claim was lost while unpacking, another importer may have it by now.
            claim.check().await?;
            match self.import_recording(&id, &formats, options, uploaded_by).await {
                Ok(true) => {
                    let names = formats.iter().map(|f| f.metadata.format.to_string()).collect();
                    report.recordings.push((id, names));
                }
                Ok(false) => info!(record_id = %id, "recording stays deleted"),
                Err(ImportError::Bad(reasons)) => {
                    report.errors.extend(reasons.into_iter().map(|why| format!("{id}: {why}")));
                }
                Err(error) => return Err(error),
            }
        }
        if report.recordings.is_empty() && !report.errors.is_empty() {
            return Err(ImportError::Bad(report.errors));
        }
        Ok(report)
    }

    /// Places the files, then writes the index, under the recording's lock: whatever the index shows is
    /// there. False if the recording stays deleted.
    async fn import_recording(
        &self,
        id: &RecordId,
        formats: &[ParsedFormat],
        options: ImportOptions,
        uploaded_by: Option<&UploadedBy>,
    ) -> Result<bool, ImportError> {
        let about: Vec<FormatMetadata> = formats.iter().map(|format| format.metadata.clone()).collect();
        let mut locked = self.index.lock(id).await?;
        if let (Some(upload), Some(entry)) = (uploaded_by, locked.entry()) {
            check_server(upload, entry)?;
        }
        let Some(shelf) = locked.target_shelf(&about, options) else { return Ok(false) };
        // Formats that arrived earlier stay beside the new ones, on the shelf where the recording belongs now.
        let shift = self.storage.move_to_shelf(id, locked.current_shelf(), shelf).await?;
        for format in formats {
            let name = &format.metadata.format;
            text_tracks::carry_over_uploads(&self.storage, id, name, shelf, &format.path).await?;
            self.storage.put_format(&format.path, id, name, shelf).await?;
        }
        locked.import(&about, options).await?;
        if let Some(upload) = uploaded_by {
            locked.set_first_server(&upload.server).await?;
        }
        locked.commit().await?;
        self.storage.finish_move(shift).await;
        Ok(true)
    }

    async fn with_spool<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce(&Spool, &str) -> io::Result<T> + Send + 'static,
    ) -> Result<T, ImportError> {
        let (spool, name) = (self.spool.clone(), name.to_owned());
        run_blocking(move || {
            work(&spool, &name).map_err(|error| ImportError::Transient(format!("the spool: {error}")))
        })
        .await
    }
}

fn log_report(archive: &str, report: &ImportReport, began: Instant) {
    for file in &report.ignored {
        warn!(archive, "not imported: {file}");
    }
    for (id, formats) in &report.recordings {
        info!(
            record_id = %id,
            formats = formats.join(","),
            files = report.files,
            bytes = report.bytes,
            ms = began.elapsed().as_millis() as u64,
            "imported"
        );
    }
}

/// Reads the metadata.xml of every format. An error if none is valid.
fn read_metadata_of_all(
    contents: unpack::ArchiveContents,
) -> Result<(Vec<ParsedFormat>, ImportReport), ImportError> {
    let mut report = ImportReport {
        bytes: contents.bytes,
        files: contents.files,
        errors: contents.rejected,
        ignored: contents.ignored,
        ..ImportReport::default()
    };
    let (mut parsed, mut without_metadata) = (Vec::new(), Vec::new());
    for format in contents.formats {
        let name = format!("{}/{}", format.format, format.record_id);
        match read_metadata(&format) {
            Ok(metadata) => parsed.push(ParsedFormat { path: format.path, metadata }),
            // BBB keeps other things beside the formats, such as learning-dashboard.
            Err(MetadataError::Missing) if !USUAL_FORMATS.contains(&format.format.as_str()) => {
                without_metadata.push(format!("{name}: no metadata.xml"));
            }
            Err(MetadataError::Missing) => report.errors.push(format!("{name}: no metadata.xml")),
            Err(MetadataError::Bad(why)) => report.errors.push(format!("{name}: {why}")),
            Err(MetadataError::Io(error)) => {
                return Err(ImportError::Transient(format!("cannot read metadata.xml of {name}: {error}")));
            }
        }
    }
    if parsed.is_empty() {
        report.errors.append(&mut without_metadata);
        if report.errors.is_empty() {
            report.errors.push("it contains no recording (FORMAT/RECORD-ID/metadata.xml)".into());
        }
        return Err(ImportError::Bad(report.errors));
    }
    report.ignored.append(&mut without_metadata);
    Ok((parsed, report))
}

enum MetadataError {
    Missing,
    Bad(String),
    Io(io::Error),
}

fn read_metadata(format: &UnpackedFormat) -> Result<FormatMetadata, MetadataError> {
    let bad = |why: String| Err(MetadataError::Bad(why));
    let mut bytes = Vec::new();
    let file = match File::open(format.path.join("metadata.xml")) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(MetadataError::Missing),
        file => file.map_err(MetadataError::Io)?,
    };
    // One byte more than allowed, so that the limit is noticed.
    match file.take(metadata::MAX_BYTES + 1).read_to_end(&mut bytes) {
        Err(error) if error.kind() == ErrorKind::IsADirectory => {
            return bad("metadata.xml is a directory".into());
        }
        read => read.map_err(MetadataError::Io)?,
    };
    let metadata = metadata::parse(&bytes).map_err(|error| MetadataError::Bad(error.to_string()))?;
    if metadata.record_id != format.record_id {
        return bad(format!("metadata.xml belongs to another recording, {}", metadata.record_id));
    }
    if metadata.format != format.format {
        return bad(format!("metadata.xml belongs to another format, {}", metadata.format));
    }
    Ok(metadata)
}
