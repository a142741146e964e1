//! What every storage promises, in a bucket.

use super::*;
use std::collections::BTreeSet;

#[tokio::test]
async fn a_format_is_placed_and_its_directory_is_gone_from_where_it_was() {
    let (bucket, work) = (Bucket::start(), TempDir::new().unwrap());
    let storage = bucket.storage();
    let from = unpacked(&work, &files("one"));
    storage.put_format(&from, &id(), &format("video"), Shelf::Unpublished).await.unwrap();
    holds(&bucket, &[("unpublished/video", "one")]);
    assert!(!from.exists());
    assert_eq!(storage.formats(&id()).await.unwrap(), [(format("video"), Shelf::Unpublished)]);
    let metadata = storage.read_metadata(&id(), &format("video"), Shelf::Unpublished, 6).await.unwrap();
    assert_eq!(metadata.as_deref(), Some(&b"<x>one"[..]));
    for (of, shelf) in [("video", Shelf::Published), ("notes", Shelf::Unpublished)] {
        assert_eq!(storage.read_metadata(&id(), &format(of), shelf, 6).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_format_replaces_the_one_before_on_whichever_shelf_it_is() {
    for shelf in ["published", "unpublished"] {
        let (bucket, work) = (Bucket::start(), TempDir::new().unwrap());
        lay(&bucket, &format!("{shelf}/video"), "before");
        bucket.lay(&format!("{shelf}/video/{ID}/only/the/old/one/has.it"), b"old");
        lay(&bucket, &format!("{shelf}/notes"), "notes");
        let from = unpacked(&work, &files("after"));
        bucket.storage().put_format(&from, &id(), &format("video"), Shelf::Published).await.unwrap();
        holds(&bucket, &[("published/video", "after"), (&format!("{shelf}/notes"), "notes")]);
        assert!(!from.exists());
    }
}

#[tokio::test]
async fn more_than_a_thousand_objects_come_move_are_replaced_and_go() {
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
async fn a_large_file_goes_in_parts_and_arrives_whole() {
    let (bucket, work) = (Bucket::start(), TempDir::new().unwrap());
    let film: String =
        (0..21_000_007u32).map(|n| char::from(b' ' + (n.wrapping_mul(2_654_435_761) >> 26) as u8)).collect();
    let files = [("metadata.xml", "<x/>".to_owned()), ("video.webm", film.clone())];
    let from = unpacked(&work, &files);
    let storage = bucket.storage();
    storage.put_format(&from, &id(), &format("video"), Shelf::Published).await.unwrap();
    let objects = bucket.objects();
    assert_eq!(objects.len(), 2, "{:?}", objects.keys());
    assert!(objects[&format!("published/video/{ID}/video.webm")] == film.as_bytes());
    assert_eq!(bucket.unfinished(), 0);
    // As its own successor it is copied.
    let from = unpacked(&work, &files);
    storage.put_format(&from, &id(), &format("video"), Shelf::Published).await.unwrap();
    assert!(bucket.objects() == objects);
}

#[tokio::test]
async fn all_formats_shift_and_shifting_again_does_nothing() {
    let bucket = Bucket::start();
    let storage = bucket.storage();
    assert_eq!(move_and_finish(&storage, None, Shelf::Published).await, MoveOutcome::Missing);
    for name in ["presentation", "video"] {
        lay(&bucket, &format!("unpublished/{name}"), name);
    }
    assert_eq!(move_and_finish(&storage, None, Shelf::Published).await, MoveOutcome::Moved);
    assert_eq!(move_and_finish(&storage, None, Shelf::Published).await, MoveOutcome::AlreadyThere);
    holds(&bucket, &[("published/presentation", "presentation"), ("published/video", "video")]);
}

#[tokio::test]
async fn a_stale_copy_does_not_replace_what_the_index_means() {
    let bucket = Bucket::start();
    let storage = bucket.storage();
    lay(&bucket, "published/video", "right");
    lay(&bucket, "unpublished/video", "stale");
    bucket.lay(&format!("unpublished/video/{ID}/stale.txt"), b"stale");
    lay(&bucket, "unpublished/notes", "notes");
    assert_eq!(move_and_finish(&storage, Some(Shelf::Published), Shelf::Published).await, MoveOutcome::Moved);
    holds(&bucket, &[("published/video", "right"), ("published/notes", "notes")]);
    // On its way elsewhere, or where the index does not know, it is the other way round.
    for now in [Some(Shelf::Published), None] {
        lay(&bucket, "unpublished/video", "stale");
        bucket.lay(&format!("unpublished/video/{ID}/stale.txt"), b"stale");
        assert_eq!(move_and_finish(&storage, now, Shelf::Unpublished).await, MoveOutcome::Moved);
        holds(&bucket, &[("unpublished/video", "right"), ("unpublished/notes", "notes")]);
        assert_eq!(
            move_and_finish(&storage, Some(Shelf::Unpublished), Shelf::Published).await,
            MoveOutcome::Moved
        );
    }
}

#[tokio::test]
async fn a_removal_takes_both_shelves_and_nothing_of_others() {
    let bucket = Bucket::start();
    let storage = bucket.storage();
    lay(&bucket, "published/video", "1");
    lay(&bucket, "unpublished/video", "2");
    lay(&bucket, "unpublished/notes", "3");
    for other in [format!("published/video/{ID}0/metadata.xml"), format!(".sl-work/{ID}0/move/x")] {
        bucket.lay(&other, b"somebody else's");
    }
    assert_eq!(storage.delete(&id()).await.unwrap(), 2);
    assert_eq!(bucket.keys().len(), 2, "{:?}", bucket.keys());
    assert_eq!(storage.delete(&id()).await.unwrap(), 0);
    lay(&bucket, "published/video", "1");
    lay(&bucket, "published/notes", "3");
    assert!(storage.delete_format(&id(), &format("video"), Shelf::Published).await.unwrap());
    assert!(!storage.delete_format(&id(), &format("video"), Shelf::Published).await.unwrap());
    assert_eq!(storage.formats(&id()).await.unwrap(), [(format("notes"), Shelf::Published)]);
}

#[tokio::test]
async fn a_list_has_recordings_and_nothing_else() {
    let bucket = Bucket::start();
    let mut expected = BTreeSet::new();
    for n in 0..1_050 {
        let at = format!("video/r{n}");
        bucket.lay(&format!("published/{at}/metadata.xml"), b"");
        bucket.lay(&format!("published/{at}/deep/file"), b"");
        expected.insert(at);
    }
    lay(&bucket, "published/notes", "notes");
    expected.insert(format!("notes/{ID}"));
    lay(&bucket, "unpublished/podcast", "elsewhere");
    for stray in
        ["published/video/not an id!/x", "published/not a format!/r1/x", "published/video/file", "x/y/z/a"]
    {
        bucket.lay(stray, b"");
    }
    let mut list = bucket.storage().list(Shelf::Published);
    let mut found = BTreeSet::new();
    while let Some(item) = list.recv().await {
        let (id, format) = item.unwrap();
        assert!(found.insert(format!("{format}/{id}")), "twice");
    }
    assert_eq!(found, expected);
}

#[tokio::test]
async fn what_s3_refuses_is_told_without_secrets() {
    let bucket = Bucket::start();
    let variables = bucket.variables();
    let config = sl::config::Config::read(&|name| match name {
        "AWS_SECRET_ACCESS_KEY" => Some("another-secret".into()),
        name => variables.iter().find(|(n, _)| *n == name).map(|(_, value)| value.clone()),
    });
    let storage = Storage::new(&config.unwrap().recordings).unwrap();
    let told = storage.formats(&id()).await.unwrap_err().to_string();
    assert!(told.starts_with("S3: cannot list") && told.contains("SignatureDoesNotMatch"), "{told}");
    assert!(!told.contains("secret") && !told.contains("Signature=") && told.lines().count() == 1, "{told}");
}

/// Where the first and the last of the changes of this kind stand.
fn span(changes: &[String], begin: &str) -> (usize, usize) {
    let is = |change: &&String| change.starts_with(begin);
    let first =
        changes.iter().position(|change| is(&change)).unwrap_or_else(|| panic!("{begin}: {changes:#?}"));
    (first, changes.iter().rposition(|change| is(&change)).unwrap())
}

#[tokio::test]
async fn what_says_that_a_format_is_whole_comes_last_and_goes_first_and_a_note_comes_before() {
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
    // A move copies everything first.
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
    // A successor is whole, and noted, before anything on the shelf changes.
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
    holds(&bucket, &[("unpublished/video", "two")]);
}
