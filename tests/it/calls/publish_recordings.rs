//! publishRecordings: moves recordings between the published and the unpublished shelf.

use crate::assert_answer;
use crate::support::Library;

#[test]
fn publish_moves_files_and_updates_index() {
    let library = Library::start();
    library.add("r1", "m", 1);
    library.add("r2", "m", 2);
    assert_answer!(library.pool.get("publishRecordings", "recordID=r1&publish=false"));
    assert_eq!(library.files(&library.published()), ["presentation/r2", "video/r2"]);
    assert_eq!(library.files(&library.unpublished()), ["presentation/r1", "video/r1"]);
    assert_eq!(library.listed("state=unpublished"), ["r1"]);
    let row = "SELECT published, state, publish_updated FROM recordings WHERE record_id = 'r1'";
    assert_eq!(library.postgres.sql(row), "f|unpublished|t");
    // Repeating it is not an error.
    library.pool.get("publishRecordings", "recordID=r1&publish=false").success();
    assert_answer!(library.pool.get("publishRecordings", "recordID=r1,r2,nobody,../x&publish=TRUE"));
    assert_eq!(library.files(&library.published()).len(), 4);
    assert_eq!(library.files(&library.unpublished()), [""; 0]);
    assert_eq!(library.postgres.sql(row), "t|published|t");
}

#[test]
fn publish_fails_for_missing_parameters_or_unknown_recording() {
    let library = Library::start();
    library.add("r1", "m", 1);
    assert_answer!(library.pool.get("publishRecordings", "publish=true"));
    assert_answer!(library.pool.get("publishRecordings", "recordID=r1"));
    assert_answer!(library.pool.get("publishRecordings", "recordID=nobody&publish=true"));
    for query in ["recordID=..%2Fr1&publish=true", "recordID=r&publish=true", "recordID=%2C&publish=true"] {
        assert_eq!(library.pool.get("publishRecordings", query).failed(), "notFound", "{query}");
    }
    // Any value other than true means false.
    library.pool.get("publishRecordings", "recordID=r1&publish=maybe").success();
    assert_eq!(library.listed("state=unpublished"), ["r1"]);
}

#[test]
fn publish_fails_and_changes_nothing_when_files_are_missing() {
    let library = Library::start();
    library.add("r1", "m", 1);
    std::fs::remove_dir_all(library.published().join("presentation")).unwrap();
    std::fs::remove_dir_all(library.published().join("video")).unwrap();
    assert_answer!(library.pool.get("publishRecordings", "recordID=r1&publish=false"));
    assert_eq!(library.listed("state=published"), ["r1"]);
}

#[test]
fn publish_fails_for_deleted_recording() {
    let library = Library::start();
    library.add("r1", "m", 1);
    library.pool.get("deleteRecordings", "recordID=r1").success();
    assert_eq!(library.pool.get("publishRecordings", "recordID=r1&publish=true").failed(), "notFound");
}

#[test]
fn publish_accepts_form_body() {
    let library = Library::start();
    library.add("r1", "m", 1);
    let form = "application/x-www-form-urlencoded";
    library.pool.post("publishRecordings", "", form, b"recordID=r1&publish=false").success();
    assert_eq!(library.listed("state=unpublished"), ["r1"]);
}

#[test]
fn concurrent_publishes_leave_files_and_index_consistent() {
    let library = Library::with(2, &[]);
    library.add("r1", "m", 1);
    for _ in 0..15 {
        std::thread::scope(|scope| {
            for (replica, publish) in [(0, true), (1, false), (0, false), (1, true)] {
                let pool = &library.pool;
                scope.spawn(move || {
                    pool.get_at(replica, "publishRecordings", &format!("recordID=r1&publish={publish}"))
                        .success()
                });
            }
        });
        let published = library.postgres.sql("SELECT published FROM recordings") == "t";
        let (is, is_not) = match published {
            true => (library.published(), library.unpublished()),
            false => (library.unpublished(), library.published()),
        };
        assert_eq!(library.files(&is), ["presentation/r1", "video/r1"]);
        assert_eq!(library.files(&is_not), [""; 0]);
    }
}
