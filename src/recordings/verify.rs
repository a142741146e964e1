//! The index against the storage, both ways. After a kill they may differ until whoever was killed
//! runs again; where that never happens, or somebody moved files by hand, this finds it.
//!
//! A suspicion is looked at once more under the recording's lock, so that an import or a client's call
//! that is just at work raises no alarm.

use super::index::query::RecordingQuery;
use super::index::{Locked, page::Recording};
use super::{ChangeError, FormatName, ImportOptions, RecordId, Recordings, Shelf, metadata};
use futures_util::{StreamExt, TryStreamExt, stream};
use std::collections::{BTreeMap, BTreeSet};

/// Record ids from the storage that are looked up in the index at once.
const AT_ONCE: usize = 50;

/// Recordings whose formats the storage is asked for at once: S3 is far away.
const COMPARED_AT_ONCE: usize = 16;

/// What does not fit together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// The index has the format, and no shelf does.
    Missing,
    /// It is on a shelf that the index does not say.
    WrongShelf(Shelf),
    /// It is on a shelf, and the index does not have it.
    NotIndexed(Shelf),
    /// It is on a shelf, though the recording is deleted.
    Deleted(Shelf),
    /// An import or a move was cut off and left something hidden.
    Leftover,
}

/// A problem of one format, or of a recording as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Of which recording.
    pub record_id: RecordId,
    /// Of which format; None where it is the recording.
    pub format: Option<FormatName>,
    /// What it is.
    pub problem: Problem,
    /// It is repaired; or not, and why: None without `repair`.
    pub repaired: Option<Result<(), String>>,
}

/// How far it has come.
#[derive(Debug, Clone, Copy, Default)]
pub struct Progress {
    /// Recordings of the index that were looked at.
    pub indexed: u64,
    /// Formats on the shelves that were looked at.
    pub stored: u64,
}

impl Recordings {
    /// Looks at everything, and repairs what can be: files go to the shelf that the index says, what it
    /// does not have is read into it again, what is deleted is removed. What the index has and no shelf
    /// does is lost: that is only told. `protected`: as what recordings come into the index.
    pub async fn verify(
        &self,
        repair: bool,
        protected: bool,
        mut tell: impl FnMut(Finding),
        mut progress: impl FnMut(Progress),
    ) -> Result<Progress, ChangeError> {
        let mut count = Progress::default();
        for id in self.storage.leftovers().await? {
            let locked = self.index.lock(&id).await?;
            let mut repaired = None;
            if repair {
                match self.recover(locked).await {
                    Ok(false) => continue,
                    done => repaired = Some(done.map(drop).map_err(|error| error.to_string())),
                }
            } else if !self.storage.leftovers().await?.contains(&id) {
                continue;
            }
            tell(Finding { record_id: id, format: None, problem: Problem::Leftover, repaired });
        }
        let mut pages = self.index.pages(RecordingQuery::default());
        while !pages.is_done() {
            let page = pages.next().await?;
            count.indexed += page.len() as u64;
            let suspects: Vec<RecordId> = stream::iter(&page)
                .map(|recording| async move {
                    let Some(id) = RecordId::parse(&recording.record_id) else { return Ok(None) };
                    let differs = !self.compare(&id, Some(recording)).await?.is_empty();
                    Ok::<_, ChangeError>(differs.then_some(id))
                })
                .buffered(COMPARED_AT_ONCE)
                .try_filter_map(|suspect| std::future::ready(Ok(suspect)))
                .try_collect()
                .await?;
            for id in suspects {
                self.look_closer(&id, repair, protected, &mut tell).await?;
            }
            progress(count);
        }
        for shelf in [Shelf::Published, Shelf::Unpublished] {
            let mut list = self.storage.list(shelf);
            let mut some = BTreeSet::new();
            loop {
                let item = list.recv().await.transpose()?;
                let is_end = item.is_none();
                if let Some((id, _)) = item {
                    count.stored += 1;
                    some.insert(id);
                }
                if some.len() >= AT_ONCE || is_end {
                    for id in self.unknown(std::mem::take(&mut some)).await? {
                        self.look_closer(&id, repair, protected, &mut tell).await?;
                    }
                    progress(count);
                }
                if is_end {
                    break;
                }
            }
        }
        Ok(count)
    }

