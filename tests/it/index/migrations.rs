//! `sl migrate`: an empty database, a Scalelite database, concurrent runs, an interrupted run.

use crate::assert_response;
use crate::support::{Postgres, RecordingEnv};
use std::process::Stdio;

/// The tables of a Scalelite database, written from its description.
const SCALELITE: &str = "\
    CREATE TABLE schema_migrations (version character varying PRIMARY KEY); \
    INSERT INTO schema_migrations VALUES ('20180101000000'), ('20230627141045'); \
    CREATE TABLE recordings (id bigserial PRIMARY KEY, record_id character varying, meeting_id character varying, \
        name character varying, published boolean, participants integer, state character varying, \
        starttime timestamp(6) without time zone, endtime timestamp(6) without time zone, \
        deleted_at timestamp(6) without time zone, protected boolean, publish_updated boolean DEFAULT false); \
    CREATE UNIQUE INDEX index_recordings_on_record_id ON recordings (record_id); \
    CREATE INDEX index_recordings_on_meeting_id ON recordings (meeting_id); \
    CREATE TABLE metadata (id bigserial PRIMARY KEY, recording_id bigint REFERENCES recordings, \
        key character varying, value character varying); \
    CREATE UNIQUE INDEX index_metadata_on_recording_id_and_key ON metadata (recording_id, key); \
    CREATE TABLE playback_formats (id bigserial PRIMARY KEY, recording_id bigint REFERENCES recordings, \
        format character varying, url character varying, length integer, processing_time integer); \
    CREATE UNIQUE INDEX index_formats ON playback_formats (recording_id, format); \
    CREATE TABLE thumbnails (id bigserial PRIMARY KEY, playback_format_id bigint REFERENCES playback_formats, \
        width integer, height integer, alt character varying, url character varying, sequence integer); \
    CREATE TABLE callback_data (id bigserial PRIMARY KEY, meeting_id character varying, recording_id bigint, \
        callback_attributes text, created_at timestamp(6) without time zone NOT NULL, \
        updated_at timestamp(6) without time zone NOT NULL);";

/// A Scalelite database with three recordings, one from before the state column existed.
fn scalelite_database() -> RecordingEnv {
    let env = RecordingEnv::empty(&[]);
    env.postgres.sql(SCALELITE);
    for (n, id) in ["r1", "r2", "r3"].into_iter().enumerate() {
        env.add(id, "m", n as u32);
    }
    env.postgres.sql(
        "UPDATE recordings SET state = NULL WHERE record_id = 'r1'; \
         UPDATE recordings SET published = false, state = 'unpublished' WHERE record_id = 'r2'; \
         INSERT INTO callback_data (meeting_id, callback_attributes, created_at, updated_at) \
             VALUES ('m', '---\n:recording_ready_url: https://lms.example.org/ready\n', now(), now())",
    );
    env
}

/// All rows of Scalelite's tables, only Scalelite's columns.
fn rows(postgres: &Postgres) -> String {
    [
        "SELECT id, record_id, meeting_id, name, published, participants, state, starttime, \
            endtime, deleted_at, protected, publish_updated FROM recordings ORDER BY id",
        "SELECT id, recording_id, key, value FROM metadata ORDER BY id",
        "SELECT id, recording_id, format, url, length, processing_time FROM playback_formats ORDER BY id",
        "SELECT id, playback_format_id, width, height, alt, url, sequence FROM thumbnails ORDER BY id",
        "SELECT * FROM callback_data ORDER BY id",
        "SELECT * FROM schema_migrations ORDER BY 1",
    ]
    .map(|sql| postgres.sql(sql))
    .join("\n")
}

