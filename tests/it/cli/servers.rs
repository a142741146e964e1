//! `sl servers`, `sl status`, `sl poll`

use crate::support::{Pool, eventually};
use sl_sim::{Fault, FaultKind};
use std::io::Write;
use std::process::Stdio;

#[test]
fn servers_can_be_added_enabled_updated_and_removed() {
    let pool = Pool::empty(1, &[]);
    let (url, secret) = (pool.server(1).url(), pool.server(1).secret().to_owned());
    let added = pool.sl_ok(&["servers", "add", &url, &secret, "--load-multiplier", "2"]);
    let id = added.strip_prefix("OK\nid: ").expect(&added).trim_end().to_owned();
    assert_eq!(id.len(), 36);
    let block = |state: &str, load: &str, version: &str, tag: &str, online: &str| {
        format!(
            "id: {id}\n\turl: {url}\n\tsecret: {secret}\n\t{state}\n\tload: {load}\n\tload multiplier: 2.0\n\tbbb version: {version}\n\ttag: {tag}\n\t{online}\n"
        )
    };
    assert_eq!(
        pool.sl_ok(&["servers", "--show-secrets"]),
        block("disabled", "unavailable", "", "", "offline")
    );
    let enabled = pool.sl_ok(&["servers", "enable", &id]);
    assert_eq!(enabled, format!("OK {id}: enabled, online\n"));
    pool.sl_ok(&["servers", "update", &id, "--tag", "gpu"]);
    assert_eq!(
        pool.sl_ok(&["servers", "list", "--show-secrets"]),
        block("enabled", "0.0", "3.0.9", "gpu", "online")
    );
    pool.sl_ok(&["servers", "update", &id, "--tag", ""]);
    assert_eq!(
        pool.sl_ok(&["servers", "cordon", &id]),
        format!("OK {id}: cordoned, 0 meetings still running\n")
    );
    assert_eq!(
        pool.sl_ok(&["servers", "list", "--show-secrets"]),
        block("cordoned", "0.0", "3.0.9", "", "online")
    );
    pool.sl_ok(&["servers", "remove", &id]);
    assert_eq!(pool.sl_ok(&["servers"]), "");
    assert_eq!(pool.sl_ok(&["status"]), "No servers yet. Add one: sl servers add URL SECRET\n");
}

#[test]
fn status_prints_table_of_servers() {
    let pool = Pool::empty(3, &[]);
    pool.add(1, &["--tag", "gpu"]);
    pool.add(2, &[]);
    pool.add(3, &[]);
    pool.enable(1);
    pool.enable(2);
    for (meeting, people) in [("a", 25), ("b", 3)] {
        pool.server(2).create_meeting(meeting, meeting);
        pool.server(2).add_people(meeting, people);
    }
    pool.sl_ok(&["poll"]);
    let table = pool.sl_ok(&["status"]);
    let mut lines: Vec<Vec<&str>> = table.lines().map(|l| l.split_whitespace().collect()).collect();
    let heading = table.lines().next().unwrap();
    assert_eq!(
        heading.split_whitespace().collect::<Vec<_>>().join(" "),
        "HOSTNAME STATE STATUS MEETINGS USERS LARGEST MEETING VIDEOS LOAD BBB VERSION TAG ID"
    );
    lines.remove(0);
    let host = |n: usize| format!("127.0.0.1:{}", pool.server(n).port());
    let row =
        |n: usize| lines.iter().find(|l| l[0] == host(n)).unwrap_or_else(|| panic!("{table}"))[1..].join(" ");
    assert_eq!(row(1), "enabled online 0 0 0 0 0.0 3.0.9 gpu bbb1");
    assert!(row(2).starts_with("enabled online 2 28 25 "), "{table}");
    assert!(row(2).ends_with(" 40.0 3.0.9 bbb2"), "{table}");
    assert_eq!(row(3), "disabled online 0 0 0 0 unavailable 3.0.9 bbb3");
}

#[test]
fn secrets_are_printed_only_with_show_secrets() {
    let pool = Pool::start(1);
    let secret = pool.server(1).secret().to_owned();
    for args in
        [vec!["servers"], vec!["servers", "--json"], vec!["servers", "yaml"], vec!["status", "--json"]]
    {
        let text = pool.sl_ok(&args);
        assert!(!text.contains(&secret), "{args:?}: {text}");
    }
    let json: serde_json::Value =
        serde_json::from_str(&pool.sl_ok(&["servers", "--json", "--show-secrets"])).unwrap();
    assert_eq!(json[0]["secret"], secret);
    assert_eq!(json[0]["load"], 0.0);
    let yaml = pool.sl_ok(&["servers", "yaml", "--show-secrets", "--verbose"]);
    assert!(yaml.starts_with("servers:\n  bbb1:\n    url: http://127.0.0.1"), "{yaml}");
    for line in [
        format!("secret: {secret}"),
        "enabled: true".into(),
        "load_multiplier: 1.0".into(),
        "state: enabled".into(),
    ] {
        assert!(yaml.contains(&line), "{yaml}");
    }
}

