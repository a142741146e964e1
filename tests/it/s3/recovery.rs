//! Recovery from every state that a kill can leave a bucket in.

use super::*;

const U: &str = "5f0c9f6e8b1d4f1f9a1e0c4d7b2a3c5d";

fn work(what: &str) -> String {
    format!(".sl-work/{ID}/{what}")
}

/// Stages a replacement beside the shelves.
fn stage_replacement(bucket: &Bucket, text: &str) {
    for (name, text) in files(text) {
        bucket.put(&work(&format!("new/{U}/{name}")), text.as_bytes());
    }
}

async fn assert_recovers(bucket: &Bucket) {
    let storage = bucket.storage();
    assert_eq!(storage.leftovers().await.unwrap(), [id()]);
    storage.recover(&id()).await.unwrap();
    assert_eq!(storage.leftovers().await.unwrap(), []);
}

#[tokio::test]
async fn partial_format_is_invisible_and_cleared() {
    let bucket = Bucket::start();
    put_format(&bucket, "published/video", "half");
    put_format(&bucket, "published/notes", "whole");
    bucket.remove(&format!("published/video/{ID}/metadata.xml"));
    bucket.put(&work(&format!("half/published/video/{U}")), b"");
    let formats = bucket.storage().formats(&id()).await.unwrap();
    assert_eq!(formats, [(format("notes"), Shelf::Published)]);
    assert_recovers(&bucket).await;
    assert_holds(&bucket, &[("published/notes", "whole")]);
}

#[tokio::test]
async fn completely_uploaded_format_stays() {
    let bucket = Bucket::start();
    put_format(&bucket, "published/video", "whole");
    bucket.put(&work(&format!("half/published/video/{U}")), b"");
    assert_eq!(bucket.storage().formats(&id()).await.unwrap().len(), 1);
    assert_recovers(&bucket).await;
    assert_holds(&bucket, &[("published/video", "whole")]);
}

#[tokio::test]
async fn incomplete_replacement_is_discarded() {
    let bucket = Bucket::start();
    put_format(&bucket, "published/video", "old");
    stage_replacement(&bucket, "new");
    assert_recovers(&bucket).await;
    assert_holds(&bucket, &[("published/video", "old")]);
}

#[tokio::test]
async fn complete_replacement_is_applied() {
    for copied in [false, true] {
        let bucket = Bucket::start();
        put_format(&bucket, "published/video", "old");
        bucket.put(&format!("published/video/{ID}/only/the/old"), b"old");
        stage_replacement(&bucket, "new");
        bucket.put(&work(&format!("ready/published/video/{U}")), b"");
        if copied {
            bucket.put(&format!("published/video/{ID}/deep/er/file.txt"), b"new");
        }
        assert_recovers(&bucket).await;
        assert_holds(&bucket, &[("published/video", "new")]);
    }
}

#[tokio::test]
async fn applied_replacement_with_leftover_note_is_kept() {
    let bucket = Bucket::start();
    put_format(&bucket, "published/video", "new");
    // Two processes recovered at once: the staged files are gone, the note is not.
    bucket.put(&work(&format!("ready/published/video/{U}")), b"");
    assert_recovers(&bucket).await;
    assert_holds(&bucket, &[("published/video", "new")]);
}

#[tokio::test]
async fn move_interrupted_while_copying_is_restarted() {
    let bucket = Bucket::start();
    put_format(&bucket, "published/video", "all");
    bucket.put(&format!("unpublished/video/{ID}/deep/er/file.txt"), b"half");
    bucket.put(&format!("unpublished/video/{ID}/stray"), b"half");
    bucket.put(&work(&format!("half/unpublished/video/{U}")), b"");
    bucket.put(&work(&format!("move/{U}")), b"");
    assert_eq!(
        move_and_finish(&bucket.storage(), Some(Shelf::Published), Shelf::Unpublished).await,
        MoveOutcome::Moved
    );
    assert_holds(&bucket, &[("unpublished/video", "all")]);
}

#[tokio::test]
async fn move_interrupted_while_deleting_loses_nothing() {
    // Forward, when a client repeats the call; and back to the shelf in the index.
    for to in [Shelf::Unpublished, Shelf::Published] {
        let bucket = Bucket::start();
        put_format(&bucket, "unpublished/video", "all");
        bucket.put(&format!("published/video/{ID}/deep/er/file.txt"), b"all");
        bucket.put(&work(&format!("half/published/video/{U}")), b"");
        bucket.put(&work(&format!("move/{U}")), b"");
        move_and_finish(&bucket.storage(), Some(Shelf::Published), to).await;
        let shelf = if to == Shelf::Published { "published/video" } else { "unpublished/video" };
        assert_holds(&bucket, &[(shelf, "all")]);
    }
}

#[tokio::test]
async fn unfinished_move_is_listed_as_leftover() {
    let bucket = Bucket::start();
    let storage = bucket.storage();
    put_format(&bucket, "published/video", "video");
    drop(storage.move_to_shelf(&id(), Some(Shelf::Published), Shelf::Unpublished).await.unwrap());
    assert_eq!(storage.leftovers().await.unwrap(), [id()]);
    storage.recover(&id()).await.unwrap();
    assert_eq!(storage.leftovers().await.unwrap(), [id()], "recovery alone does not finish it");
    assert_eq!(
        move_and_finish(&storage, Some(Shelf::Published), Shelf::Unpublished).await,
        MoveOutcome::AlreadyThere
    );
    assert_holds(&bucket, &[("unpublished/video", "video")]);
    drop(storage.move_to_shelf(&id(), None, Shelf::Published).await.unwrap());
    storage.recover_unindexed(&id()).await.unwrap();
    assert_holds(&bucket, &[("published/video", "video")]);
    drop(storage.move_to_shelf(&id(), None, Shelf::Unpublished).await.unwrap());
    storage.delete(&id()).await.unwrap();
    assert_holds(&bucket, &[]);
}

#[tokio::test]
async fn unknown_work_objects_are_deleted_and_other_recordings_kept() {
    let bucket = Bucket::start();
    bucket.put(&work("strange/thing"), b"");
    bucket.put(&work(&format!("upload/{U}")), b"not what we write");
    bucket.put(&format!(".sl-work/{ID}0/move/{U}"), b"");
    bucket.storage().recover(&id()).await.unwrap();
    assert_eq!(bucket.keys(), [format!(".sl-work/{ID}0/move/{U}")]);
}