#[test]
fn scalelite_database_is_migrated_without_loss() {
    let mut env = scalelite_database();
    let before = rows(&env.postgres);
    let output = env.pool.sl_ok(&["migrate"]);
    assert!(output.starts_with("a database of Scalelite, schema 20230627141045\n"), "{output}");
    // Scalelite's own unique indexes are reused.
    assert!(
        !output.contains("sl_recordings_record_id") && output.contains("sl_recordings_prefix"),
        "{output}"
    );
    assert_eq!(rows(&env.postgres), before);
    assert_eq!(env.pool.sl_ok(&["migrate"]), "The database is ready.\n");
    env.pool.serve(&["--no-poller"]);
    assert_eq!(env.record_ids(""), ["r3", "r2"]);
    assert_eq!(env.record_ids("state=any"), ["r3", "r2", "r1"]);
    assert_response!(env.pool.get("getRecordings", "recordID=r1&state=any"));
}

#[test]
fn scalelite_keeps_working_on_migrated_database() {
    let mut env = scalelite_database();
    env.pool.sl_ok(&["migrate"]);
    env.pool.serve(&["--no-poller"]);
    let total =
        || env.pool.get("getRecordings", "limit=1").success().xml("totalElements").unwrap().to_owned();
    assert_eq!(total(), "2");
    // As Scalelite writes: it names only its own columns.
    env.add("r4", "m", 9);
    env.postgres.sql(
        "UPDATE recordings SET state = 'deleted', published = false, deleted_at = now() WHERE record_id = 'r1'; \
         INSERT INTO metadata (recording_id, key, value) SELECT id, 'gl-listed', 'true' FROM recordings \
             WHERE record_id = 'r2' ON CONFLICT (recording_id, key) DO UPDATE SET value = excluded.value",
    );
    assert_eq!(env.record_ids(""), ["r4", "r3", "r2"]);
    assert_eq!(env.record_ids("meta_gl-listed=true"), ["r2"]);
    assert_eq!(total(), "3");
    // A required column of sl would make Scalelite's writes fail.
    let in_the_way = "SELECT count(*) FROM information_schema.columns WHERE table_schema = 'public' \
        AND table_name IN ('recordings', 'metadata', 'playback_formats', 'thumbnails') \
        AND is_nullable = 'NO' AND column_default IS NULL";
    assert_eq!(env.postgres.sql(in_the_way), "0");
}

#[test]
fn scalelite_keeps_working_as_role_that_did_not_migrate() {
    let mut env = scalelite_database();
    env.postgres.sql("CREATE ROLE scalelite LOGIN");
    for table in
        ["recordings", "metadata", "playback_formats", "thumbnails", "callback_data", "schema_migrations"]
    {
        env.postgres.sql(&format!("ALTER TABLE {table} OWNER TO scalelite"));
    }
    env.pool.sl_ok(&["migrate"]);
    env.postgres.sql(
        "SET ROLE scalelite; CREATE TEMP TABLE recording_counts (state varchar, change bigint); \
         INSERT INTO recordings (record_id, meeting_id, state) VALUES ('r4', 'm', 'published'); \
         UPDATE recordings SET state = 'deleted' WHERE record_id = 'r1'; \
         INSERT INTO metadata (recording_id, key, value) SELECT id, 'a', 'b' FROM recordings WHERE record_id = 'r4'; \
         DELETE FROM thumbnails; DELETE FROM playback_formats; DELETE FROM metadata; \
         DELETE FROM recordings WHERE record_id = 'r2'; \
         INSERT INTO callbacks (kind, record_id, meeting_id, url) VALUES ('recording-ready', 'r4', 'm', 'u'); \
         UPDATE callbacks SET tries = 1; DELETE FROM callbacks; \
         INSERT INTO callback_urls VALUES ('r4', 'u', now()); DELETE FROM callback_urls",
    );
    let counts = "SELECT string_agg(state || n, ' ' ORDER BY state) FROM \
        (SELECT state, sum(change) AS n FROM recording_counts GROUP BY state HAVING sum(change) <> 0) x";
    assert_eq!(env.postgres.sql(counts), "deleted1 published2");
    // sl also works as that role.
    env.pool.set("DATABASE_URL", &env.postgres.url().replace("sl@", "scalelite@"));
    env.pool.serve(&["--no-poller"]);
    assert_eq!(env.pool.get("getRecordings", "limit=1").success().xml("totalElements").unwrap(), "2");
    assert!(env.pool.sl_ok(&["migrate"]).ends_with("The database is ready.\n"));
}

