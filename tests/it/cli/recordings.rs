//! `sl recordings …`

use crate::support::RecordingEnv;
use serde_json::Value;

fn json(env: &RecordingEnv, args: &[&str]) -> Value {
    let mut all = vec!["--json", "recordings"];
    all.extend(args);
    serde_json::from_str(&env.pool.sl_ok(&all)).unwrap()
}

fn ids(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|r| r["record_id"].as_str().unwrap()).collect()
}

#[test]
fn recordings_list_and_show_print_recordings() {
    let env = RecordingEnv::with(0, &[]);
    assert_eq!(env.pool.sl_ok(&["recordings", "list"]), "No recordings.\n");
    env.add("r1", "m1", 1);
    env.add("r2", "m2", 2);
    env.add("r22", "m2", 3);
    insta::assert_snapshot!(env.pool.sl_ok(&["recordings", "list"]));
    insta::assert_snapshot!(env.pool.sl_ok(&["recordings", "show", "r2"]));
    assert_eq!(ids(&json(&env, &["list"])), ["r22", "r2", "r1"]);
    assert_eq!(ids(&json(&env, &["list", "--meeting", "m2", "--limit", "1"])), ["r22"]);
    assert_eq!(ids(&json(&env, &["list", "--meta", "bbb-origin=mood%", "--limit", "0"])).len(), 3);
    assert_eq!(ids(&json(&env, &["list", "--state", "deleted"])), [""; 0]);
    let shown = json(&env, &["show", "r1"]);
    assert_eq!(shown[0]["metadata"]["bbb-origin"], "moodle");
    assert_eq!(shown[0]["formats"][0]["format"], "presentation");
    let line = env.pool.sl_fails(&["recordings", "show", "r"]);
    assert!(line.contains("no recording r"), "{line}");
}

#[test]
fn recordings_can_be_published_unpublished_and_deleted() {
    let env = RecordingEnv::with(0, &[]);
    env.add("r1", "m1", 1);
    assert_eq!(env.pool.sl_ok(&["recordings", "unpublish", "r1"]), "OK r1\n");
    assert_eq!(env.formats_on(&env.unpublished()), ["presentation/r1", "video/r1"]);
    assert_eq!(json(&env, &["publish", "r1"])[0]["published"], true);
    assert_eq!(env.formats_on(&env.published()), ["presentation/r1", "video/r1"]);
    assert!(env.pool.sl_fails(&["recordings", "delete", "r1"]).contains("--yes"));
    assert_eq!(env.pool.sl_ok(&["recordings", "delete", "r1", "--yes"]), "OK r1\n");
    assert_eq!(env.formats_on(&env.published()), [""; 0]);
    for args in [
        ["recordings", "publish", "r1"],
        ["recordings", "publish", "nobody"],
        ["recordings", "publish", "../x"],
    ] {
        env.pool.sl_fails(&args);
    }
}

#[test]
fn retain_deletes_by_age_and_metadata_with_dry_run() {
    let env = RecordingEnv::with(0, &[]);
    env.add("old", "m", 1);
    env.add("other", "m", 2);
    env.add("new", "m", 3);
    env.add("unknown", "m", 4);
    env.postgres.sql(
        "UPDATE recordings SET starttime = now() AT TIME ZONE 'UTC' - interval '89 days' WHERE record_id = 'new'; \
         UPDATE recordings SET starttime = '2019-12-31' WHERE record_id IN ('old', 'other'); \
         UPDATE recordings SET starttime = NULL WHERE record_id = 'unknown'; \
         UPDATE metadata SET value = 'greenlight' FROM recordings r \
             WHERE r.id = recording_id AND r.record_id = 'other' AND key = 'bbb-origin'",
    );
    let retain = |args: &[&str]| {
        let mut all = vec!["recordings", "retain"];
        all.extend(args);
        env.pool.sl_ok(&all)
    };
    let output = retain(&["--older-than", "90d", "--dry-run"]);
    assert!(
        output.contains("would delete other") && output.ends_with("2 recordings would be deleted.\n"),
        "{output}"
    );
    assert_eq!(env.formats_on(&env.published()).len(), 8);
    assert!(env.pool.sl_fails(&["recordings", "retain", "--older-than", "90d"]).contains("--yes"));
    assert!(env.pool.sl_fails(&["recordings", "retain", "--yes"]).contains("--older-than"));
    let output = retain(&["--older-than", "12w", "--meta", "bbb-origin=green%", "--yes"]);
    assert!(output.ends_with("1 recordings deleted.\n"), "{output}");
    let deleted =
        "SELECT string_agg(record_id, ' ' ORDER BY record_id) FROM recordings WHERE state = 'deleted'";
    assert_eq!(env.postgres.sql(deleted), "other");
    retain(&["--older-than", "90d", "--yes"]);
    assert_eq!(env.postgres.sql(deleted), "old other");
    assert_eq!(env.formats_on(&env.published()).len(), 4);
    assert_eq!(retain(&["--older-than", "90d"]), "0 recordings deleted.\n");
}

#[test]
fn recordings_commands_without_database_name_required_setting() {
    let mut env = RecordingEnv::empty(&[]);
    env.pool.set("DATABASE_URL", "");
    assert!(env.pool.sl_fails(&["recordings", "list"]).contains("DATABASE_URL"));
}
