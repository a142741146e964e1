//! Settings: `sl config`, and settings that prevent a start.

use crate::support::{Pool, client, eventually};
use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::process::Command;

#[test]
fn config_shows_source_of_every_setting() {
    let mut pool = Pool::empty(1, &[("POLL_INTERVAL", "17")]);
    let text = pool.sl_ok(&["config"]);
    let line =
        |name: &str| text.lines().find(|l| l.starts_with(name)).unwrap_or_else(|| panic!("{name}: {text}"));
    assert!(line("POLL_INTERVAL").contains("17") && line("POLL_INTERVAL").contains("environment"));
    assert!(line("PORT").contains("3000") && line("PORT").contains("default"));
    assert!(line("POLL_INTERVAL").contains("used") && line("LOADBALANCER_SECRET").contains("***"));
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
        ("URL_HOST", "https://sl.example.org/", "URL_HOST must be a host name"),
        ("SECRET_KEY_BASE", "short", "SECRET_KEY_BASE must have 30 characters"),
        ("REDIS_URL", "redis://:a#b@h", "REDIS_URL must be redis://"),
        ("BIND", "localhost", "BIND must be tcp://host:port or unix:///path"),
        ("LOG_FORMAT", "xml", "LOG_FORMAT must be text or json"),
        ("LOG_LEVEL", "loud", "LOG_LEVEL must be error"),
        ("EXTRA_CA_FILE", "/nowhere.pem", "EXTRA_CA_FILE must be a readable PEM file"),
        ("LOADBALANCER_SECRET", "", "LOADBALANCER_SECRET must be set"),
    ] {
        pool.set(name, value);
        let line = pool.sl_fails(&["serve"]);
        assert!(line.starts_with(&format!("sl: {message}")), "{line}");
        // Unset, so that the next one is the only mistake.
        pool.set(name, if name == "LOADBALANCER_SECRET" { "x" } else { "" });
    }
}

#[test]
fn port_in_use_stops_start() {
    let mut pool = Pool::start(1);
    let address = format!("tcp://127.0.0.1:{}", pool.replicas[0].port);
    pool.set("BIND", &address);
    let line = pool.sl_fails(&["serve"]);
    assert!(line.starts_with(&format!("sl: cannot listen at {address} (BIND, PORT): Address")), "{line}");
    assert!(line.contains("cannot listen at") && line.contains("Address already in use"), "{line}");
}

#[test]
fn json_log_names_ignored_settings() {
    let mut pool = Pool::empty(
        1,
        &[("LOG_FORMAT", "\"json\"\r"), ("WEB_CONCURRENCY", "4"), ("RAILS_ENV", "production")],
    );
    let n = pool.serve(&[]);
    let log = || pool.replicas[n].log();
    eventually("it logs where it listens", || log().contains("listening at") && log().ends_with('\n'));
    let log = log();
    let lines: Vec<serde_json::Value> = log.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let notice = "settings without effect: RAILS_ENV, WEB_CONCURRENCY (`sl config` says why)";
    assert!(lines.iter().any(|l| l["message"] == notice), "{log}");
    assert!(
        lines.iter().any(|l| l["message"].as_str().unwrap().starts_with("listening at http://127.0.0.1:"))
    );
}

#[test]
fn config_prints_settings_that_would_stop_start_and_fails() {
    let mut pool = Pool::empty(1, &[("POLL_INTERVAL", "often"), ("MULTITENANCY_ENABLED", "true")]);
    pool.set("REDIS_URL", "redis://hu/sh@127.0.0.1");
    pool.set("DATABASE_URL", "postgres://sl@127.0.0.1/sl?password=hush");
    let output = pool.sl(&["config"]);
    assert_eq!(output.status.code(), Some(1));
    let (text, errors) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    let line = |name: &str| text.lines().find(|l| l.starts_with(name)).unwrap().to_owned();
    assert!(line("POLL_INTERVAL").contains("invalid"), "{text}");
    assert!(line("MULTITENANCY_ENABLED").contains("refused"), "{text}");
    assert!(line("REDIS_URL").contains("redis://***@127.0.0.1"), "{text}");
    assert!(line("DATABASE_URL").contains("password=***"), "{text}");
    for name in ["POLL_INTERVAL must be", "MULTITENANCY_ENABLED is not supported yet", "REDIS_URL must be"] {
        assert!(errors.contains(name), "{errors}");
    }
    assert!(!format!("{text}{errors}").contains("hush") && !errors.contains("hu/sh"), "{text}{errors}");
}

