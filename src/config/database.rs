//! The connection to Postgres, which has the recordings' index.

use super::mask::{ENCODE_PASSWORD, UrlUser, has_stray_at};
use super::tls::extra_ca;
use super::{Env, env::parse_flag};
use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;
use std::path::Path;
use url::Url;

/// Parameters of DATABASE_URL that are passed on. Those of Rails (pool, encoding, …) mean nothing here.
const URL_PARAMETERS: [&str; 19] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
    "prepared_statements",
];

/// Settings of the connection to Postgres.
#[derive(Clone)]
pub struct DatabaseConfig {
    /// DATABASE_URL.
    pub options: PgConnectOptions,
    /// DATABASE_DIRECT_URL: Postgres itself, for `sl migrate`, if DATABASE_URL leads to a pooler in transaction mode.
    pub direct: Option<PgConnectOptions>,
    /// PREPARED_STATEMENT: sessions keep their settings and prepared statements. False behind a pooler in
    /// transaction mode (PgBouncer).
    pub keeps_sessions: bool,
}

impl DatabaseConfig {
    /// None without DATABASE_URL or with DB_DISABLED.
    pub(super) fn from_env(env: &mut Env<'_>, extra_ca_file: Option<&Path>) -> Option<DatabaseConfig> {
        let options = options(
            env,
            "DATABASE_URL",
            "URL of the Postgres with the recordings' index (empty: no recordings)",
        );
        let direct = options_without_flag(options.is_some(), env);
        let keeps_sessions = env.flag(
            "PREPARED_STATEMENT",
            true,
            "false: DATABASE_URL leads to a pooler in transaction mode (PgBouncer), sessions keep nothing",
        );
        let is_disabled = env.flag("DB_DISABLED", false, "ignore DATABASE_URL");
        let (options, prepares) = options.filter(|_| !is_disabled)?;
        let extra_ca = extra_ca(env, extra_ca_file);
        // In addition to the system's roots.
        let trust = |options: PgConnectOptions| match &extra_ca {
            Some(pem) if !names_root_cert(&options) => options.ssl_root_cert_from_pem(pem.clone()),
            _ => options,
        };
        let (options, direct) = (trust(options), direct.map(trust));
        Some(DatabaseConfig { options, direct, keeps_sessions: keeps_sessions && prepares })
    }

    /// What `sl migrate` connects with. None if only a pooler in transaction mode is known.
    pub fn migration_options(&self) -> Option<&PgConnectOptions> {
        self.direct.as_ref().or_else(|| Some(&self.options).filter(|_| self.keeps_sessions))
    }
}

/// Whether the URL has sslrootcert, which then is the only certificate trusted beside the system's roots.
fn names_root_cert(options: &PgConnectOptions) -> bool {
    options.to_url_lossy().query_pairs().any(|(name, _)| name == "sslrootcert")
}

fn options_without_flag(has_pooler: bool, env: &mut Env<'_>) -> Option<PgConnectOptions> {
    let about = "URL of that Postgres without a pooler, for `sl migrate` (default: DATABASE_URL)";
    let (direct, _) = options(env, "DATABASE_DIRECT_URL", about)?;
    Some(direct).filter(|_| has_pooler)
}

/// The options of a URL, and whether it allows prepared statements. None if it is unset or wrong.
fn options(env: &mut Env<'_>, name: &'static str, about: &'static str) -> Option<(PgConnectOptions, bool)> {
    let text = env.url(name, "", UrlUser::Name, about);
    if text.is_empty() {
        return None;
    }
    match parse(&text) {
        Ok((options, prepares, unknown)) => {
            if !unknown.is_empty() {
                env.notice(format!("parameters of {name} without effect: {}", unknown.join(", ")));
            }
            Some((options, prepares))
        }
        Err(why) => {
            env.mistake(name, &format!("must be postgres://user:password@host/name ({why})"));
            None
        }
    }
}

/// Options that log no statements; the password never leaves them. Also whether prepared statements are allowed, and
/// parameters that mean nothing here: sqlx would log these with their values.
fn parse(text: &str) -> Result<(PgConnectOptions, bool, Vec<String>), String> {
    if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
        return Err("not a Postgres URL".into());
    }
    let mut url = Url::parse(text).map_err(|error| format!("{error}; {ENCODE_PASSWORD}"))?;
    if has_stray_at(&url) {
        return Err(ENCODE_PASSWORD.into());
    }
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let is_known = |name: &str| URL_PARAMETERS.contains(&name) || name.starts_with("options[");
    let (known, unknown): (Vec<_>, Vec<_>) = pairs.into_iter().partition(|(name, _)| is_known(name));
    // Rails reads this one too.
    let mut prepares = true;
    url.set_query(None);
    for (name, value) in known {
        if name == "prepared_statements" {
            prepares = parse_flag(&value).ok_or("prepared_statements must be true or false")?;
        } else {
            url.query_pairs_mut().append_pair(&name, &value);
        }
    }
    let options = PgConnectOptions::from_url(&url).map_err(|error| error.to_string())?;
    // sqlx would log slow statements with their whole text; Postgres can do that itself. Poolers refuse the
    // parameter extra_float_digits, and values are read in binary form.
    let options = options.application_name("sl").disable_statement_logging().extra_float_digits(None);
    Ok((options, prepares, unknown.into_iter().map(|(name, _)| name).collect()))
}

#[cfg(test)]
mod tests {
    use crate::config::{BadSettings, Config};

    fn read(vars: &[(&str, &str)]) -> Result<Config, BadSettings> {
        Config::read(&|name| vars.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    #[test]
    fn parameters_of_rails_are_named_and_not_passed_on() {
        let url = "postgres://sl:hush@h/sl?pool=5&sslmode=require&encoding=unicode";
        let config = read(&[("DATABASE_URL", url)]).unwrap();
        assert_eq!(config.notices, ["parameters of DATABASE_URL without effect: pool, encoding"]);
        let database = config.recordings.database.unwrap();
        assert!(database.keeps_sessions && database.migration_options().is_some());
    }

    #[test]
    fn either_way_to_switch_prepared_statements_off_means_a_pooler() {
        for vars in [
            [("DATABASE_URL", "postgres://h/sl"), ("PREPARED_STATEMENT", "false")],
            [("DATABASE_URL", "postgres://h/sl?prepared_statements=false"), ("PORT", "1")],
        ] {
            let database = read(&vars).unwrap().recordings.database.unwrap();
            assert!(!database.keeps_sessions && database.migration_options().is_none());
        }
        let direct = [
            ("DATABASE_URL", "postgres://h:6432/sl"),
            ("PREPARED_STATEMENT", "false"),
            ("DATABASE_DIRECT_URL", "postgres://h:5432/sl"),
        ];
        let database = read(&direct).unwrap().recordings.database.unwrap();
        assert_eq!(database.migration_options().unwrap().get_port(), 5432);
    }

    #[test]
    fn wrong_url_names_the_remedy_and_not_the_password() {
        for url in ["postgres://sl:hu/sh@h/sl", "postgres://sl:12/hush@h/sl", "postgres://sl:12#hush@h/sl"] {
            let error = read(&[("DATABASE_URL", url)]).unwrap_err().to_string();
            assert!(error.starts_with("DATABASE_URL must be postgres://") && error.contains("%2F for /"));
            assert!(!error.contains("hush") && !error.contains("sh@h"), "{error}");
        }
    }
}
