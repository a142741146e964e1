//! A server that sends the same bytes in response to every request.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

/// Responds to every request with the same body, one request per connection. Lives until the test process ends.
pub struct CannedServer {
    port: u16,
    body: Arc<Mutex<Vec<u8>>>,
}

impl CannedServer {
    pub fn start(body: &[u8]) -> CannedServer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let body = Arc::new(Mutex::new(body.to_vec()));
        let shared_body = body.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { continue };
                let shared_body = shared_body.clone();
                std::thread::spawn(move || {
                    let mut head = Vec::new();
                    let mut chunk = [0; 4096];
                    while !head.windows(4).any(|w| w == b"\r\n\r\n") {
                        match stream.read(&mut chunk) {
                            Ok(n) if n > 0 => head.extend_from_slice(&chunk[..n]),
                            _ => return,
                        }
                    }
                    let body = shared_body.lock().unwrap().clone();
                    let response = format!(
                        "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                        body.len()
                    );
                    let _ = stream.write_all(response.as_bytes());
                    let _ = stream.write_all(&body);
                });
            }
        });
        CannedServer { port, body }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/bigbluebutton/api", self.port)
    }

    /// Changes the body of further responses.
    pub fn set_body(&self, body: &[u8]) {
        *self.body.lock().unwrap() = body.to_vec();
    }
}