/// Scalelite hides recordings without a state. Neither program may show them because `sl migrate` has run.
#[test]
fn recordings_without_state_stay_without_state() {
    let mut env = scalelite_database();
    env.postgres.sql(
        "INSERT INTO recordings (record_id, published) SELECT 'x' || n, n % 2 = 0 FROM generate_series(1, 2500) n",
    );
    env.pool.sl_ok(&["migrate"]);
    let counts = "SELECT string_agg(concat(state, n), ' ' ORDER BY state) FROM \
        (SELECT state, count(*) AS n FROM recordings GROUP BY state) x";
    assert_eq!(env.postgres.sql(counts), "published1 unpublished1 2501");
    env.pool.serve(&["--no-poller"]);
    let total = |query: &str| {
        let reply = env.pool.get("getRecordings", &format!("{query}&limit=1")).success();
        reply.xml("totalElements").unwrap().to_owned()
    };
    assert_eq!((total("").as_str(), total("state=any").as_str()), ("2", "2503"));
    assert_eq!(env.record_ids("state=any").len(), 2503);
}

/// What an earlier version has migrated: migration 3 in its first edition, and indexes that were replaced since.
#[test]
fn database_of_an_earlier_version_is_upgraded() {
    let mut env = RecordingEnv::start();
    env.pool.replicas.clear();
    env.postgres.sql(
        "UPDATE _sqlx_migrations SET checksum = decode('df4cb6d55cdced1f044d3973057092c6e74ebfe42e65910cb1aab076941e\
             c2cc39a20e415f6c2404546a4a54994d3469', 'hex') WHERE version = 3; \
         DROP INDEX sl_recordings_meeting_newest, sl_recordings_state_newest, sl_recordings_stateless_newest; \
         CREATE INDEX sl_recordings_meeting ON recordings (meeting_id); \
         CREATE INDEX sl_recordings_state ON recordings (state)",
    );
    env.pool.sl_ok(&["migrate"]);
    let indexes =
        "SELECT count(*) FROM pg_class WHERE relname IN ('sl_recordings_meeting', 'sl_recordings_state')";
    assert_eq!(env.postgres.sql(indexes), "0");
    assert_eq!(env.pool.sl_ok(&["migrate"]), "The database is ready.\n");
    env.add("r1", "m", 1);
    env.pool.serve(&["--no-poller"]);
    assert_eq!(env.record_ids(""), ["r1"]);
    // Any other change of an applied migration is still refused.
    env.postgres.sql(
        "UPDATE _sqlx_migrations SET checksum = '\\x00' WHERE version = 3; DROP INDEX sl_recordings_state_newest",
    );
    assert!(env.pool.sl_fails(&["migrate"]).contains("modified"));
}

#[test]
fn recording_counts_stay_correct_under_concurrent_writes() {
    let env = RecordingEnv::start();
    env.postgres.sql(
        "INSERT INTO recordings (record_id, state) SELECT 'r' || n, 'published' FROM generate_series(1, 500) n",
    );
    std::thread::scope(|scope| {
        for part in 0..4 {
            let postgres = &env.postgres;
            scope.spawn(move || {
                let mut sql = String::new();
                for n in 0..300 {
                    let id = part * 100 + n % 100 + 1;
                    let state = ["published", "unpublished", "deleted"][(n / 100 + part) % 3];
                    sql += &format!("UPDATE recordings SET state = '{state}' WHERE record_id = 'r{id}';\n");
                }
                // One transaction per chunk.
                for chunk in sql.lines().collect::<Vec<_>>().chunks(60) {
                    postgres.sql(&chunk.join("\n"));
                }
            });
        }
    });
    env.postgres.sql("DELETE FROM recordings WHERE record_id LIKE 'r1%'");
    let wrong = "SELECT count(*) FROM (SELECT state, sum(change) FROM recording_counts GROUP BY 1 HAVING sum(change) <> 0 \
        EXCEPT SELECT state, count(*) FROM recordings GROUP BY 1) x";
    assert_eq!(env.postgres.sql(wrong), "0");
    let rows: u32 = env.postgres.sql("SELECT count(*) FROM recording_counts").parse().unwrap();
    assert!(rows < 1500, "count rows must be summed up from time to time: {rows}");
}

