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
        "REDIS_URL must be a redis://",
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
