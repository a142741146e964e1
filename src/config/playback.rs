//! Playback: which formats are served, how, and to whom.

use super::Env;
use crate::bbb::Secret;
use std::path::PathBuf;
use std::time::Duration;

/// The formats that BBB has.
pub const USUAL_FORMATS: [&str; 6] = ["presentation", "video", "screenshare", "podcast", "notes", "capture"];

/// Paths of ours that begin so are something else.
const TAKEN: [&str; 9] = [
    "bigbluebutton",
    "fsapi",
    "health_check",
    "metrics",
    "playback",
    "recording",
    "scalelite",
    "sl",
    "static-resource",
];

/// See the fields.
#[derive(Debug, Clone)]
pub struct PlaybackConfig {
    /// RECORDING_PLAYBACK_FORMATS: what is served from the shelf of published recordings.
    pub formats: Vec<String>,
    /// SECRET_KEY_BASE: signs the cookies of those who came by a link to a protected recording. All
    /// replicas have the same.
    pub secret_key_base: Option<Secret>,
    /// PROTECTED_RECORDINGS_TIMEOUT (minutes): how long such a cookie lets somebody watch.
    pub cookie_timeout: Duration,
    /// PLAYBACK_SERVE: we send the files ourselves; else nginx does, whom we tell which (X-Accel-Redirect).
    pub serve: bool,
    /// PLAYBACK_PLAYER_DIR: the player of presentations (bbb-playback) that goes with PLAYBACK_SERVE. None:
    /// a small one of ours.
    pub player_dir: Option<PathBuf>,
}

impl PlaybackConfig {
    pub(super) fn from_env(env: &mut Env<'_>) -> PlaybackConfig {
        let player_dir = env
            .optional(
                "PLAYBACK_PLAYER_DIR",
                "the player of presentations (bbb-playback) that goes with PLAYBACK_SERVE (default: a small one)",
            )
            .map(PathBuf::from);
        if player_dir.as_ref().is_some_and(|path| !path.join("index.html").is_file()) {
            env.mistake("PLAYBACK_PLAYER_DIR", "must be a directory with the player's index.html");
        }
        PlaybackConfig {
            formats: env
                .parsed(
                    "RECORDING_PLAYBACK_FORMATS",
                    &USUAL_FORMATS.join(":"),
                    formats,
                    "formats that are served, separated by colons",
                )
                .unwrap_or_default(),
            secret_key_base: env
                .secret("SECRET_KEY_BASE", "signs the cookies of those who watch protected recordings")
                .map(Secret::from),
            cookie_timeout: minutes(
                env,
                "PROTECTED_RECORDINGS_TIMEOUT",
                360,
                "how long who came by a link to a protected recording may watch, minutes",
            ),
            serve: env.flag(
                "PLAYBACK_SERVE",
                false,
                "send files of recordings without nginx (false: nginx is told which to send)",
            ),
            player_dir,
        }
    }
}

/// A time span in whole minutes.
pub(super) fn minutes(env: &mut Env<'_>, name: &'static str, default: u32, about: &'static str) -> Duration {
    let must = "must be a number of minutes, 1 or more";
    Duration::from_secs(60 * u64::from(env.number(name, default, |n| *n >= 1, must, about)))
}

fn formats(text: &str) -> Result<Vec<String>, String> {
    let is_name = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    let mut formats = Vec::new();
    for name in text.split(':').map(str::trim).filter(|name| !name.is_empty()) {
        if TAKEN.contains(&name) {
            return Err(format!("must not have {name}: paths that begin so are something else"));
        }
        if !is_name(name) {
            return Err("must be names of formats (letters, digits, - and _), separated by colons".into());
        }
        formats.push(name.to_owned());
    }
    Ok(formats)
}

#[cfg(test)]
mod tests {
    use crate::config::{BadSettings, Config};

    fn read(name: &str, value: &str) -> Result<Config, BadSettings> {
        Config::read(&|asked| (asked == name).then(|| value.to_owned()))
    }

    #[test]
    fn formats_are_names_and_none_is_in_the_way_of_something_else() {
        assert_eq!(read("NOTHING", "").unwrap().playback.formats.len(), 6);
        let formats = read("RECORDING_PLAYBACK_FORMATS", "video: my-own_1:").unwrap().playback.formats;
        assert_eq!(formats, ["video", "my-own_1"]);
        for wrong in ["video:a/b", "..", "video:playback", "bigbluebutton"] {
            let BadSettings(mistakes) = read("RECORDING_PLAYBACK_FORMATS", wrong).unwrap_err();
            assert!(mistakes[0].starts_with("RECORDING_PLAYBACK_FORMATS must "), "{mistakes:?}");
        }
    }

    #[test]
    fn a_player_must_be_there() {
        let BadSettings(mistakes) = read("PLAYBACK_PLAYER_DIR", "/nowhere").unwrap_err();
        assert_eq!(mistakes, ["PLAYBACK_PLAYER_DIR must be a directory with the player's index.html"]);
    }

    #[test]
    fn protection_needs_a_secret_for_its_cookies() {
        let with = |secret: &'static str| {
            Config::read(&move |name| {
                let value = match name {
                    "LOADBALANCER_SECRET" | "PROTECTED_RECORDINGS_ENABLED" => "true",
                    "SECRET_KEY_BASE" => secret,
                    _ => return None,
                };
                Some(value.to_owned())
            })
            .unwrap()
        };
        assert_eq!(with("secret").require_secrets(), Ok(()));
        let BadSettings(mistakes) = with("").require_secrets().unwrap_err();
        assert!(
            mistakes.len() == 1 && mistakes[0].starts_with("SECRET_KEY_BASE must be set"),
            "{mistakes:?}"
        );
        assert!(!format!("{:?}", with("hush").playback).contains("hush"));
    }
}
