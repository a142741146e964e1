//! Postgres outages: stopped, frozen, restarted.

use crate::assert_response;
use crate::support::{RecordingEnv, eventually};
use futures_util::{StreamExt, stream};
use sl::config::Config;
use sl::db::DbError;
use sl::recordings::{Index, RecordId};
use std::time::{Duration, Instant};
use tokio::time::timeout;

const CALLS: [(&str, &str); 5] = [
    ("getRecordings", "meetingID=m"),
    ("getRecordings", "limit=1"),
    ("publishRecordings", "recordID=r1&publish=true"),
    ("updateRecordings", "recordID=r1&meta_a=b"),
    ("deleteRecordings", "recordID=other"),
];

/// All recording calls fail in time while made concurrently; meetings keep working.
fn assert_recordings_fail_and_meetings_work(env: &RecordingEnv) {
    std::thread::scope(|scope| {
        for (call, query) in CALLS.into_iter().cycle().take(20) {
            scope.spawn(move || {
                let started = Instant::now();
                assert_eq!(env.pool.get(call, query).failed(), "internalError", "{call}");
                let took = started.elapsed();
                assert!(took < Duration::from_millis(2500), "{call}: {took:?}");
            });
        }
        for n in 0..10 {
            scope.spawn(move || {
                let started = Instant::now();
                env.pool.get("create", &format!("meetingID=m{n}&name=M")).success();
                env.pool.get("isMeetingRunning", &format!("meetingID=m{n}")).success();
                assert!(started.elapsed() < Duration::from_secs(1), "meetings wait: {:?}", started.elapsed());
            });
        }
    });
}

/// Runs a function with an index configured as for requests, in its own runtime.
fn with_request_index(env: &RecordingEnv, run: impl AsyncFnOnce(&Index)) {
    let url = env.postgres.url();
    let config = Config::read(&|name| (name == "DATABASE_URL").then(|| url.clone())).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { run(&Index::for_requests(&config.recordings).unwrap()).await });
}

fn pool_with_server() -> RecordingEnv {
    let env = RecordingEnv::with(1, &[]);
    env.pool.add(1, &[]);
    env.pool.enable(1);
    env.add("r1", "m", 1);
    assert_eq!(env.record_ids("meetingID=m"), ["r1"]);
    env
}

#[test]
fn meetings_work_while_postgres_is_down_and_recordings_recover() {
    let mut env = pool_with_server();
    // Open connections that will be lost.
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| env.record_ids("meetingID=m"));
        }
    });
    env.postgres.down();
    assert_response!(
        env.pool.get("getRecordings", "meetingID=m"),
        xml @"<response><returncode>FAILED</returncode><messageKey>internalError</messageKey><message>The \
              load balancer cannot reach its index of recordings. Please try again.</message></response>"
    );
    assert_recordings_fail_and_meetings_work(&env);
    env.postgres.up();
    // The very first request succeeds.
    assert_eq!(env.record_ids("meetingID=m"), ["r1"]);
    env.pool.get("publishRecordings", "recordID=r1&publish=false").success();
}

#[test]
fn postgres_restart_between_requests_is_transparent() {
    let mut env = pool_with_server();
    for _ in 0..3 {
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| env.record_ids("meetingID=m"));
            }
        });
        env.postgres.down();
        env.postgres.up();
        assert_eq!(env.record_ids("meetingID=m"), ["r1"]);
        env.pool.get("updateRecordings", "recordID=r1&meta_a=b").success();
    }
}

#[test]
fn meetings_work_while_postgres_is_frozen() {
    let env = pool_with_server();
    env.postgres.freeze();
    assert_recordings_fail_and_meetings_work(&env);
    env.postgres.thaw();
    eventually("recordings are back", || {
        env.pool.get("getRecordings", "meetingID=m").body.contains("<recordID>r1<")
    });
}

#[test]
fn timed_out_query_releases_its_connection() {
    let env = pool_with_server();
    let _locked = env.postgres.session("BEGIN; LOCK TABLE metadata");
    std::thread::scope(|scope| {
        for _ in 0..40 {
            scope.spawn(|| assert_eq!(env.pool.get("getRecordings", "").failed(), "internalError"));
        }
    });
    // Calls that do not need that table keep working.
    eventually("there are connections", || {
        env.pool.get("publishRecordings", "recordID=r1&publish=false").body.contains("SUCCESS")
    });
}