#[test]
fn mistakes_are_reported_in_one_line() {
    let pool = Pool::start(1);
    for (args, message) in [
        (vec!["servers", "add", "bbb1.example.com", "x"], "is not a URL"),
        (vec!["servers", "add", "https://bbb1.example.com/bigbluebutton", "x"], "does not end in /api"),
        (vec!["servers", "add", "ftp://bbb1.example.com/api", "x"], "does not begin with http"),
        (vec!["servers", "add", "https://u:p@h/bigbluebutton/api", "x"], "must not contain credentials"),
        (vec!["servers", "add", "https://h/bigbluebutton/api", "x", "--id", "a b"], "spaces"),
        (vec!["servers", "add", "https://h/bigbluebutton/api", ""], "must not be empty"),
        (vec!["servers", "add", "https://h/bigbluebutton/api", "x", "--tag", "gpu!"], "; or !"),
        (vec!["servers", "update", "bbb1", "--tag", "a b;c"], "spaces"),
        (vec!["servers", "update", "bbb1", "--url", "https://u@h/bigbluebutton/api"], "credentials"),
        (vec!["servers", "add", "https://h/bigbluebutton/api", "x", "--id", "bbb1"], "already"),
        (vec!["servers", "enable", "nobody"], "there is no server nobody: see `sl servers`"),
        (vec!["servers", "remove", "nobody"], "there is no server nobody"),
        (vec!["servers", "panic", "nobody", "--yes"], "there is no server nobody"),
        (vec!["meetings", "where", "nothing"], "there is no record of meeting nothing"),
        (vec!["meetings", "list", "nobody"], "there is no server nobody"),
    ] {
        let line = pool.sl_fails(&args);
        assert!(line.contains(message), "{args:?}: {line}");
    }
    for usage in [
        vec!["servers", "add", "https://h/api", "x", "--load-multiplier", "0"],
        vec!["servers", "update", "bbb1"],
        vec!["servers", "enable"],
        vec!["nonsense"],
    ] {
        assert_eq!(pool.sl(&usage).status.code(), Some(2), "{usage:?}");
    }
}

#[test]
fn server_can_be_named_by_host() {
    let pool = Pool::start(2);
    let host = format!("127.0.0.1:{}", pool.server(2).port());
    assert_eq!(pool.sl_ok(&["servers", "disable", &host]), "OK bbb2: disabled, 0 meetings still running\n");
}

#[test]
fn server_ids_can_be_hostnames() {
    let mut pool = Pool::empty(1, &[]);
    pool.set("SERVER_ID_IS_HOSTNAME", "true");
    let url = "https://bbb1.example.com/bigbluebutton/api";
    let added = pool.sl_ok(&["servers", "add", url, "x", "--no-check"]);
    assert_eq!(added, "OK\nid: bbb1.example.com\n");
}

#[test]
fn remove_is_rejected_while_meetings_run() {
    let pool = Pool::start(1);
    pool.get("create", "meetingID=m1&name=M").success();
    let refused = pool.sl_fails(&["servers", "remove", "bbb1"]);
    assert!(
        refused.contains("1 meetings are still running on bbb1") && refused.contains("--force"),
        "{refused}"
    );
    pool.sl_ok(&["servers", "remove", "bbb1", "--force", "--yes"]);
    assert_eq!(pool.get("getMeetingInfo", "meetingID=m1").failed(), "notFound");
}

#[test]
fn panic_ends_and_releases_meetings_of_server() {
    let pool = Pool::start(2);
    for n in 0..6 {
        pool.get("create", &format!("meetingID=m{n}&name=M&moderatorPW=mp")).success();
    }
    let output = pool.sl_ok(&["servers", "panic", "bbb1", "--yes"]);
    assert_eq!(output, "OK bbb1: panicked, meetings ended 3, meetings released 3, state disabled\n");
    assert_eq!(pool.server(1).meetings().len(), 0);
    assert_eq!(pool.server(2).meetings().len(), 3);
    for n in 0..6 {
        pool.get("create", &format!("meetingID=m{n}&name=M&moderatorPW=mp")).success();
    }
    assert_eq!(pool.server(2).meetings().len(), 6);
    // Without end calls the server keeps its meetings; with --keep-state it stays enabled.
    let output =
        pool.sl_ok(&["servers", "panic", "bbb2", "--yes", "--keep-state", "--skip-end-calls", "--json"]);
    let output: serde_json::Value = serde_json::from_str(&output).unwrap();
    assert_eq!((output["meetings_released"].as_u64(), output["meetings_ended"].as_u64()), (Some(6), Some(0)));
    assert_eq!(output["state"], "enabled");
    assert_eq!(pool.server(2).meetings().len(), 6);
}