#[test]
fn concurrent_migrations_all_succeed() {
    let env = scalelite_database();
    env.postgres.sql(
        "INSERT INTO recordings (record_id, meeting_id, state, published) \
             SELECT 'x' || n, 'm' || n, 'published', true FROM generate_series(1, 20000) n",
    );
    let children: Vec<_> = (0..5)
        .map(|_| {
            let mut command = env.pool.command();
            command.arg("migrate").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let mut built = 0;
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        built += usize::from(String::from_utf8_lossy(&output.stdout).contains("building"));
    }
    assert_eq!(built, 1, "one migrates, the others wait");
}

#[test]
fn interrupted_migration_is_continued() {
    let env = scalelite_database();
    env.pool.sl_ok(&["migrate"]);
    // What kill -9 leaves: a step not done, an index partly built.
    env.postgres.sql(
        "DROP INDEX sl_recordings_meeting_newest; \
         UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'sl_recordings_state_newest'::regclass; \
         DELETE FROM _sqlx_migrations WHERE version = 3; DROP TRIGGER recording_counts_update ON recordings",
    );
    let output = env.pool.sl_ok(&["migrate"]);
    assert!(output.starts_with("missing: migration 3, counts\n"), "{output}");
    for name in ["sl_recordings_meeting_newest", "sl_recordings_state_newest"] {
        assert!(output.contains(name), "{output}");
    }
    let invalid = "SELECT count(*) FROM pg_index WHERE NOT indisvalid";
    assert_eq!(env.postgres.sql(invalid), "0");
    assert_eq!(env.postgres.sql("SELECT sum(change) FROM recording_counts"), "3");
    assert_eq!(env.pool.sl_ok(&["migrate"]), "The database is ready.\n");
}

#[test]
fn migrate_rejects_newer_scalelite_schema() {
    let env = RecordingEnv::empty(&[]);
    env.postgres.sql(SCALELITE);
    env.postgres.sql("INSERT INTO schema_migrations VALUES ('20990101000000')");
    let line = env.pool.sl_fails(&["migrate"]);
    assert!(line.contains("20990101000000"), "{line}");
    assert_eq!(env.postgres.sql("SELECT to_regclass('recording_counts') IS NULL"), "t");
}

#[test]
fn migrate_adds_columns_missing_in_older_scalelite_schema() {
    let mut env = RecordingEnv::empty(&[]);
    env.postgres.sql(SCALELITE);
    env.postgres.sql(
        "ALTER TABLE recordings DROP COLUMN publish_updated, DROP COLUMN protected, DROP COLUMN deleted_at; \
         DELETE FROM schema_migrations WHERE version = '20230627141045'",
    );
    env.pool.sl_ok(&["migrate"]);
    env.add("r1", "m", 1);
    env.pool.serve(&["--no-poller"]);
    assert_eq!(env.record_ids(""), ["r1"]);
}

#[test]
fn migrate_without_database_names_required_setting() {
    let mut env = RecordingEnv::empty(&[]);
    env.pool.set("DATABASE_URL", "");
    assert!(env.pool.sl_fails(&["migrate"]).contains("DATABASE_URL"));
    env.pool.set("DATABASE_URL", "postgres://sl@127.0.0.1:1/postgres");
    env.pool.set("DB_CONNECTION_RETRY_COUNT", "0");
    assert!(env.pool.sl_fails(&["migrate"]).contains("DATABASE_URL"));
}
