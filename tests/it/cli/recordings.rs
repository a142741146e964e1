//! `sl recordings …`

use crate::support::Library;
use serde_json::Value;

fn json(library: &Library, args: &[&str]) -> Value {
    let mut all = vec!["--json", "recordings"];
    all.extend(args);
    serde_json::from_str(&library.pool.sl_ok(&all)).unwrap()
}

fn ids(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|r| r["record_id"].as_str().unwrap()).collect()
}

#[test]
fn recordings_list_and_show_print_recordings() {
    let library = Library::with(0, &[]);
    assert_eq!(library.pool.sl_ok(&["recordings", "list"]), "No recordings.\n");
    library.add("r1", "m1", 1);
    library.add("r2", "m2", 2);
    library.add("r22", "m2", 3);
    insta::assert_snapshot!(library.pool.sl_ok(&["recordings", "list"]));
    insta::assert_snapshot!(library.pool.sl_ok(&["recordings", "show", "r2"]));
    assert_eq!(ids(&json(&library, &["list"])), ["r22", "r2", "r1"]);
    assert_eq!(ids(&json(&library, &["list", "--meeting", "m2", "--limit", "1"])), ["r22"]);
    assert_eq!(ids(&json(&library, &["list", "--meta", "bbb-origin=mood%", "--limit", "0"])).len(), 3);
    assert_eq!(ids(&json(&library, &["list", "--state", "deleted"])), [""; 0]);
    let shown = json(&library, &["show", "r1"]);
    assert_eq!(shown[0]["metadata"]["bbb-origin"], "moodle");
    assert_eq!(shown[0]["formats"][0]["format"], "presentation");
    let line = library.pool.sl_fails(&["recordings", "show", "r"]);
    assert!(line.contains("no recording r"), "{line}");
}

#[test]
fn recordings_can_be_published_unpublished_and_deleted() {
    let library = Library::with(0, &[]);
    library.add("r1", "m1", 1);
    assert_eq!(library.pool.sl_ok(&["recordings", "unpublish", "r1"]), "OK r1\n");
    assert_eq!(library.files(&library.unpublished()), ["presentation/r1", "video/r1"]);
    assert_eq!(json(&library, &["publish", "r1"])[0]["published"], true);
    assert_eq!(library.files(&library.published()), ["presentation/r1", "video/r1"]);
    assert!(library.pool.sl_fails(&["recordings", "delete", "r1"]).contains("--yes"));
    assert_eq!(library.pool.sl_ok(&["recordings", "delete", "r1", "--yes"]), "OK r1\n");
    assert_eq!(library.files(&library.published()), [""; 0]);
    for args in [
        ["recordings", "publish", "r1"],
        ["recordings", "publish", "nobody"],
        ["recordings", "publish", "../x"],
    ] {
        library.pool.sl_fails(&args);
    }
}

#[test]
fn retain_deletes_by_age_and_metadata_with_dry_run() {
    let library = Library::with(0, &[]);
    library.add("old", "m", 1);
    library.add("other", "m", 2);
    library.add("new", "m", 3);
    library.add("unknown", "m", 4);
    library.postgres.sql(
        "UPDATE recordings SET starttime = now() AT TIME ZONE 'UTC' - interval '89 days' WHERE record_id = 'new'; \
         UPDATE recordings SET starttime = '2019-12-31' WHERE record_id IN ('old', 'other'); \
         UPDATE recordings SET starttime = NULL WHERE record_id = 'unknown'; \
         UPDATE metadata SET value = 'greenlight' FROM recordings r \
             WHERE r.id = recording_id AND r.record_id = 'other' AND key = 'bbb-origin'",
    );
    let retain = |args: &[&str]| {
        let mut all = vec!["recordings", "retain"];
        all.extend(args);
        library.pool.sl_ok(&all)
    };
    let output = retain(&["--older-than", "90d", "--dry-run"]);
    assert!(
        output.contains("would delete other") && output.ends_with("2 recordings would be deleted.\n"),
        "{output}"
    );
    assert_eq!(library.files(&library.published()).len(), 8);
    assert!(library.pool.sl_fails(&["recordings", "retain", "--older-than", "90d"]).contains("--yes"));
    assert!(library.pool.sl_fails(&["recordings", "retain", "--yes"]).contains("--older-than"));
    let output = retain(&["--older-than", "12w", "--meta", "bbb-origin=green%", "--yes"]);
    assert!(output.ends_with("1 recordings deleted.\n"), "{output}");
    let deleted =
        "SELECT string_agg(record_id, ' ' ORDER BY record_id) FROM recordings WHERE state = 'deleted'";
    assert_eq!(library.postgres.sql(deleted), "other");
    retain(&["--older-than", "90d", "--yes"]);
    assert_eq!(library.postgres.sql(deleted), "old other");
    assert_eq!(library.files(&library.published()).len(), 4);
    assert_eq!(retain(&["--older-than", "90d"]), "0 recordings deleted.\n");
}

#[test]
fn recordings_commands_without_database_name_required_setting() {
    let mut library = Library::empty(&[]);
    library.pool.set("DATABASE_URL", "");
    assert!(library.pool.sl_fails(&["recordings", "list"]).contains("DATABASE_URL"));
}
