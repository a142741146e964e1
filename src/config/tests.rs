//! Tests of the whole configuration.

use super::*;

fn read(vars: &[(&str, &str)]) -> Result<Config, BadSettings> {
    let vars: Vec<(String, String)> = vars.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    Config::read(&move |name| vars.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone()))
}

#[test]
fn defaults_are_those_of_scalelite() {
    let config = read(&[]).unwrap();
    assert_eq!(config.redis.prefix, "scalelite:");
    assert_eq!(config.listen.bind, Bind::Tcp("0.0.0.0:3000".into()));
    assert_eq!(config.poll.interval.as_secs(), 60);
    assert_eq!(config.load.min_users, 15);
    assert_eq!(config.api.algorithms.len(), 4);
    assert_eq!(config.api.sign_with, crate::bbb::Algorithm::Sha256);
    assert!(config.require_secrets().is_err());
}

#[test]
fn reads_values() {
    let config = read(&[
        ("LOADBALANCER_SECRET", "a"),
        ("LOADBALANCER_SECRETS", "b: c:"),
        ("LOADBALANCER_CHECKSUM_ALGORITHM", "sha1:SHA512"),
        ("REDIS_NAMESPACE", ""),
        ("INTERVAL", "5"),
        ("BIND", "unix:///run/sl.sock?umask=0111"),
        ("CONNECT_TIMEOUT", "0.25"),
        ("DEFAULT_CREATE_PARAMS", "welcome=Hi\\, all,record=true"),
        ("CREATE_EXCLUDE_PARAMS", "a, b"),
        ("MAX_MEETING_DURATION", "90"),
    ])
    .unwrap();
    let secrets: Vec<_> = config.api.secrets.iter().map(|s| s.expose()).collect();
    assert_eq!(secrets, ["a", "b", "c"]);
    assert!(!format!("{:?}", config.api.secrets).contains('a'));
    assert_eq!(config.api.sign_with, crate::bbb::Algorithm::Sha512);
    assert_eq!(config.redis.prefix, "");
    assert_eq!(config.poll.interval.as_secs(), 5);
    assert_eq!(config.listen.bind, Bind::Unix("/run/sl.sock".into()));
    assert_eq!(config.servers.connect_timeout.as_millis(), 250);
    assert_eq!(config.api.create.default[0], ("welcome".into(), "Hi, all".into()));
    assert_eq!(config.api.create.exclude, ["a", "b"]);
    assert_eq!(config.api.max_meeting_duration, Some(90));
}

#[test]
fn reports_all_mistakes_together() {
    let BadSettings(mistakes) = read(&[
        ("PORT", "eighty"),
        ("BIND", "0.0.0.0:80"),
        ("REDIS_URL", "localhost"),
        ("LOADBALANCER_CHECKSUM_ALGORITHM", "md5"),
        ("GET_MEETINGS_API_DISABLED", "maybe"),
        ("POLL_INTERVAL", "-1"),
        ("DEFAULT_JOIN_PARAMS", "broken"),
        ("VOICE_BRIDGE_LEN", "40"),
    ])
    .unwrap_err();
    for name in [
        "PORT must be a port",
        "BIND must be tcp://",
        "REDIS_URL must be redis://",
        "LOADBALANCER_CHECKSUM_ALGORITHM must be",
        "GET_MEETINGS_API_DISABLED must be true or false",
        "POLL_INTERVAL must be a number of seconds",
        "DEFAULT_JOIN_PARAMS must be name=value",
        "VOICE_BRIDGE_LEN must be",
    ] {
        assert!(mistakes.iter().any(|m| m.starts_with(name)), "{name} in {mistakes:#?}");
    }
    assert_eq!(mistakes.len(), 8);
}

#[test]
fn hides_passwords() {
    let config = read(&[("REDIS_URL", "redis://user:hush@h/0"), ("LOADBALANCER_SECRET", "s")]).unwrap();
    assert!(!format!("{:?}", config.redis).contains("hush"));
    let setting = config.settings.iter().find(|s| s.name == "REDIS_URL").unwrap();
    assert!(!setting.value.contains("hush"));
    assert!(config.settings.iter().any(|s| s.name == "LOADBALANCER_SECRET" && s.secret));
}

