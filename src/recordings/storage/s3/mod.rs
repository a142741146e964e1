//! Shelves that are in a bucket: `published/{format}/{record_id}/…`, `unpublished/{format}/{record_id}/…`.
//!
//! S3 renames nothing and exchanges nothing; an object is written, copied or deleted whole, and that is
//! all. So what is under way is noted beside the shelves, under `.sl-work/{record_id}/`, before it begins
//! (`keys`), and what a kill leaves is finished or undone by whoever comes next ([`S3::settle`]):
//!
//! - A format that comes where there was none is uploaded into its place, metadata.xml last. Half of it
//!   without metadata.xml is deleted. The index does not know it yet, so nobody sees it meanwhile.
//! - A successor is uploaded beside the shelves first. Once it is whole, it is copied into place, and what
//!   it lacks is deleted; that goes on after a kill. For the time of the copying, who watches may see
//!   some of the old and some of the new.
//! - A format that goes is deleted, metadata.xml first. Half of it without metadata.xml is deleted.
//! - A move copies all formats, and only then deletes what it copied. While a recording is being
//!   unpublished, its files go a moment before the index says so.
//!
//! - `bucket`: what S3 can do; `http_client`: the way there
//! - `upload`: files, in parts where they are large; `object`: for who watches

mod bucket;
mod http_client;
mod keys;
mod object;
mod recover;
#[cfg(test)]
mod tests;
mod upload;

pub(super) use object::Object;

use super::{Marks, Shelf, Shift, Shifted, StorageError};
use crate::config::S3Config;
use crate::recordings::{FormatName, RecordId};
use bucket::{AT_ONCE, Bucket, Result};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use keys::{LAST, Note, Place, WORK, shelf_name};
use object_store::ObjectMeta;
use object_store::path::Path as Key;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};

/// S3 copies no larger object with one request.
const COPY_LIMIT: u64 = 5 << 30;

/// A bucket with recordings.
#[derive(Debug)]
pub(super) struct S3 {
    bucket: Arc<Bucket>,
    /// Room for pieces of files in memory.
    pieces: Semaphore,
    copy_limit: u64,
    /// How long a signed URL works; None: there are none.
    url_expires: Option<Duration>,
}

fn taken_over(id: &RecordId) -> StorageError {
    let why = "somebody else has taken it in hand meanwhile".to_owned();
    StorageError::S3 { what: "move", key: id.to_string(), why }
}

impl S3 {
    pub(super) fn new(config: &S3Config) -> Result<S3> {
        Ok(S3 {
            bucket: Arc::new(Bucket::new(config)?),
            pieces: Semaphore::new(upload::PIECES),
            copy_limit: COPY_LIMIT,
            url_expires: config.redirect.then_some(config.url_expires),
        })
    }