#[test]
fn poll_reports_servers_that_do_not_answer() {
    let pool = Pool::with(3, 0, &[("POLLER_WAIT_TIMEOUT", "0.5")]);
    pool.server(1).set_fault(Fault::new(FaultKind::Refuse));
    pool.server(2).set_fault(Fault::new(FaultKind::Hang));
    pool.server(3).create_meeting("x", "X");
    let polled = pool.sl(&["poll"]);
    assert_eq!(polled.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&polled.stderr).ends_with("sl: 2 servers did not answer\n"));
    let output = String::from_utf8(polled.stdout).unwrap();
    assert!(output.contains("1 of 3 servers answered"), "{output}");
    assert!(
        output.contains("bbb1): cannot connect") && output.contains("bbb2): no response within"),
        "{output}"
    );
    let json: serde_json::Value = serde_json::from_slice(&pool.sl(&["poll", "--json"]).stdout).unwrap();
    assert_eq!(json["answered"], 1);
    assert_eq!(json["failed"].as_array().unwrap().len(), 2);
    let status: serde_json::Value = serde_json::from_str(&pool.sl_ok(&["status", "--json"])).unwrap();
    let status = status["servers"].as_array().unwrap();
    let online: Vec<_> =
        status.iter().map(|s| (s["id"].as_str().unwrap(), s["online"].as_bool().unwrap())).collect();
    assert!(online.contains(&("bbb1", false)) && online.contains(&("bbb2", false)));
    assert!(online.contains(&("bbb3", true)));
    pool.server(1).clear_faults();
    pool.server(2).clear_faults();
    assert!(pool.sl_ok(&["poll"]).starts_with("3 of 3 servers answered"));
}

#[test]
fn serve_polls_servers_continuously() {
    let mut pool = Pool::with(2, 0, &[("POLL_INTERVAL", "0.2")]);
    pool.serve(&[]);
    pool.server(1).create_meeting("x", "X");
    pool.server(1).add_people("x", 40);
    let load = |id: &str| pool.redis.loads().into_iter().find(|l| l.0 == id).map(|l| l.1);
    eventually("the load is polled", || load("bbb1") == Some(40.0));
    pool.server(2).set_fault(Fault::new(FaultKind::Refuse));
    eventually("the offline server is not a candidate", || load("bbb2").is_none());
    pool.server(2).clear_faults();
    eventually("the server is a candidate again", || load("bbb2") == Some(0.0));
}

#[test]
fn only_one_replica_polls_each_round() {
    let mut pool = Pool::with(1, 0, &[("POLL_INTERVAL", "0.5")]);
    for _ in 0..4 {
        pool.serve(&[]);
    }
    pool.server(1).reset_counts();
    let polls = || pool.server(1).counts().get_meetings;
    let started = std::time::Instant::now();
    eventually("some rounds", || polls() >= 4);
    let rounds = started.elapsed().as_secs_f64() / 0.45 + 2.0;
    assert!(polls() as f64 <= rounds, "{} polls in {rounds} rounds", polls());
}

#[test]
fn poll_succeeds_when_only_disabled_servers_do_not_answer() {
    let pool = Pool::with(2, 0, &[("POLLER_WAIT_TIMEOUT", "0.5")]);
    pool.sl_ok(&["servers", "disable", "bbb1"]);
    pool.server(1).set_fault(Fault::new(FaultKind::Refuse));
    assert!(pool.sl_ok(&["poll"]).contains("1 of 2 servers answered"));
}

