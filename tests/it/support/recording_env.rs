//! A pool with recordings: Postgres, two shelves, replicas.

use super::{Pool, Postgres};
use std::path::PathBuf;
use tempfile::TempDir;

/// A pool with a private Postgres and directories for recordings; see [`RecordingEnv::start`].
pub struct RecordingEnv {
    pub pool: Pool,
    pub postgres: Postgres,
    directory: TempDir,
}

impl RecordingEnv {
    /// A migrated database without recordings, and one replica.
    pub fn start() -> RecordingEnv {
        RecordingEnv::with(1, &[])
    }

    /// The same with a number of replicas and with settings.
    pub fn with(replicas: usize, variables: &[(&str, &str)]) -> RecordingEnv {
        let mut env = RecordingEnv::empty(variables);
        let migrated = env.pool.command().arg("migrate").env_remove("DB_DISABLED").output().unwrap();
        assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
        for _ in 0..replicas {
            env.pool.serve(&["--no-poller"]);
        }
        env
    }

    /// An empty database and no replica.
    pub fn empty(variables: &[(&str, &str)]) -> RecordingEnv {
        RecordingEnv::with_postgres(Postgres::start(), variables)
    }

    /// The same with a given Postgres.
    pub fn with_postgres(postgres: Postgres, variables: &[(&str, &str)]) -> RecordingEnv {
        let directory = TempDir::new().unwrap();
        let mut pool = Pool::empty(1, variables);
        pool.set("DATABASE_URL", &postgres.url());
        for (name, part) in [
            ("RECORDING_PUBLISH_DIR", "published"),
            ("RECORDING_UNPUBLISH_DIR", "unpublished"),
            ("RECORDING_SPOOL_DIR", "spool"),
            ("RECORDING_WORK_DIR", "work"),
        ] {
            let path = directory.path().join(part);
            std::fs::create_dir(&path).unwrap();
            pool.set(name, path.to_str().unwrap());
        }
        RecordingEnv { pool, postgres, directory }
    }

    /// Adds a published recording with rows as Scalelite writes them: presentation and video, three thumbnails,
    /// two metadata, a file for each format. It starts `minute` minutes into 2026.
    pub fn add(&self, record_id: &str, meeting_id: &str, minute: u32) {
        self.postgres.sql(&format!(
            "WITH r AS (INSERT INTO recordings (record_id, meeting_id, name, published, participants, state, \
                 starttime, endtime, protected, publish_updated) \
               VALUES ('{record_id}', '{meeting_id}', 'Algebra & Co', true, 4, 'published', \
                 timestamp '2026-01-01' + {minute} * interval '1 minute', \
                 timestamp '2026-01-01 01:00' + {minute} * interval '1 minute', false, false) RETURNING id), \
             m AS (INSERT INTO metadata (recording_id, key, value) \
               SELECT r.id, k, v FROM r, (VALUES ('bbb-origin', 'moodle'), ('gl-listed', '')) AS x (k, v)), \
             f AS (INSERT INTO playback_formats (recording_id, format, url, length, processing_time) \
               SELECT r.id, k, u, 60, 48211 FROM r, (VALUES \
                 ('video', '/playback/video/{record_id}/'), \
                 ('presentation', '/playback/presentation/2.3/{record_id}')) AS x (k, u) RETURNING id, format) \
             INSERT INTO thumbnails (playback_format_id, width, height, alt, url, sequence) \
               SELECT f.id, 176, 136, 'Week ' || n, '/presentation/{record_id}/thumbnails/thumb-' || n || '.png', n \
               FROM f, generate_series(3, 1, -1) n WHERE f.format = 'presentation'"
        ));
        for format in ["presentation", "video"] {
            let place = self.published().join(format).join(record_id);
            std::fs::create_dir_all(&place).unwrap();
            std::fs::write(place.join("index.html"), record_id).unwrap();
        }
    }

    /// The shelf of published recordings.
    pub fn published(&self) -> PathBuf {
        self.directory.path().join("published")
    }

    /// The shelf of unpublished recordings.
    pub fn unpublished(&self) -> PathBuf {
        self.directory.path().join("unpublished")
    }

    /// The directory where archives arrive.
    pub fn spool(&self) -> PathBuf {
        self.directory.path().join("spool")
    }

    /// The formats on a shelf, as `FORMAT/ID`, sorted.
    pub fn formats_on(&self, shelf: &std::path::Path) -> Vec<String> {
        let mut found = Vec::new();
        for format in std::fs::read_dir(shelf).unwrap().map(|entry| entry.unwrap().path()) {
            for place in std::fs::read_dir(&format).unwrap().map(|entry| entry.unwrap().path()) {
                found.push(place.strip_prefix(shelf).unwrap().to_str().unwrap().to_owned());
            }
        }
        found.sort();
        found
    }

    /// The record ids that getRecordings returns, in order.
    #[track_caller]
    pub fn record_ids(&self, query: &str) -> Vec<String> {
        let body = self.pool.get("getRecordings", query).success().body;
        body.split("<recordID>").skip(1).map(|rest| rest.split('<').next().unwrap().to_owned()).collect()
    }
}
