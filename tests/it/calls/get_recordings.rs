//! getRecordings: reads the index, newest first.

use crate::assert_response;
use crate::support::RecordingEnv;

const NGINX: [(&str, &str); 2] = [("x-forwarded-proto", "https"), ("host", "bbb.example.org")];

#[test]
fn get_recordings_returns_all_fields() {
    let env = RecordingEnv::start();
    env.add("a924-1767225600000", "algebra-101", 5);
    let target = env.pool.target("getRecordings", "meetingID=algebra-101");
    assert_response!(env.pool.fetch("GET", &target, &NGINX, b""));
}

#[test]
fn fields_unknown_to_scalelite_are_returned_as_bbb_does() {
    let env = RecordingEnv::start();
    env.add("a924-1767225600000", "algebra-101", 5);
    env.postgres.sql(
        "UPDATE recordings SET raw_size = 91220450, is_breakout = true, breakout_parent = 'p-1', \
             breakout_sequence = 2, breakout_rooms = '{r-1,r-2}', participants = NULL, name = NULL, endtime = NULL; \
         UPDATE playback_formats SET size = 18340112, processing_time = NULL; \
         DELETE FROM thumbnails; \
         UPDATE metadata SET key = '1 <key>', value = '<&>' WHERE key = 'gl-listed'",
    );
    assert_response!(env.pool.get("getRecordings", ""));
}

#[test]
fn get_recordings_without_matches_returns_no_recordings() {
    let env = RecordingEnv::start();
    assert_response!(
        env.pool.get("getRecordings", ""),
        xml @"<response><returncode>SUCCESS</returncode><recordings></recordings>\
              <messageKey>noRecordings</messageKey><message>There are not recordings for the \
              meetings</message></response>"
    );
    env.add("a-1", "m", 1);
    assert_eq!(env.record_ids("meetingID=other"), [""; 0]);
    assert_eq!(env.record_ids("recordID=%2C"), [""; 0]);
    assert_eq!(env.record_ids("meetingID=%00"), [""; 0]);
    assert_eq!(env.record_ids("meta_bbb-origin=%00"), [""; 0]);
    // An impossible value among several does not affect the others.
    assert_eq!(env.record_ids("meta_bbb-origin=moodle,%00"), ["a-1"]);
}

#[test]
fn get_recordings_is_empty_without_database() {
    for variables in [[("DB_DISABLED", "true")], [("RECORDING_DISABLED", "true")]] {
        let env = RecordingEnv::with(1, &variables);
        env.add("a-1", "m", 1);
        assert_eq!(env.pool.get("getRecordings", "").success().xml("messageKey"), Some("noRecordings"));
        for (call, query) in [
            ("publishRecordings", "recordID=a-1&publish=true"),
            ("deleteRecordings", "recordID=a-1"),
            ("updateRecordings", "recordID=a-1&meta_a=b"),
            ("updateRecordings", ""),
        ] {
            assert_eq!(env.pool.get(call, query).failed(), "notFound", "{call}");
        }
    }
}

/// The responses are always the same, so no checksum is needed, as in Scalelite.
#[test]
fn disabled_recordings_are_answered_unsigned() {
    let disabled = RecordingEnv::with(1, &[("RECORDING_DISABLED", "true")]);
    let enabled = RecordingEnv::start();
    let calls = ["getRecordings", "publishRecordings", "deleteRecordings", "updateRecordings"];
    for (n, call) in calls.into_iter().enumerate() {
        for query in ["", "?recordID=a-1&publish=true", "?recordID=a-1&checksum=nonsense"] {
            let target = format!("/bigbluebutton/api/{call}{query}");
            let key = disabled.pool.fetch("GET", &target, &[], b"").xml("messageKey").unwrap().to_owned();
            assert_eq!(key, if n == 0 { "noRecordings" } else { "notFound" }, "{target}");
            assert_eq!(enabled.pool.fetch("GET", &target, &[], b"").failed(), "checksumError");
        }
    }
    let tracks = "/bigbluebutton/api/getRecordingTextTracks?recordID=a-1";
    let refused = |env: &RecordingEnv| env.pool.fetch("GET", tracks, &[], b"").body;
    assert!(refused(&disabled).contains("notFound"), "{}", refused(&disabled));
    assert!(refused(&enabled).contains("checksumError"), "{}", refused(&enabled));
}

