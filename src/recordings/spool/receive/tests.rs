//! Parts, and what becomes of them.

use super::*;
use tempfile::TempDir;

fn id() -> RecordId {
    RecordId::parse("r-1").unwrap()
}

fn upload(text: &[u8]) -> Upload {
    let sha256 = Some(Sha256::digest(text).into());
    Upload { record_id: id(), sha256, total: Some(text.len() as u64), packed: None }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Those that importers see.
fn archives(directory: &Path) -> Vec<String> {
    let mut names = names(directory);
    names.retain(|name| crate::recordings::spool::is_archive(name));
    names
}

async fn send(
    uploads: &Uploads,
    upload: &Upload,
    after: u64,
    text: &[u8],
) -> Result<Option<u64>, UploadError> {
    let mut receiving = uploads.begin(upload, after).await?;
    for piece in text.chunks(3) {
        receiving.piece(Bytes::copy_from_slice(piece)).await?;
    }
    receiving.end().await
}

#[tokio::test]
async fn an_archive_is_there_when_it_is_whole() {
    let spool = TempDir::new().unwrap();
    let uploads = Uploads::new(spool.path(), 100);
    let whole = upload(b"0123456789");
    assert_eq!(send(&uploads, &whole, 0, b"0123").await.unwrap(), Some(4));
    assert_eq!(uploads.received(&whole).await.unwrap(), 4);
    assert_eq!(uploads.waiting(&id()).await.unwrap(), (false, false));
    assert!(names(spool.path()).iter().all(|name| !crate::recordings::spool::is_archive(name)));
    assert!(matches!(send(&uploads, &whole, 3, b"3").await, Err(UploadError::Offset(4))));
    assert!(matches!(send(&uploads, &whole, 5, b"5").await, Err(UploadError::Offset(4))));
    // Another archive of the same recording is another one.
    assert_eq!(uploads.received(&upload(b"other")).await.unwrap(), 0);
    assert!(matches!(send(&uploads, &upload(b"other"), 1, b"x").await, Err(UploadError::Offset(0))));
    assert_eq!(send(&uploads, &whole, 4, b"456789").await.unwrap(), None);
    assert_eq!(archives(spool.path()), ["r-1.tar"]);
    assert_eq!(fs::read(spool.path().join("r-1.tar")).unwrap(), b"0123456789");
    assert_eq!(uploads.waiting(&id()).await.unwrap(), (true, false));
    // The sender may ask whether it was, until it begins anew.
    assert!(uploads.was_taken(&whole).await.unwrap());
    assert!(!uploads.was_taken(&upload(b"other")).await.unwrap());
    send(&uploads, &whole, 0, b"0").await.unwrap();
    assert!(!uploads.was_taken(&whole).await.unwrap());
}

#[tokio::test]
async fn what_is_all_there_is_finished_by_nothing_more() {
    let spool = TempDir::new().unwrap();
    let uploads = Uploads::new(spool.path(), 100);
    let whole = upload(b"0123456789");
    // A kill after the last byte has left this.
    fs::write(uploads.part(&whole), b"0123456789").unwrap();
    assert_eq!(send(&uploads, &whole, 10, b"").await.unwrap(), None);
    assert_eq!(archives(spool.path()), ["r-1.tar"]);
    // Something else of that size is not taken for it.
    fs::write(uploads.part(&whole), b"9876543210").unwrap();
    assert!(matches!(send(&uploads, &whole, 10, b"").await, Err(UploadError::Digest)));
    // The connection breaks after the last byte.
    let mut receiving = uploads.begin(&whole, 0).await.unwrap();
    receiving.piece(Bytes::from_static(b"0123456789")).await.unwrap();
    let writer = receiving.writer;
    drop(receiving.pieces);
    assert_eq!(writer.await.unwrap().unwrap(), WHOLE);
}

#[tokio::test]
async fn an_archive_is_as_old_as_its_sender_says_and_not_from_the_future() {
    let spool = TempDir::new().unwrap();
    let uploads = Uploads::new(spool.path(), 100);
    let made = |packed: SystemTime| Upload { packed: Some(packed), ..upload(b"0123456789") };
    let modified = || fs::metadata(spool.path().join("r-1.tar")).unwrap().modified().unwrap();
    let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600);
    send(&uploads, &made(then), 0, b"0123456789").await.unwrap();
    assert_eq!(modified(), then);
    send(&uploads, &made(SystemTime::now() + ABANDONED), 0, b"0123456789").await.unwrap();
    assert!(modified() <= SystemTime::now());
}

#[tokio::test]
async fn what_is_dropped_is_kept_and_can_begin_anew() {
    let spool = TempDir::new().unwrap();
    let uploads = Uploads::new(spool.path(), 100);
    let whole = upload(b"0123456789");
    let mut receiving = uploads.begin(&whole, 0).await.unwrap();
    assert!(matches!(uploads.begin(&whole, 0).await, Err(UploadError::Busy)));
    receiving.piece(Bytes::from_static(b"01234")).await.unwrap();
    let writer = receiving.writer;
    drop(receiving.pieces);
    assert_eq!(writer.await.unwrap().unwrap(), 5);
    assert_eq!(uploads.received(&whole).await.unwrap(), 5);
    assert_eq!(send(&uploads, &whole, 0, b"0123456789").await.unwrap(), None);
    assert_eq!(archives(spool.path()), ["r-1.tar"]);
}

#[tokio::test]
async fn too_much_and_something_else_are_refused() {
    let spool = TempDir::new().unwrap();
    let uploads = Uploads::new(spool.path(), 12);
    let mut large = upload(b"0123456789abc");
    assert!(matches!(uploads.begin(&large, 0).await, Err(UploadError::TooLarge(12))));
    large.total = None;
    assert!(matches!(send(&uploads, &large, 0, b"0123456789abc").await, Err(UploadError::TooLarge(12))));
    let whole = upload(b"0123456789");
    assert!(matches!(send(&uploads, &whole, 0, b"0123456789a").await, Err(UploadError::TooLarge(10))));
    assert!(matches!(send(&uploads, &whole, 0, b"0123456x89").await, Err(UploadError::Digest)));
    assert_eq!(uploads.received(&whole).await.unwrap(), 0);
    let unnamed = Upload { record_id: id(), sha256: None, total: None, packed: None };
    assert_eq!(send(&uploads, &unnamed, 0, b"anything").await.unwrap(), None);
    assert_eq!(fs::read(spool.path().join("r-1.tar")).unwrap(), b"anything");
}

#[tokio::test]
async fn parts_that_nobody_wants_go() {
    let spool = TempDir::new().unwrap();
    let uploads = Uploads::new(spool.path(), 100);
    send(&uploads, &upload(b"0123456789"), 0, b"0123").await.unwrap();
    send(&uploads, &upload(b"abc"), 0, b"a").await.unwrap();
    remove_abandoned(spool.path()).unwrap();
    assert_eq!(names(spool.path()).len(), 2);
    let path = uploads.part(&upload(b"abc"));
    File::options().write(true).open(&path).unwrap().set_modified(SystemTime::now() - ABANDONED).unwrap();
    remove_abandoned(spool.path()).unwrap();
    assert_eq!(names(spool.path()).len(), 1);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_spool_that_is_not_there_is_an_error() {
    let uploads = Uploads::new("/nowhere/at/all", 100);
    assert!(matches!(uploads.begin(&upload(b"x"), 0).await, Err(UploadError::Io(_))));
}
