//! Uploads: many files in parallel, large ones in parts, with a limit on the bytes in memory.

use super::super::StorageError;
use super::S3Storage;
use super::bucket::{MAX_PARALLEL_REQUESTS, Result, content_type, object_key, s3_error};
use super::keys::{LAST_FILE, Note};
use crate::blocking::run_blocking;
use crate::recordings::RecordId;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use object_store::multipart::MultipartStore;
use object_store::path::Path as Key;
use object_store::{PutMultipartOptions, PutPayload};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Size of a part. S3 requires at least 5 MiB, and one size for all parts but the last.
pub(super) const PART_BYTES: u64 = 8 << 20;
/// Parts in memory at the same time, over all uploads.
pub(super) const MAX_PARTS_IN_MEMORY: usize = 8;
/// S3's limit of parts in one upload.
const MAX_PARTS: u64 = 10_000;

/// A file to upload.
#[derive(Debug)]
pub(super) struct UploadFile {
    /// Its path within the format.
    name: String,
    path: PathBuf,
    size: u64,
}

/// The note of a multipart upload, with what recovery needs to abort it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct MultipartNote {
    pub(super) key: String,
    pub(super) id: String,
}

/// All files below a directory. A link to a file within the directory is uploaded as that file: S3 has no links,
/// and no empty directories. Other links are skipped; the importer creates none.
pub(super) fn list_files(from: &Path) -> Result<Vec<UploadFile>> {
    let failed = |path: &Path, source| StorageError::Io { what: "read", path: path.to_owned(), source };
    let root = from.canonicalize().map_err(|error| failed(from, error))?;
    let mut found = Vec::new();
    let mut todo = vec![root.clone()];
    while let Some(directory) = todo.pop() {
        for entry in std::fs::read_dir(&directory).map_err(|error| failed(&directory, error))? {
            let entry = entry.map_err(|error| failed(&directory, error))?;
            let (path, kind) = (entry.path(), entry.file_type().map_err(|error| failed(&directory, error))?);
            if kind.is_dir() {
                todo.push(path);
                continue;
            }
            let target = match kind.is_symlink() {
                true => path.canonicalize().ok().filter(|target| target.starts_with(&root)),
                false => Some(path.clone()),
            };
            let metadata = target.as_ref().and_then(|target| target.symlink_metadata().ok());
            let (Some(target), Some(metadata)) = (target, metadata.filter(|metadata| metadata.is_file()))
            else {
                tracing::warn!(path = %path.display(), "not uploaded: neither a file nor a link to a file of the format");
                continue;
            };
            let name = path.strip_prefix(&root).ok().and_then(Path::to_str);
            let name = name.ok_or_else(|| StorageError::BadName(path.to_string_lossy().into_owned()))?;
            found.push(UploadFile { name: name.to_owned(), path: target, size: metadata.len() });
        }
    }
    Ok(found)
}

impl S3Storage {
    /// Uploads files to keys that begin with `prefix/`, [`LAST_FILE`] after all others.
    pub(super) async fn upload(&self, id: &RecordId, files: Vec<UploadFile>, prefix: &Key) -> Result<()> {
        let mut keys = Vec::new();
        for file in files {
            keys.push((object_key(&format!("{prefix}/{}", file.name))?, file));
        }
        let (last, others): (Vec<_>, Vec<_>) = keys.into_iter().partition(|(_, file)| file.name == LAST_FILE);
        for group in [others, last] {
            stream::iter(group)
                .map(|(to, file)| async move { self.upload_file(id, file, &to).await })
                .buffer_unordered(MAX_PARALLEL_REQUESTS)
                .try_collect::<()>()
                .await?;
        }
        Ok(())
    }

    async fn upload_file(&self, id: &RecordId, file: UploadFile, to: &Key) -> Result<()> {
        if file.size > PART_BYTES {
            let read = move |range: Range<u64>| read_file(file.path.clone(), range).boxed();
            return self.upload_parts(id, file.size, to, read).await;
        }
        let _permit = self.parts_in_memory.acquire().await;
        let bytes = read_file(file.path, 0..file.size).await?;
        self.bucket.put(to, bytes).await
    }

