//! Uploads: resumed, finished, refused, abandoned.

use super::*;
use crate::recordings::spool::is_archive;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

fn id() -> RecordId {
    RecordId::parse("r-1").unwrap()
}

fn upload(text: &[u8]) -> Upload {
    let sha256 = Some(Sha256::digest(text).into());
    Upload { record_id: id(), server: "s1".into(), sha256, total: Some(text.len() as u64), packed: None }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn archives(directory: &Path) -> Vec<String> {
    let mut names = names(directory);
    names.retain(|name| is_archive(name));
    names
}

async fn send(
    receiver: &UploadReceiver,
    upload: &Upload,
    offset: u64,
    text: &[u8],
) -> Result<UploadProgress, UploadError> {
    let mut incoming = receiver.begin(upload, offset).await?;
    for chunk in text.chunks(3) {
        incoming.write(Bytes::copy_from_slice(chunk)).await?;
    }
    incoming.finish().await
}

#[tokio::test]
async fn archive_appears_when_it_is_complete() {
    let spool = TempDir::new().unwrap();
    let receiver = UploadReceiver::new(spool.path(), 100);
    let complete = upload(b"0123456789");
    assert_eq!(send(&receiver, &complete, 0, b"0123").await.unwrap(), UploadProgress::Partial(4));
    assert_eq!(receiver.received_bytes(&complete).await.unwrap(), 4);
    assert_eq!(receiver.locate_archive(&complete).await.unwrap(), None);
    assert!(names(spool.path()).iter().all(|name| !is_archive(name)));
    assert!(matches!(send(&receiver, &complete, 3, b"3").await, Err(UploadError::Offset(4))));
    assert!(matches!(send(&receiver, &complete, 5, b"5").await, Err(UploadError::Offset(4))));
    // Another archive of the same recording is not mixed with it.
    assert_eq!(receiver.received_bytes(&upload(b"other")).await.unwrap(), 0);
    assert!(matches!(send(&receiver, &upload(b"other"), 1, b"x").await, Err(UploadError::Offset(0))));
    assert_eq!(send(&receiver, &complete, 4, b"456789").await.unwrap(), UploadProgress::Complete);
    assert_eq!(archives(spool.path()), ["r-1.upload.s1.tar"]);
    assert_eq!(fs::read(spool.path().join("r-1.upload.s1.tar")).unwrap(), b"0123456789");
    assert_eq!(receiver.locate_archive(&complete).await.unwrap(), Some(ArchiveLocation::Spool));
    // The sender can find out that it was taken, until it starts over.
    assert!(receiver.was_taken(&complete).await.unwrap());
    assert!(!receiver.was_taken(&upload(b"other")).await.unwrap());
    send(&receiver, &complete, 0, b"0").await.unwrap();
    assert!(!receiver.was_taken(&complete).await.unwrap());
}

#[tokio::test]
async fn upload_with_all_bytes_is_finished_by_an_empty_request() {
    let spool = TempDir::new().unwrap();
    let receiver = UploadReceiver::new(spool.path(), 100);
    let complete = upload(b"0123456789");
    // As after a kill that followed the last byte.
    fs::write(receiver.part_path(&complete), b"0123456789").unwrap();
    assert_eq!(send(&receiver, &complete, 10, b"").await.unwrap(), UploadProgress::Complete);
    assert_eq!(archives(spool.path()), ["r-1.upload.s1.tar"]);
    // Other content of the same size is refused.
    fs::write(receiver.part_path(&complete), b"9876543210").unwrap();
    assert!(matches!(send(&receiver, &complete, 10, b"").await, Err(UploadError::Digest)));
    // The connection is cut off after the last byte.
    let mut incoming = receiver.begin(&complete, 0).await.unwrap();
    incoming.write(Bytes::from_static(b"0123456789")).await.unwrap();
    let writer = incoming.writer;
    drop(incoming.chunks);
    assert_eq!(writer.await.unwrap().unwrap(), UploadProgress::Complete);
}

#[tokio::test]
async fn archive_gets_the_announced_time_unless_it_is_in_the_future() {
    let spool = TempDir::new().unwrap();
    let receiver = UploadReceiver::new(spool.path(), 100);
    let made = |packed: SystemTime| Upload { packed: Some(packed), ..upload(b"0123456789") };
    let modified = || fs::metadata(spool.path().join("r-1.upload.s1.tar")).unwrap().modified().unwrap();
    let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600);
    send(&receiver, &made(then), 0, b"0123456789").await.unwrap();
    assert_eq!(modified(), then);
    send(&receiver, &made(SystemTime::now() + ABANDONED_AFTER), 0, b"0123456789").await.unwrap();
    assert!(modified() <= SystemTime::now());
}