#[test]
fn recordings_are_newest_first_and_filtered_by_meeting_and_record_id() {
    let env = RecordingEnv::start();
    for (id, meeting, minute) in [("aa-1", "m1", 1), ("aa-2", "m1", 9), ("ab-3", "m2", 5), ("b-4", "m3", 7)] {
        env.add(id, meeting, minute);
    }
    assert_eq!(env.record_ids(""), ["aa-2", "b-4", "ab-3", "aa-1"]);
    assert_eq!(env.record_ids("meetingID=m1"), ["aa-2", "aa-1"]);
    assert_eq!(env.record_ids("meetingID=m1%2C+m2%2Cm1"), ["aa-2", "ab-3", "aa-1"]);
    assert_eq!(env.record_ids("meetingID=m"), [""; 0], "meeting ids are exact");
    env.postgres.sql("UPDATE recordings SET meeting_id = ' m3 ' WHERE record_id = 'b-4'");
    assert_eq!(env.record_ids("meetingID=%20m3+"), ["b-4"], "with the spaces that the index has");
    assert_eq!(env.record_ids("meetingID=m1%2C%20m3%20"), ["aa-2", "b-4", "aa-1"]);
    assert_eq!(env.record_ids("recordID=aa-1"), ["aa-1"]);
    assert_eq!(env.record_ids("recordID=aa"), ["aa-2", "aa-1"], "record ids match by prefix");
    assert_eq!(env.record_ids("recordID=a%2Caa%2Cb-4"), ["aa-2", "b-4", "ab-3", "aa-1"]);
    assert_eq!(env.record_ids("recordID=a&meetingID=m2"), ["ab-3"]);
    assert_eq!(env.record_ids("recordID=a%25"), [""; 0]);
    assert_eq!(env.record_ids("recordID=a_"), [""; 0]);
    env.postgres.sql("UPDATE recordings SET starttime = NULL WHERE record_id = 'aa-2'");
    assert_eq!(
        env.record_ids(""),
        ["aa-2", "b-4", "ab-3", "aa-1"],
        "recordings without a start come first, as in Scalelite"
    );
}

/// Scalelite's first years left rows without a state, which Scalelite lists only for `any`; and columns that are null.
#[test]
fn rows_without_state_start_or_length_are_returned_as_scalelite_does() {
    let env = RecordingEnv::start();
    for (id, meeting, minute) in [("r1", "m1", 1), ("r2", "m1", 2), ("r3", "m2", 3), ("r4", "m2", 4)] {
        env.add(id, meeting, minute);
    }
    env.postgres.sql(
        "UPDATE recordings SET state = NULL WHERE record_id IN ('r1', 'r4'); \
         UPDATE recordings SET starttime = NULL WHERE record_id IN ('r1', 'r2'); \
         UPDATE playback_formats SET length = NULL",
    );
    for filter in ["", "meetingID=m1,m2", "recordID=r", "meta_bbb-origin=moodle"] {
        assert_eq!(env.record_ids(filter), ["r2", "r3"], "{filter}");
        let any = format!("{filter}&state=any");
        assert_eq!(env.record_ids(&any), ["r2", "r1", "r4", "r3"], "{any}");
        // Page by page.
        let pages: Vec<_> =
            (0..4).flat_map(|offset| env.record_ids(&format!("{any}&limit=1&offset={offset}"))).collect();
        assert_eq!(pages, ["r2", "r1", "r4", "r3"], "{any}");
        let total = |query: &str| {
            let reply = env.pool.get("getRecordings", &format!("{query}&limit=1")).success();
            reply.xml("totalElements").unwrap().to_owned()
        };
        assert_eq!((total(filter).as_str(), total(&any).as_str()), ("2", "4"), "{filter}");
    }
    let body = env.pool.get("getRecordings", "recordID=r1&state=any").success().body;
    assert!(body.contains("<state></state><startTime>0</startTime>"), "{body}");
    assert_eq!(body.matches("<length></length>").count(), 2, "{body}");
}

