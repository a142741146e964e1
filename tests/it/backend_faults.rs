//! BBB servers that fail in every way: a clear answer in time, and the replica goes on.

use crate::support::client::fetch;
use crate::support::{Canned, Pool, QUICK, Reply};
use sl_sim::FaultKind;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

/// Calls to a meeting's server, and what is answered when it fails.
const CALLS: [(&str, &str, &str); 6] = [
    ("isMeetingRunning", "", "Unable to access meeting on server."),
    ("getMeetingInfo", "", "Unable to access meeting on server."),
    ("sendChatMessage", "&message=x", "Unable to access meeting on server."),
    ("join", "&fullName=A&role=VIEWER&redirect=false", "Unable to access meeting on server."),
    ("insertDocument", "", "Unable to insert document on server."),
    ("create", "&moderatorPW=mp", "Unable to create meeting on server."),
];

fn ask(pool: &Pool, call: &str, more: &str) -> Reply {
    let query = format!("meetingID=m1{more}");
    match call {
        "insertDocument" => pool.post(call, &query, "text/xml", b"<modules/>"),
        _ => pool.get(call, &query),
    }
}

/// A pool with meeting m1 on its one server.
fn meeting(variables: &[(&str, &str)]) -> Pool {
    let pool = Pool::with(1, 1, variables);
    pool.get("create", "meetingID=m1&moderatorPW=mp").success();
    pool
}

/// All calls at once, each answered as the error table has it; then all is well again.
fn fails_clearly(kind: FaultKind) {
    let mut pool = meeting(&QUICK);
    pool.server(1).set_fault(kind);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for (call, more, message) in CALLS {
            let pool = &pool;
            scope.spawn(move || {
                let reply = ask(pool, call, more);
                assert_eq!(reply.failed(), "internalError", "{call}");
                assert_eq!(reply.xml("message"), Some(message), "{call}");
            });
        }
    });
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    pool.server(1).clear_faults();
    // It may have been found offline meanwhile.
    pool.sl_ok(&["poll"]);
    pool.all_is_kept_of("m1");
    for (call, more, _) in CALLS {
        ask(&pool, call, more).success();
    }
    assert!(pool.replicas[0].is_alive());
}

#[test]
fn a_server_that_is_down() {
    fails_clearly(FaultKind::Refuse);
}

#[test]
fn a_server_that_hangs() {
    fails_clearly(FaultKind::Hang);
}

#[test]
fn a_server_that_resets_connections() {
    fails_clearly(FaultKind::Reset);
}

#[test]
fn a_server_that_answers_500() {
    fails_clearly(FaultKind::Status { code: 500 });
}

#[test]
fn a_proxy_that_answers_502_for_its_server() {
    fails_clearly(FaultKind::Status { code: 502 });
}

#[test]
fn a_server_that_answers_404() {
    fails_clearly(FaultKind::Status { code: 404 });
}

#[test]
fn a_server_that_redirects() {
    fails_clearly(FaultKind::Status { code: 302 });
}

#[test]
fn a_server_that_answers_garbage() {
    fails_clearly(FaultKind::Garbage);
}

#[test]
fn a_server_that_answers_a_web_page() {
    fails_clearly(FaultKind::NotXmlHtml);
}

#[test]
fn a_server_that_answers_xml_without_a_returncode() {
    fails_clearly(FaultKind::NoReturncode);
}

#[test]
fn a_server_that_answers_headers_without_end() {
    fails_clearly(FaultKind::EndlessHeaders);
}

#[test]
fn a_server_that_answers_deeply_nested_xml() {
    fails_clearly(FaultKind::DeepXml { depth: 100_000 });
}

#[test]
fn a_server_that_answers_entities_that_expand_to_gigabytes() {
    fails_clearly(FaultKind::Entities);
}

#[test]
fn a_server_whose_answer_is_cut_off() {
    fails_clearly(FaultKind::Truncated);
}

#[test]
fn a_server_whose_answer_has_a_length_that_is_no_number() {
    fails_clearly(FaultKind::BadLength { value: "twelve".into() });
}

#[test]
fn a_server_whose_answer_is_shorter_than_it_says() {
    fails_clearly(FaultKind::BadLength { value: "1000000".into() });
}

#[test]
fn a_server_whose_answer_is_longer_than_it_says() {
    fails_clearly(FaultKind::BadLength { value: "20".into() });
}