#[test]
fn values_of_files_from_windows_and_docker_are_read() {
    let config = read(&[
        ("REDIS_NAMESPACE", "'other'\r"),
        ("URL_HOST", "\u{feff}\"sl.example.com\" \r\n"),
        ("POLL_INTERVAL", " \"30\""),
        ("GET_MEETINGS_API_DISABLED", "TRUE\r"),
        ("LOADBALANCER_SECRET", "hush\r\n"),
        ("BUILD_NUMBER", "\"\""),
    ])
    .unwrap();
    assert_eq!(config.redis.prefix, "other:");
    assert_eq!(config.api.url_host.as_deref(), Some("sl.example.com"));
    assert_eq!(config.poll.interval.as_secs(), 30);
    assert!(config.api.get_meetings_disabled);
    assert_eq!(config.api.secrets[0].expose(), "hush");
    assert_eq!(config.api.build_number, None);
    assert_eq!(
        config.notices,
        [
            "ignored the quotes around the values of URL_HOST, REDIS_NAMESPACE, POLL_INTERVAL (Docker keeps them)"
        ]
    );
}

#[test]
fn values_that_would_break_everything_are_refused() {
    for (name, value, must) in [
        ("LOADBALANCER_SECRET", "\"hush\"", "must not be in quotes"),
        ("SECRET_KEY_BASE", "short", "must have 30 characters"),
        ("URL_HOST", "https://sl.example.com", "must be a host name"),
        ("BUILD_NUMBER", "1\u{7}2", "must not contain control characters"),
        ("BUILD_NUMBER", "1\u{fffd}", "must be UTF-8"),
        ("PORT", "0", "must be a port number from 1"),
        ("POLL_INTERVAL", "0.0000000001", "must be a number of seconds above 0"),
        ("POLL_INTERVAL", "NaN", "must be a number of seconds above 0"),
        ("POLL_INTERVAL", "inf", "must be a number of seconds above 0"),
        ("POLL_INTERVAL", "60s", "must be a number of seconds above 0"),
        ("PROTECTED_RECORDINGS_TIMEOUT", "0", "must be a number of minutes above 0"),
        ("RECORDING_PUBLISH_DIR", "published", "must be an absolute path"),
        (
            "RECORDING_UNPUBLISH_DIR",
            "/var/bigbluebutton/published",
            "must be another directory than RECORDING_PUBLISH_DIR",
        ),
        ("OVERRIDE_CREATE_PARAMS", "a=1,meetingID=x", "must not have meetingID"),
        ("CREATE_EXCLUDE_PARAMS", "a, checksum", "must not have checksum"),
        ("VOICE_BRIDGE_LEN", "9.5", "must be a number of digits"),
        ("GET_MEETINGS_API_DISABLED", "yes", "must be true or false"),
        ("GET_MEETINGS_API_DISABLED", "on", "must be true or false"),
        ("BIND_MODE", "rw", "must be octal permissions"),
    ] {
        let BadSettings(mistakes) = read(&[(name, value)]).unwrap_err();
        assert_eq!(mistakes.len(), 1, "{mistakes:?}");
        assert!(mistakes[0].starts_with(&format!("{name} {must}")), "{mistakes:?}");
    }
}

#[test]
fn only_true_and_1_switch_on() {
    let flag = |value: &str| read(&[("DISABLED_REFUSES_JOINS", value)]).map(|c| c.api.disabled_refuses_joins);
    for on in ["true", "TRUE", "True", "1"] {
        assert_eq!(flag(on), Ok(true), "{on}");
    }
    for off in ["false", "FALSE", "0", "no", "off", ""] {
        assert_eq!(flag(off), Ok(false), "{off}");
    }
    for wrong in ["yes", "on", "t", "enabled", "2"] {
        assert!(flag(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn numbers_may_have_decimals() {
    let config = read(&[
        ("POLL_INTERVAL", "1.5"),
        ("PROTECTED_RECORDINGS_TIMEOUT", "1.5"),
        ("LOAD_JOIN_BUFFER_TIME", "0.5"),
        ("DEFAULT_MEETING_TTL", "3600.0"),
        ("MAX_MEETING_DURATION", "90.0"),
    ])
    .unwrap();
    assert_eq!(config.poll.interval.as_millis(), 1500);
    assert_eq!(config.playback.cookie_timeout.as_secs(), 90);
    assert_eq!(config.load.join_buffer.as_secs(), 30);
    assert_eq!(config.load.meeting_ttl.as_secs(), 3600);
    assert_eq!(config.api.max_meeting_duration, Some(90));
}

#[test]
fn url_host_names_itself_and_its_subdomains() {
    let read = |name: &str| (name == "URL_HOST").then(|| "sl.example.org".to_owned());
    let api = Config::read(&read).unwrap().api;
    for host in ["sl.example.org", "SL.example.org:443", "math.sl.example.org.", "sl.example.org."] {
        assert!(api.names_url_host(host), "{host}");
    }
    for host in [
        "evilsl.example.org",
        "example.org",
        "sl.example.org.evil.com",
        "evil/.sl.example.org",
        "x@.sl.example.org",
        "",
    ] {
        assert!(!api.names_url_host(host), "{host}");
    }
    assert!(!Config::read(&|_| None).unwrap().api.names_url_host("sl.example.org"));
}
