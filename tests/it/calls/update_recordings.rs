//! updateRecordings: metadata and protection.

use crate::assert_answer;
use crate::support::Library;

fn updated(library: &Library, query: &str) -> bool {
    let reply = library.pool.get("updateRecordings", query).success();
    reply.xml("updated") == Some("true")
}

fn metadata(library: &Library, record_id: &str) -> String {
    let rows = library.postgres.sql(&format!(
        "SELECT m.key || '=' || m.value FROM metadata m JOIN recordings r ON r.id = m.recording_id \
             WHERE r.record_id = '{record_id}' ORDER BY 1"
    ));
    rows.replace('\n', " ")
}

#[test]
fn update_sets_and_removes_metadata() {
    let library = Library::start();
    library.add("r1", "m", 1);
    library.add("r2", "m", 2);
    assert_answer!(
        library.pool.get("updateRecordings", "recordID=r1&meta_GL-Listed=true&meta_bbb-origin=&meta_new=x")
    );
    assert_eq!(metadata(&library, "r1"), "gl-listed=true new=x");
    assert_eq!(metadata(&library, "r2"), "bbb-origin=moodle gl-listed=");
    assert!(updated(&library, "recordID=r1,r2&meta_new=y"));
    assert_eq!(metadata(&library, "r1"), "gl-listed=true new=y");
    assert_eq!(metadata(&library, "r2"), "bbb-origin=moodle gl-listed= new=y");
    let form = "application/x-www-form-urlencoded";
    library.pool.post("updateRecordings", "", form, b"recordID=r1&meta_a=%26%3C").success();
    assert_eq!(metadata(&library, "r1"), "a=&< gl-listed=true new=y");
}

#[test]
fn update_reports_false_when_nothing_changes() {
    let library = Library::start();
    library.add("r1", "m", 1);
    library.add("r2", "m", 2);
    library.pool.get("deleteRecordings", "recordID=r2").success();
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
        assert!(!updated(&library, query), "{query}");
    }
    assert_eq!(metadata(&library, "r1"), "bbb-origin=moodle gl-listed=");
    assert_answer!(library.pool.get("updateRecordings", "meta_a=b"));
}

#[test]
fn update_sets_protection_on_all_named_recordings() {
    let library = Library::start();
    library.add("r1", "m", 1);
    library.add("r2", "m", 2);
    assert!(updated(&library, "recordID=r1,r2&protect=true"));
    assert_eq!(library.postgres.sql("SELECT count(*) FROM recordings WHERE protected"), "2");
    assert!(!updated(&library, "recordID=r1,r2&protect=true"));
    assert!(updated(&library, "recordID=r2&protect=false"));
    assert_eq!(library.postgres.sql("SELECT record_id FROM recordings WHERE protected"), "r1");
    assert!(!updated(&library, "recordID=r2&protect=perhaps"));
}
