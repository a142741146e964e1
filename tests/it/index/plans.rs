//! Query plans: each query uses index probes, whatever the table's size. Checks plans, not times.

use crate::support::{Postgres, RecordingEnv, eventually};
use std::collections::BTreeMap;

/// Each shape of getRecordings.
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
    "meta_course=course-171%25",
    "meta_bbb-origin=moodle&meta_course=course-17&limit=5",
    "meta_bbb-origin=moodle&limit=25",
    "",
    "state=any",
];

/// An index with 30,000 recordings. Postgres logs the plan of every query, with the rows that each step read.
fn filled_index() -> RecordingEnv {
    let postgres = Postgres::with(&[
        "autovacuum=off",
        "log_min_messages=log",
        "shared_preload_libraries=auto_explain",
        "auto_explain.log_min_duration=0",
        "auto_explain.log_analyze=on",
        "auto_explain.log_timing=off",
    ]);
    let env = RecordingEnv::with_postgres(postgres, &[]);
    env.pool.sl_ok(&["migrate"]);
    env.postgres.sql(
        "INSERT INTO recordings (record_id, meeting_id, state, published, starttime) \
             SELECT n % 10 || '-' || n, 'meeting-' || n / 10, CASE WHEN n % 4 > 0 THEN 'published' END, true, \
                 timestamp '2020-01-01' + n * interval '1 minute' FROM generate_series(1, 30000) n; \
         INSERT INTO metadata (recording_id, key, value) SELECT id, 'bbb-origin', 'moodle' FROM recordings; \
         INSERT INTO metadata (recording_id, key, value) \
             SELECT id, 'course', 'course-' || id / 10 FROM recordings; \
         INSERT INTO playback_formats (recording_id, format, url) \
             SELECT id, f, '/' FROM recordings, unnest(ARRAY['presentation', 'video']) f; \
         INSERT INTO thumbnails (playback_format_id, url, sequence) \
             SELECT id, '/', n FROM playback_formats, generate_series(1, 2) n",
    );
    env
}

/// The rows that a plan read of each table, including those it filtered out.
fn rows_read(plan: &str) -> BTreeMap<&'static str, u64> {
    let mut read = BTreeMap::new();
    let mut last = None;
    let number = |text: &str, after: &str| -> Option<f64> {
        let rest = text.split_once(after)?.1;
        rest.split(|c: char| !c.is_ascii_digit() && c != '.').next()?.parse().ok()
    };
    for line in plan.lines() {
        if let Some((_, rest)) = line.split_once("actual rows=") {
            let (rows, loops) = (rest.split(' ').next().unwrap(), number(rest, "loops=").unwrap());
            last = None;
            for table in ["recordings", "metadata", "playback_formats", "thumbnails"] {
                if line.contains("Scan") && line.contains(&format!(" on {table} ")) {
                    *read.entry(table).or_insert(0) += (rows.parse::<f64>().unwrap() * loops) as u64;
                    last = Some((table, loops));
                }
            }
        } else if let (Some((table, loops)), Some(removed)) = (last, number(line, "Rows Removed by Filter: "))
        {
            *read.entry(table).or_insert(0) += (removed * loops) as u64;
        }
    }
    read
}

/// With and without statistics: recordings must not be slow to query before Postgres has analyzed them.
#[test]
fn get_recordings_queries_use_indexes() {
    for analyzed in [false, true] {
        let mut env = filled_index();
        if analyzed {
            env.postgres.sql("ANALYZE");
        }
        env.pool.serve(&["--no-poller"]);
        for query in QUERIES {
            let before = env.postgres.log().len();
            env.pool.get("getRecordings", query).success();
            let log = env.postgres.log();
            let plans: Vec<&str> = log[before..].split("plan:").skip(1).collect();
            assert!(!plans.is_empty(), "{query}");
            for plan in plans {
                let read = rows_read(plan);
                for table in ["recordings", "metadata", "playback_formats", "thumbnails"] {
                    assert!(!plan.contains(&format!("Seq Scan on {table} ")), "{query}: {plan}");
                }
                // Rows with a common value are counted, and there are many.
                if query == "meta_bbb-origin=moodle&limit=25" && plan.contains("SELECT count(*) FROM (") {
                    continue;
                }
                let most = read.values().max().copied().unwrap_or(0);
                assert!(most <= 4000, "{query} (analyzed: {analyzed}) reads {read:?}: {plan}");
            }
        }
    }
}

/// Polling for due callbacks costs next to nothing, however many there were; so does storing a URL.
#[test]
fn callback_polling_reads_only_due_rows() {
    let mut env = filled_index();
    env.postgres.sql(
        "INSERT INTO callbacks (kind, record_id, meeting_id, url, state, finished_at, due_at) \
             SELECT 'recording-ready', 'r' || n, 'm', 'u', s, CASE s WHEN 'pending' THEN NULL ELSE now() END, \
                 now() + interval '1 hour' \
             FROM generate_series(1, 20000) n, \
                 LATERAL (SELECT (ARRAY['pending', 'delivered', 'failed'])[n % 3 + 1] AS s) x; \
         INSERT INTO callback_data (meeting_id, created_at, updated_at) \
             SELECT 'm' || n, now(), now() FROM generate_series(1, 20000) n; \
         INSERT INTO callback_urls SELECT 'i' || n, 'u', now() FROM generate_series(1, 20000) n",
    );
    env.pool.add(1, &[]);
    env.pool.enable(1);
    let before = env.postgres.log().len();
    env.pool.serve(&["--no-poller"]);
    env.pool.get("create", "meetingID=m17&meta_bn-recording-ready-url=https%3A%2F%2Fe.org").success();
    let log = || env.postgres.log()[before..].to_owned();
    for index in ["callbacks_due", "callbacks_finished", "callback_urls_noted", "sl_callback_data_meeting"] {
        eventually(index, || log().contains(&format!("Scan using {index} on ")));
    }
    let log = log();
    assert!(!log.contains("Seq Scan on callback"), "{log}");
    for line in
        log.lines().filter(|line| line.contains("Scan using callback") && line.contains("actual rows="))
    {
        let rows = line.split_once("actual rows=").unwrap().1.split(' ').next().unwrap();
        assert!(rows.parse::<f64>().unwrap() <= 1.0, "{line}");
    }
}

/// Checks the parser of plans itself.
#[test]
fn rows_read_are_parsed_from_plan() {
    let plan = "  ->  Index Scan using a on recordings r  (cost=0..1 rows=5 width=1) (actual rows=64 loops=2)\n\
        Rows Removed by Filter: 7\n\
        ->  Seq Scan on metadata m  (cost=0..1 rows=5 width=1) (actual rows=0.50 loops=10)\n";
    assert_eq!(rows_read(plan), BTreeMap::from([("recordings", 142), ("metadata", 5)]));
}
