//! Settings: environment variables with Scalelite's names, one struct per concern, defaults and
//! errors beside it. A wrong value stops the start and says what it must be.

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
pub use self::env::{BadSettings, Env, Setting, Source, without_password};
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

/// Everything, read once at the start and never changed.
#[derive(Debug, Clone)]
pub struct Config {
    /// The BBB API: secrets, checksums, what is done to parameters.
    pub api: ApiConfig,
    /// Where and how we listen.
    pub listen: ListenConfig,
    /// Where the state is.
    pub redis: RedisConfig,
    /// How we speak to BBB servers.
    pub servers: ServerClientConfig,
    /// The poll.
    pub poll: PollConfig,
    /// How load is counted.
    pub load: LoadConfig,
    /// Recordings: files, index, import.
    pub recordings: RecordingsConfig,
    /// The importer of recordings.
    pub import: ImportConfig,
    /// How recordings are played.
    pub playback: PlaybackConfig,
    /// Callbacks to clients.
    pub callbacks: CallbacksConfig,
    /// Every setting as it is in force, for `sl config`.
    pub settings: Vec<Setting>,
}

impl Config {
    /// From the process' environment.
    pub fn from_process() -> Result<Config, BadSettings> {
        Config::read(&|name| std::env::var(name).ok())
    }

    /// From any environment.
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
        env.text("LOG_FORMAT", "text", "text or json");
        env.text("LOG_LEVEL", "info", "error, warn, info, debug or trace");
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

    /// What `sl serve` needs beyond the commands that only speak to Redis.
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
                "SECRET_KEY_BASE must be set with PROTECTED_RECORDINGS_ENABLED: it signs the cookies of those \
                 who watch, the same at all replicas (openssl rand -hex 64)"
                    .into(),
            );
        }
        if mistakes.is_empty() { Ok(()) } else { Err(BadSettings(mistakes)) }
    }
}

/// Variables of Scalelite's that mean nothing here; named once in the log if they are set.
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
        // Its CDN in front of S3: S3_REDIRECT sends to the bucket itself.
        "CLOUDFRONT_URL",
        "CF_KEY_PAIR_ID",
        "CF_PRIVATE_KEY_B64",
    ];
    IGNORED.into_iter().filter(|name| reader(name).is_some()).collect()
}

#[cfg(test)]
mod tests;
