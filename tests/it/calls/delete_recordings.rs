//! deleteRecordings: removes recordings for good.

use crate::assert_response;
use crate::support::RecordingEnv;

#[test]
fn delete_removes_files_from_both_shelves_and_index_rows() {
    let env = RecordingEnv::start();
    env.add("r1", "m", 1);
    env.add("r2", "m", 2);
    env.pool.get("publishRecordings", "recordID=r1&publish=false").success();
    std::fs::create_dir_all(env.published().join("podcast/r1")).unwrap();
    assert_response!(
        env.pool.get("deleteRecordings", "recordID=r1,nobody"),
        xml @"<response><returncode>SUCCESS</returncode><deleted>true</deleted></response>"
    );
    assert_eq!(env.formats_on(&env.published()), ["presentation/r2", "video/r2"]);
    assert_eq!(env.formats_on(&env.unpublished()), [""; 0]);
    assert_eq!(env.record_ids(""), ["r2"]);
    assert_eq!(env.record_ids("state=any"), ["r2", "r1"]);
    let rows = "SELECT (SELECT count(*) FROM metadata), (SELECT count(*) FROM playback_formats), \
        (SELECT count(*) FROM thumbnails), deleted_at > now() AT TIME ZONE 'UTC' - interval '1 minute' \
        FROM recordings WHERE state = 'deleted' AND NOT published";
    assert_eq!(env.postgres.sql(rows), "2|2|3|t");
    // Deleting again succeeds.
    env.pool.get("deleteRecordings", "recordID=r1").success();
}

#[test]
fn delete_fails_for_missing_or_unknown_record_id() {
    let env = RecordingEnv::start();
    assert_response!(
        env.pool.get("deleteRecordings", "recordID="),
        xml @"<response><returncode>FAILED</returncode><messageKey>missingParamRecordID</messageKey>\
              <message>You must specify a recordID.</message></response>"
    );
    assert_response!(
        env.pool.get("deleteRecordings", "recordID=nobody"),
        xml @"<response><returncode>FAILED</returncode><messageKey>notFound</messageKey><message>We could \
              not find recordings</message></response>"
    );
}

#[test]
fn recording_without_files_can_be_deleted() {
    let env = RecordingEnv::start();
    env.add("r1", "m", 1);
    std::fs::remove_dir_all(env.published().join("presentation")).unwrap();
    std::fs::remove_dir_all(env.published().join("video")).unwrap();
    let form = "application/x-www-form-urlencoded";
    env.pool.post("deleteRecordings", "", form, b"recordID=r1").success();
    assert_eq!(env.record_ids(""), [""; 0]);
}
