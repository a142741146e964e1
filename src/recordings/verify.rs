//! Compares the index with the storage, in both directions. After a kill they may differ until the killed process
//! runs again; where it never does, or an operator moved files by hand, this finds it.
//!
//! A difference is checked again under the recording's lock, so that an import or a call that is in progress causes
//! no finding.

use super::index::query::RecordingQuery;
use super::index::{LockedRecording, ValueFilter, page::Recording};
use super::{ChangeError, FormatName, ImportOptions, RecordId, Recordings, Shelf, metadata};
use futures_util::{StreamExt, TryStreamExt, stream};
use std::collections::{BTreeMap, BTreeSet};

/// Record ids from the storage that one query looks up in the index.
const LOOKUP_BATCH_SIZE: usize = 50;

/// Recordings whose formats are listed from the storage in parallel: S3 has a high latency.
const MAX_PARALLEL_LISTINGS: usize = 16;

/// A difference between index and storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// The index has the format, and no shelf does.
    Missing,
    /// It is on another shelf than the index says.
    WrongShelf(Shelf),
    /// It is on a shelf, and the index does not have it.
    NotIndexed(Shelf),
    /// It is on a shelf, though the recording is deleted.
    Deleted(Shelf),
    /// An interrupted import or move left something hidden.
    Leftover,
}

/// A problem of one format, or of a recording as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The recording.
    pub record_id: RecordId,
    /// The format; None for the recording as a whole.
    pub format: Option<FormatName>,
    /// What is wrong.
    pub problem: Problem,
    /// Repaired, or why not. None without `repair`.
    pub repaired: Option<Result<(), String>>,
}

/// What has been compared so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct VerifyProgress {
    /// Recordings of the index.
    pub indexed: u64,
    /// Formats on the shelves.
    pub stored: u64,
}

/// What to do with findings.
#[derive(Debug, Clone, Copy)]
pub struct VerifyOptions {
    /// Repair what can be repaired: files move to the shelf that the index says, formats that the index lacks are
    /// read into it again, files of deleted recordings are removed. What no shelf has is lost, and only reported.
    pub repair: bool,
    /// Recordings read into the index are protected.
    pub protected: bool,
}

impl Recordings {
    /// Compares everything.
    pub async fn verify(
        &self,
        options: VerifyOptions,
        mut report: impl FnMut(Finding),
        mut report_progress: impl FnMut(VerifyProgress),
    ) -> Result<VerifyProgress, ChangeError> {
        let mut progress = VerifyProgress::default();
        self.verify_leftovers(options, &mut report).await?;
        self.verify_index(options, &mut progress, &mut report, &mut report_progress).await?;
        for shelf in [Shelf::Published, Shelf::Unpublished] {
            self.verify_shelf(shelf, options, &mut progress, &mut report, &mut report_progress).await?;
        }
        Ok(progress)
    }

    /// Finds interrupted changes.
    async fn verify_leftovers(
        &self,
        options: VerifyOptions,
        report: &mut impl FnMut(Finding),
    ) -> Result<(), ChangeError> {
        for id in self.storage.leftovers().await? {
            let locked = self.index.lock(&id).await?;
            let mut repaired = None;
            if options.repair {
                match self.recover(locked).await {
                    Ok(false) => continue,
                    done => repaired = Some(done.map(drop).map_err(|error| error.to_string())),
                }
            } else if !self.storage.leftovers().await?.contains(&id) {
                continue;
            }
            report(Finding { record_id: id, format: None, problem: Problem::Leftover, repaired });
        }
        Ok(())
    }

    /// Compares each recording of the index with the storage.
    async fn verify_index(
        &self,
        options: VerifyOptions,
        progress: &mut VerifyProgress,
        report: &mut impl FnMut(Finding),
        report_progress: &mut impl FnMut(VerifyProgress),
    ) -> Result<(), ChangeError> {
        let mut pages = self.index.pages(RecordingQuery::default());
        while !pages.is_done() {
            let page = pages.next().await?;
            progress.indexed += page.len() as u64;
            let differing: Vec<RecordId> = stream::iter(&page)
                .map(|recording| async move {
                    let Some(id) = RecordId::parse(&recording.record_id) else { return Ok(None) };
                    let differs = !self.compare(&id, Some(recording)).await?.is_empty();
                    Ok::<_, ChangeError>(differs.then_some(id))
                })
                .buffered(MAX_PARALLEL_LISTINGS)
                .try_filter_map(|id| std::future::ready(Ok(id)))
                .try_collect()
                .await?;
            for id in differing {
                self.verify_recording(&id, options, report).await?;
            }
            report_progress(*progress);
        }
        Ok(())
    }

    /// Finds recordings on a shelf that the index does not have.
    async fn verify_shelf(
        &self,
        shelf: Shelf,
        options: VerifyOptions,
        progress: &mut VerifyProgress,
        report: &mut impl FnMut(Finding),
        report_progress: &mut impl FnMut(VerifyProgress),
    ) -> Result<(), ChangeError> {
        let mut list = self.storage.list(shelf);
        let mut batch = BTreeSet::new();
        loop {
            let item = list.recv().await.transpose()?;
            let is_end = item.is_none();
            if let Some((id, _)) = item {
                progress.stored += 1;
                batch.insert(id);
            }
            if batch.len() >= LOOKUP_BATCH_SIZE || is_end {
                for id in self.not_in_index(std::mem::take(&mut batch)).await? {
                    self.verify_recording(&id, options, report).await?;
                }
                report_progress(*progress);
            }
            if is_end {
                return Ok(());
            }
        }
    }

