//! One bucket: the operations of S3, with readable errors.

use super::super::StorageError;
use super::http_client::S3Connector;
use crate::config::S3Config;
use crate::net::tls;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, BackoffConfig, Error, GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutOptions, PutPayload, RetryConfig,
};
use std::time::Duration;

/// Parallel requests of one operation on many objects.
pub(super) const MAX_PARALLEL_REQUESTS: usize = 16;
/// S3's limit.
const MAX_KEY_BYTES: usize = 1024;

pub(super) type Result<T> = std::result::Result<T, StorageError>;

/// A bucket.
#[derive(Debug)]
pub(super) struct Bucket(pub(super) AmazonS3);

/// A page of a listing of one level.
pub(super) struct ListingPage {
    /// Names of prefixes with objects below them.
    pub(super) directories: Vec<String>,
    /// Token of the next page.
    pub(super) next: Option<String>,
}

impl Bucket {
    pub(super) fn new(config: &S3Config) -> Result<Bucket> {
        let setup = |error: &dyn std::fmt::Display| StorageError::Setup(error.to_string());
        let tls = tls::client_config(config.extra_ca_file.as_deref()).map_err(|error| setup(&error))?;
        let mut builder = AmazonS3Builder::new()
            .with_http_connector(S3Connector::new(tls))
            .with_bucket_name(&config.bucket)
            .with_region(&config.region)
            // A client's request must fail within 15 seconds if S3 is down; the importer retries.
            .with_retry(RetryConfig {
                max_retries: 4,
                retry_timeout: Duration::from_secs(10),
                backoff: BackoffConfig { max_backoff: Duration::from_secs(2), ..BackoffConfig::default() },
            });
        if let Some(endpoint) = &config.endpoint {
            builder = builder.with_endpoint(endpoint).with_allow_http(endpoint.starts_with("http:"));
        }
        if let Some((id, key)) = &config.keys {
            builder = builder.with_access_key_id(id.expose()).with_secret_access_key(key.expose());
        }
        for (name, value) in &config.aws {
            let key: AmazonS3ConfigKey =
                name.to_ascii_lowercase().parse().map_err(|error: Error| setup(&error))?;
            builder = builder.with_config(key, value.expose());
        }
        Ok(Bucket(builder.build().map_err(|error| setup(&error))?))
    }

    /// Writes a small object.
    pub(super) async fn put(&self, key: &Path, bytes: Bytes) -> Result<()> {
        let options = PutOptions { attributes: content_type(key), ..PutOptions::default() };
        let put = self.0.put_opts(key, PutPayload::from_bytes(bytes), options).await;
        put.map(drop).map_err(|error| s3_error("write", key, &error))
    }

    /// Size, time and ETag of an object. None if it does not exist.
    pub(super) async fn head(&self, key: &Path) -> Result<Option<ObjectMeta>> {
        not_found_as_none(self.0.head(key).await).map_err(|error| s3_error("inspect", key, &error))
    }

    /// The first `max_bytes` of an object. None if it does not exist.
    pub(super) async fn read(&self, key: &Path, max_bytes: u64) -> Result<Option<Vec<u8>>> {
        let failed = |error| s3_error("read", key, &error);
        let Some(found) = not_found_as_none(self.0.get(key).await).map_err(failed)? else { return Ok(None) };
        let mut pieces = found.into_stream();
        let mut bytes = Vec::new();
        while let Some(piece) = pieces.try_next().await.map_err(failed)? {
            let space = usize::try_from(max_bytes).unwrap_or(usize::MAX) - bytes.len();
            bytes.extend_from_slice(&piece[..piece.len().min(space)]);
            if bytes.len() as u64 >= max_bytes {
                break;
            }
        }
        Ok(Some(bytes))
    }

    /// Reads a range of an object; fails if its ETag is no longer `tag`.
    pub(super) async fn read_range(
        &self,
        key: &Path,
        range: std::ops::Range<u64>,
        tag: Option<String>,
    ) -> Result<Bytes> {
        let options = GetOptions { if_match: tag, range: Some(range.into()), ..GetOptions::default() };
        let read = async { self.0.get_opts(key, options).await?.bytes().await };
        read.await.map_err(|error| s3_error("read", key, &error))
    }

    /// Copies an object within the bucket, up to 5 GB.
    pub(super) async fn copy(&self, from: &Path, to: &Path) -> Result<()> {
        self.0.copy(from, to).await.map_err(|error| s3_error("copy", from, &error))
    }

    /// Deletes objects, a thousand with each request. Missing ones are fine.
    pub(super) async fn delete(&self, keys: Vec<Path>) -> Result<()> {
        // A missing object is an error only for services that delete objects one by one.
        let Some(first) = keys.first().cloned() else { return Ok(()) };
        let keys = stream::iter(keys.into_iter().map(Ok)).boxed();
        let deleted = self
            .0
            .delete_stream(keys)
            .filter(|deleted| std::future::ready(!matches!(deleted, Ok(_) | Err(Error::NotFound { .. }))));
        let mut deleted = std::pin::pin!(deleted);
        match deleted.next().await {
            Some(Err(error)) => Err(s3_error("delete", &first, &error)),
            _ => Ok(()),
        }
    }