    pub(super) async fn place(
        &self,
        from: &Path,
        id: &RecordId,
        format: &FormatName,
        shelf: Shelf,
    ) -> Result<()> {
        self.settle(id).await?;
        let place = Place::new(shelf, format, id);
        let directory = from.to_owned();
        let files = blocking(move || upload::files(&directory)).await?;
        if self.bucket.has_below(&place.prefix()).await? {
            let unique = keys::unique();
            self.upload(id, files, &keys::new(id, &unique)).await?;
            self.note(id, &Note::Ready(place.clone(), unique.clone())).await?;
            self.bring_in(&place, &unique).await?;
        } else {
            let half = self.note(id, &Note::Half(place.clone())).await?;
            self.upload(id, files, &place.prefix()).await?;
            self.bucket.delete(vec![half]).await?;
        }
        self.take_out(&Place::new(shelf.other(), format, id)).await?;
        let directory = from.to_owned();
        blocking(move || match std::fs::remove_dir_all(&directory) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(StorageError::Io { what: "remove", path: directory, source })
            }
            _ => Ok(()),
        })
        .await
    }

    pub(super) async fn shift(&self, id: &RecordId, now: Option<Shelf>, to: Shelf) -> Result<Shift> {
        self.settle(id).await?;
        let sources = self.places(id, to.other()).await?;
        let targets = self.places(id, to).await?;
        // One of our own: those that are there may be taken away by whoever has just committed.
        let mut marks = self.moves(id).await?;
        let mut ours = None;
        if !sources.is_empty() {
            let mark = self.note(id, &Note::Move).await?;
            ours = Some(mark.clone());
            marks.push(mark);
        }
        for source in &sources {
            let target = Place { shelf: to, ..source.clone() };
            let is_there = targets.contains(&target);
            if now == Some(to) && is_there {
                continue;
            }
            if is_there {
                self.take_out(&target).await?;
            }
            let half = self.note(id, &Note::Half(target.clone())).await?;
            self.copy_all(id, &source.prefix(), &target.prefix()).await?;
            self.still_ours(id, ours.as_ref()).await?;
            if self.below(source).await? != self.below(&target).await? {
                return Err(taken_over(id));
            }
            self.bucket.delete(vec![half]).await?;
        }
        for source in &sources {
            self.still_ours(id, ours.as_ref()).await?;
            self.take_out(source).await?;
        }
        let shifted = match (sources.is_empty(), targets.is_empty()) {
            (false, _) => Shifted::Moved,
            (true, false) => Shifted::AlreadyThere,
            (true, true) => Shifted::Missing,
        };
        Ok(Shift { shifted, marks: Marks::S3(marks) })
    }

    /// Copying may take minutes. If the lock was lost meanwhile (Postgres was restarted), whoever got it has
    /// cleared up what he took for ours, our note too: then nothing may be deleted any more.
    async fn still_ours(&self, id: &RecordId, mark: Option<&Key>) -> Result<()> {
        match mark {
            Some(mark) if self.bucket.head(mark).await?.is_none() => Err(taken_over(id)),
            _ => Ok(()),
        }
    }

    /// What a format consists of: names within it, and bytes.
    async fn below(&self, place: &Place) -> Result<BTreeSet<(String, u64)>> {
        let prefix = place.prefix();
        let objects = self.bucket.below(&prefix).await?;
        let within = |key: &str| key.strip_prefix(prefix.as_ref()).unwrap_or(key).to_owned();
        Ok(objects.into_iter().map(|object| (within(object.location.as_ref()), object.size)).collect())
    }

    pub(super) async fn finish(&self, marks: Vec<Key>) -> Result<()> {
        self.bucket.delete(marks).await
    }

    pub(super) async fn remove(&self, id: &RecordId) -> Result<usize> {
        self.settle(id).await?;
        let mut removed = BTreeSet::new();
        for shelf in [Shelf::Published, Shelf::Unpublished] {
            for place in self.places(id, shelf).await? {
                self.take_out(&place).await?;
                removed.insert(place.format);
            }
        }
        self.finish(self.moves(id).await?).await?;
        Ok(removed.len())
    }

    pub(super) async fn remove_format(
        &self,
        id: &RecordId,
        format: &FormatName,
        shelf: Shelf,
    ) -> Result<bool> {
        self.settle(id).await?;
        self.take_out(&Place::new(shelf, format, id)).await
    }

    pub(super) async fn formats(&self, id: &RecordId) -> Result<Vec<(FormatName, Shelf)>> {
        let (published, unpublished) =
            tokio::try_join!(self.places(id, Shelf::Published), self.places(id, Shelf::Unpublished))?;
        let mut found: Vec<Place> = published.into_iter().chain(unpublished).collect();
        // What is there by half is not there.
        for half in self.halves(id).await? {
            if found.contains(&half) && self.bucket.head(&half.last()?).await?.is_none() {
                found.retain(|place| *place != half);
            }
        }
        found.sort_by(|a, b| a.format.cmp(&b.format));
        Ok(found.into_iter().map(|place| (place.format, place.shelf)).collect())
    }

    pub(super) async fn read_file(
        &self,
        id: &RecordId,
        format: &FormatName,
        shelf: Shelf,
        name: &str,
        most: u64,
    ) -> Result<Option<Vec<u8>>> {
        self.bucket.read(&Place::new(shelf, format, id).at(name)?, most).await
    }

    pub(super) async fn write_file(
        &self,
        id: &RecordId,
        format: &FormatName,
        shelf: Shelf,
        name: &str,
        bytes: Bytes,
    ) -> Result<()> {
        self.bucket.put(&Place::new(shelf, format, id).at(name)?, bytes).await
    }

    pub(super) async fn list(&self, shelf: Shelf, to: &mpsc::Sender<Result<(RecordId, FormatName)>>) {
        if let Err(error) = self.list_all(shelf, to).await {
            // Nobody reads on.
            let _ = to.send(Err(error)).await;
        }
    }

    async fn list_all(&self, shelf: Shelf, to: &mpsc::Sender<Result<(RecordId, FormatName)>>) -> Result<()> {
        for format in self.shelf_formats(shelf).await? {
            let prefix = Key::from_iter([shelf_name(shelf), format.as_str()]);
            let mut from = None;
            loop {
                let page = self.bucket.page(&prefix, from).await?;
                for id in page.directories.iter().filter_map(|name| RecordId::parse(name)) {
                    if to.send(Ok((id, format.clone()))).await.is_err() {
                        return Ok(());
                    }
                }
                match page.next {
                    Some(next) => from = Some(next),
                    None => break,
                }
            }
        }
        Ok(())
    }

    pub(super) async fn leftovers(&self) -> Result<Vec<RecordId>> {
        let names = self.bucket.directories(&Key::from_iter([WORK])).await?;
        Ok(names.iter().filter_map(|name| RecordId::parse(name)).collect())
    }

    async fn shelf_formats(&self, shelf: Shelf) -> Result<Vec<FormatName>> {
        let names = self.bucket.directories(&Key::from_iter([shelf_name(shelf)])).await?;
        Ok(names.iter().filter_map(|name| FormatName::parse(name)).collect())
    }

    /// The formats of a recording on a shelf, by half or whole.
    async fn places(&self, id: &RecordId, shelf: Shelf) -> Result<Vec<Place>> {
        let formats = self.shelf_formats(shelf).await?;
        stream::iter(formats)
            .map(|format| async move {
                let place = Place::new(shelf, &format, id);
                Ok(self.bucket.has_below(&place.prefix()).await?.then_some(place))
            })
            .buffered(AT_ONCE)
            .try_filter_map(|place| std::future::ready(Ok(place)))
            .try_collect()
            .await
    }

    /// Writes a note. Its key.
    async fn note(&self, id: &RecordId, note: &Note) -> Result<Key> {
        let key = note.key(id);
        self.bucket.put(&key, Bytes::new()).await?;
        Ok(key)
    }

    /// Deletes a format. Whether it was there.
    async fn take_out(&self, place: &Place) -> Result<bool> {
        let objects = self.bucket.below(&place.prefix()).await?;
        if objects.is_empty() {
            return Ok(false);
        }
        let half = self.note(&place.id, &Note::Half(place.clone())).await?;
        self.delete_all(place, objects).await?;
        self.bucket.delete(vec![half]).await?;
        Ok(true)
    }

    async fn delete_all(&self, place: &Place, objects: Vec<ObjectMeta>) -> Result<()> {
        let last = place.last()?;
        self.bucket.delete(vec![last.clone()]).await?;
        let others = objects.into_iter().map(|object| object.location).filter(|key| *key != last);
        self.bucket.delete(others.collect()).await
    }

    /// Copies what is below one prefix to another, metadata.xml last. The keys that are there now.
    async fn copy_all(&self, id: &RecordId, from: &Key, to: &Key) -> Result<BTreeSet<Key>> {
        let mut pairs = Vec::new();
        for object in self.bucket.below(from).await? {
            let rest = object.location.as_ref().strip_prefix(from.as_ref()).unwrap_or_default();
            let target = bucket::key(&format!("{to}{rest}"))?;
            pairs.push((object, target));
        }
        let last = bucket::key(&format!("{to}/{LAST}"))?;
        let keys = pairs.iter().map(|(_, target)| target.clone()).collect();
        let (end, others): (Vec<_>, Vec<_>) = pairs.into_iter().partition(|(_, target)| *target == last);
        for group in [others, end] {
            stream::iter(group)
                .map(|(object, target)| async move {
                    self.copy(id, &object.location, &target, object.size).await
                })
                .buffer_unordered(AT_ONCE)
                .try_collect::<()>()
                .await?;
        }
        Ok(keys)
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(stopping()))
}

fn stopping() -> StorageError {
    let source = std::io::Error::other("this process is stopping");
    StorageError::Io { what: "finish", path: Default::default(), source }
}
