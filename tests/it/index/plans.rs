//! How Postgres goes about each query: by index probes, whatever the table's size. Plans, not times.

use crate::support::{Library, Postgres};
use std::process::Command;

/// Each shape of getRecordings. Those that go on and on come last: what they have read is told late.
const QUERIES: [&str; 14] = [
    "limit=25",
    "limit=25&offset=50",
    "state=unpublished&limit=25",
    "meetingID=meeting-17",
    "meetingID=meeting-17%2Cmeeting-18&limit=10",
    "recordID=7-17",
    "recordID=7-17%2C8-18",
    "recordID=7-1&meetingID=meeting-1&state=any",
    "meta_course=course-17",
    "meta_course=course-17%25",
    "meta_bbb-origin=moodle&meta_course=course-17&limit=5",
    "meta_bbb-origin=moodle&limit=25",
    "",
    "state=any",
];

fn filled() -> Library {
    let library = Library::with(0, &[]);
    library.postgres.sql(
        "INSERT INTO recordings (record_id, meeting_id, state, published, starttime) \
             SELECT n % 10 || '-' || n, 'meeting-' || n / 10, 'published', true, \
                 timestamp '2020-01-01' + n * interval '1 minute' FROM generate_series(1, 30000) n; \
         INSERT INTO metadata (recording_id, key, value) SELECT id, 'bbb-origin', 'moodle' FROM recordings; \
         INSERT INTO metadata (recording_id, key, value) \
             SELECT id, 'course', 'course-' || id / 10 FROM recordings; \
         INSERT INTO playback_formats (recording_id, format, url) \
             SELECT id, f, '/' FROM recordings, unnest(ARRAY['presentation', 'video']) f; \
         INSERT INTO thumbnails (playback_format_id, url, sequence) \
             SELECT id, '/', n FROM playback_formats, generate_series(1, 2) n",
    );
    library
}

/// What each table has been read by since: `scans of all|scans of an index`, from Postgres' own count.
fn reads(postgres: &Postgres) -> Vec<(String, u64, u64, u64)> {
    let rows = postgres.sql(
        "SELECT relname, seq_scan, seq_tup_read, idx_tup_fetch FROM pg_stat_user_tables \
         WHERE relname IN ('recordings', 'metadata', 'playback_formats', 'thumbnails') ORDER BY 1",
    );
    rows.lines()
        .map(|line| {
            let mut columns = line.split('|');
            let name = columns.next().unwrap().to_owned();
            let mut number = || columns.next().unwrap().parse().unwrap();
            (name, number(), number(), number())
        })
        .collect()
}

/// With statistics and without: fresh imports must not be slow until Postgres has looked at them.
#[test]
fn no_query_reads_a_table_from_end_to_end() {
    for analyzed in [false, true] {
        let mut library = filled();
        if analyzed {
            library.postgres.sql("ANALYZE");
        }
        library.pool.serve(&["--no-poller"]);
        for query in QUERIES {
            library.postgres.sql("SELECT pg_stat_reset()");
            let bounded = query.contains("limit") || query.contains("ID") || query.contains("course");
            if bounded {
                library.pool.get("getRecordings", query).success();
            } else {
                first_page(&library, query);
            }
            // Backends tell what they have read when they have been idle for a moment.
            library.postgres.sql("SELECT pg_sleep(1.1)");
            for _ in 0..4 {
                library.pool.get("getRecordings", "recordID=nobody").success();
            }
            library.postgres.sql("SELECT pg_sleep(0.2)");
            for (table, scans, _, fetched) in reads(&library.postgres) {
                assert_eq!(scans, 0, "{query} reads all of {table} (analyzed: {analyzed})");
                let most = if query.contains("bbb-origin") { 3000 } else { 1500 };
                assert!(!bounded || fetched <= most, "{query} reads {fetched} rows of {table}");
            }
        }
    }
}

/// Asks and goes away after the beginning of the answer.
fn first_page(library: &Library, query: &str) {
    let url = library.pool.url_at(0, "getRecordings", query);
    let output = Command::new("curl").args(["-s", "--max-filesize", "100000", "-r", "0-1000", &url]).output();
    assert!(!output.unwrap().stdout.is_empty());
}