    /// Which of them the index has never heard of.
    async fn unknown(&self, mut ids: BTreeSet<RecordId>) -> Result<BTreeSet<RecordId>, ChangeError> {
        if ids.is_empty() {
            return Ok(ids);
        }
        let record_ids = ids.iter().map(|id| id.as_str().to_owned()).collect();
        let mut pages = self.index.pages(RecordingQuery { record_ids, ..RecordingQuery::default() });
        while !pages.is_done() {
            for recording in pages.next().await? {
                ids.retain(|id| id.as_str() != recording.record_id);
            }
        }
        Ok(ids)
    }

    async fn look_closer(
        &self,
        id: &RecordId,
        repair: bool,
        protected: bool,
        tell: &mut impl FnMut(Finding),
    ) -> Result<(), ChangeError> {
        let locked = self.index.lock(id).await?;
        let query = RecordingQuery { record_ids: vec![id.as_str().to_owned()], ..RecordingQuery::default() };
        let mut pages = self.index.pages(query);
        let mut recording = None;
        while !pages.is_done() && recording.is_none() {
            recording = pages.next().await?.into_iter().find(|r| r.record_id == id.as_str());
        }
        let mut findings = self.compare(id, recording.as_ref()).await?;
        if repair && !findings.is_empty() {
            self.repair(locked, protected, &mut findings).await?;
        }
        findings.into_iter().for_each(tell);
        Ok(())
    }

    async fn compare(
        &self,
        id: &RecordId,
        recording: Option<&Recording>,
    ) -> Result<Vec<Finding>, ChangeError> {
        let stored = self.storage.formats(id).await?;
        let mut findings = Vec::new();
        let mut find = |format: &FormatName, problem| {
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
                Some(recording) if recording.state == "deleted" => find(format, Problem::Deleted(*shelf)),
                Some(recording) if indexed.contains(format) => {
                    if *shelf != Shelf::of(recording.published) {
                        find(format, Problem::WrongShelf(*shelf));
                    }
                }
                _ => find(format, Problem::NotIndexed(*shelf)),
            }
        }
        for format in indexed {
            if !stored.iter().any(|(stored, _)| *stored == format) {
                find(&format, Problem::Missing);
            }
        }
        Ok(findings)
    }

    async fn repair(
        &self,
        mut locked: Locked,
        protected: bool,
        findings: &mut [Finding],
    ) -> Result<(), ChangeError> {
        let id = locked.id().clone();
        let mut outcome: BTreeMap<usize, Result<(), String>> = BTreeMap::new();
        let mut good = Vec::new();
        let mut shelf = locked.held().map(|held| Shelf::of(held.published));
        let now = locked.shelf_now();
        let mut shift = None;
        for (n, finding) in findings.iter().enumerate() {
            let done = match (&finding.problem, &finding.format) {
                (Problem::NotIndexed(at), Some(format)) => {
                    shelf = shelf.or(Some(*at));
                    let bytes = self.storage.metadata(&id, format, *at, metadata::MAX_BYTES + 1).await?;
                    match bytes.as_deref().map(metadata::parse) {
                        Some(Ok(about)) if about.record_id == id && about.format == *format => {
                            good.push(about);
                            Ok(())
                        }
                        Some(Ok(_)) => Err("its metadata.xml is of another recording or format".to_owned()),
                        Some(Err(error)) => Err(error.to_string()),
                        None => Err("it has no metadata.xml".to_owned()),
                    }
                }
                (Problem::Missing, _) => {
                    Err("its files are lost: import its archive again, or delete it".to_owned())
                }
                _ => Ok(()),
            };
            outcome.insert(n, done);
        }
        if findings.iter().any(|finding| matches!(finding.problem, Problem::Deleted(_))) {
            self.storage.remove(&id).await?;
        } else {
            if !good.is_empty() {
                // It stays on the shelf where it is, whatever metadata.xml once said.
                let unpublished = shelf == Some(Shelf::Unpublished);
                let options = ImportOptions { unpublished, protected, archived: None };
                shelf = locked.import(&good, options).await?.shelf.or(shelf);
            }
            if let Some(shelf) = shelf
                && (locked.held().is_some() || !good.is_empty())
            {
                shift = Some(self.storage.shift(&id, now, shelf).await?);
            }
        }
        locked.commit().await?;
        if let Some(shift) = shift {
            self.storage.finish(shift).await;
        }
        for (n, done) in outcome {
            findings[n].repaired = Some(done);
        }
        Ok(())
    }
}
