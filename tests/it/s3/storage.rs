//! The contract of a storage, tested with a bucket.

use super::*;
use std::collections::BTreeSet;

#[tokio::test]
async fn placed_format_leaves_no_source_directory() {
    let (bucket, work) = (Bucket::start(), TempDir::new().unwrap());
    let storage = bucket.storage();
    let from = unpacked(&work, &files("one"));
    storage.put_format(&from, &id(), &format("video"), Shelf::Unpublished).await.unwrap();
    assert_holds(&bucket, &[("unpublished/video", "one")]);
    assert!(!from.exists());
    assert_eq!(storage.formats(&id()).await.unwrap(), [(format("video"), Shelf::Unpublished)]);
    let metadata = storage.read_metadata(&id(), &format("video"), Shelf::Unpublished, 6).await.unwrap();
    assert_eq!(metadata.as_deref(), Some(&b"<x>one"[..]));
    for (of, shelf) in [("video", Shelf::Published), ("notes", Shelf::Unpublished)] {
        assert_eq!(storage.read_metadata(&id(), &format(of), shelf, 6).await.unwrap(), None);
    }
}

#[tokio::test]
async fn placed_format_replaces_old_one_on_either_shelf() {
    for shelf in ["published", "unpublished"] {
        let (bucket, work) = (Bucket::start(), TempDir::new().unwrap());
        put_format(&bucket, &format!("{shelf}/video"), "before");
        bucket.put(&format!("{shelf}/video/{ID}/only/the/old/one/has.it"), b"old");
        put_format(&bucket, &format!("{shelf}/notes"), "notes");
        let from = unpacked(&work, &files("after"));
        bucket.storage().put_format(&from, &id(), &format("video"), Shelf::Published).await.unwrap();
        assert_holds(&bucket, &[("published/video", "after"), (&format!("{shelf}/notes"), "notes")]);
        assert!(!from.exists());
    }
}

#[tokio::test]
async fn formats_of_over_1000_objects_are_placed_moved_replaced_and_removed() {
    let (bucket, work) = (Bucket::start(), TempDir::new().unwrap());
    let storage = bucket.storage();
    let many = |count: usize| {
        let mut files = vec![("metadata.xml".to_owned(), "<x/>".to_owned())];
        files.extend((1..count).map(|n| (format!("slides/slide-{n}.png"), format!("slide {n}"))));
        files
    };
    let directory = |count| {
        let files = many(count);
        let files: Vec<_> = files.iter().map(|(name, text)| (name.as_str(), text.clone())).collect();
        unpacked(&work, &files)
    };
    storage.put_format(&directory(1_200), &id(), &format("presentation"), Shelf::Published).await.unwrap();
    assert_eq!(bucket.objects().len(), 1_200);
    assert_eq!(
        move_and_finish(&storage, Some(Shelf::Published), Shelf::Unpublished).await,
        MoveOutcome::Moved
    );
    let expected: BTreeMap<String, Vec<u8>> = many(1_200)
        .into_iter()
        .map(|(name, text)| (format!("unpublished/presentation/{ID}/{name}"), text.into_bytes()))
        .collect();
    assert!(bucket.objects() == expected);
    storage.put_format(&directory(1_020), &id(), &format("presentation"), Shelf::Unpublished).await.unwrap();
    assert_eq!(bucket.objects().len(), 1_020);
    assert_eq!(storage.delete(&id()).await.unwrap(), 1);
    assert_eq!(bucket.keys(), [""; 0]);
}

#[tokio::test]
async fn large_file_is_uploaded_in_parts() {
    let (bucket, work) = (Bucket::start(), TempDir::new().unwrap());
    let video: String =
        (0..21_000_007u32).map(|n| char::from(b' ' + (n.wrapping_mul(2_654_435_761) >> 26) as u8)).collect();
    let files = [("metadata.xml", "<x/>".to_owned()), ("video.webm", video.clone())];
    let from = unpacked(&work, &files);
    let storage = bucket.storage();
    storage.put_format(&from, &id(), &format("video"), Shelf::Published).await.unwrap();
    let objects = bucket.objects();
    assert_eq!(objects.len(), 2, "{:?}", objects.keys());
    assert!(objects[&format!("published/video/{ID}/video.webm")] == video.as_bytes());
    assert_eq!(bucket.unfinished_uploads(), 0);
    // Replaced by itself, it is copied.
    let from = unpacked(&work, &files);
    storage.put_format(&from, &id(), &format("video"), Shelf::Published).await.unwrap();
    assert!(bucket.objects() == objects);
}