#[tokio::test]
async fn dropped_upload_is_kept_and_can_start_over() {
    let spool = TempDir::new().unwrap();
    let receiver = UploadReceiver::new(spool.path(), 100);
    let complete = upload(b"0123456789");
    let mut incoming = receiver.begin(&complete, 0).await.unwrap();
    assert!(matches!(receiver.begin(&complete, 0).await, Err(UploadError::Busy)));
    incoming.write(Bytes::from_static(b"01234")).await.unwrap();
    let writer = incoming.writer;
    drop(incoming.chunks);
    assert_eq!(writer.await.unwrap().unwrap(), UploadProgress::Partial(5));
    assert_eq!(receiver.received_bytes(&complete).await.unwrap(), 5);
    assert_eq!(send(&receiver, &complete, 0, b"0123456789").await.unwrap(), UploadProgress::Complete);
    assert_eq!(archives(spool.path()), ["r-1.upload.s1.tar"]);
}

#[tokio::test]
async fn upload_of_wrong_size_or_content_is_refused() {
    let spool = TempDir::new().unwrap();
    let receiver = UploadReceiver::new(spool.path(), 12);
    let mut large = upload(b"0123456789abc");
    assert!(matches!(receiver.begin(&large, 0).await, Err(UploadError::TooLarge(12))));
    large.total = None;
    assert!(matches!(send(&receiver, &large, 0, b"0123456789abc").await, Err(UploadError::TooLarge(12))));
    let complete = upload(b"0123456789");
    assert!(matches!(send(&receiver, &complete, 0, b"0123456789a").await, Err(UploadError::TooLarge(10))));
    assert!(matches!(send(&receiver, &complete, 0, b"0123456x89").await, Err(UploadError::Digest)));
    assert_eq!(receiver.received_bytes(&complete).await.unwrap(), 0);
    let unnamed = Upload { record_id: id(), server: "s1".into(), sha256: None, total: None, packed: None };
    assert_eq!(send(&receiver, &unnamed, 0, b"anything").await.unwrap(), UploadProgress::Complete);
    assert_eq!(fs::read(spool.path().join("r-1.upload.s1.tar")).unwrap(), b"anything");
}

#[tokio::test]
async fn remove_abandoned_removes_old_parts_only() {
    let spool = TempDir::new().unwrap();
    let receiver = UploadReceiver::new(spool.path(), 100);
    send(&receiver, &upload(b"0123456789"), 0, b"0123").await.unwrap();
    send(&receiver, &upload(b"abc"), 0, b"a").await.unwrap();
    remove_abandoned(spool.path()).unwrap();
    assert_eq!(names(spool.path()).len(), 2);
    let path = receiver.part_path(&upload(b"abc"));
    let part = File::options().write(true).open(&path).unwrap();
    part.set_modified(SystemTime::now() - ABANDONED_AFTER).unwrap();
    remove_abandoned(spool.path()).unwrap();
    assert_eq!(names(spool.path()).len(), 1);
    assert!(!path.exists());
}

#[tokio::test]
async fn begin_fails_if_the_spool_does_not_exist() {
    let receiver = UploadReceiver::new("/nowhere/at/all", 100);
    assert!(matches!(receiver.begin(&upload(b"x"), 0).await, Err(UploadError::Io(_))));
}
