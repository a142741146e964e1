//! A client on bare sockets: it must also read responses that are not valid HTTP.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::*;

/// Starts one empty server.
pub(crate) fn start_one() -> Sim {
    Sim::start(SimConfig::default()).unwrap()
}

pub(crate) fn connect(server: &SimServer) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&server.0.address, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    Ok(stream)
}

/// Sends a request and reads until the server closes the connection.
pub(crate) fn exchange(server: &SimServer, request: &str) -> io::Result<Vec<u8>> {
    let mut stream = connect(server)?;
    stream.write_all(request.as_bytes())?;
    let mut all = Vec::new();
    stream.read_to_end(&mut all)?;
    Ok(all)
}

/// Path and query of a signed request.
pub(crate) fn target(server: &SimServer, call: &str, query: &str) -> String {
    let url = server.signed_url(call, query);
    url[url.find("/bigbluebutton").unwrap()..].to_string()
}

/// A signed GET with `Connection: close`.
pub(crate) fn get_request(server: &SimServer, call: &str, query: &str) -> String {
    let target = target(server, call, query);
    format!("GET {target} HTTP/1.1\r\nHost: bbb.test:80\r\nConnection: close\r\n\r\n")
}

/// Sends a request; the response's head and body.
pub(crate) fn send(server: &SimServer, request: &str) -> (String, String) {
    let all = String::from_utf8(exchange(server, request).unwrap()).unwrap();
    let (head, body) = all.split_once("\r\n\r\n").expect("a complete response");
    (head.to_string(), body.to_string())
}

/// Sends a signed GET; the response's body.
pub(crate) fn get(server: &SimServer, call: &str, query: &str) -> String {
    send(server, &get_request(server, call, query)).1
}

/// Sends a POST; the response's body.
pub(crate) fn post(server: &SimServer, target: &str, content_type: &str, body: &str) -> String {
    let request = format!(
        "POST {target} HTTP/1.1\r\nHost: b\r\nContent-Type: {content_type}\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    send(server, &request).1
}

/// Waits until a condition holds, at most ten seconds.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::yield_now();
    }
}