#[test]
fn streamed_pages_return_every_row_without_state_or_start_once() {
    let env = RecordingEnv::start();
    env.postgres.sql(
        "INSERT INTO recordings (record_id, meeting_id, state, published, starttime) \
             SELECT 'r' || n, 'm', CASE WHEN n % 3 > 0 THEN 'published' END, true, \
                 CASE WHEN n % 2 > 0 THEN timestamp '2020-01-01' + n * interval '1 s' END \
             FROM generate_series(1, 450) n",
    );
    for query in ["state=any", "state=any&meetingID=m", "state=any&recordID=r"] {
        let found = env.record_ids(query);
        let distinct: std::collections::HashSet<_> = found.iter().collect();
        assert_eq!((found.len(), distinct.len()), (450, 450), "{query}");
        assert_eq!((found[0].as_str(), found[224].as_str(), found[225].as_str()), ("r450", "r2", "r449"));
    }
}

#[test]
fn recordings_are_filtered_by_state() {
    let env = RecordingEnv::start();
    for (n, state) in ["published", "unpublished", "processing", "processed", "deleted"].iter().enumerate() {
        env.add(state, "m", n as u32);
        env.postgres.sql(&format!("UPDATE recordings SET state = '{state}' WHERE record_id = '{state}'"));
    }
    assert_eq!(env.record_ids(""), ["unpublished", "published"]);
    assert_eq!(
        env.record_ids("state=any"),
        ["deleted", "processed", "processing", "unpublished", "published"]
    );
    assert_eq!(env.record_ids("state=deleted%2CProcessed"), ["deleted", "processed"]);
    assert_eq!(env.record_ids("state=nonsense"), [""; 0]);
    assert_eq!(env.record_ids("state=published&meetingID=m&recordID=pub"), ["published"]);
}

fn with_metadata(variables: &[(&str, &str)]) -> RecordingEnv {
    let env = RecordingEnv::with(1, variables);
    for (n, (id, course)) in [("r1", "100%"), ("r2", "1000"), ("r3", "x100"), ("r4", "X")].iter().enumerate()
    {
        env.add(id, &format!("m{n}"), n as u32);
        env.postgres.sql(&format!(
            "INSERT INTO metadata (recording_id, key, value) SELECT id, 'course', '{course}' FROM recordings \
                 WHERE record_id = '{id}'; \
             UPDATE metadata SET value = 'greenlight' WHERE key = 'bbb-origin' AND recording_id % 2 = 0"
        ));
    }
    env
}

#[test]
fn recordings_are_filtered_by_metadata() {
    let env = with_metadata(&[]);
    assert_eq!(env.record_ids("meta_course=X"), ["r4"]);
    assert_eq!(
        env.record_ids("meta_Course=1000%2CX"),
        ["r4", "r2"],
        "keys are case-insensitive, values are alternatives"
    );
    assert_eq!(env.record_ids("meta_course=100%25"), ["r2", "r1"], "prefix match");
    assert_eq!(env.record_ids("meta_course=%25100"), ["r3"], "suffix match");
    assert_eq!(env.record_ids("meta_course=%25100%25"), ["r3", "r2", "r1"]);
    assert_eq!(env.record_ids("meta_course=x%25%2C1000"), ["r3", "r2"]);
    assert_eq!(env.record_ids("meta_course=10_0"), [""; 0]);
    assert_eq!(env.record_ids("meta_course=100%25&meta_bbb-origin=moodle"), ["r1"], "all must match");
    assert_eq!(env.record_ids("meta_bbb-origin=moodle&meta_course=100%25"), ["r1"]);
    assert_eq!(env.record_ids("meta_bbb-origin=moodle&meetingID=m2"), ["r3"]);
    assert_eq!(env.record_ids("meta_bbb-origin=moodle&recordID=r&state=any"), ["r3", "r1"]);
    assert_eq!(env.record_ids("meta_other=moodle"), [""; 0]);
    for nothing in
        ["meta_gl-listed=", "meta_gl-listed", "meta_gl-listed=%2C", "meta_gl-listed=&meta_course=X"]
    {
        assert_eq!(env.record_ids(nothing), [""; 0], "{nothing}: a filter without a value matches none");
    }
}

