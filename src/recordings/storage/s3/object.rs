//! Objects for who watches: any part of one, a piece at a time, or a URL to fetch it from the bucket.

use super::super::Found;
use super::super::stored_file::StoredFile;
use super::bucket::{Bucket, Result, fail};
use super::keys::Place;
use super::{S3, stopping};
use crate::recordings::{FilePath, FormatName, RecordId, Shelf};
use bytes::Bytes;
use futures_util::{Stream, stream};
use http::Method;
use object_store::path::Path as Key;
use object_store::signer::{SignedUrlOptions, Signer};
use std::ops::Range;
use std::sync::Arc;
use tokio::task::{JoinHandle, spawn};

/// What is asked for at once. Two such pieces of an object are in memory, one being sent and one being read.
const PIECE: u64 = 1 << 20;

/// An object that was looked at. Should it be replaced meanwhile, reading it fails: nobody gets the
/// beginning of one and the end of another.
#[derive(Debug)]
pub(in super::super) struct Object {
    e_tag: Option<String>,
    bucket: Arc<Bucket>,
    key: Key,
}

impl S3 {
    pub(in super::super) async fn open(
        &self,
        id: &RecordId,
        format: &FormatName,
        shelf: Shelf,
        path: &FilePath,
    ) -> Result<Option<Found>> {
        // What can be no key is no object.
        let Ok(key) = Place::new(shelf, format, id).at(path.as_str()) else { return Ok(None) };
        let Some(about) = self.bucket.head(&key).await? else {
            return Ok(self.bucket.has_below(&key).await?.then_some(Found::Directory));
        };
        let is_plain = |c: &char| c.is_ascii_alphanumeric() || *c == '-';
        let mut tag: String = about.e_tag.iter().flat_map(|tag| tag.chars()).filter(is_plain).collect();
        if tag.is_empty() {
            tag = format!("{:x}-{:x}", about.last_modified.timestamp_millis(), about.size);
        }
        let object = Object { e_tag: about.e_tag, bucket: self.bucket.clone(), key };
        let modified = Some(about.last_modified.into());
        Ok(Some(Found::File(StoredFile::in_s3(about.size, modified, tag, object))))
    }

    /// Where a browser fetches a file from the bucket itself. None where it is to get it from us.
    pub(in super::super) async fn signed_url(
        &self,
        id: &RecordId,
        format: &FormatName,
        shelf: Shelf,
        path: &FilePath,
        saved: bool,
    ) -> Result<Option<String>> {
        let Some(expires) = self.url_expires else { return Ok(None) };
        let key = Place::new(shelf, format, id).at(path.as_str())?;
        let mut options = SignedUrlOptions::default();
        if saved {
            options = options.with_query([("response-content-disposition", "attachment")]);
        }
        let signed = self.bucket.0.signed_url_opts(Method::GET, &key, expires, &options).await;
        signed.map(|url| Some(url.into())).map_err(|error| fail("sign a URL for", &key, &error))
    }
}

type Reading = JoinHandle<Result<Bytes>>;

impl Object {
    /// These bytes of it, which must be within it.
    pub(in super::super) fn read(self, range: Range<u64>) -> impl Stream<Item = Result<Bytes>> + Send + Sync {
        let object = Arc::new(self);
        // While a piece is being sent, the next one is being read.
        stream::unfold((object, range, None), |(object, mut range, reading)| async move {
            let reading: Reading = match reading {
                Some(reading) => reading,
                None => object.begin(&mut range)?,
            };
            let result = reading.await.unwrap_or_else(|_| Err(stopping()));
            let next = match &result {
                Ok(_) => object.begin(&mut range),
                Err(_) => {
                    range.start = range.end;
                    None
                }
            };
            Some((result, (object, range, next)))
        })
    }

    fn begin(self: &Arc<Self>, left: &mut Range<u64>) -> Option<Reading> {
        let piece = left.start..left.end.min(left.start + PIECE);
        if piece.is_empty() {
            return None;
        }
        left.start = piece.end;
        let object = self.clone();
        Some(spawn(async move { object.bucket.read_range(&object.key, piece, object.e_tag.clone()).await }))
    }
}
