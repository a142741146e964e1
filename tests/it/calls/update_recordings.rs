//! updateRecordings: metadata and protection.

use crate::assert_response;
use crate::support::RecordingEnv;

fn updated(env: &RecordingEnv, query: &str) -> bool {
    let reply = env.pool.get("updateRecordings", query).success();
    reply.xml("updated") == Some("true")
}

fn metadata(env: &RecordingEnv, record_id: &str) -> String {
    let rows = env.postgres.sql(&format!(
        "SELECT m.key || '=' || m.value FROM metadata m JOIN recordings r ON r.id = m.recording_id \
             WHERE r.record_id = '{record_id}' ORDER BY 1"
    ));
    rows.replace('\n', " ")
}

#[test]
fn update_sets_and_removes_metadata() {
    let env = RecordingEnv::start();
    env.add("r1", "m", 1);
    env.add("r2", "m", 2);
    assert_response!(
        env.pool.get("updateRecordings", "recordID=r1&meta_GL-Listed=true&meta_bbb-origin=&meta_new=x"),
        xml @"<response><returncode>SUCCESS</returncode><updated>true</updated></response>"
    );
    assert_eq!(metadata(&env, "r1"), "gl-listed=true new=x");
    assert_eq!(metadata(&env, "r2"), "bbb-origin=moodle gl-listed=");
    assert!(updated(&env, "recordID=r1,r2&meta_new=y"));
    assert_eq!(metadata(&env, "r1"), "gl-listed=true new=y");
    assert_eq!(metadata(&env, "r2"), "bbb-origin=moodle gl-listed= new=y");
    let form = "application/x-www-form-urlencoded";
    env.pool.post("updateRecordings", "", form, b"recordID=r1&meta_a=%26%3C").success();
    assert_eq!(metadata(&env, "r1"), "a=&< gl-listed=true new=y");
}

#[test]
fn update_reports_false_when_nothing_changes() {
    let env = RecordingEnv::start();
    env.add("r1", "m", 1);
    env.add("r2", "m", 2);
    env.pool.get("deleteRecordings", "recordID=r2").success();
    for query in [
        "recordID=r1",
        "recordID=r1&meta_bbb-origin=moodle",
        "recordID=r1&meta_other=",
        "recordID=r1&protect=false",
        "recordID=r1,r1&meta_a=b",
        "recordID=r1,nobody&meta_a=b",
        "recordID=r1,r2&meta_a=b",
        "recordID=%00&meta_a=b",
        "recordID=r1&meta_a=%00",
        "recordID=%2C&meta_a=b",
    ] {
        assert!(!updated(&env, query), "{query}");
    }
    assert_eq!(metadata(&env, "r1"), "bbb-origin=moodle gl-listed=");
    assert_response!(
        env.pool.get("updateRecordings", "meta_a=b"),
        xml @"<response><returncode>FAILED</returncode><messageKey>missingParamRecordID</messageKey>\
              <message>You must specify a recordID.</message></response>"
    );
}

#[test]
fn update_sets_protection_on_all_named_recordings() {
    let env = RecordingEnv::start();
    env.add("r1", "m", 1);
    env.add("r2", "m", 2);
    assert!(updated(&env, "recordID=r1,r2&protect=true"));
    assert_eq!(env.postgres.sql("SELECT count(*) FROM recordings WHERE protected"), "2");
    assert!(!updated(&env, "recordID=r1,r2&protect=true"));
    assert!(updated(&env, "recordID=r2&protect=false"));
    assert_eq!(env.postgres.sql("SELECT record_id FROM recordings WHERE protected"), "r1");
    assert!(!updated(&env, "recordID=r2&protect=perhaps"));
}

#[test]
fn update_with_too_many_metadata_keys_is_refused() {
    let env = RecordingEnv::start();
    env.add("r1", "m", 1);
    let form: String = (0..40_000).map(|n| format!("&meta_k{n}=1")).collect();
    let reply = env.pool.post(
        "updateRecordings",
        "recordID=r1",
        "application/x-www-form-urlencoded",
        form.as_bytes(),
    );
    assert_response!(
        reply,
        xml @"<response><returncode>FAILED</returncode><messageKey>paramError</messageKey><message>There are \
              more than 1000 different meta_ parameters.</message></response>"
    );
    assert_eq!(metadata(&env, "r1"), "bbb-origin=moodle gl-listed=");
    let thousand: String = (0..1000).map(|n| format!("&meta_k{n}=1")).collect();
    let reply = env.pool.post(
        "updateRecordings",
        "recordID=r1",
        "application/x-www-form-urlencoded",
        thousand.as_bytes(),
    );
    assert_eq!(reply.success().xml("updated"), Some("true"));
    // Filters of getRecordings are limited too: each is a part of the statement.
    let reply =
        env.pool.post("getRecordings", "", "application/x-www-form-urlencoded", &form.as_bytes()[1..]);
    assert_eq!(reply.failed(), "paramError");
    let hundred: String = (0..100).map(|n| format!("&meta_k{n}=1")).collect();
    let reply = env.pool.post(
        "getRecordings",
        "recordID=r1",
        "application/x-www-form-urlencoded",
        hundred.as_bytes(),
    );
    assert!(reply.success().body.contains("<recordID>r1</recordID>"));
}
