//! publishRecordings: puts recordings on the one shelf or on the other.

use crate::assert_answer;
use crate::support::Library;

#[test]
fn files_move_and_the_index_says_so() {
    let library = Library::start();
    library.add("r1", "m", 1);
    library.add("r2", "m", 2);
    assert_answer!(library.pool.get("publishRecordings", "recordID=r1&publish=false"));
    assert_eq!(library.files(&library.published()), ["presentation/r2", "video/r2"]);
    assert_eq!(library.files(&library.unpublished()), ["presentation/r1", "video/r1"]);
    assert_eq!(library.listed("state=unpublished"), ["r1"]);
    let row = "SELECT published, state, publish_updated FROM recordings WHERE record_id = 'r1'";
    assert_eq!(library.postgres.sql(row), "f|unpublished|t");
    // Again is no error.
    library.pool.get("publishRecordings", "recordID=r1&publish=false").success();
    assert_answer!(library.pool.get("publishRecordings", "recordID=r1,r2,nobody,../x&publish=TRUE"));
    assert_eq!(library.files(&library.published()).len(), 4);
    assert_eq!(library.files(&library.unpublished()), [""; 0]);
    assert_eq!(library.postgres.sql(row), "t|published|t");
}

#[test]
fn what_is_missing_or_unknown_is_an_error() {
    let library = Library::start();
    library.add("r1", "m", 1);
    assert_answer!(library.pool.get("publishRecordings", "publish=true"));
    assert_answer!(library.pool.get("publishRecordings", "recordID=r1"));
    assert_answer!(library.pool.get("publishRecordings", "recordID=nobody&publish=true"));
    for query in ["recordID=..%2Fr1&publish=true", "recordID=r&publish=true", "recordID=%2C&publish=true"] {
        assert_eq!(library.pool.get("publishRecordings", query).failed(), "notFound", "{query}");
    }
    // Anything but true is false.
    library.pool.get("publishRecordings", "recordID=r1&publish=maybe").success();
    assert_eq!(library.listed("state=unpublished"), ["r1"]);
}

#[test]
fn a_recording_whose_files_are_nowhere_is_an_error_and_stays_as_it_is() {
    let library = Library::start();
    library.add("r1", "m", 1);
    std::fs::remove_dir_all(library.published().join("presentation")).unwrap();
    std::fs::remove_dir_all(library.published().join("video")).unwrap();
    assert_answer!(library.pool.get("publishRecordings", "recordID=r1&publish=false"));
    assert_eq!(library.listed("state=published"), ["r1"]);
}

#[test]
fn a_deleted_recording_is_none() {
    let library = Library::start();
    library.add("r1", "m", 1);
    library.pool.get("deleteRecordings", "recordID=r1").success();
    assert_eq!(library.pool.get("publishRecordings", "recordID=r1&publish=true").failed(), "notFound");
}

#[test]
fn it_may_come_as_a_form() {
    let library = Library::start();
    library.add("r1", "m", 1);
    let form = "application/x-www-form-urlencoded";
    library.pool.post("publishRecordings", "", form, b"recordID=r1&publish=false").success();
    assert_eq!(library.listed("state=unpublished"), ["r1"]);
}

#[test]
fn raced_from_two_replicas_files_and_index_agree_in_the_end() {
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
