//! Query plans: a file request costs one index probe, however many recordings there are.

use super::assert_not_found;
use crate::support::{Postgres, RecordingEnv, eventually};

#[test]
fn each_file_request_is_one_index_probe() {
    let postgres = Postgres::with(&[
        "autovacuum=off",
        "log_min_messages=log",
        "shared_preload_libraries=auto_explain",
        "auto_explain.log_min_duration=0",
        "auto_explain.log_analyze=on",
        "auto_explain.log_timing=off",
    ]);
    let mut env = RecordingEnv::with_postgres(postgres, &[]);
    env.pool.sl_ok(&["migrate"]);
    env.postgres.sql(
        "INSERT INTO recordings (record_id, state, published) \
             SELECT 'r' || n, 'published', true FROM generate_series(1, 20000) n; \
         INSERT INTO playback_formats (recording_id, format, url) \
             SELECT id, f, '/' FROM recordings, unnest(ARRAY['presentation', 'video']) f",
    );
    env.pool.serve(&["--no-poller"]);
    for (target, probes) in [("/video/r17/x", 1), ("/video/r17/", 1), ("/recording/r17/video", 2)] {
        let before = env.postgres.log().len();
        let status = env.pool.fetch("GET", target, &[], b"").status;
        assert!(status == 200 || status == 307, "{target}: {status}");
        // The replica checks the schema in the meantime, in other tables.
        let plans = || -> Vec<String> {
            let log = env.postgres.log();
            let of = |plan: &&str| plan.contains("FROM recordings");
            log[before..].split("plan:").skip(1).filter(of).map(str::to_owned).collect()
        };
        eventually("the plan is logged", || !plans().is_empty());
        let plans = plans();
        assert_eq!(plans.len(), 1, "{target}: {plans:?}");
        let scans: Vec<&str> = plans[0].lines().filter(|line| line.contains(" Scan")).collect();
        assert_eq!(scans.len(), probes, "{target}: {}", plans[0]);
        for scan in scans {
            assert!(scan.contains("Index") && scan.contains("actual rows=1 loops=1"), "{scan}");
        }
        assert!(!plans[0].contains("Removed by Filter"), "{}", plans[0]);
    }
    assert_not_found(&env.pool.fetch("GET", "/video/r0/x", &[], b""));
}
