//! deleteRecordings: removes recordings for good.

use crate::assert_answer;
use crate::support::Library;

#[test]
fn delete_removes_files_from_both_shelves_and_index_rows() {
    let library = Library::start();
    library.add("r1", "m", 1);
    library.add("r2", "m", 2);
    library.pool.get("publishRecordings", "recordID=r1&publish=false").success();
    std::fs::create_dir_all(library.published().join("podcast/r1")).unwrap();
    assert_answer!(library.pool.get("deleteRecordings", "recordID=r1,nobody"));
    assert_eq!(library.files(&library.published()), ["presentation/r2", "video/r2"]);
    assert_eq!(library.files(&library.unpublished()), [""; 0]);
    assert_eq!(library.listed(""), ["r2"]);
    assert_eq!(library.listed("state=any"), ["r2", "r1"]);
    let rows = "SELECT (SELECT count(*) FROM metadata), (SELECT count(*) FROM playback_formats), \
        (SELECT count(*) FROM thumbnails), deleted_at > now() AT TIME ZONE 'UTC' - interval '1 minute' \
        FROM recordings WHERE state = 'deleted' AND NOT published";
    assert_eq!(library.postgres.sql(rows), "2|2|3|t");
    // Deleting again succeeds.
    library.pool.get("deleteRecordings", "recordID=r1").success();
}

#[test]
fn delete_fails_for_missing_or_unknown_record_id() {
    let library = Library::start();
    assert_answer!(library.pool.get("deleteRecordings", "recordID="));
    assert_answer!(library.pool.get("deleteRecordings", "recordID=nobody"));
}

#[test]
fn recording_without_files_can_be_deleted() {
    let library = Library::start();
    library.add("r1", "m", 1);
    std::fs::remove_dir_all(library.published().join("presentation")).unwrap();
    std::fs::remove_dir_all(library.published().join("video")).unwrap();
    let form = "application/x-www-form-urlencoded";
    library.pool.post("deleteRecordings", "", form, b"recordID=r1").success();
    assert_eq!(library.listed(""), [""; 0]);
}
