//! Playback: which formats are served, how, and to which viewers.

use super::Env;
use crate::bbb::Secret;
use std::path::PathBuf;
use std::time::Duration;

/// The playback formats of BBB.
pub const USUAL_FORMATS: [&str; 6] = ["presentation", "video", "screenshare", "podcast", "notes", "capture"];

/// First path segments with another meaning, which no format may have as its name.
const RESERVED_NAMES: [&str; 9] = [
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

/// A shorter SECRET_KEY_BASE could be guessed, and with it every cookie made. Rails refused shorter ones too.
const MIN_SECRET_KEY_BASE_BYTES: usize = 30;

/// Settings of playback.
#[derive(Debug, Clone)]
pub struct PlaybackConfig {
    /// RECORDING_PLAYBACK_FORMATS.
    pub formats: Vec<String>,
    /// SECRET_KEY_BASE. The same on all replicas.
    pub secret_key_base: Option<Secret>,
    /// PROTECTED_RECORDINGS_TIMEOUT (minutes).
    pub cookie_timeout: Duration,
    /// PLAYBACK_SERVE. If false, nginx sends the files, which we name by X-Accel-Redirect.
    pub serve: bool,
    /// PLAYBACK_HOST, in lower case, perhaps with a port: the host of recordings, if it is not the balancer's.
    pub host: Option<String>,
    /// PLAYBACK_PLAYER_DIR; None is the built-in player.
    pub player_dir: Option<PathBuf>,
}

impl PlaybackConfig {
    pub(super) fn from_env(env: &mut Env<'_>) -> PlaybackConfig {
        let player_dir = env
            .optional(
                "PLAYBACK_PLAYER_DIR",
                "directory of the presentation player (bbb-playback) for PLAYBACK_SERVE (default: a small built-in one)",
            )
            .map(PathBuf::from);
        if player_dir.as_ref().is_some_and(|path| !path.join("index.html").is_file()) {
            env.mistake("PLAYBACK_PLAYER_DIR", "must be a directory with the player's index.html");
        }
        let about = "signs the cookies of viewers of protected recordings";
        let secret_key_base = env.secret("SECRET_KEY_BASE", about);
        if secret_key_base.as_ref().is_some_and(|secret| secret.len() < MIN_SECRET_KEY_BASE_BYTES) {
            env.mistake("SECRET_KEY_BASE", "must have 30 characters or more (openssl rand -hex 64)");
        }
        PlaybackConfig {
            formats: env
                .parsed(
                    "RECORDING_PLAYBACK_FORMATS",
                    &USUAL_FORMATS.join(":"),
                    formats,
                    "playback formats that are served, separated by colons",
                )
                .unwrap_or_default(),
            secret_key_base: secret_key_base.map(Secret::from),
            cookie_timeout: env.minutes(
                "PROTECTED_RECORDINGS_TIMEOUT",
                360.0,
                "how long a viewer may watch after following a link to a protected recording, minutes",
            ),
            serve: env.flag(
                "PLAYBACK_SERVE",
                false,
                "send the files of recordings ourselves (false: nginx sends them)",
            ),
            host: env.parsed(
                "PLAYBACK_HOST",
                "",
                host,
                "host of links to recordings, and the only one that plays them (empty: the one that clients use)",
            )
            .flatten(),
            player_dir,
        }
    }

    /// Where links to recordings lead: `base_url` (scheme and host) with PLAYBACK_HOST, if that is set.
    pub fn base_url(&self, base_url: String) -> String {
        match &self.host {
            Some(host) => {
                let scheme = base_url.split_once("://").map_or("https", |(scheme, _)| scheme);
                format!("{scheme}://{host}")
            }
            None => base_url,
        }
    }
}

fn host(text: &str) -> Result<Option<String>, String> {
    let text = text.trim().to_ascii_lowercase();
    if text.is_empty() {
        return Ok(None);
    }
    let (name, port) = text.split_once(':').map_or((text.as_str(), None), |(name, port)| (name, Some(port)));
    let is_name = name
        .split('.')
        .all(|label| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
    if !is_name || port.is_some_and(|port| !matches!(port.parse::<u16>(), Ok(1..))) {
        return Err("must be a host name, perhaps with a port, without https:// and without a path".into());
    }
    Ok(Some(text))
}

fn formats(text: &str) -> Result<Vec<String>, String> {
    let is_name = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    let mut formats = Vec::new();
    for name in text.split(':').map(str::trim).filter(|name| !name.is_empty()) {
        if RESERVED_NAMES.contains(&name) {
            return Err(format!("must not contain {name}: such paths have another meaning"));
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
    fn formats_are_names_that_no_other_path_uses() {
        assert_eq!(read("NOTHING", "").unwrap().playback.formats.len(), 6);
        let formats = read("RECORDING_PLAYBACK_FORMATS", "video: my-own_1:").unwrap().playback.formats;
        assert_eq!(formats, ["video", "my-own_1"]);
        for wrong in ["video:a/b", "..", "video:playback", "bigbluebutton"] {
            let BadSettings(mistakes) = read("RECORDING_PLAYBACK_FORMATS", wrong).unwrap_err();
            assert!(mistakes[0].starts_with("RECORDING_PLAYBACK_FORMATS must "), "{mistakes:?}");
        }
    }

    #[test]
    fn playback_host_is_a_name() {
        let host = |value: &str| read("PLAYBACK_HOST", value).map(|config| config.playback.host);
        assert_eq!(host("").unwrap(), None);
        assert_eq!(host(" Play.example.org ").unwrap().as_deref(), Some("play.example.org"));
        assert_eq!(host("play.example.org:8443").unwrap().as_deref(), Some("play.example.org:8443"));
        for wrong in
            ["https://play.example.org", "play.example.org/", "a b", "play..org", "x:0", "x:y", "x:1:2"]
        {
            let BadSettings(mistakes) = host(wrong).unwrap_err();
            assert!(mistakes[0].starts_with("PLAYBACK_HOST must be a host name"), "{wrong}: {mistakes:?}");
        }
        let with_host = read("PLAYBACK_HOST", "play.example.org").unwrap().playback;
        assert_eq!(with_host.base_url("http://sl:80".into()), "http://play.example.org");
        assert_eq!(read("NOTHING", "").unwrap().playback.base_url("http://sl:80".into()), "http://sl:80");
    }

    #[test]
    fn player_directory_must_exist() {
        let BadSettings(mistakes) = read("PLAYBACK_PLAYER_DIR", "/nowhere").unwrap_err();
        assert_eq!(mistakes, ["PLAYBACK_PLAYER_DIR must be a directory with the player's index.html"]);
    }

    #[test]
    fn protected_recordings_need_a_secret_for_cookies() {
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
        assert_eq!(with("a-secret-of-more-than-thirty-bytes").require_secrets(), Ok(()));
        let BadSettings(mistakes) = with("").require_secrets().unwrap_err();
        assert!(
            mistakes.len() == 1 && mistakes[0].starts_with("SECRET_KEY_BASE must be set"),
            "{mistakes:?}"
        );
        assert!(!format!("{:?}", with("hush, hush, hush, hush, hush, hush").playback).contains("hush"));
    }

    #[test]
    fn secret_for_cookies_must_have_thirty_characters() {
        let BadSettings(mistakes) = read("SECRET_KEY_BASE", "12345678901234567890123456789").unwrap_err();
        assert_eq!(mistakes, ["SECRET_KEY_BASE must have 30 characters or more (openssl rand -hex 64)"]);
        assert!(read("SECRET_KEY_BASE", "123456789012345678901234567890").is_ok());
    }
}
