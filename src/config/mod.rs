//! Settings: environment variables with Scalelite's names; one struct for each concern, with its defaults and
//! errors. An invalid value stops the start with an error that describes valid values.
//!
//! A field's documentation names its variable; the description is the text beside it, which `sl config`
//! prints.

mod api;
mod callbacks;
mod database;
mod env;
mod env_file;
mod import;
mod listen;
mod load;
mod mask;
mod parameters;
mod playback;
mod poll;
mod recordings;
mod redis;
mod scalelite;
mod servers;
mod storage;
mod tls;

pub use self::api::ApiConfig;
pub use self::callbacks::{AllowPrivate, CallbacksConfig};
pub use self::database::DatabaseConfig;
pub use self::env::{BadSettings, Env, Setting, SettingSource, SettingStatus};
pub use self::env_file::parse_env_file;
pub use self::import::ImportConfig;
pub use self::listen::{Bind, ListenConfig};
pub use self::load::{Accounting, LoadConfig};
pub use self::mask::{UrlUser, mask_url};
pub use self::parameters::CallParameters;
pub use self::playback::{PlaybackConfig, USUAL_FORMATS};
pub use self::poll::PollConfig;
pub use self::recordings::{MetaMatch, RecordingsConfig};
pub use self::redis::RedisConfig;
pub use self::servers::ServerClientConfig;
pub use self::storage::S3Config;

use std::collections::BTreeMap;

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
    /// What operators should know about their settings, although it does not stop the start: one line each.
    pub notices: Vec<String>,
}

/// An environment as `sl` understands it, whether or not it could start with it.
pub struct Inspection {
    /// Every setting with its value and status.
    pub settings: Vec<Setting>,
    /// As in [`Config`].
    pub notices: Vec<String>,
    /// Why `sl` would not start: one line each.
    pub mistakes: Vec<String>,
}

/// Variables and their values.
pub type Variables = BTreeMap<String, String>;

/// The environment of this process. What is not UTF-8 gets replacement characters, which no setting may have.
pub fn process_variables() -> Variables {
    let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect()
}

impl Config {
    /// Reads the environment of this process.
    pub fn from_process() -> Result<Config, BadSettings> {
        let variables = process_variables();
        let names: Vec<&str> = variables.keys().map(String::as_str).collect();
        let (config, mistakes) = Config::understand(&|name| variables.get(name).cloned(), &names);
        if mistakes.is_empty() { Ok(config) } else { Err(BadSettings(mistakes)) }
    }

    /// Reads any environment.
    pub fn read(reader: &dyn Fn(&str) -> Option<String>) -> Result<Config, BadSettings> {
        let (config, mistakes) = Config::understand(reader, &[]);
        if mistakes.is_empty() { Ok(config) } else { Err(BadSettings(mistakes)) }
    }

    /// Says what `sl serve` would make of these variables.
    pub fn inspect(variables: &Variables) -> Inspection {
        let names: Vec<&str> = variables.keys().map(String::as_str).collect();
        let (config, mut mistakes) = Config::understand(&|name| variables.get(name).cloned(), &names);
        if let Err(BadSettings(missing)) = config.require_secrets() {
            // A secret that is invalid is not missing too.
            let is_new =
                |line: &String| !mistakes.iter().any(|m| m.split(' ').next() == line.split(' ').next());
            let missing: Vec<String> = missing.into_iter().filter(is_new).collect();
            mistakes.extend(missing);
        }
        Inspection { settings: config.settings, notices: config.notices, mistakes }
    }

    /// Reads an environment of which `names` are all variables. With mistakes, some values are defaults.
    fn understand(reader: &dyn Fn(&str) -> Option<String>, names: &[&str]) -> (Config, Vec<String>) {
        let mut env = Env::new(reader);
        let api = ApiConfig::from_env(&mut env);
        let listen = ListenConfig::from_env(&mut env);
        let servers = ServerClientConfig::from_env(&mut env);
        let redis = RedisConfig::from_env(&mut env, &servers);
        let poll = PollConfig::from_env(&mut env);
        let load = LoadConfig::from_env(&mut env);
        let recordings = RecordingsConfig::from_env(&mut env, &servers);
        let import = ImportConfig::from_env(&mut env);
        let playback = PlaybackConfig::from_env(&mut env);
        let callbacks = CallbacksConfig::from_env(&mut env);
        env.text("LOG_FORMAT", "text", "format of the logs: text or json");
        env.text("LOG_LEVEL", "info", "level of the logs: error, warn, info, debug, trace or off");
        scalelite::read(&mut env, names);
        let env::Findings { settings, notices, mistakes } = env.finish();
        let config = Config {
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
            notices,
        };
        (config, mistakes)
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

#[cfg(test)]
mod tests;
