//! publishRecordings: moves recordings between the published and the unpublished shelf.

use crate::assert_response;
use crate::support::RecordingEnv;

#[test]
fn publish_moves_files_and_updates_index() {
    let env = RecordingEnv::start();
    env.add("r1", "m", 1);
    env.add("r2", "m", 2);
    assert_response!(
        env.pool.get("publishRecordings", "recordID=r1&publish=false"),
        xml @"<response><returncode>SUCCESS</returncode><published>false</published></response>"
    );
    assert_eq!(env.formats_on(&env.published()), ["presentation/r2", "video/r2"]);
    assert_eq!(env.formats_on(&env.unpublished()), ["presentation/r1", "video/r1"]);
    assert_eq!(env.record_ids("state=unpublished"), ["r1"]);
    let row = "SELECT published, state, publish_updated FROM recordings WHERE record_id = 'r1'";
    assert_eq!(env.postgres.sql(row), "f|unpublished|t");
    // Repeating it is not an error.
    env.pool.get("publishRecordings", "recordID=r1&publish=false").success();
    assert_response!(
        env.pool.get("publishRecordings", "recordID=r1,r2,nobody,../x&publish=TRUE"),
        xml @"<response><returncode>SUCCESS</returncode><published>true</published></response>"
    );
    assert_eq!(env.formats_on(&env.published()).len(), 4);
    assert_eq!(env.formats_on(&env.unpublished()), [""; 0]);
    assert_eq!(env.postgres.sql(row), "t|published|t");
}

#[test]
fn publish_fails_for_missing_parameters_or_unknown_recording() {
    let env = RecordingEnv::start();
    env.add("r1", "m", 1);
    assert_response!(
        env.pool.get("publishRecordings", "publish=true"),
        xml @"<response><returncode>FAILED</returncode><messageKey>missingParamRecordID</messageKey>\
              <message>You must specify a recordID.</message></response>"
    );
    assert_response!(
        env.pool.get("publishRecordings", "recordID=r1"),
        xml @"<response><returncode>FAILED</returncode><messageKey>missingParamPublish</messageKey>\
              <message>You must specify a publish value true or false.</message></response>"
    );
    assert_response!(
        env.pool.get("publishRecordings", "recordID=nobody&publish=true"),
        xml @"<response><returncode>FAILED</returncode><messageKey>notFound</messageKey><message>We could \
              not find recordings</message></response>"
    );
    for query in ["recordID=..%2Fr1&publish=true", "recordID=r&publish=true", "recordID=%2C&publish=true"] {
        assert_eq!(env.pool.get("publishRecordings", query).failed(), "notFound", "{query}");
    }
    // Any value other than true means false.
    env.pool.get("publishRecordings", "recordID=r1&publish=maybe").success();
    assert_eq!(env.record_ids("state=unpublished"), ["r1"]);
}

#[test]
fn publish_fails_and_changes_nothing_when_files_are_missing() {
    let env = RecordingEnv::start();
    env.add("r1", "m", 1);
    std::fs::remove_dir_all(env.published().join("presentation")).unwrap();
    std::fs::remove_dir_all(env.published().join("video")).unwrap();
    assert_response!(
        env.pool.get("publishRecordings", "recordID=r1&publish=false"),
        xml @"<response><returncode>FAILED</returncode><messageKey>internalError</messageKey><message>The \
              files of the recording are missing.</message></response>"
    );
    assert_eq!(env.record_ids("state=published"), ["r1"]);
}

#[test]
fn publish_fails_for_deleted_recording() {
    let env = RecordingEnv::start();
    env.add("r1", "m", 1);
    env.pool.get("deleteRecordings", "recordID=r1").success();
    assert_eq!(env.pool.get("publishRecordings", "recordID=r1&publish=true").failed(), "notFound");
}

#[test]
fn publish_accepts_form_body() {
    let env = RecordingEnv::start();
    env.add("r1", "m", 1);
    let form = "application/x-www-form-urlencoded";
    env.pool.post("publishRecordings", "", form, b"recordID=r1&publish=false").success();
    assert_eq!(env.record_ids("state=unpublished"), ["r1"]);
}

#[test]
fn concurrent_publishes_leave_files_and_index_consistent() {
    let env = RecordingEnv::with(2, &[]);
    env.add("r1", "m", 1);
    for _ in 0..15 {
        std::thread::scope(|scope| {
            for (replica, publish) in [(0, true), (1, false), (0, false), (1, true)] {
                let pool = &env.pool;
                scope.spawn(move || {
                    pool.get_at(replica, "publishRecordings", &format!("recordID=r1&publish={publish}"))
                        .success()
                });
            }
        });
        let published = env.postgres.sql("SELECT published FROM recordings") == "t";
        let (is, is_not) = match published {
            true => (env.published(), env.unpublished()),
            false => (env.unpublished(), env.published()),
        };
        assert_eq!(env.formats_on(&is), ["presentation/r1", "video/r1"]);
        assert_eq!(env.formats_on(&is_not), [""; 0]);
    }
}

#[test]
fn recording_in_processing_cannot_be_published() {
    let env = RecordingEnv::start();
    for state in ["processing", "processed"] {
        env.add(state, "m", 1);
        env.postgres.sql(&format!("UPDATE recordings SET state = '{state}' WHERE record_id = '{state}'"));
        let query = format!("recordID={state}&publish=true");
        assert_eq!(env.pool.get("publishRecordings", &query).failed(), "notFound", "{state}");
        assert_eq!(env.record_ids(&format!("state={state}")), [state], "nothing has changed");
    }
}

#[test]
fn recording_without_formats_can_be_unpublished_only() {
    let env = RecordingEnv::start();
    env.postgres.sql(
        "INSERT INTO recordings (record_id, meeting_id, state, published, starttime) \
             VALUES ('r1', 'm', 'published', true, now())",
    );
    assert_eq!(env.pool.get("publishRecordings", "recordID=r1&publish=true").failed(), "internalError");
    env.pool.get("publishRecordings", "recordID=r1&publish=false").success();
    assert_eq!(env.record_ids("state=unpublished"), ["r1"]);
}

#[test]
fn a_call_changes_a_bounded_number_of_recordings() {
    let env = RecordingEnv::start();
    env.add("aa-1", "m1", 1);
    let ids = |count: usize| {
        let ids: Vec<String> = (0..count).map(|n| format!("x-{n}")).collect();
        format!("recordID=aa-1,{}", ids.join(","))
    };
    let form = "application/x-www-form-urlencoded";
    for call in ["publishRecordings", "deleteRecordings", "updateRecordings"] {
        let body = format!("{}&publish=false", ids(1000));
        let reply = env.pool.post(call, "", form, body.as_bytes());
        assert_eq!(reply.failed(), "paramError", "{call}");
        assert_eq!(reply.xml("message"), Some("recordID has more than 1000 ids."));
    }
    assert_eq!(env.record_ids("state=published"), ["aa-1"]);
    env.pool.post("publishRecordings", "", form, format!("{}&publish=false", ids(999)).as_bytes()).success();
    assert_eq!(env.record_ids("state=unpublished"), ["aa-1"]);
}
