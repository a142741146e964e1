//! Recordings by the million, and what is asked of them.

use super::postgres::Postgres;
use super::processes::{Redis, SL};
use super::signed;
use anyhow::{Result, ensure};
use sha2::{Digest, Sha256};
use std::process::Command;

/// Recordings of one meeting: what a meetingID finds.
const OF_A_MEETING: u64 = 10;

/// A database of its own.
pub struct Database {
    /// For DATABASE_URL.
    pub url: String,
    /// Recordings in it.
    pub size: u64,
}

impl Database {
    /// Makes it: tables, rows without any index, then the indexes, as `sl migrate` builds them.
    pub fn fill(postgres: &Postgres, redis: &Redis, name: &str, size: u64) -> Result<Database> {
        eprintln!("making {size} recordings");
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
        database.run(&rows(size))?;
        migrate()?;
        database.run("VACUUM ANALYZE")?;
        Ok(database)
    }

    fn run(&self, sql: &str) -> Result<()> {
        let output = Command::new("psql")
            .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", &self.url, "-c", sql])
            .output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }
}

/// Recordings with two formats, three images, four metadata each. Triggers are off meanwhile: what they would
/// do is done here in one go.
fn rows(size: u64) -> String {
    format!(
        "SET session_replication_role = replica; \
         DROP INDEX sl_recordings_record_id, sl_metadata_recording_key, sl_formats_recording_format, \
             sl_recordings_prefix, sl_recordings_meeting, sl_recordings_state, \
             sl_metadata_value, sl_thumbnails_format; \
         CREATE TEMPORARY TABLE made AS SELECT n, n / {OF_A_MEETING} AS meeting, \
             encode(sha1, 'hex') || '-' || 1600000000000 + n * 1000 AS record_id \
             FROM (SELECT n, substring(sha256(('meeting-' || n / {OF_A_MEETING})::bytea) FROM 1 FOR 20) AS sha1 \
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

/// A way of asking.
pub enum Shape {
    Meeting,
    RecordId,
    Prefix,
    Metadata,
    Newest,
}

impl Shape {
    /// Each.
    pub const ALL: [Shape; 5] =
        [Shape::Meeting, Shape::RecordId, Shape::Prefix, Shape::Metadata, Shape::Newest];

    /// For the table.
    pub fn name(&self) -> &'static str {
        match self {
            Shape::Meeting => "meetingID (10)",
            Shape::RecordId => "recordID (1)",
            Shape::Prefix => "recordID prefix (10)",
            Shape::Metadata => "one metadata key (10)",
            Shape::Newest => "newest, limit=25",
        }
    }

    /// Whether the answer is the one that the aim was measured with.
    pub fn is_ten(&self) -> bool {
        self.answers() == OF_A_MEETING
    }

    /// Recordings in an answer.
    pub fn answers(&self) -> u64 {
        match self {
            Shape::RecordId => 1,
            Shape::Newest => 25,
            _ => OF_A_MEETING,
        }
    }

    /// Request n: all over the database, in no order.
    pub fn target(&self, database: &Database, n: u64) -> String {
        let recording = n.wrapping_mul(7_919_993) % database.size;
        let meeting = recording / OF_A_MEETING;
        let prefix = || hex::encode(&sha2_of(&format!("meeting-{meeting}"))[..20]);
        signed(&match self {
            Shape::Meeting => format!("meetingID=meeting-{meeting}"),
            Shape::RecordId => format!("recordID={}-{}", prefix(), 1_600_000_000_000 + recording * 1000),
            Shape::Prefix => format!("recordID={}", prefix()),
            Shape::Metadata => format!("meta_course=course-{meeting}"),
            Shape::Newest => "limit=25".to_owned(),
        })
    }
}

fn sha2_of(text: &str) -> Vec<u8> {
    Sha256::digest(text).to_vec()
}
