//! Every state that a kill can leave a bucket in.

use super::*;

const U: &str = "5f0c9f6e8b1d4f1f9a1e0c4d7b2a3c5d";

fn work(what: &str) -> String {
    format!(".sl-work/{ID}/{what}")
}

/// A successor that waits beside the shelves.
fn stage(bucket: &Bucket, text: &str) {
    for (name, text) in files(text) {
        bucket.lay(&work(&format!("new/{U}/{name}")), text.as_bytes());
    }
}

async fn assert_recovers(bucket: &Bucket) {
    let storage = bucket.storage();
    assert_eq!(storage.leftovers().await.unwrap(), [id()]);
    storage.recover(&id()).await.unwrap();
    assert_eq!(storage.leftovers().await.unwrap(), []);
}

#[tokio::test]
async fn half_of_a_format_that_was_coming_or_going_is_not_there_and_is_cleared() {
    let bucket = Bucket::start();
    lay(&bucket, "published/video", "half");
    lay(&bucket, "published/notes", "whole");
    bucket.take(&format!("published/video/{ID}/metadata.xml"));
    bucket.lay(&work(&format!("half/published/video/{U}")), b"");
    let formats = bucket.storage().formats(&id()).await.unwrap();
    assert_eq!(formats, [(format("notes"), Shelf::Published)]);
    assert_recovers(&bucket).await;
    holds(&bucket, &[("published/notes", "whole")]);
}

#[tokio::test]
async fn a_format_that_had_all_come_stays() {
    let bucket = Bucket::start();
    lay(&bucket, "published/video", "whole");
    bucket.lay(&work(&format!("half/published/video/{U}")), b"");
    assert_eq!(bucket.storage().formats(&id()).await.unwrap().len(), 1);
    assert_recovers(&bucket).await;
    holds(&bucket, &[("published/video", "whole")]);
}

#[tokio::test]
async fn a_successor_that_is_not_whole_is_forgotten() {
    let bucket = Bucket::start();
    lay(&bucket, "published/video", "old");
    stage(&bucket, "new");
    assert_recovers(&bucket).await;
    holds(&bucket, &[("published/video", "old")]);
}

#[tokio::test]
async fn a_successor_that_is_whole_comes_in() {
    for copied in [false, true] {
        let bucket = Bucket::start();
        lay(&bucket, "published/video", "old");
        bucket.lay(&format!("published/video/{ID}/only/the/old"), b"old");
        stage(&bucket, "new");
        bucket.lay(&work(&format!("ready/published/video/{U}")), b"");
        if copied {
            bucket.lay(&format!("published/video/{ID}/deep/er/file.txt"), b"new");
        }
        assert_recovers(&bucket).await;
        holds(&bucket, &[("published/video", "new")]);
    }
}

#[tokio::test]
async fn a_successor_that_came_in_is_not_taken_for_an_empty_one() {
    let bucket = Bucket::start();
    lay(&bucket, "published/video", "new");
    // Two that cleared up at once: what waited is gone, its note is not.
    bucket.lay(&work(&format!("ready/published/video/{U}")), b"");
    assert_recovers(&bucket).await;
    holds(&bucket, &[("published/video", "new")]);
}

#[tokio::test]
async fn a_move_that_was_cut_off_while_it_copied_begins_anew() {
    let bucket = Bucket::start();
    lay(&bucket, "published/video", "all");
    bucket.lay(&format!("unpublished/video/{ID}/deep/er/file.txt"), b"half");
    bucket.lay(&format!("unpublished/video/{ID}/stray"), b"half");
    bucket.lay(&work(&format!("half/unpublished/video/{U}")), b"");
    bucket.lay(&work(&format!("move/{U}")), b"");
    assert_eq!(
        move_and_finish(&bucket.storage(), Some(Shelf::Published), Shelf::Unpublished).await,
        MoveOutcome::Moved
    );
    holds(&bucket, &[("unpublished/video", "all")]);
}

#[tokio::test]
async fn a_move_that_was_cut_off_while_it_deleted_loses_nothing() {
    // Forward, as a client asks again; and back to where the index says.
    for to in [Shelf::Unpublished, Shelf::Published] {
        let bucket = Bucket::start();
        lay(&bucket, "unpublished/video", "all");
        bucket.lay(&format!("published/video/{ID}/deep/er/file.txt"), b"all");
        bucket.lay(&work(&format!("half/published/video/{U}")), b"");
        bucket.lay(&work(&format!("move/{U}")), b"");
        move_and_finish(&bucket.storage(), Some(Shelf::Published), to).await;
        let at = if to == Shelf::Published { "published/video" } else { "unpublished/video" };
        holds(&bucket, &[(at, "all")]);
    }
}

#[tokio::test]
async fn a_move_that_nobody_finishes_is_among_the_leftovers() {
    let bucket = Bucket::start();
    let storage = bucket.storage();
    lay(&bucket, "published/video", "video");
    drop(storage.move_to_shelf(&id(), Some(Shelf::Published), Shelf::Unpublished).await.unwrap());
    assert_eq!(storage.leftovers().await.unwrap(), [id()]);
    storage.recover(&id()).await.unwrap();
    assert_eq!(storage.leftovers().await.unwrap(), [id()], "clearing up does not finish it");
    assert_eq!(
        move_and_finish(&storage, Some(Shelf::Published), Shelf::Unpublished).await,
        MoveOutcome::AlreadyThere
    );
    holds(&bucket, &[("unpublished/video", "video")]);
    drop(storage.move_to_shelf(&id(), None, Shelf::Published).await.unwrap());
    storage.recover_unindexed(&id()).await.unwrap();
    holds(&bucket, &[("published/video", "video")]);
    drop(storage.move_to_shelf(&id(), None, Shelf::Unpublished).await.unwrap());
    storage.delete(&id()).await.unwrap();
    holds(&bucket, &[]);
}

#[tokio::test]
async fn what_nobody_of_us_has_put_there_goes_and_others_work_stays() {
    let bucket = Bucket::start();
    bucket.lay(&work("strange/thing"), b"");
    bucket.lay(&work(&format!("upload/{U}")), b"not what we write");
    bucket.lay(&format!(".sl-work/{ID}0/move/{U}"), b"");
    bucket.storage().recover(&id()).await.unwrap();
    assert_eq!(bucket.keys(), [format!(".sl-work/{ID}0/move/{U}")]);
}
