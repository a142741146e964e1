//! `sl dev`: a whole local pool, and nothing left after it.

use crate::support::client::fetch;
use crate::support::{eventually, free_port, within};
use serde_json::Value;
use std::io::Read;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

fn start(temp: &std::path::Path, args: &[&str]) -> (Child, Value) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_sl"))
        .args(["dev", "--json", "--port", &free_port().to_string()])
        .args(args)
        .env("TMPDIR", temp)
        // Another pool, which dev must not touch.
        .env("REDIS_URL", "redis://127.0.0.1:1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let (mut text, mut byte) = (Vec::new(), [0]);
    while serde_json::from_slice::<Value>(&text).is_err() {
        assert_eq!(stdout.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&text));
        text.extend(byte);
    }
    (child, serde_json::from_slice(&text).unwrap())
}

fn is_open(url: &str) -> bool {
    let address = url.split("//").nth(1).unwrap().split('/').next().unwrap();
    TcpStream::connect(address).is_ok()
}

#[test]
fn dev_links_work_and_shutdown_leaves_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let (mut child, pool) = start(temp.path(), &["--servers", "2", "--replicas", "2"]);
    let link = |name: &str| pool["links"][name].as_str().unwrap().to_owned();
    let get = |name: &str| fetch("GET", &link(name), &[], b"");
    get("create").success();
    let page = get("join as a moderator");
    assert_eq!(page.status, 302);
    let joined = fetch("GET", page.header("location").unwrap(), &[], b"");
    assert_eq!(joined.status, 302, "the simulated server must accept the checksum: {joined:?}");
    assert_eq!(get("the demo meeting").success().xml("participantCount"), Some("1"));
    assert!(get("all meetings").success().body.contains("<meetingID>demo</meetingID>"));
    let second = pool["replicas"][1].as_str().unwrap();
    let other = link("the demo meeting").replace(pool["replicas"][0].as_str().unwrap(), second);
    fetch("GET", &other, &[], b"").success();
    get("end the demo meeting").success();

    // Sample recordings are playable; one is protected.
    assert!(get("play a recording").body.contains("<video"), "{:?}", get("play a recording"));
    let protected = get("links to a protected recording, each valid once").success().body;
    assert!(protected.contains("<protected>true</protected>"), "{protected}");
    let at = protected.find("/video?token=").unwrap();
    let begin = protected[..at].rfind("http://").unwrap();
    let once = &protected[begin..at + "/video?token=".len() + 64];
    let [first, again] = [(); 2].map(|()| fetch("GET", once, &[], b""));
    assert_eq!((first.status, again.status), (307, 404), "{first:?} {again:?}");
    assert!(first.header("set-cookie").is_some());

    // Another recording, dropped into the spool.
    let recordings = || get("recordings").success().body;
    assert_eq!(recordings().matches("<recording>").count(), 4);
    let spool = pool["spool"].as_str().unwrap();
    let args = ["sim", "recording", "--meeting-id", "mine", "--out", spool];
    assert!(Command::new(env!("CARGO_BIN_EXE_sl")).args(args).status().unwrap().success());
    within(Duration::from_secs(10), "the new one is there", || {
        recordings().contains("<meetingID>mine</meetingID>")
    });
    assert_eq!(recordings().matches("<protected>true</protected>").count(), 1);

    assert!(is_open(pool["redis"].as_str().unwrap()));
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert!(child.wait().unwrap().success());
    for url in [&pool["redis"], &pool["replicas"][0], &pool["replicas"][1], &pool["control"]] {
        assert!(!is_open(url.as_str().unwrap()), "{url} is still there");
    }
    assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0);
}

#[test]
fn killed_dev_leaves_no_process() {
    let temp = tempfile::tempdir().unwrap();
    let (mut child, pool) = start(temp.path(), &["--servers", "1"]);
    child.kill().unwrap();
    child.wait().unwrap();
    for url in [&pool["redis"], &pool["replicas"][0]] {
        eventually("its children end too", || !is_open(url.as_str().unwrap()));
    }
}
