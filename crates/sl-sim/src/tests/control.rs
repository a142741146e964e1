//! The control API, over TCP.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::{Value, json};

use super::client::*;
use crate::*;

/// Sends a request to the control API; the status and the JSON body.
fn control(sim: &Sim, method: &str, path: &str, body: Value) -> (u16, Value) {
    let authority = sim.control_url().replace("http://", "");
    let address: SocketAddr = authority.parse().unwrap();
    let body = body.to_string();
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: c\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap())
}

#[test]
fn control_api_does_what_the_handles_do() {
    let sim =
        Sim::start(SimConfig { servers: 2, secret: Some("s3".into()), ..SimConfig::default() }).unwrap();
    let second = &sim.servers()[1];
    let post = |path: &str, body: Value| control(&sim, "POST", path, body);
    let fetch = |path: &str| control(&sim, "GET", path, Value::Null).1;

    let (status, _) = post("/servers/2/fault", json!({"kind": "forget", "times": 5}));
    assert_eq!(status, 200);
    assert_eq!(second.faults(), [Fault::new(FaultKind::Forget).times(5)]);
    let list = fetch("/servers");
    assert_eq!(list[1]["fault"]["kind"], "forget");
    assert_eq!(list[0]["fault"], Value::Null);
    assert_eq!(list[1]["secret"], "s3");
    assert_eq!(list[1]["url"], second.url());
    control(&sim, "DELETE", "/servers/2/fault", Value::Null);
    assert_eq!(second.faults(), []);

    get(second, "create", "meetingID=a%2Fb");
    let people = "/servers/2/meetings/a%2Fb/people";
    assert_eq!(post(people, json!({"add": 5})).0, 200);
    assert_eq!(post(people, json!({"remove": 2})).0, 200);
    assert_eq!(fetch("/servers/2")["people"], 3);
    post("/servers/2/meetings/a%2Fb/breakouts", json!({"add": 2}));
    assert_eq!(fetch("/servers/2/meetings")[2]["name"], "a/b (Room 2)");
    let requests = fetch("/servers/2/requests");
    assert!(
        requests[0]["target"]
            .as_str()
            .unwrap()
            .starts_with("/bigbluebutton/api/create?meetingID=a%2Fb&checksum=")
    );
    assert_eq!(fetch("/servers/2")["counts"]["create_new"], 1);
    assert_eq!(post("/servers/2/meetings/a%2Fb/forget", Value::Null).0, 200);
    assert_eq!(second.totals().0, 2, "its breakout rooms still exist");
    post("/servers/2/meetings", json!({"id": "x", "people": 2}));
    assert_eq!(post("/servers/2/meetings/x/end", Value::Null).0, 200);
    assert_eq!(post("/servers/2/meetings/x/end", Value::Null).0, 404);
    post("/servers/2/restart", Value::Null);
    assert_eq!(second.meetings(), []);

    assert_eq!(post("/servers/3/restart", Value::Null).0, 404);
    assert_eq!(post("/servers/0/restart", Value::Null).0, 404);
    assert_eq!(post("/servers/2/nonsense", Value::Null).0, 404);
    let (status, error) = post("/servers/2/fault", json!({"kind": "nonsense"}));
    assert_eq!(status, 400);
    assert!(error["error"].is_string());
}
