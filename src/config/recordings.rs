//! Recordings: where their files and their index are, and what getRecordings says.

use super::database::DatabaseConfig;
use super::{Env, S3Config, ServerClientConfig};
use std::path::PathBuf;
use std::time::Duration;

/// GET_RECORDINGS_META_MATCH: how several `meta_` filters of getRecordings combine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MetaMatch {
    /// All must match, as in BBB.
    #[default]
    All,
    /// At least one must match, as in Scalelite.
    Any,
}

/// Settings of recordings.
#[derive(Clone)]
pub struct RecordingsConfig {
    /// None without DATABASE_URL or with DB_DISABLED: then this pool has no recordings.
    pub database: Option<DatabaseConfig>,
    /// DB_CONNECTION_RETRY_COUNT, a second apart, for commands and the importer. Requests do not retry.
    pub database_attempts: u32,
    /// HEALTH_CHECK_INDEX.
    pub health_check: bool,
    /// RECORDING_DISABLED.
    pub disabled: bool,
    /// GET_RECORDINGS_API_FILTERED.
    pub must_filter: bool,
    /// GET_RECORDINGS_META_MATCH.
    pub meta_match: MetaMatch,
    /// RECORDING_SPOOL_DIR.
    pub spool_dir: PathBuf,
    /// RECORDING_UPLOAD_MAX_SIZE, bytes.
    pub upload_max_size: u64,
    /// RECORDING_PUBLISH_DIR.
    pub publish_dir: PathBuf,
    /// RECORDING_UNPUBLISH_DIR.
    pub unpublish_dir: PathBuf,
    /// S3_RECORDING; None keeps the files in the directories.
    pub s3: Option<S3Config>,
    /// PROTECTED_RECORDINGS_ENABLED.
    pub protected_enabled: bool,
    /// PROTECTED_RECORDINGS_TOKEN_TIMEOUT (minutes).
    pub token_timeout: Duration,
}

impl RecordingsConfig {
    pub(super) fn from_env(env: &mut Env<'_>, servers: &ServerClientConfig) -> RecordingsConfig {
        let database = DatabaseConfig::from_env(env, servers.extra_ca_file.as_deref());
        let [spool_dir, publish_dir, unpublish_dir] = directories(env);
        RecordingsConfig {
            database,
            database_attempts: env.number(
                "DB_CONNECTION_RETRY_COUNT",
                3u32,
                |n| *n <= 3600,
                "must be a whole number from 0 to 3600",
                "how often commands try to connect to Postgres before they fail",
            ),
            health_check: env.flag(
                "HEALTH_CHECK_INDEX",
                false,
                "/health_check fails while Postgres does not answer",
            ),
            disabled: env.flag(
                "RECORDING_DISABLED",
                false,
                "recording calls respond as if there were no recordings",
            ),
            must_filter: env.flag(
                "GET_RECORDINGS_API_FILTERED",
                false,
                "getRecordings must name a meetingID or a recordID",
            ),
            meta_match: env
                .parsed(
                    "GET_RECORDINGS_META_MATCH",
                    "all",
                    meta_match,
                    "whether all or any of the meta_ filters must match",
                )
                .unwrap_or_default(),
            spool_dir,
            upload_max_size: env.number(
                "RECORDING_UPLOAD_MAX_SIZE",
                64 << 30u64,
                |n| *n >= 1,
                "must be a number of bytes, 1 or more",
                "maximum size of an archive that a BBB server uploads, bytes",
            ),
            publish_dir,
            unpublish_dir,
            s3: S3Config::from_env(env, servers.extra_ca_file.clone()),
            protected_enabled: env.flag(
                "PROTECTED_RECORDINGS_ENABLED",
                false,
                "import recordings as protected, and give links to protected ones with a token",
            ),
            token_timeout: env.minutes(
                "PROTECTED_RECORDINGS_TOKEN_TIMEOUT",
                60.0,
                "how long a link to a protected recording is valid, minutes",
            ),
        }
    }

    /// Whether this pool has recordings.
    pub fn enabled(&self) -> bool {
        self.database.is_some() && !self.disabled
    }
}

/// The spool and the shelves.
fn directories(env: &mut Env<'_>) -> [PathBuf; 3] {
    let names = ["RECORDING_SPOOL_DIR", "RECORDING_PUBLISH_DIR", "RECORDING_UNPUBLISH_DIR"];
    let found = [
        env.directory(names[0], "/var/bigbluebutton/spool", "directory where archives of recordings arrive"),
        env.directory(names[1], "/var/bigbluebutton/published", "directory of published recordings"),
        env.directory(names[2], "/var/bigbluebutton/unpublished", "directory of unpublished recordings"),
    ];
    for n in 1..names.len() {
        for other in 0..n {
            if found[n] == found[other] {
                env.mistake(names[n], &format!("must be another directory than {}", names[other]));
            }
        }
    }
    found
}

fn meta_match(text: &str) -> Result<MetaMatch, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "all" => Ok(MetaMatch::All),
        "any" => Ok(MetaMatch::Any),
        _ => Err("must be all or any".into()),
    }
}

impl std::fmt::Debug for RecordingsConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecordingsConfig")
            .field("database", &self.database.is_some())
            .field("disabled", &self.disabled)
            .field("publish_dir", &self.publish_dir)
            .field("unpublish_dir", &self.unpublish_dir)
            .field("s3", &self.s3)
            .finish_non_exhaustive()
    }
}
