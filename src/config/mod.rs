//! Settings: environment variables with Scalelite's names; one struct for each concern, with its defaults and
//! errors. An invalid value stops the start with an error that describes valid values.
//!
//! A field's documentation names its variable; the description is the text beside it, which `sl config`
//! prints.

mod api;
mod callbacks;
mod env;
mod import;
mod listen;
mod load;
mod parameters;
mod playback;
mod poll;
mod recordings;
mod redis;
mod servers;
mod storage;

pub use self::api::ApiConfig;
pub use self::callbacks::{AllowPrivate, CallbacksConfig};
pub use self::env::{BadSettings, Env, Setting, SettingSource, without_password};
pub use self::import::ImportConfig;
pub use self::listen::{Bind, ListenConfig};
pub use self::load::{Accounting, LoadConfig};
pub use self::parameters::CallParameters;
pub use self::playback::{PlaybackConfig, USUAL_FORMATS};
pub use self::poll::PollConfig;
pub use self::recordings::{MetaMatch, RecordingsConfig};
pub use self::redis::RedisConfig;
pub use self::servers::ServerClientConfig;
pub use self::storage::S3Config;

/// All settings, read once at the start.
#[derive(Debug, Clone)]
pub struct Config {
    /// The BBB API: secrets, checksums, changes to parameters.
    pub api: ApiConfig,
    /// The HTTP front end.
    pub listen: ListenConfig,
    /// The connection to Redis.
    pub redis: RedisConfig,
    /// Requests to BBB servers.
    pub servers: ServerClientConfig,
    /// The poll.
    pub poll: PollConfig,
    /// How the load of servers is computed.
    pub load: LoadConfig,
    /// Recordings: files, index, getRecordings.
    pub recordings: RecordingsConfig,
    /// The importer of recordings.
    pub import: ImportConfig,
    /// Playback of recordings.
    pub playback: PlaybackConfig,
    /// Callbacks to clients.
    pub callbacks: CallbacksConfig,
    /// Every setting with its value, for `sl config`.
    pub settings: Vec<Setting>,
}

impl Config {
    /// Reads the environment of this process.
    pub fn from_process() -> Result<Config, BadSettings> {
        Config::read(&|name| std::env::var(name).ok())
    }

    /// Reads any environment.
    pub fn read(reader: &dyn Fn(&str) -> Option<String>) -> Result<Config, BadSettings> {
        let mut env = Env::new(reader);
        let api = ApiConfig::from_env(&mut env);
        let listen = ListenConfig::from_env(&mut env);
        let redis = RedisConfig::from_env(&mut env);
        let servers = ServerClientConfig::from_env(&mut env);
        let poll = PollConfig::from_env(&mut env);
        let load = LoadConfig::from_env(&mut env);
        let recordings = RecordingsConfig::from_env(&mut env, &servers);
        let import = ImportConfig::from_env(&mut env);
        let playback = PlaybackConfig::from_env(&mut env);
        let callbacks = CallbacksConfig::from_env(&mut env);
        env.text("LOG_FORMAT", "text", "format of the logs: text or json");
        env.text("LOG_LEVEL", "info", "level of the logs: error, warn, info, debug, trace or off");
        let settings = env.finish()?;
        Ok(Config {
            api,
            listen,
            redis,
            servers,
            poll,
            load,
            recordings,
            import,
            playback,
            callbacks,
            settings,
        })
    }

    /// Checks the secrets that `sl serve` needs, and other commands do not.
    pub fn require_secrets(&self) -> Result<(), BadSettings> {
        let mut mistakes = Vec::new();
        if self.api.secrets.is_empty() {
            mistakes.push(
                "LOADBALANCER_SECRET must be set: the secret that clients sign with (openssl rand -hex 32)"
                    .into(),
            );
        }
        if self.recordings.protected_enabled && self.playback.secret_key_base.is_none() {
            mistakes.push(
                "SECRET_KEY_BASE must be set if PROTECTED_RECORDINGS_ENABLED is: it signs the cookies of viewers, and \
                 must be the same on all replicas (openssl rand -hex 64)"
                    .into(),
            );
        }
        if mistakes.is_empty() { Ok(()) } else { Err(BadSettings(mistakes)) }
    }
}

/// Variables of Scalelite that have no effect here; the log names those that are set.
pub fn ignored(reader: &dyn Fn(&str) -> Option<String>) -> Vec<&'static str> {
    const IGNORED: [&str; 12] = [
        "WEB_CONCURRENCY",
        "RAILS_MAX_THREADS",
        "RAILS_MIN_THREADS",
        "RAILS_ENV",
        "RAILS_LOG_TO_STDOUT",
        "RAILS_SERVE_STATIC_FILES",
        "RAILS_LOG_LEVEL",
        "REDIS_POOL",
        "REDIS_POOL_TIMEOUT",
        // Scalelite's CDN in front of S3: S3_REDIRECT redirects to the bucket itself.
        "CLOUDFRONT_URL",
        "CF_KEY_PAIR_ID",
        "CF_PRIVATE_KEY_B64",
    ];
    IGNORED.into_iter().filter(|name| reader(name).is_some()).collect()
}

#[cfg(test)]
mod tests;