#[test]
fn redis_that_asks_for_a_password_is_reported_once_and_gets_it_in_every_form() {
    let mut pool = Pool::empty(1, &[]);
    pool.redis.cli(&["CONFIG", "SET", "requirepass", "hush"]);
    let line = pool.sl_fails(&["status"]);
    assert!(line.contains("REDIS_URL must have its password: redis://:password@host"), "{line}");
    assert_eq!(line.matches("NOAUTH").count(), 1, "{line}");
    let url = pool.redis.url();
    for user_info in ["hush@", ":hush@", "default:hush@"] {
        pool.set("REDIS_URL", &url.replace("://", &format!("://{user_info}")));
        pool.sl_ok(&["status"]);
    }
    for user_info in ["wrong@", ":wrong@"] {
        pool.set("REDIS_URL", &url.replace("://", &format!("://{user_info}")));
        let line = pool.sl_fails(&["status"]);
        assert!(line.contains("redis://") && line.contains("***@") && !line.contains("wrong"), "{line}");
    }
    let socket = format!("unix://:hush@{}", pool.redis.socket().display());
    pool.set("REDIS_URL", &socket);
    pool.sl_ok(&["status"]);
}

#[test]
fn config_reads_a_file_instead_of_the_environment() {
    let pool = Pool::empty(1, &[("POLL_INTERVAL", "17")]);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("scalelite");
    let text = "LOADBALANCER_SECRET=hush\nURL_HOST=\"sl.example.org\"\r\nRAILS_ENV=production\n";
    std::fs::write(&file, text).unwrap();
    let path = file.to_str().unwrap();
    let text = pool.sl_ok(&["config", "--file", path]);
    let line = |name: &str| text.lines().find(|l| l.starts_with(name)).unwrap().to_owned();
    assert!(line("URL_HOST").contains("sl.example.org"), "{text}");
    assert!(line("POLL_INTERVAL").contains("60") && line("RAILS_ENV").contains("no effect"), "{text}");
    assert!(text.contains("ignored the quotes around the values of URL_HOST") && !text.contains("hush"));
    std::fs::write(&file, "MULTITENANCY_ENABLED=true\nLOADBALANCER_SECRET=hush").unwrap();
    let line = pool.sl(&["config", "--file", path]);
    let errors = String::from_utf8(line.stderr).unwrap();
    assert_eq!(
        errors.trim_end(),
        "sl: MULTITENANCY_ENABLED is not supported yet: tenants would not be kept apart; unset it to start without"
    );
    std::fs::write(&file, "hush").unwrap();
    assert_eq!(pool.sl_fails(&["config", "--file", path]), format!("sl: {path}: line 1 must be NAME=value"));
}

#[test]
fn refused_host_is_logged_once_and_escaped() {
    let pool = Pool::with(0, 1, &[("URL_HOST", "sl.example.org")]);
    for _ in 0..3 {
        let request = "GET /bigbluebutton/api HTTP/1.1\r\nHost: evil\"host\r\nConnection: close\r\n\r\n";
        assert!(client::send_raw(&pool.address(0), request.as_bytes()).starts_with("HTTP/1.1 403"));
    }
    let log = pool.replicas[0].log();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("(URL_HOST)")).collect();
    assert_eq!(lines.len(), 1, "{log}");
    assert!(lines[0].contains("WARN") && lines[0].contains("host=evil\\\"host"), "{log}");
}

#[test]
fn group_of_nginx_and_no_others_can_connect_to_unix_socket() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
    let socket = directory.path().join("sl.sock");
    let mut pool = Pool::empty(1, &[]);
    let mode_and_group = || {
        let metadata = std::fs::metadata(&socket).unwrap();
        (metadata.mode() & 0o777, metadata.gid())
    };
    let own_group = std::fs::metadata(directory.path()).unwrap().gid();
    pool.set("BIND_GROUP", &own_group.to_string());
    pool.set("BIND_MODE", "0600");
    pool.serve_unix(&socket, &[]);
    pool.replicas.clear();
    assert_eq!(mode_and_group(), (0o600, own_group));
    pool.set("BIND_MODE", "");
    pool.serve_unix(&socket, &[]);
    pool.replicas.clear();
    assert_eq!(mode_and_group(), (0o660, own_group));
    pool.set("BIND_GROUP", "no-such-group");
    pool.set("BIND", &format!("unix://{}", socket.display()));
    let line = pool.sl_fails(&["serve"]);
    assert!(line.contains("there is no group no-such-group (BIND_GROUP)"), "{line}");

    // Only root can become another user and give the socket to any group.
    if std::fs::metadata("/proc/self").unwrap().uid() == 0 {
        let (group, other, user) = (33, 65_534, 65_534);
        pool.set("BIND_GROUP", &group.to_string());
        pool.serve_unix(&socket, &[]);
        let can_connect = |group: u32| {
            let mut curl = Command::new("curl");
            curl.args(["-sf", "--unix-socket"]).arg(&socket).arg("http://sl/bigbluebutton/api");
            curl.uid(user).gid(group).output().unwrap().status.success()
        };
        assert!(can_connect(group) && !can_connect(other));
    }
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
