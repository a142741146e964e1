//! Settings: `sl config`, and settings that prevent a start.

use crate::support::{Pool, eventually};

#[test]
fn config_shows_source_of_every_setting() {
    let mut pool = Pool::empty(1, &[("POLL_INTERVAL", "17")]);
    let text = pool.sl_ok(&["config"]);
    let line =
        |name: &str| text.lines().find(|l| l.starts_with(name)).unwrap_or_else(|| panic!("{name}: {text}"));
    assert!(line("POLL_INTERVAL").contains("17") && line("POLL_INTERVAL").contains("environment"));
    assert!(line("PORT").contains("3000") && line("PORT").contains("default"));
    assert!(line("LOADBALANCER_SECRET").contains("***"));
    assert!(!text.contains(&pool.secret));
    assert!(pool.sl_ok(&["config", "--show-secrets"]).contains(&pool.secret));
    pool.set("REDIS_NAMESPACE", "");
    let json: Vec<serde_json::Value> = serde_json::from_str(&pool.sl_ok(&["config", "--json"])).unwrap();
    let namespace = json.iter().find(|s| s["name"] == "REDIS_NAMESPACE").unwrap();
    assert_eq!((namespace["value"].as_str(), namespace["source"].as_str()), (Some(""), Some("environment")));
}

#[test]
fn invalid_setting_stops_start_and_is_named() {
    let mut pool = Pool::empty(1, &[]);
    for (name, value, message) in [
        ("PORT", "http", "PORT must be a port number"),
        ("BIND", "localhost", "BIND must be tcp://host:port or unix:///path"),
        ("LOG_FORMAT", "xml", "LOG_FORMAT must be text or json"),
        ("LOG_LEVEL", "loud", "LOG_LEVEL must be error"),
        ("EXTRA_CA_FILE", "/nowhere.pem", "EXTRA_CA_FILE must be a readable PEM file"),
        ("LOADBALANCER_SECRET", "", "LOADBALANCER_SECRET must be set"),
    ] {
        pool.set(name, value);
        let line = pool.sl_fails(&["serve"]);
        assert!(line.starts_with(&format!("sl: {message}")), "{line}");
        pool.set(name, if name == "LOADBALANCER_SECRET" { "x" } else { "" });
    }
}

#[test]
fn port_in_use_stops_start() {
    let mut pool = Pool::start(1);
    let address = format!("tcp://127.0.0.1:{}", pool.replicas[0].port);
    pool.set("BIND", &address);
    let line = pool.sl_fails(&["serve"]);
    assert!(line.contains("cannot listen at") && line.contains("Address already in use"), "{line}");
}

#[test]
fn json_log_names_ignored_settings() {
    let mut pool =
        Pool::empty(1, &[("LOG_FORMAT", "json"), ("WEB_CONCURRENCY", "4"), ("RAILS_ENV", "production")]);
    let n = pool.serve(&[]);
    let log = || pool.replicas[n].log();
    eventually("it logs where it listens", || log().contains("listening at") && log().ends_with('\n'));
    let log = log();
    let lines: Vec<serde_json::Value> = log.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert!(
        lines.iter().any(|l| l["message"] == "settings without effect: WEB_CONCURRENCY, RAILS_ENV"),
        "{log}"
    );
    assert!(
        lines.iter().any(|l| l["message"].as_str().unwrap().starts_with("listening at http://127.0.0.1:"))
    );
}

#[test]
fn completions_and_man_pages_are_generated() {
    let pool = Pool::empty(1, &[]);
    assert!(pool.sl_ok(&["completions", "bash"]).contains("load-multiplier"));
    assert!(pool.sl_ok(&["man"]).contains("sl"));
    let directory = tempfile::tempdir().unwrap();
    pool.sl_ok(&["man", directory.path().to_str().unwrap()]);
    assert!(directory.path().join("sl-servers-add.1").exists());
}