#[test]
fn metadata_filters_may_match_any_as_in_scalelite() {
    let env = with_metadata(&[("GET_RECORDINGS_META_MATCH", "any")]);
    assert_eq!(env.record_ids("meta_course=X&meta_bbb-origin=moodle"), ["r4", "r3", "r1"]);
    assert_eq!(env.record_ids("meta_course=X&meta_course2=y"), ["r4"]);
    assert_eq!(env.record_ids("meta_course=X&meta_bbb-origin=moodle&meetingID=m0"), ["r1"]);
}

#[test]
fn common_metadata_values_give_same_results() {
    for meta_match in ["all", "any"] {
        let env = with_metadata(&[("GET_RECORDINGS_META_MATCH", meta_match)]);
        env.postgres.sql(
            "INSERT INTO recordings (record_id, meeting_id, state, published, starttime) \
                 SELECT 'old-' || n, 'old', 'published', true, timestamp '2020-01-01' + n * interval '1 s' \
                 FROM generate_series(1, 4000) n; \
             INSERT INTO metadata (recording_id, key, value) SELECT id, 'bbb-origin', 'moodle' FROM recordings \
                 WHERE meeting_id = 'old'; \
             INSERT INTO metadata (recording_id, key, value) SELECT id, 'common', 'x' FROM recordings",
        );
        let both = env.record_ids("meta_bbb-origin=moodle&meta_common=x&limit=4");
        let rare = env.record_ids("meta_common=x&meta_course=X%2C100%25&limit=4");
        if meta_match == "all" {
            assert_eq!(both, ["r3", "r1", "old-4000", "old-3999"]);
            assert_eq!(rare, ["r4", "r2", "r1"]);
        } else {
            assert_eq!(both, ["r4", "r3", "r2", "r1"]);
            assert_eq!(rare, ["r4", "r3", "r2", "r1"]);
        }
        assert_eq!(env.record_ids("meta_bbb-origin=moodle").len(), 4002);
    }
}

#[test]
fn pages_have_limit_offset_and_total() {
    let env = RecordingEnv::start();
    for n in 1..=7 {
        env.add(&format!("r{n}"), &format!("m{}", n % 2), n);
    }
    env.pool.get("deleteRecordings", "recordID=r7").success();
    env.pool.get("publishRecordings", "recordID=r6&publish=false").success();
    let total = |query: &str| {
        let reply = env.pool.get("getRecordings", query).success();
        reply.xml("totalElements").map(|total| total.parse::<u32>().unwrap())
    };
    assert_eq!(env.record_ids("limit=2"), ["r6", "r5"]);
    assert_eq!(env.record_ids("limit=2&offset=3"), ["r3", "r2"]);
    assert_eq!(env.record_ids("offset=4"), ["r2", "r1"]);
    assert_eq!(env.record_ids("offset=6&limit=5"), [""; 0]);
    assert_eq!(env.record_ids("meetingID=m0%2Cm1&limit=2&offset=1"), ["r5", "r4"]);
    assert_eq!(env.record_ids("meta_bbb-origin=moodle&limit=2&offset=1"), ["r5", "r4"]);
    assert_eq!(total("offset=1"), None);
    assert_eq!(total("limit=2"), Some(6));
    assert_eq!(total("limit=2&state=unpublished"), Some(1));
    assert_eq!(total("limit=2&state=any"), Some(7));
    assert_eq!(total("limit=1&meetingID=m1"), Some(3));
    assert_eq!(total("limit=1&recordID=r"), Some(6));
    assert_eq!(total("limit=1&meta_bbb-origin=moodle"), Some(6));
    assert_eq!(total("limit=1&meetingID=nobody"), Some(0));
    assert_eq!(env.record_ids("limit=1000").len(), 6, "100 at most");
    assert_response!(env.pool.get("getRecordings", "limit=1&meetingID=nobody"));
}

