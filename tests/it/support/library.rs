//! A pool with recordings: a Postgres, two shelves, replicas.

use super::{Pool, Postgres};
use std::path::PathBuf;
use tempfile::TempDir;

/// See [`Library::start`].
pub struct Library {
    pub pool: Pool,
    pub postgres: Postgres,
    directory: TempDir,
}

impl Library {
    /// A migrated index without recordings, and one replica.
    pub fn start() -> Library {
        Library::with(1, &[])
    }

    /// The same with so many replicas and some settings.
    pub fn with(replicas: usize, variables: &[(&str, &str)]) -> Library {
        let mut library = Library::empty(variables);
        let migrated = library.pool.command().arg("migrate").env_remove("DB_DISABLED").output().unwrap();
        assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
        for _ in 0..replicas {
            library.pool.serve(&["--no-poller"]);
        }
        library
    }

    /// An empty database, and nothing that runs.
    pub fn empty(variables: &[(&str, &str)]) -> Library {
        Library::on(Postgres::start(), variables)
    }

    /// The same on a Postgres with settings of its own.
    pub fn on(postgres: Postgres, variables: &[(&str, &str)]) -> Library {
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
        Library { pool, postgres, directory }
    }

    /// Adds a published recording with rows as Scalelite writes them: presentation and video, three
    /// images, two metadata, a file for each format. `minute` counts from the start of 2026.
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

    /// The other shelf.
    pub fn unpublished(&self) -> PathBuf {
        self.directory.path().join("unpublished")
    }

    /// Where archives arrive.
    pub fn spool(&self) -> PathBuf {
        self.directory.path().join("spool")
    }

    /// `FORMAT/ID` of what stands on a shelf.
    pub fn files(&self, shelf: &std::path::Path) -> Vec<String> {
        let mut found = Vec::new();
        for format in std::fs::read_dir(shelf).unwrap().map(|entry| entry.unwrap().path()) {
            for place in std::fs::read_dir(&format).unwrap().map(|entry| entry.unwrap().path()) {
                found.push(place.strip_prefix(shelf).unwrap().to_str().unwrap().to_owned());
            }
        }
        found.sort();
        found
    }

    /// The record ids that getRecordings answers, in order.
    #[track_caller]
    pub fn listed(&self, query: &str) -> Vec<String> {
        let body = self.pool.get("getRecordings", query).success().body;
        body.split("<recordID>").skip(1).map(|rest| rest.split('<').next().unwrap().to_owned()).collect()
    }
}