#[tokio::test]
async fn move_to_shelf_moves_all_formats_and_is_idempotent() {
    let bucket = Bucket::start();
    let storage = bucket.storage();
    assert_eq!(move_and_finish(&storage, None, Shelf::Published).await, MoveOutcome::Missing);
    for name in ["presentation", "video"] {
        put_format(&bucket, &format!("unpublished/{name}"), name);
    }
    assert_eq!(move_and_finish(&storage, None, Shelf::Published).await, MoveOutcome::Moved);
    assert_eq!(move_and_finish(&storage, None, Shelf::Published).await, MoveOutcome::AlreadyThere);
    assert_holds(&bucket, &[("published/presentation", "presentation"), ("published/video", "video")]);
}

#[tokio::test]
async fn move_to_shelf_keeps_copy_that_index_refers_to() {
    let bucket = Bucket::start();
    let storage = bucket.storage();
    put_format(&bucket, "published/video", "right");
    put_format(&bucket, "unpublished/video", "stale");
    bucket.put(&format!("unpublished/video/{ID}/stale.txt"), b"stale");
    put_format(&bucket, "unpublished/notes", "notes");
    assert_eq!(move_and_finish(&storage, Some(Shelf::Published), Shelf::Published).await, MoveOutcome::Moved);
    assert_holds(&bucket, &[("published/video", "right"), ("published/notes", "notes")]);
    // When moved to the other shelf, or unknown to the index, the copy on the other shelf is replaced instead.
    for now in [Some(Shelf::Published), None] {
        put_format(&bucket, "unpublished/video", "stale");
        bucket.put(&format!("unpublished/video/{ID}/stale.txt"), b"stale");
        assert_eq!(move_and_finish(&storage, now, Shelf::Unpublished).await, MoveOutcome::Moved);
        assert_holds(&bucket, &[("unpublished/video", "right"), ("unpublished/notes", "notes")]);
        assert_eq!(
            move_and_finish(&storage, Some(Shelf::Unpublished), Shelf::Published).await,
            MoveOutcome::Moved
        );
    }
}

#[tokio::test]
async fn remove_clears_both_shelves_and_nothing_else() {
    let bucket = Bucket::start();
    let storage = bucket.storage();
    put_format(&bucket, "published/video", "1");
    put_format(&bucket, "unpublished/video", "2");
    put_format(&bucket, "unpublished/notes", "3");
    for other in [format!("published/video/{ID}0/metadata.xml"), format!(".sl-work/{ID}0/move/x")] {
        bucket.put(&other, b"another recording's");
    }
    assert_eq!(storage.delete(&id()).await.unwrap(), 2);
    assert_eq!(bucket.keys().len(), 2, "{:?}", bucket.keys());
    assert_eq!(storage.delete(&id()).await.unwrap(), 0);
}

#[tokio::test]
async fn list_contains_only_recordings() {
    let bucket = Bucket::start();
    let mut expected = BTreeSet::new();
    for n in 0..1_050 {
        let path = format!("video/r{n}");
        bucket.put(&format!("published/{path}/metadata.xml"), b"");
        bucket.put(&format!("published/{path}/deep/file"), b"");
        expected.insert(path);
    }
    put_format(&bucket, "published/notes", "notes");
    expected.insert(format!("notes/{ID}"));
    put_format(&bucket, "unpublished/podcast", "elsewhere");
    for stray in
        ["published/video/not an id!/x", "published/not a format!/r1/x", "published/video/file", "x/y/z/a"]
    {
        bucket.put(stray, b"");
    }
    let mut list = bucket.storage().list(Shelf::Published);
    let mut found = BTreeSet::new();
    while let Some(item) = list.recv().await {
        let (id, format) = item.unwrap();
        assert!(found.insert(format!("{format}/{id}")), "listed twice");
    }
    assert_eq!(found, expected);
}

