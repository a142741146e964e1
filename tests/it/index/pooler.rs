//! PgBouncer in transaction mode in front of Postgres: sessions are shared.

use crate::support::{CannedServer, PgBouncer, Postgres, RecordingEnv, eventually};
use sl_sim::{Compression, Recording, RecordingFormat};

/// A migrated database, and settings that lead to it through the pooler.
fn pooled_env() -> (RecordingEnv, PgBouncer) {
    let postgres = Postgres::start();
    let bouncer = PgBouncer::start(&postgres);
    let mut env = RecordingEnv::with_postgres(postgres, &[("CALLBACK_ALLOW_PRIVATE", "true")]);
    env.pool.set("DATABASE_DIRECT_URL", &env.postgres.url());
    env.pool.set("DATABASE_URL", &bouncer.url());
    env.pool.set("PREPARED_STATEMENT", "false");
    env.pool.set("RECORDING_IMPORT_SETTLE", "0.1");
    env.pool.sl_ok(&["migrate"]);
    (env, bouncer)
}

#[test]
fn recordings_work_behind_pooler_in_transaction_mode() {
    let (mut env, _bouncer) = pooled_env();
    for n in 0..8 {
        env.add(&format!("r{n}"), "m", n);
    }
    for _ in 0..2 {
        env.pool.serve(&["--no-poller", "--importer"]);
    }
    // Many connections, few sessions: each statement would meet those that other connections have prepared.
    std::thread::scope(|scope| {
        for n in 0..8 {
            let env = &env;
            scope.spawn(move || {
                let (replica, id) = (n % 2, format!("recordID=r{n}"));
                for round in 0..5 {
                    let get = |call: &str, query: &str| env.pool.get_at(replica, call, query).success();
                    let all = get("getRecordings", "meetingID=m&state=any").body;
                    assert_eq!(all.matches("<recording>").count(), 8, "{all}");
                    get("publishRecordings", &format!("{id}&publish=false"));
                    get("updateRecordings", &format!("{id}&meta_round={round}"));
                    get("publishRecordings", &format!("{id}&publish=true"));
                    let one = get("getRecordings", &id).body;
                    assert!(one.contains(&format!("<round>{round}</round>")), "{one}");
                    let video = format!("/recording/r{n}/video");
                    assert_eq!(env.pool.fetch("GET", &video, &[], b"").status, 307);
                }
                get_deleted(env, replica, &id);
            });
        }
    });
    assert_eq!(env.postgres.sql("SELECT count(*) FROM recordings WHERE state = 'deleted'"), "8");
}

fn get_deleted(env: &RecordingEnv, replica: usize, id: &str) {
    env.pool.get_at(replica, "deleteRecordings", id).success();
    let left = env.pool.get_at(replica, "getRecordings", id).success().body;
    assert!(!left.contains("<recordID>"), "{left}");
}

#[test]
fn imports_and_callbacks_work_behind_pooler_in_transaction_mode() {
    let (mut env, _bouncer) = pooled_env();
    // Each needs two of the four sessions.
    env.pool.set("RECORDING_IMPORT_WORKERS", "1");
    let receiver = CannedServer::start(b"");
    for name in ["a", "b"] {
        env.postgres.sql(&format!(
            "INSERT INTO callbacks (kind, record_id, meeting_id, url, state) VALUES ('recording-ready', '{name}', \
             'm-{name}', '{}', 'failed')",
            receiver.url()
        ));
    }
    for _ in 0..2 {
        env.pool.serve(&["--no-poller", "--importer"]);
    }
    let archives: Vec<_> = (0..6)
        .map(|n| {
            let recording = Recording {
                meeting_id: format!("meeting-{n}"),
                start_ms: 1_767_225_600_000 + n * 60_000,
                formats: vec![RecordingFormat::Notes],
                seed: n,
                ..Recording::default()
            };
            recording.write_archive(&env.spool(), Compression::None).unwrap()
        })
        .collect();
    eventually("all archives are imported", || archives.iter().all(|archive| !archive.exists()));
    assert!(!env.spool().join("failed").exists());
    assert_eq!(env.postgres.sql("SELECT count(*) FROM recordings"), "6");
    assert_eq!(env.postgres.sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"), "0");

    let state =
        |name: &str| env.postgres.sql(&format!("SELECT state FROM callbacks WHERE record_id = '{name}'"));
    let id = |name: &str| env.postgres.sql(&format!("SELECT id FROM callbacks WHERE record_id = '{name}'"));
    env.pool.sl_ok(&["callbacks", "drop", &id("b")]);
    assert_eq!(state("b"), "");
    env.pool.sl_ok(&["callbacks", "retry", &id("a")]);
    eventually("the callback is delivered", || state("a") == "delivered");
}

#[test]
fn pooler_in_transaction_mode_is_noticed_at_start_and_by_migrate() {
    let postgres = Postgres::start();
    let bouncer = PgBouncer::start(&postgres);
    let mut env = RecordingEnv::with_postgres(postgres, &[]);
    let hint = "set PREPARED_STATEMENT=false";
    // Without a pooler, nothing is said.
    let direct = env.pool.serve(&["--no-poller"]);
    let tables = "SELECT to_regclass('callbacks')";
    eventually("the tables are created", || !env.postgres.sql(tables).is_empty());
    env.pool.set("DATABASE_URL", &bouncer.url());
    let pooled = env.pool.serve(&["--no-poller"]);
    eventually("the pooler is noticed", || env.pool.replicas[pooled].log().contains(hint));
    assert!(!env.pool.replicas[direct].log().contains(hint));
    let line = env.pool.sl_fails(&["migrate"]);
    assert!(line.contains("set DATABASE_DIRECT_URL"), "{line}");
    env.pool.set("PREPARED_STATEMENT", "false");
    let line = env.pool.sl_fails(&["migrate"]);
    assert!(line.contains("set DATABASE_DIRECT_URL"), "{line}");
}

#[test]
fn refused_connection_to_postgres_is_reported_as_such() {
    let mut env = RecordingEnv::empty(&[("DB_CONNECTION_RETRY_COUNT", "1")]);
    env.postgres.down();
    let line = env.pool.sl_fails(&["migrate"]);
    assert!(line.contains("cannot reach Postgres") && line.contains("Connection refused"), "{line}");
}