    /// All objects below a prefix.
    pub(super) async fn list_below(&self, prefix: &Path) -> Result<Vec<ObjectMeta>> {
        self.0.list(Some(prefix)).try_collect().await.map_err(|error| s3_error("list", prefix, &error))
    }

    /// Whether there are objects below a prefix.
    pub(super) async fn any_below(&self, prefix: &Path) -> Result<bool> {
        let options = PaginatedListOptions { max_keys: Some(1), ..PaginatedListOptions::default() };
        let page = self.0.list_paginated(Some(&format!("{prefix}/")), options).await;
        Ok(!page.map_err(|error| s3_error("list", prefix, &error))?.result.objects.is_empty())
    }

    /// Lists one level below a prefix, page by page.
    pub(super) async fn page(&self, prefix: &Path, from: Option<String>) -> Result<ListingPage> {
        let options = PaginatedListOptions {
            delimiter: Some("/".into()),
            page_token: from,
            ..PaginatedListOptions::default()
        };
        let page = self.0.list_paginated(Some(&format!("{prefix}/")), options).await;
        let page = page.map_err(|error| s3_error("list", prefix, &error))?;
        let directories = page.result.common_prefixes.iter().filter_map(|path| path.filename());
        Ok(ListingPage { directories: directories.map(str::to_owned).collect(), next: page.page_token })
    }

    /// The directories one level below a prefix.
    pub(super) async fn directories(&self, prefix: &Path) -> Result<Vec<String>> {
        let mut names = Vec::new();
        let mut from = None;
        loop {
            let page = self.page(prefix, from).await?;
            names.extend(page.directories);
            match page.next {
                Some(next) => from = Some(next),
                None => return Ok(names),
            }
        }
    }
}

/// A key with exactly this text, without the escapes that object_store would insert.
pub(super) fn object_key(text: &str) -> Result<Path> {
    let bad = || StorageError::BadName(text.escape_debug().take(200).collect());
    if text.len() > MAX_KEY_BYTES {
        return Err(bad());
    }
    Path::parse(text).ok().filter(|key| key.as_ref() == text).ok_or_else(bad)
}

/// The Content-Type of an object, for browsers that are redirected to the bucket.
pub(super) fn content_type(key: &Path) -> Attributes {
    let kind = mime_guess::from_path(key.as_ref()).first_raw().unwrap_or("application/octet-stream");
    Attributes::from_iter([(Attribute::ContentType, kind)])
}

fn not_found_as_none<T>(found: object_store::Result<T>) -> object_store::Result<Option<T>> {
    match found {
        Err(Error::NotFound { .. }) => Ok(None),
        found => found.map(Some),
    }
}

/// An error in one line, without the signatures of our request, which S3 repeats in its responses.
pub(super) fn s3_error(what: &'static str, key: &Path, error: &Error) -> StorageError {
    let mut why = error.to_string();
    if let Some(at) = why.find("<?xml").or_else(|| why.find("<Error>")) {
        let details: Vec<&str> =
            ["<Code>", "<Message>"].into_iter().filter_map(|name| element_text(&why[at..], name)).collect();
        let summary = details.join(": ");
        why.truncate(at);
        why.push_str(&summary);
    }
    let why = why.split_whitespace().collect::<Vec<_>>().join(" ");
    StorageError::S3 { what, key: key.to_string(), why: why.chars().take(500).collect() }
}

fn element_text<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(name)?;
    rest.split('<').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_key_keeps_the_text() {
        for fine in ["published/video/r1/a b.webm", "published/x/y/[1]~%41#?{ü}", "a/.hidden", "a/..."] {
            assert_eq!(object_key(fine).unwrap().as_ref(), fine);
        }
        for bad in ["a//b", "/a", "a/", "a/../b", "a/./b", "a/b\nc", &"a".repeat(1025)] {
            assert!(matches!(object_key(bad), Err(StorageError::BadName(_))), "{bad:?}");
        }
    }

    #[test]
    fn errors_contain_no_signatures() {
        let body = "Server returned non-2xx status code: 403: <?xml version=\"1.0\"?><Error>\
            <Code>SignatureDoesNotMatch</Code><Message>The signature does not match.</Message>\
            <StringToSign>AWS4-HMAC-SHA256 hidden</StringToSign><SignatureProvided>hidden</SignatureProvided></Error>";
        let error = Error::Generic { store: "S3", source: body.into() };
        let told = s3_error("read", &Path::from("a"), &error).to_string();
        assert!(told.contains("403") && told.contains("SignatureDoesNotMatch: The signature"), "{told}");
        assert!(!told.contains("hidden"), "{told}");
    }
}