#[test]
fn a_server_that_answers_a_gigabyte_costs_neither_time_nor_memory() {
    let pool = meeting(&[]);
    let before = pool.replicas[0].memory();
    pool.server(1).set_fault(FaultKind::Huge { bytes: 1 << 30 });
    for _ in 0..3 {
        let reply = pool.get("getMeetingInfo", "meetingID=m1");
        assert_eq!(reply.failed(), "internalError");
    }
    assert_eq!(pool.get("getMeetings", "").success().xml("messageKey"), Some("noMeetings"));
    let more = pool.replicas[0].memory() - before;
    assert!(more < 100 * 1024, "{more} KiB more");
    pool.server(1).clear_faults();
    pool.get("getMeetingInfo", "meetingID=m1").success();
}

#[test]
fn the_largest_answer_taken_in_can_be_set() {
    let pool = meeting(&[("MAX_ANSWER_SIZE", "65536")]);
    pool.server(1).set_fault(FaultKind::Huge { bytes: 60_000 });
    pool.get("getMeetingInfo", "meetingID=m1").success();
    pool.server(1).set_fault(FaultKind::Huge { bytes: 66_000 });
    assert_eq!(pool.get("getMeetingInfo", "meetingID=m1").failed(), "internalError");
}

#[test]
fn a_server_that_answers_in_drops_is_given_up_at_the_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut stream = stream;
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\n\r\n<response>");
                while stream.write_all(b" ").is_ok() {
                    std::thread::sleep(Duration::from_millis(20));
                }
            });
        }
    });
    let pool = meeting(&QUICK);
    let url = format!("http://127.0.0.1:{port}/bigbluebutton/api");
    pool.redis.cli(&["HSET", "scalelite:server:bbb1", "url", &url]);
    let begun = Instant::now();
    assert_eq!(pool.get("getMeetingInfo", "meetingID=m1").failed(), "internalError");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[test]
fn a_server_that_answers_an_element_of_countless_attributes_does_not_occupy_us() {
    let attributes: String = (0..150_000).map(|n| format!(" a{n}=''")).collect();
    let body = format!("<response><returncode>SUCCESS</returncode><x{attributes}/></response>");
    let canned = Canned::start(body.as_bytes());
    let pool = meeting(&[]);
    pool.redis.cli(&["HSET", "scalelite:server:bbb1", "url", &canned.url()]);
    let target = pool.target("getMeetingInfo", "meetingID=m1");
    // Either answer will do; raw_get waits for ten seconds.
    let answer = pool.raw_get(&target);
    assert!(answer.contains("<returncode>"), "nothing came: {answer:?}");
}

#[test]
fn a_server_with_a_url_that_is_none_is_an_error_like_any_other() {
    let mut pool = meeting(&[]);
    for url in [
        "",
        "nonsense",
        "ftp://127.0.0.1/x",
        "http://",
        "http://[::1",
        "http://a b/",
        "http://127.0.0.1:99999/x",
    ] {
        pool.redis.cli(&["HSET", "scalelite:server:bbb1", "url", url]);
        assert_eq!(pool.get("getMeetingInfo", "meetingID=m1").failed(), "internalError", "{url}");
        assert_eq!(pool.get("getMeetings", "").success().xml("messageKey"), Some("noMeetings"), "{url}");
        pool.get("join", "meetingID=m1&fullName=A&role=VIEWER");
    }
    assert!(pool.replicas[0].is_alive());
}

#[test]
fn what_the_server_refuses_is_passed_on_under_its_own_key() {
    let pool = meeting(&[]);
    let (message_key, message) = ("ownKey".to_owned(), "Own <message> & more".to_owned());
    pool.server(1).set_fault(FaultKind::Failed { message_key, message });
    for (call, more, _) in CALLS {
        let reply = ask(&pool, call, more);
        assert_eq!(reply.failed(), "ownKey", "{call}");
        assert_eq!(reply.xml("message"), Some("Own &lt;message&gt; &amp; more"), "{call}");
    }
}

#[test]
fn a_server_that_hangs_holds_nobody_else_up() {
    let pool = Pool::with(2, 1, &[("RESPONSE_TIMEOUT", "30")]);
    for id in ["m1", "m2"] {
        pool.get("create", &format!("meetingID={id}")).success();
    }
    let (stuck, free) = (pool.holder("m1").unwrap(), pool.holder("m2").unwrap());
    assert_ne!(stuck, free);
    pool.server(stuck).set_fault(FaultKind::Hang);
    let waiting: Vec<_> = (0..50)
        .map(|_| {
            let mut stream = std::net::TcpStream::connect(pool.address(0)).unwrap();
            let target = pool.target("getMeetingInfo", "meetingID=m1");
            stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: sl\r\n\r\n").as_bytes()).unwrap();
            stream
        })
        .collect();
    crate::support::eventually("all of them hang", || pool.server(stuck).counts().get_meeting_info == 50);
    let begun = Instant::now();
    for _ in 0..20 {
        fetch("GET", &pool.url_at(0, "getMeetingInfo", "meetingID=m2"), &[], b"").success();
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    drop(waiting);
}
