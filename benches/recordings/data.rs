//! Databases with many recordings, and the queries that are measured on them.

use super::postgres::Postgres;
use super::processes::{Redis, SL};
use super::signed_target;
use anyhow::{Result, ensure};
use sha2::{Digest, Sha256};
use std::process::Command;

/// Recordings of one meeting: what a query by meetingID finds.
const RECORDINGS_PER_MEETING: u64 = 10;

/// A database with recordings.
pub struct Database {
    /// Its DATABASE_URL.
    pub url: String,
    /// Number of recordings.
    pub size: u64,
}

impl Database {
    /// Creates it: the tables, the rows without indexes, then the indexes, as `sl migrate` builds them.
    pub fn fill(postgres: &Postgres, redis: &Redis, name: &str, size: u64) -> Result<Database> {
        eprintln!("creating {size} recordings");
        postgres.sql(&format!("CREATE DATABASE {name}"));
        let database = Database { url: postgres.url().replace("/postgres", &format!("/{name}")), size };
        let migrate = || {
            let mut command = Command::new(SL);
            command
                .arg("migrate")
                .env_clear()
                .env("REDIS_URL", redis.url())
                .env("DATABASE_URL", &database.url);
            let output = command.output()?;
            ensure!(output.status.success(), "sl migrate: {}", String::from_utf8_lossy(&output.stderr));
            anyhow::Ok(())
        };
        migrate()?;
        database.execute(&insert_rows(size))?;
        migrate()?;
        database.execute("VACUUM ANALYZE")?;
        Ok(database)
    }

    fn execute(&self, sql: &str) -> Result<()> {
        let output = Command::new("psql")
            .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", &self.url, "-c", sql])
            .output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }
}

/// SQL that inserts recordings with two formats, three images and four metadata each. Triggers are off: the statements do
/// their work at once.
fn insert_rows(size: u64) -> String {
    format!(
        "SET session_replication_role = replica; \
         DROP INDEX sl_recordings_record_id, sl_metadata_recording_key, sl_formats_recording_format, \
             sl_recordings_prefix, sl_recordings_meeting_newest, sl_recordings_state_newest, sl_recordings_stateless_newest, \
             sl_metadata_value, sl_thumbnails_format; \
         CREATE TEMPORARY TABLE made AS SELECT n, n / {RECORDINGS_PER_MEETING} AS meeting, \
             encode(sha1, 'hex') || '-' || 1600000000000 + n * 1000 AS record_id \
             FROM (SELECT n, substring(sha256(('meeting-' || n / {RECORDINGS_PER_MEETING})::bytea) FROM 1 FOR 20) AS sha1 \
                 FROM generate_series(0, {size} - 1) n) x; \
         INSERT INTO recordings (id, record_id, meeting_id, name, published, participants, state, starttime, endtime, \
                 protected, publish_updated, raw_size, is_breakout) \
             SELECT n + 1, record_id, 'meeting-' || meeting, 'Algebra and more, part ' || n, true, 4, 'published', \
                 timestamp '2020-09-13 12:26:40' + n * interval '1 second', \
                 timestamp '2020-09-13 13:26:40' + n * interval '1 second', false, false, 91220450, false FROM made; \
         INSERT INTO metadata (recording_id, key, value, imported) \
             SELECT n + 1, key, CASE key WHEN 'course' THEN 'course-' || meeting ELSE value END, true FROM made, \
             (VALUES ('bbb-origin', 'moodle'), ('course', ''), ('gl-listed', 'true'), ('bbb-recording-name', 'Algebra')) \
                 AS x (key, value); \
         INSERT INTO playback_formats (id, recording_id, format, url, length, processing_time, size) \
             SELECT n * 2 + f, n + 1, CASE f WHEN 1 THEN 'presentation' ELSE 'video' END, \
                 CASE f WHEN 1 THEN '/playback/presentation/2.3/' ELSE '/playback/video/' END || record_id, 60, 48211, \
                 18340112 FROM made, generate_series(1, 2) f; \
         INSERT INTO thumbnails (playback_format_id, width, height, alt, url, sequence) \
             SELECT n * 2 + 1, 176, 136, 'Week ' || t, \
                 '/presentation/' || record_id || '/thumbnails/thumb-' || t || '.png', t \
             FROM made, generate_series(1, 3) t; \
         INSERT INTO recording_counts VALUES ('published', {size})"
    )
}

/// A kind of query.
pub enum QueryShape {
    Meeting,
    RecordId,
    Prefix,
    Metadata,
    Newest,
}

impl QueryShape {
    /// All kinds.
    pub const ALL: [QueryShape; 5] = [
        QueryShape::Meeting,
        QueryShape::RecordId,
        QueryShape::Prefix,
        QueryShape::Metadata,
        QueryShape::Newest,
    ];

    /// Its name in the table.
    pub fn name(&self) -> &'static str {
        match self {
            QueryShape::Meeting => "meetingID (10)",
            QueryShape::RecordId => "recordID (1)",
            QueryShape::Prefix => "recordID prefix (10)",
            QueryShape::Metadata => "one metadata key (10)",
            QueryShape::Newest => "newest, limit=25",
        }
    }

    /// Whether the response has the size for which the limit was measured.
    pub fn has_limit(&self) -> bool {
        self.found() == RECORDINGS_PER_MEETING
    }

    /// Number of recordings in the response.
    pub fn found(&self) -> u64 {
        match self {
            QueryShape::RecordId => 1,
            QueryShape::Newest => 25,
            _ => RECORDINGS_PER_MEETING,
        }
    }

    /// The target of request `n`: spread over the whole database.
    pub fn target(&self, database: &Database, n: u64) -> String {
        let recording = n.wrapping_mul(7_919_993) % database.size;
        let meeting = recording / RECORDINGS_PER_MEETING;
        let prefix = || hex::encode(&sha256(&format!("meeting-{meeting}"))[..20]);
        signed_target(&match self {
            QueryShape::Meeting => format!("meetingID=meeting-{meeting}"),
            QueryShape::RecordId => format!("recordID={}-{}", prefix(), 1_600_000_000_000 + recording * 1000),
            QueryShape::Prefix => format!("recordID={}", prefix()),
            QueryShape::Metadata => format!("meta_course=course-{meeting}"),
            QueryShape::Newest => "limit=25".to_owned(),
        })
    }
}

fn sha256(text: &str) -> Vec<u8> {
    Sha256::digest(text).to_vec()
}