    /// Those that the index does not have, not even as deleted.
    async fn not_in_index(&self, mut ids: BTreeSet<RecordId>) -> Result<BTreeSet<RecordId>, ChangeError> {
        if ids.is_empty() {
            return Ok(ids);
        }
        let record_ids = ValueFilter::OneOf(ids.iter().map(|id| id.as_str().to_owned()).collect());
        let mut pages = self.index.pages(RecordingQuery { record_ids, ..RecordingQuery::default() });
        while !pages.is_done() {
            for recording in pages.next().await? {
                ids.retain(|id| id.as_str() != recording.record_id);
            }
        }
        Ok(ids)
    }

    /// Compares one recording again, under its lock, and repairs it if it is asked to.
    async fn verify_recording(
        &self,
        id: &RecordId,
        options: VerifyOptions,
        report: &mut impl FnMut(Finding),
    ) -> Result<(), ChangeError> {
        let locked = self.index.lock(id).await?;
        let record_ids = ValueFilter::OneOf(vec![id.as_str().to_owned()]);
        let query = RecordingQuery { record_ids, ..RecordingQuery::default() };
        let mut pages = self.index.pages(query);
        let mut recording = None;
        while !pages.is_done() && recording.is_none() {
            recording = pages.next().await?.into_iter().find(|r| r.record_id == id.as_str());
        }
        let mut findings = self.compare(id, recording.as_ref()).await?;
        if options.repair && !findings.is_empty() {
            self.repair(locked, options.protected, &mut findings).await?;
        }
        findings.into_iter().for_each(report);
        Ok(())
    }

    /// The differences of one recording between index and storage.
    async fn compare(
        &self,
        id: &RecordId,
        recording: Option<&Recording>,
    ) -> Result<Vec<Finding>, ChangeError> {
        let stored = self.storage.formats(id).await?;
        let mut findings = Vec::new();
        let mut add = |format: &FormatName, problem| {
            let (record_id, format) = (id.clone(), Some(format.clone()));
            findings.push(Finding { record_id, format, problem, repaired: None });
        };
        let indexed: Vec<FormatName> = recording
            .iter()
            .flat_map(|recording| &recording.formats)
            .filter_map(|format| FormatName::parse(&format.format))
            .collect();
        for (format, shelf) in &stored {
            match recording {
                Some(recording) if recording.state == "deleted" => add(format, Problem::Deleted(*shelf)),
                Some(recording) if indexed.contains(format) => {
                    if *shelf != Shelf::of(recording.published) {
                        add(format, Problem::WrongShelf(*shelf));
                    }
                }
                _ => add(format, Problem::NotIndexed(*shelf)),
            }
        }
        for format in indexed {
            if !stored.iter().any(|(stored, _)| *stored == format) {
                add(&format, Problem::Missing);
            }
        }
        Ok(findings)
    }

    /// Repairs what can be repaired, and records the result in each finding.
    async fn repair(
        &self,
        mut locked: LockedRecording,
        protected: bool,
        findings: &mut [Finding],
    ) -> Result<(), ChangeError> {
        let id = locked.id().clone();
        let mut results: BTreeMap<usize, Result<(), String>> = BTreeMap::new();
        let mut to_import = Vec::new();
        let mut shelf = locked.entry().map(|held| Shelf::of(held.published));
        let now = locked.current_shelf();
        let mut shift = None;
        for (n, finding) in findings.iter().enumerate() {
            let done = match (&finding.problem, &finding.format) {
                (Problem::NotIndexed(at), Some(format)) => {
                    shelf = shelf.or(Some(*at));
                    let bytes = self.storage.read_metadata(&id, format, *at, metadata::MAX_BYTES + 1).await?;
                    match bytes.as_deref().map(metadata::parse) {
                        Some(Ok(about)) if about.record_id == id && about.format == *format => {
                            to_import.push(about);
                            Ok(())
                        }
                        Some(Ok(_)) => {
                            Err("its metadata.xml belongs to another recording or format".to_owned())
                        }
                        Some(Err(error)) => Err(error.to_string()),
                        None => Err("it has no metadata.xml".to_owned()),
                    }
                }
                (Problem::Missing, _) => {
                    Err("its files are lost: import its archive again, or delete it".to_owned())
                }
                _ => Ok(()),
            };
            results.insert(n, done);
        }
        if findings.iter().any(|finding| matches!(finding.problem, Problem::Deleted(_))) {
            self.storage.delete(&id).await?;
        } else {
            if !to_import.is_empty() {
                // It stays on its shelf, whatever metadata.xml says.
                let unpublished = shelf == Some(Shelf::Unpublished);
                let options = ImportOptions { unpublished, protected, archived: None };
                shelf = locked.import(&to_import, options).await?.shelf.or(shelf);
            }
            if let Some(shelf) = shelf
                && (locked.entry().is_some() || !to_import.is_empty())
            {
                shift = Some(self.storage.move_to_shelf(&id, now, shelf).await?);
            }
        }
        locked.commit().await?;
        if let Some(shift) = shift {
            self.storage.finish_move(shift).await;
        }
        for (n, done) in results {
            findings[n].repaired = Some(done);
        }
        Ok(())
    }
}