#[test]
fn filtered_api_requires_an_id() {
    let env = RecordingEnv::with(1, &[("GET_RECORDINGS_API_FILTERED", "true")]);
    assert_response!(
        env.pool.get("getRecordings", "state=any&meetingID="),
        xml @"<response><returncode>FAILED</returncode><messageKey>missingParameters</messageKey>\
              <message>param meetingID or recordID must be included.</message></response>"
    );
    assert_eq!(
        env.pool.get("getRecordings", "meetingID=m").success().xml("messageKey"),
        Some("noRecordings")
    );
    env.pool.get("getRecordings", "recordID=m").success();
}

#[test]
fn protected_recordings_get_single_use_tokens() {
    let env = RecordingEnv::with(1, &[("PROTECTED_RECORDINGS_ENABLED", "true")]);
    env.add("r1", "m", 1);
    env.add("r2", "m", 2);
    env.pool.get("updateRecordings", "recordID=r2&protect=true").success();
    let target = env.pool.target("getRecordings", "");
    let get_body = || env.pool.fetch("GET", &target, &NGINX, b"").success().body;
    let mut body = String::new();
    let commands = env.pool.redis.monitor(|| body = get_body());
    // SETEX, twice, in one round trip.
    assert_eq!(commands.iter().filter(|command| *command == "setex").count(), 2, "{commands:?}");
    let tokens = |body: &str| -> Vec<String> {
        body.split("token=").skip(1).map(|rest| rest[..64].to_owned()).collect()
    };
    let (first, second) = (tokens(&body), tokens(&get_body()));
    assert_eq!((first.len(), second.len()), (2, 2));
    assert!(first.iter().all(|token| !second.contains(token)), "each response has its own tokens");
    let key = format!("scalelite:protector_token_{}", first[0]);
    let access: serde_json::Value = serde_json::from_str(&env.pool.redis.cli(&["GET", &key])).unwrap();
    assert_eq!(access, serde_json::json!({ "record_id": "r2", "format": "presentation" }));
    let ttl: u32 = env.pool.redis.cli(&["TTL", &key]).parse().unwrap();
    assert!((3590..=3600).contains(&ttl), "{ttl}");
    insta::with_settings!({ filters => vec![(r"token=[0-9a-f]{64}", "token=[token]")] }, {
        insta::assert_snapshot!(body);
    });
}

#[test]
fn get_recordings_accepts_form_body() {
    let env = RecordingEnv::start();
    env.add("r1", "m1", 1);
    env.add("r2", "m2", 2);
    let form = "application/x-www-form-urlencoded";
    let reply = env.pool.post("getRecordings", "", form, b"meetingID=m1").success();
    assert_eq!(reply.xml("recordID"), Some("r1"));
}

#[test]
fn get_recordings_returns_5000_complete_and_in_order() {
    let env = RecordingEnv::start();
    env.postgres.sql(
        "INSERT INTO recordings (record_id, meeting_id, state, published, starttime) \
             SELECT 'r-' || n, 'm' || n % 10, 'published', true, \
                 CASE WHEN n <= 4900 THEN timestamp '2020-01-01' + (n / 7) * interval '1 s' END \
             FROM generate_series(1, 5000) n; \
         INSERT INTO metadata (recording_id, key, value) SELECT id, 'k', record_id FROM recordings",
    );
    let all = env.record_ids("");
    assert_eq!((all.len(), all[0].as_str(), all[4999].as_str()), (5000, "r-5000", "r-1"));
    let numbers: Vec<u32> = all.iter().map(|id| id[2..].parse().unwrap()).collect();
    assert!(numbers.is_sorted_by(|a, b| a > b));
    assert_eq!(env.record_ids("state=any"), all);
    assert_eq!(env.record_ids("recordID=r-"), all);
    assert_eq!(env.record_ids("meta_k=r-%25"), all);
    let meetings: Vec<String> = (0..10).map(|n| format!("m{n}")).collect();
    assert_eq!(env.record_ids(&format!("meetingID={}", meetings.join("%2C"))), all);
    assert_eq!(env.record_ids("offset=4900").len(), 100);
}
