//! Recordings: where their files and their index are, and what getRecordings says.

use super::{BackendConfig, Env, S3Config, playback::minutes};
use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// How several `meta_` filters of getRecordings go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MetaMatch {
    /// All must match, as in BBB.
    #[default]
    All,
    /// One is enough, as in Scalelite.
    Any,
}

/// See the fields.
#[derive(Clone)]
pub struct RecordingsConfig {
    /// DATABASE_URL: the Postgres that holds the index. None without one, and with DB_DISABLED:
    /// then this pool has no recordings.
    pub database: Option<PgConnectOptions>,
    /// DB_CONNECTION_RETRY_COUNT: how often, a second apart, commands and the importer try to reach
    /// Postgres before they give up. Requests do not wait for it.
    pub database_attempts: u32,
    /// HEALTH_CHECK_INDEX: /health_check fails while Postgres does not answer.
    pub health_check: bool,
    /// RECORDING_DISABLED: the recording calls answer as if there were none.
    pub disabled: bool,
    /// GET_RECORDINGS_API_FILTERED: getRecordings must name a meetingID or a recordID.
    pub must_filter: bool,
    /// GET_RECORDINGS_META_MATCH.
    pub meta_match: MetaMatch,
    /// RECORDING_SPOOL_DIR: where archives of recordings arrive.
    pub spool_dir: PathBuf,
    /// RECORDING_UPLOAD_MAX_SIZE: bytes of an archive that a BBB server sends over HTTP.
    pub upload_max_size: u64,
    /// RECORDING_PUBLISH_DIR: the shelf of published recordings.
    pub publish_dir: PathBuf,
    /// RECORDING_UNPUBLISH_DIR: the shelf of unpublished ones.
    pub unpublish_dir: PathBuf,
    /// S3_RECORDING: the shelves are in a bucket instead.
    pub s3: Option<S3Config>,
    /// PROTECTED_RECORDINGS_ENABLED: recordings arrive protected, and protection is in force.
    pub protected_enabled: bool,
    /// PROTECTED_RECORDINGS_TOKEN_TIMEOUT (minutes): how long a link to a protected recording works.
    pub token_timeout: Duration,
}

impl RecordingsConfig {
    pub(super) fn from_env(env: &mut Env<'_>, backend: &BackendConfig) -> RecordingsConfig {
        let url = env.url("DATABASE_URL", "", "the Postgres of the recordings' index (none: no recordings)");
        let mut database = None;
        if !url.is_empty() {
            match connect_options(&url) {
                Ok(options) => database = Some(options),
                Err(why) => {
                    env.mistake(
                        "DATABASE_URL",
                        &format!("must be postgres://user:password@host/name ({why})"),
                    );
                }
            }
        }
        if env.flag("DB_DISABLED", false, "use no Postgres, even if DATABASE_URL is set") {
            database = None;
        }
        let directory =
            |env: &mut Env<'_>, name, default: &str, about| PathBuf::from(env.text(name, default, about));
        RecordingsConfig {
            database,
            database_attempts: env.number(
                "DB_CONNECTION_RETRY_COUNT",
                3u32,
                |_| true,
                "must be a whole number, 0 or more",
                "how often commands try to reach Postgres before they give up",
            ),
            health_check: env.flag(
                "HEALTH_CHECK_INDEX",
                false,
                "/health_check fails while Postgres does not answer",
            ),
            disabled: env.flag("RECORDING_DISABLED", false, "the recording calls answer that there are none"),
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
                    "all or any of the meta_ filters must match",
                )
                .unwrap_or_default(),
            spool_dir: directory(
                env,
                "RECORDING_SPOOL_DIR",
                "/var/bigbluebutton/spool",
                "where archives of recordings arrive",
            ),
            upload_max_size: env.number(
                "RECORDING_UPLOAD_MAX_SIZE",
                64 << 30u64,
                |n| *n >= 1,
                "must be a number of bytes, 1 or more",
                "bytes that an archive may have which a BBB server sends over HTTP",
            ),
            publish_dir: directory(
                env,
                "RECORDING_PUBLISH_DIR",
                "/var/bigbluebutton/published",
                "files of published recordings",
            ),
            unpublish_dir: directory(
                env,
                "RECORDING_UNPUBLISH_DIR",
                "/var/bigbluebutton/unpublished",
                "files of unpublished recordings",
            ),
            s3: S3Config::from_env(env, backend.extra_ca_file.clone()),
            protected_enabled: env.flag(
                "PROTECTED_RECORDINGS_ENABLED",
                false,
                "recordings arrive protected, and protected ones are played only to who has a token",
            ),
            token_timeout: minutes(
                env,
                "PROTECTED_RECORDINGS_TOKEN_TIMEOUT",
                60,
                "how long a link to a protected recording works, minutes",
            ),
        }
    }

    /// Whether this pool has recordings at all.
    pub fn enabled(&self) -> bool {
        self.database.is_some() && !self.disabled
    }
}

/// The address without a word of what sqlx would log: the password never leaves the options.
fn connect_options(url: &str) -> Result<PgConnectOptions, String> {
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err("another kind of address".into());
    }
    let options = PgConnectOptions::from_str(url).map_err(|error| error.to_string())?;
    // Slow statements would be logged with the whole of their text; Postgres can do that itself.
    Ok(options.application_name("sl").disable_statement_logging())
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