#[tokio::test]
async fn s3_errors_contain_no_secrets() {
    let bucket = Bucket::start();
    let variables = bucket.variables();
    let config = sl::config::Config::read(&|name| match name {
        "AWS_SECRET_ACCESS_KEY" => Some("another-secret".into()),
        name => variables.iter().find(|(n, _)| *n == name).map(|(_, value)| value.clone()),
    });
    let storage = Storage::new(&config.unwrap().recordings).unwrap();
    let error = storage.formats(&id()).await.unwrap_err().to_string();
    assert!(error.starts_with("S3: cannot list") && error.contains("SignatureDoesNotMatch"), "{error}");
    assert!(
        !error.contains("secret") && !error.contains("Signature=") && error.lines().count() == 1,
        "{error}"
    );
}

/// The positions of the first and the last change that begins so.
fn span(changes: &[String], begin: &str) -> (usize, usize) {
    let is = |change: &&String| change.starts_with(begin);
    let first =
        changes.iter().position(|change| is(&change)).unwrap_or_else(|| panic!("{begin}: {changes:#?}"));
    (first, changes.iter().rposition(|change| is(&change)).unwrap())
}

#[tokio::test]
async fn metadata_is_written_last_and_deleted_first_after_a_note() {
    let (bucket, work) = (Bucket::start(), TempDir::new().unwrap());
    let storage = bucket.storage();
    let note = |shelf: &str| format!("put_object .sl-work/{ID}/half/{shelf}/video/");
    let last = |call: &str, shelf: &str| format!("{call} {shelf}/video/{ID}/metadata.xml");
    storage
        .put_format(&unpacked(&work, &files("one")), &id(), &format("video"), Shelf::Published)
        .await
        .unwrap();
    let changes = bucket.changes();
    let puts = span(&changes, "put_object published/video/");
    assert!(span(&changes, &note("published")).1 < puts.0, "{changes:#?}");
    assert_eq!(span(&changes, &last("put_object", "published")).0, puts.1, "{changes:#?}");
    // A move copies everything before it deletes.
    assert_eq!(
        move_and_finish(&storage, Some(Shelf::Published), Shelf::Unpublished).await,
        MoveOutcome::Moved
    );
    let changes = bucket.changes();
    let (copies, deletes) =
        (span(&changes, "copy_object unpublished/"), span(&changes, "delete_object published/"));
    assert!(span(&changes, &format!("put_object .sl-work/{ID}/move/")).1 < copies.0, "{changes:#?}");
    assert!(span(&changes, &note("unpublished")).1 < copies.0, "{changes:#?}");
    assert_eq!(span(&changes, &last("copy_object", "unpublished")).0, copies.1, "{changes:#?}");
    assert!(copies.1 < span(&changes, &note("published")).0, "{changes:#?}");
    assert!(span(&changes, &note("published")).1 < deletes.0, "{changes:#?}");
    assert_eq!(span(&changes, &last("delete_object", "published")).1, deletes.0, "{changes:#?}");
    // A replacement is complete, and noted, before anything on the shelf changes.
    storage
        .put_format(&unpacked(&work, &files("two")), &id(), &format("video"), Shelf::Unpublished)
        .await
        .unwrap();
    let changes = bucket.changes();
    let (uploads, copies) = (
        span(&changes, &format!("put_object .sl-work/{ID}/new/")),
        span(&changes, "copy_object unpublished/"),
    );
    let ready = span(&changes, &format!("put_object .sl-work/{ID}/ready/"));
    assert!(uploads.1 < ready.0 && ready.1 < copies.0, "{changes:#?}");
    assert!(copies.1 < span(&changes, &format!("delete_object .sl-work/{ID}/ready/")).0, "{changes:#?}");
    assert_holds(&bucket, &[("unpublished/video", "two")]);
}
