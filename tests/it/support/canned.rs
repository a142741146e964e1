//! A server that says what it is told to say, byte for byte, whatever it is asked.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

/// Answers every request with the same body, one request per connection. Lives until the test
/// process ends.
pub struct Canned {
    port: u16,
    body: Arc<Mutex<Vec<u8>>>,
}

impl Canned {
    pub fn start(body: &[u8]) -> Canned {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let body = Arc::new(Mutex::new(body.to_vec()));
        let said = body.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { continue };
                let said = said.clone();
                std::thread::spawn(move || {
                    let mut head = Vec::new();
                    let mut piece = [0; 4096];
                    while !head.windows(4).any(|w| w == b"\r\n\r\n") {
                        match stream.read(&mut piece) {
                            Ok(n) if n > 0 => head.extend_from_slice(&piece[..n]),
                            _ => return,
                        }
                    }
                    let body = said.lock().unwrap().clone();
                    let answer = format!(
                        "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                        body.len()
                    );
                    let _ = stream.write_all(answer.as_bytes());
                    let _ = stream.write_all(&body);
                });
            }
        });
        Canned { port, body }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/bigbluebutton/api", self.port)
    }

    /// What it says from now on.
    pub fn say(&self, body: &[u8]) {
        *self.body.lock().unwrap() = body.to_vec();
    }
}
