//! A scripted replica that records its requests.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The reaction to a request.
pub enum Reaction {
    /// Respond with status 200 and this body.
    Respond(&'static str),
    /// Send these bytes.
    Raw(String),
    /// Reset the connection.
    Reset,
}

/// Lives until the test process ends.
pub struct FakeReplica {
    pub port: u16,
    received: Arc<Mutex<Vec<String>>>,
}

impl FakeReplica {
    /// `react` gets the number of each request, from 1.
    pub fn start(react: impl Fn(usize) -> Reaction + Send + Sync + 'static) -> FakeReplica {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let received = Arc::new(Mutex::new(Vec::new()));
        let (react, requests) = (Arc::new(react), received.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (react, requests) = (react.clone(), requests.clone());
                std::thread::spawn(move || {
                    let mut stream = stream.unwrap();
                    while let Some(request) = read(&mut stream) {
                        let number = {
                            let mut requests = requests.lock().unwrap();
                            requests.push(request);
                            requests.len()
                        };
                        let response = match react(number) {
                            Reaction::Respond(body) => ok(body),
                            Reaction::Raw(response) => response,
                            Reaction::Reset => {
                                let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
                                return;
                            }
                        };
                        let _ = stream.write_all(response.as_bytes());
                    }
                });
            }
        });
        FakeReplica { port, received }
    }

    /// The requests, each complete.
    pub fn received(&self) -> Vec<String> {
        self.received.lock().unwrap().clone()
    }

    /// The value of a header of the last request.
    pub fn header(&self, name: &str) -> Option<String> {
        let received = self.received();
        let values: Vec<_> = received
            .last()
            .expect("a request")
            .lines()
            .filter_map(|line| line.split_once(": "))
            .filter(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.to_owned())
            .collect();
        assert!(values.len() <= 1, "{name}: {values:?}");
        values.into_iter().next()
    }
}

/// A request with its body; None at the end of the connection.
fn read(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 65536];
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
            if body.len() >= length.map_or(0, |n| n.parse().unwrap()) {
                return Some(text.into_owned());
            }
        }
        match stream.read(&mut chunk) {
            Ok(n) if n > 0 => bytes.extend_from_slice(&chunk[..n]),
            _ => return None,
        }
    }
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// The response of a draining replica.
pub fn draining() -> Reaction {
    Reaction::Raw(
        "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".to_owned(),
    )
}
