//! What `sl servers add` refuses, and what `sl servers panic` could not do.

use crate::support::Pool;
use sl_sim::{Fault, FaultKind};

#[test]
fn panic_fails_and_names_meetings_that_could_not_be_ended() {
    let pool = Pool::start(1);
    for id in ["m1", "m2"] {
        pool.get("create", &format!("meetingID={id}&moderatorPW=mp")).success();
    }
    pool.server(1).set_fault(Fault::new(FaultKind::Status { code: 500 }).on(["end"]).times(1));
    let output = pool.sl(&["servers", "panic", "bbb1", "--yes", "--json"]);
    assert!(!output.status.success());
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((json["meetings_released"].as_u64(), json["meetings_ended"].as_u64()), (Some(2), Some(1)));
    let left = json["not_ended"].as_array().unwrap();
    assert_eq!(left.len(), 1);
    assert!(left[0]["reason"].as_str().unwrap().contains("500"), "{left:?}");
    let id = left[0]["id"].as_str().unwrap();
    assert!(pool.server(1).meeting(id).is_some(), "{id} runs on");

    let pool = Pool::start(1);
    pool.get("create", "meetingID=m1&moderatorPW=mp").success();
    pool.server(1).set_fault(Fault::new(FaultKind::Status { code: 500 }).on(["end"]));
    let says = pool.sl_fails(&["servers", "panic", "bbb1", "--yes"]);
    assert!(says.contains("m1: ") && says.contains("500"), "{says}");
    assert_eq!(pool.redis.cli(&["EXISTS", "scalelite:meeting:m1"]), "0", "it is released all the same");
}

#[test]
fn server_is_added_once_under_one_id() {
    let pool = Pool::start(2);
    let (url, secret) = (pool.server(1).url(), pool.server(1).secret().to_owned());
    let ids = || pool.redis.cli(&["SMEMBERS", "scalelite:servers"]).lines().count();
    // With the same values it is there already, and stays enabled.
    for more in [&["--id", "bbb1"][..], &[]] {
        let args = [&["servers", "add", &url, &secret, "--no-check"], more].concat();
        assert_eq!(pool.sl_ok(&args), "OK\nid: bbb1\n");
    }
    assert_eq!((ids(), pool.redis.cli(&["HGET", "scalelite:server:bbb1", "state"]).as_str()), (2, "enabled"));
    let same = url.replace("/api", "/api/");
    for (args, says) in [
        (vec!["servers", "add", &same, &secret, "--id", "other"], "the server bbb1 has this url already"),
        (vec!["servers", "add", &same, "other"], "the server bbb1 has this url already"),
        (vec!["servers", "add", &url, "other", "--id", "bbb1"], "already, with other values"),
        (vec!["servers", "update", "bbb2", "--url", &url], "the server bbb1 has this url already"),
    ] {
        let line = pool.sl_fails(&args);
        assert!(line.contains(says), "{args:?}: {line}");
    }
    assert_eq!(ids(), 2);
    pool.sl_ok(&["servers", "update", "bbb1", "--url", &same]);
}
