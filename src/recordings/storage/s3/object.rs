//! Objects for playback: ranges read in chunks, and signed URLs.

use super::super::OpenedPath;
use super::super::stored_file::{StoredFile, take_chunk};
use super::S3Storage;
use super::bucket::{Bucket, Result, s3_error};
use super::keys::FormatLocation;
use crate::blocking::BlockingError;
use crate::recordings::{FilePath, FormatName, RecordId, Shelf};
use bytes::Bytes;
use futures_util::{Stream, stream};
use http::Method;
use object_store::path::Path as Key;
use object_store::signer::{SignedUrlOptions, Signer};
use std::ops::Range;
use std::sync::Arc;
use tokio::task::{JoinHandle, spawn};

/// Bytes of one request. Two chunks of an object are in memory: one is being sent while the next is read.
const CHUNK_BYTES: u64 = 1 << 20;

/// An object at the time of [`S3Storage::open`]. If it is replaced, reading fails, so that no client gets the
/// beginning of one version and the end of another.
#[derive(Debug)]
pub(in super::super) struct Object {
    e_tag: Option<String>,
    bucket: Arc<Bucket>,
    key: Key,
}

impl S3Storage {
    pub(in super::super) async fn open(
        &self,
        id: &RecordId,
        format: &FormatName,
        shelf: Shelf,
        path: &FilePath,
    ) -> Result<Option<OpenedPath>> {
        // An invalid key has no object.
        let Ok(key) = FormatLocation::new(shelf, format, id).at(path.as_str()) else { return Ok(None) };
        let Some(meta) = self.bucket.head(&key).await? else {
            return Ok(self.bucket.any_below(&key).await?.then_some(OpenedPath::Directory));
        };
        let is_plain = |c: &char| c.is_ascii_alphanumeric() || *c == '-';
        let mut tag: String = meta.e_tag.iter().flat_map(|tag| tag.chars()).filter(is_plain).collect();
        if tag.is_empty() {
            tag = format!("{:x}-{:x}", meta.last_modified.timestamp_millis(), meta.size);
        }
        let object = Object { e_tag: meta.e_tag, bucket: self.bucket.clone(), key };
        let modified = Some(meta.last_modified.into());
        Ok(Some(OpenedPath::File(StoredFile::from_s3(meta.size, modified, tag, object))))
    }

    /// See [`Storage::signed_url`](super::super::Storage::signed_url).
    pub(in super::super) async fn signed_url(
        &self,
        id: &RecordId,
        format: &FormatName,
        shelf: Shelf,
        path: &FilePath,
        download: bool,
    ) -> Result<Option<String>> {
        let Some(expires) = self.url_expires else { return Ok(None) };
        let key = FormatLocation::new(shelf, format, id).at(path.as_str())?;
        let mut options = SignedUrlOptions::default();
        if download {
            options = options.with_query([("response-content-disposition", "attachment")]);
        }
        let signed = self.bucket.0.signed_url_opts(Method::GET, &key, expires, &options).await;
        signed.map(|url| Some(url.into())).map_err(|error| s3_error("sign a URL for", &key, &error))
    }
}

type ReadTask = JoinHandle<Result<Bytes>>;

impl Object {
    /// Reads a range, which must be within the object.
    pub(in super::super) fn read(self, range: Range<u64>) -> impl Stream<Item = Result<Bytes>> + Send + Sync {
        let object = Arc::new(self);
        // Reads the next chunk while one is being sent.
        stream::unfold((object, range, None), |(object, mut range, reading)| async move {
            let reading: ReadTask = match reading {
                Some(reading) => reading,
                None => object.start_next_read(&mut range)?,
            };
            let result = reading.await.unwrap_or_else(|_| Err(BlockingError::Stopping.into()));
            let next = match &result {
                Ok(_) => object.start_next_read(&mut range),
                Err(_) => {
                    range.start = range.end;
                    None
                }
            };
            Some((result, (object, range, next)))
        })
    }

    fn start_next_read(self: &Arc<Self>, left: &mut Range<u64>) -> Option<ReadTask> {
        let chunk = take_chunk(left, CHUNK_BYTES)?;
        let object = self.clone();
        Some(spawn(async move { object.bucket.read_range(&object.key, chunk, object.e_tag.clone()).await }))
    }
}