    /// Writes an object in parts. Its note is deleted once the upload is completed or aborted.
    pub(super) async fn upload_parts(
        &self,
        id: &RecordId,
        size: u64,
        to: &Key,
        read: impl Fn(Range<u64>) -> BoxFuture<'static, Result<Bytes>> + Send + Sync,
    ) -> Result<()> {
        let failed = |error| s3_error("upload", to, &error);
        let store = &self.bucket.0;
        let options = PutMultipartOptions { attributes: content_type(to), ..PutMultipartOptions::default() };
        let upload = store.create_multipart_opts(to, options).await.map_err(failed)?;
        let note = Note::Multipart.key(id);
        let unfinished = MultipartNote { key: to.to_string(), id: upload.clone() };
        let text = serde_json::to_vec(&unfinished).map_err(|error| StorageError::Setup(error.to_string()))?;
        let part_bytes = PART_BYTES.max(size.div_ceil(MAX_PARTS));
        let ranges = (0..size.div_ceil(part_bytes)).map(|n| n * part_bytes..size.min((n + 1) * part_bytes));
        let (upload_id, read) = (&upload, &read);
        let all = async {
            self.bucket.put(&note, text.into()).await?;
            let parts: Vec<_> = stream::iter(ranges.enumerate())
                .map(|(n, range)| async move {
                    let _permit = self.parts_in_memory.acquire().await;
                    let bytes = PutPayload::from_bytes(read(range).await?);
                    store.put_part(to, upload_id, n, bytes).await.map_err(failed)
                })
                .buffered(MAX_PARTS_IN_MEMORY)
                .try_collect()
                .await?;
            store.complete_multipart(to, upload_id, parts).await.map_err(failed)
        };
        let done = all.await;
        if done.is_err() && store.abort_multipart(to, &upload).await.is_err() {
            // The note stays for recovery.
            return done.map(drop);
        }
        let cleared = self.bucket.delete(vec![note]).await;
        done.map(drop).and(cleared)
    }

    /// Copies an object within the bucket.
    pub(super) async fn copy(&self, id: &RecordId, from: &Key, to: &Key, size: u64) -> Result<()> {
        if size <= self.max_copy_bytes {
            return self.bucket.copy(from, to).await;
        }
        let (bucket, source) = (self.bucket.clone(), from.clone());
        let read = move |range| {
            let (bucket, source) = (bucket.clone(), source.clone());
            async move { bucket.read_range(&source, range, None).await }.boxed()
        };
        self.upload_parts(id, size, to, read).await
    }
}

async fn read_file(path: PathBuf, range: Range<u64>) -> Result<Bytes> {
    let path = Arc::new(path);
    let failed = |source| StorageError::Io { what: "read", path: path.to_path_buf(), source };
    let file = path.clone();
    let read = run_blocking(move || {
        let mut bytes = vec![0; (range.end - range.start) as usize];
        File::open(&*file)?.read_exact_at(&mut bytes, range.start)?;
        Ok(Bytes::from(bytes))
    });
    read.await.map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_within_become_files_and_others_are_left_out() {
        let (directory, outside) = (tempfile::TempDir::new().unwrap(), tempfile::TempDir::new().unwrap());
        let at = |name: &str| directory.path().join(name);
        fs::create_dir_all(at("deep/er")).unwrap();
        fs::create_dir(at("empty")).unwrap();
        fs::write(at("deep/er/file"), "four").unwrap();
        fs::write(outside.path().join("file"), "elsewhere").unwrap();
        symlink("er/file", at("deep/link")).unwrap();
        symlink("link", at("deep/chain")).unwrap();
        symlink("..", at("deep/up")).unwrap();
        symlink("nothing", at("dangling")).unwrap();
        symlink(outside.path().join("file"), at("out")).unwrap();
        symlink("/etc/passwd", at("passwd")).unwrap();
        let mut found: Vec<_> =
            list_files(directory.path()).unwrap().into_iter().map(|file| (file.name, file.size)).collect();
        found.sort();
        let expected = [("deep/chain", 4), ("deep/er/file", 4), ("deep/link", 4)];
        assert_eq!(found, expected.map(|(name, size)| (name.to_owned(), size)));
    }
}
