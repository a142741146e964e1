//! A replica that does what a test tells it to, and keeps what it was sent.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What it does with a request that it has read.
pub enum Do {
    /// An answer with status 200 and this body.
    Say(&'static str),
    /// An answer, byte for byte.
    Raw(String),
    /// The connection is reset.
    Reset,
}

/// Lives until the test process ends.
pub struct Fake {
    pub port: u16,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    /// It is asked what to do with the request that has this number, from 1.
    pub fn start(what: impl Fn(usize) -> Do + Send + Sync + 'static) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (what, noted) = (Arc::new(what), seen.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (what, noted) = (what.clone(), noted.clone());
                std::thread::spawn(move || {
                    let mut stream = stream.unwrap();
                    while let Some(request) = read(&mut stream) {
                        let number = {
                            let mut noted = noted.lock().unwrap();
                            noted.push(request);
                            noted.len()
                        };
                        let answer = match what(number) {
                            Do::Say(body) => ok(body),
                            Do::Raw(answer) => answer,
                            Do::Reset => {
                                let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
                                return;
                            }
                        };
                        let _ = stream.write_all(answer.as_bytes());
                    }
                });
            }
        });
        Fake { port, seen }
    }

    /// What it was sent, each request whole.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    /// The value of a header of the last request.
    pub fn header(&self, name: &str) -> Option<String> {
        let seen = self.seen();
        let values: Vec<_> = seen
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

/// A request with its body, or nothing more comes.
fn read(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut piece = [0; 65536];
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
            if body.len() >= length.map_or(0, |n| n.parse().unwrap()) {
                return Some(text.into_owned());
            }
        }
        match stream.read(&mut piece) {
            Ok(n) if n > 0 => bytes.extend_from_slice(&piece[..n]),
            _ => return None,
        }
    }
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// What a replica says that is stopping.
pub fn stopping() -> Do {
    Do::Raw("HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".to_owned())
}
