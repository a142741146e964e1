//! Scalelite's variables that `sl` does not read, so that /etc/default/scalelite works as it is: those that are not
//! needed here are named in a notice, those that change what Scalelite does stop the start until they work here.

use super::Env;
use super::env::{SettingStatus, parse_flag};
use std::borrow::Cow;

/// What a variable of Scalelite's means here.
enum Meaning {
    /// It does not work yet: it stops the start, with this reason, unless its value is harmless.
    Refused(fn(&str) -> bool, &'static str),
    /// It is not needed, for this reason.
    NoEffect(&'static str),
}

use Meaning::{NoEffect, Refused};

const IS_OFF: fn(&str) -> bool = |value| parse_flag(value) == Some(false);
const NEVER: fn(&str) -> bool = |_| false;
const NO_THREADS: &str = "the number of threads is set by WORKER_THREADS";
const NO_POOL: &str = "each thread needs one connection to Redis";
const NO_RAILS: &str = "Rails is not used";
const NO_CDN: &str = "S3_REDIRECT redirects to the bucket itself; without it, sl sends the files";

/// Every variable of Scalelite's that is not a setting of ours. A name that ends in * stands for all that begin so.
const VARIABLES: [(&str, Meaning); 23] = [
    ("MULTITENANCY_ENABLED", Refused(IS_OFF, "is not supported yet: tenants would not be kept apart")),
    ("FSAPI_PASSWORD", Refused(NEVER, "is not supported yet: there is no dial-in (/fsapi)")),
    (
        "FSAPI_MAX_DURATION",
        Refused(|value| value == "0", "is not supported yet: there is no dial-in (/fsapi)"),
    ),
    ("VOICE_BRIDGE_MIN", Refused(|value| value == "5", "is not supported yet: there is no dial-in (/fsapi)")),
    ("VOICE_BRIDGE_MAX", Refused(|value| value == "9", "is not supported yet: there is no dial-in (/fsapi)")),
    ("DEFAULT_LOCALE", Refused(|value| value == "en", "is not supported yet: all texts are English")),
    ("REDIS_SENTINEL*", Refused(NEVER, "is not supported yet: sl connects to the Redis of REDIS_URL only")),
    ("WEB_CONCURRENCY", NoEffect(NO_THREADS)),
    ("RAILS_MAX_THREADS", NoEffect(NO_THREADS)),
    ("RAILS_MIN_THREADS", NoEffect(NO_THREADS)),
    ("RAILS_LOG_LEVEL", NoEffect("the level of the logs is set by LOG_LEVEL")),
    ("RAILS_LOG_TO_STDOUT", NoEffect("logs go to standard error")),
    ("RAILS_*", NoEffect(NO_RAILS)),
    ("RACK_ENV", NoEffect(NO_RAILS)),
    ("REDIS_POOL", NoEffect(NO_POOL)),
    ("REDIS_POOL_TIMEOUT", NoEffect(NO_POOL)),
    ("CLOUDFRONT_URL", NoEffect(NO_CDN)),
    ("CF_KEY_PAIR_ID", NoEffect(NO_CDN)),
    ("CF_PRIVATE_KEY_B64", NoEffect(NO_CDN)),
    ("NGINX_*", NoEffect("nginx/site.sh prints the site file for these variables")),
    (
        "SCALELITE_RECORDING_DIR",
        NoEffect(
            "Docker mounts this directory as /var/bigbluebutton; outside of Docker, set RECORDING_SPOOL_DIR, \
             RECORDING_WORK_DIR, RECORDING_PUBLISH_DIR and RECORDING_UNPUBLISH_DIR",
        ),
    ),
    ("SCALELITE_*", NoEffect("for the scripts that start Scalelite's containers")),
    ("LETSENCRYPT_*", NoEffect("certificates are nginx's concern")),
];

/// Reads all of them. `names` are the variables of the environment, for the names that end in *.
pub(super) fn read(env: &mut Env<'_>, names: &[&str]) {
    let mut without_effect = Vec::new();
    for (pattern, meaning) in &VARIABLES {
        let matching: Vec<Cow<'static, str>> = match pattern.strip_suffix('*') {
            None => vec![(*pattern).into()],
            Some(prefix) => names
                .iter()
                .filter(|name| name.starts_with(prefix))
                .map(|name| (*name).to_owned().into())
                .collect(),
        };
        for name in matching {
            let judge = |value: &str| match meaning {
                NoEffect(_) => SettingStatus::NoEffect,
                Refused(is_harmless, _) if is_harmless(value) => SettingStatus::NoEffect,
                Refused(..) if name == "MULTITENANCY_ENABLED" && parse_flag(value).is_none() => {
                    SettingStatus::Invalid
                }
                Refused(..) => SettingStatus::Refused,
            };
            let (NoEffect(reason) | Refused(_, reason)) = meaning;
            match (env.unused(name.clone(), judge, reason), meaning) {
                (Some(SettingStatus::NoEffect), NoEffect(_)) => without_effect.push(name),
                (Some(SettingStatus::Invalid), _) => env.mistake(&name, "must be true or false"),
                (Some(SettingStatus::Refused), _) => {
                    env.mistake(&name, &format!("{reason}; unset it to start without"));
                }
                _ => {}
            }
        }
    }
    without_effect.sort();
    without_effect.dedup();
    if !without_effect.is_empty() {
        env.notice(format!("settings without effect: {} (`sl config` says why)", without_effect.join(", ")));
    }
}