#[test]
fn changes_to_several_servers_do_all_they_can() {
    let pool = Pool::with(2, 0, &[]);
    let state = |n: usize| pool.redis.cli(&["HGET", &format!("scalelite:server:bbb{n}"), "state"]);
    let output = pool.sl(&["servers", "disable", "bbb1", "nobody", "bbb2"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "sl: 1 of 3 servers failed: there is no server nobody: see `sl servers`\n"
    );
    assert_eq!((state(1).as_str(), state(2).as_str()), ("disabled", "disabled"));
    let output = pool.sl(&["servers", "enable", "nobody", "bbb2", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let reports: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&reports[1]["id"], &reports[1]["online"]), (&"bbb2".into(), &true.into()));
    let output = pool.sl(&["servers", "remove", "nobody", "bbb1"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(state(1), "");
}

#[test]
fn panic_and_forced_removal_ask_first() {
    let pool = Pool::start(1);
    pool.get("create", "meetingID=m1&name=M").success();
    for (args, question) in [
        (vec!["servers", "panic", "bbb1"], "Panic bbb1 and end 1 meetings?"),
        (vec!["servers", "panic", "bbb1", "--skip-end-calls"], "Panic bbb1 and release 1 meetings?"),
        (vec!["servers", "remove", "bbb1", "--force"], "Remove bbb1 and release 1 meetings?"),
    ] {
        let line = pool.sl_fails(&args);
        assert_eq!(line, format!("sl: {question} Use --yes to confirm."));
    }
    pool.assert_meeting_recorded("m1");
}

#[test]
fn secrets_are_read_from_standard_input_or_file() {
    let pool = Pool::empty(2, &[]);
    let secret = |n: usize| pool.redis.cli(&["HGET", &format!("scalelite:server:bbb{n}"), "secret"]);
    let pipe = |args: &[&str], text: &str| {
        let mut child = pool.command().args(args).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    };
    pipe(&["servers", "add", &pool.server(1).url(), "-", "--id", "bbb1"], "piped\n");
    assert_eq!(secret(1), "piped");
    let directory = tempfile::TempDir::new().unwrap();
    let file = directory.path().join("secret");
    std::fs::write(&file, "  from-file\r\n").unwrap();
    let file = format!("@{}", file.display());
    pool.sl_ok(&["servers", "add", &pool.server(2).url(), &file, "--id", "bbb2"]);
    assert_eq!(secret(2), "from-file");
    pipe(&["servers", "update", "bbb2", "--secret", "-"], "changed");
    assert_eq!(secret(2), "changed");
    for (argument, error) in [("", "must not be empty"), ("a b", "one word"), ("@/no/file", "/no/file")] {
        let line = pool.sl_fails(&["servers", "update", "bbb2", "--secret", argument]);
        assert!(line.contains(error), "{line}");
    }
    assert_eq!(secret(2), "changed");
}

#[test]
fn add_reports_what_the_server_answers() {
    let pool = Pool::empty(2, &[]);
    let add = |n: usize, secret: &str, more: &[&str]| {
        let id = format!("bbb{n}");
        let url = pool.server(n).url();
        let mut args = vec!["servers", "add", &url, secret, "--id", &id];
        args.extend(more);
        let output = pool.sl(&args);
        assert_eq!((output.status.code(), output.stdout), (Some(0), format!("OK\nid: {id}\n").into_bytes()));
        String::from_utf8(output.stderr).unwrap()
    };
    pool.server(1).create_meeting("x", "X");
    assert_eq!(add(1, pool.server(1).secret(), &[]), "it answers: BigBlueButton 3.0.9, 1 meetings\n");
    let answer = add(2, "wrong", &[]);
    assert!(answer.starts_with("WARNING: it is added, but a call to it failed: "), "{answer}");
    pool.sl_ok(&["servers", "remove", "bbb2"]);
    assert_eq!(add(2, "wrong", &["--no-check"]), "");
}

#[test]
fn status_check_tells_healthy_from_degraded_and_unreachable() {
    let mut pool = Pool::with(2, 0, &[("POLL_INTERVAL", "0.3")]);
    let check = |pool: &Pool| {
        let output = pool.sl(&["status", "--check"]);
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    pool.serve(&[]);
    eventually("it is healthy", || check(&pool).0 == 0);
    assert_eq!(check(&pool).1, "");
    pool.server(1).set_fault(Fault::new(FaultKind::Refuse));
    eventually("it is degraded", || check(&pool).0 == 1);
    let host = format!("127.0.0.1:{}", pool.server(1).port());
    assert_eq!(check(&pool).1, format!("sl: the pool is degraded: {host} is offline\n"));
    assert_eq!(pool.sl(&["status"]).status.code(), Some(0), "without --check it is a report");
    pool.sl_ok(&["servers", "disable", "bbb1"]);
    eventually("a server out of use does not matter", || check(&pool).0 == 0);
    pool.redis.down();
    let (code, error) = check(&pool);
    assert_eq!(code, 2);
    assert!(error.contains("cannot reach Redis at "), "{error}");
}

#[test]
fn servers_are_listed_in_natural_order_of_their_hosts() {
    let pool = Pool::empty(0, &[]);
    for n in [10, 9, 100, 1] {
        let url = format!("https://bbb{n}.example.com/bigbluebutton/api");
        pool.sl_ok(&["servers", "add", &url, "x", "--id", &format!("s{n}"), "--no-check"]);
    }
    let table = pool.sl_ok(&["status"]);
    let ids: Vec<&str> = table.lines().skip(1).filter_map(|line| line.split_whitespace().last()).collect();
    assert_eq!(&ids[..4], ["s1", "s9", "s10", "s100"], "{table}");
}