#[test]
fn silently_lost_connections_are_replaced() {
    let env = RecordingEnv::start();
    with_request_index(&env, async |index| {
        let pings = || stream::iter(0..4).map(|_| index.db().ping());
        let all = async || pings().buffer_unordered(4).collect::<Vec<_>>().await;
        assert!(all().await.iter().all(Result::is_ok));
        env.postgres.freeze_sessions();
        assert!(all().await.iter().all(Result::is_err));
        index.db().wait_until_ready(10).await.unwrap();
        assert!(all().await.iter().all(Result::is_ok));
    });
    env.postgres.thaw();
}

#[test]
fn recording_locks_leave_connections_for_readers() {
    let env = RecordingEnv::start();
    let id = |n: u32| RecordId::parse(&format!("r{n}")).unwrap();
    with_request_index(&env, async |index| {
        let (first, _second) = (index.lock(&id(1)).await.unwrap(), index.lock(&id(2)).await.unwrap());
        let started = Instant::now();
        let third = index.lock(&id(3)).await;
        assert!(matches!(third, Err(DbError::Busy)), "{third:?}");
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
        drop(first);
        index.lock(&id(3)).await.unwrap();
    });
}

#[test]
fn recording_change_times_out_when_postgres_freezes() {
    let env = pool_with_server();
    let id = RecordId::parse("r1").unwrap();
    with_request_index(&env, async |index| {
        let mut publishing = index.lock(&id).await.unwrap();
        env.postgres.freeze();
        let result = timeout(Duration::from_secs(5), publishing.set_published(false)).await;
        assert!(matches!(result, Ok(Err(DbError::Timeout))), "{result:?}");
        drop(publishing);
        env.postgres.thaw();
        let mut deleting = index.lock(&id).await.unwrap();
        env.postgres.freeze();
        let result = timeout(Duration::from_secs(5), deleting.delete()).await;
        assert!(matches!(result, Ok(Err(DbError::Timeout))), "{result:?}");
        drop(deleting);
        env.postgres.thaw();
        let mut committing = index.lock(&id).await.unwrap();
        committing.set_published(false).await.unwrap();
        env.postgres.freeze();
        let result = timeout(Duration::from_secs(5), committing.commit()).await;
        assert!(matches!(result, Ok(Err(DbError::Timeout))), "{result:?}");
        env.postgres.thaw();
    });
}

#[test]
fn locked_recording_is_reported_busy_in_time() {
    let env = pool_with_server();
    let mut holder = std::process::Command::new("psql")
        .args(["-X", "-q", "-d", &env.postgres.url()])
        .args(["-c", "SELECT pg_advisory_lock(29548, hashtext('r1'))", "-c", "SELECT pg_sleep(60)"])
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    eventually("the lock is held", || {
        env.postgres.sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted") == "1"
    });
    let started = Instant::now();
    let reply = env.pool.get("publishRecordings", "recordID=r1&publish=false");
    assert_eq!(reply.failed(), "internalError");
    assert!(started.elapsed() < Duration::from_millis(2500), "{:?}", started.elapsed());
    holder.kill().unwrap();
    holder.wait().unwrap();
    env.postgres.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%' AND pid <> pg_backend_pid()",
    );
    eventually("it is free again", || {
        env.pool.get("publishRecordings", "recordID=r1&publish=false").body.contains("SUCCESS")
    });
}

#[test]
fn unmigrated_database_error_names_the_remedy() {
    let mut env = RecordingEnv::empty(&[]);
    env.postgres.sql("CREATE TABLE recordings (id bigserial PRIMARY KEY, record_id varchar)");
    env.pool.serve(&["--no-poller"]);
    assert_eq!(env.pool.get("getRecordings", "").failed(), "internalError");
    eventually("the log names the remedy", || env.pool.replicas[0].log().contains("sl migrate"));
    env.postgres.sql("DROP TABLE recordings");
    env.pool.sl_ok(&["migrate"]);
    env.pool.get("getRecordings", "").success();
}

#[test]
fn empty_database_is_migrated_by_first_replica() {
    let mut env = RecordingEnv::empty(&[]);
    for _ in 0..3 {
        env.pool.serve(&["--no-poller"]);
    }
    for replica in 0..3 {
        eventually("recordings are there", || {
            env.pool.get_at(replica, "getRecordings", "").body.contains("noRecordings")
        });
    }
}
