//! A receiver of callbacks: a small HTTP server with scripted responses that records its requests.

use crate::support::{eventually, free_port};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// A request that was received.
#[derive(Debug, Clone)]
pub struct ReceivedRequest {
    /// Method and target.
    pub line: String,
    /// The raw request line and headers.
    pub head: String,
    /// The form's one value.
    pub token: String,
}

impl ReceivedRequest {
    /// The claims of the token: meeting_id, record_id. None if it is not signed with this secret.
    pub fn claims(&self, secret: &str) -> Option<(String, String)> {
        let algorithm = sl::jwt::Algorithm::Hs256;
        let now = std::time::SystemTime::now();
        let claims: serde_json::Value = sl::jwt::verify(algorithm, secret.as_bytes(), &self.token, now)?;
        let text = |name: &str| claims[name].as_str().unwrap().to_owned();
        assert_eq!(claims.as_object().unwrap().len(), 2, "{claims}");
        Some((text("meeting_id"), text("record_id")))
    }
}

type Respond = dyn Fn(&ReceivedRequest) -> String + Send + Sync;

/// See the module. Stops when dropped.
pub struct Receiver {
    host: &'static str,
    pub port: u16,
    received: Arc<Mutex<Vec<ReceivedRequest>>>,
    connections: Arc<AtomicUsize>,
    respond: Arc<Respond>,
    open: Option<(Arc<AtomicBool>, JoinHandle<()>)>,
}

/// A response without a body.
pub fn status(status: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}

/// The same with one more header.
pub fn with_header(status: &str, header: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{header}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}

impl Receiver {
    /// A receiver that accepts everything.
    pub fn start() -> Receiver {
        Receiver::responding(|_| status("204 No Content"))
    }

    pub fn responding(respond: impl Fn(&ReceivedRequest) -> String + Send + Sync + 'static) -> Receiver {
        Receiver::at("127.0.0.1", respond)
    }

    /// Listens at an address of this host.
    pub fn at(
        host: &'static str,
        respond: impl Fn(&ReceivedRequest) -> String + Send + Sync + 'static,
    ) -> Receiver {
        let mut receiver = Receiver {
            host,
            port: free_port(),
            received: Arc::default(),
            connections: Arc::default(),
            respond: Arc::new(respond),
            open: None,
        };
        receiver.up();
        receiver
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}:{}{path}", self.host, self.port)
    }

    /// Listens (again).
    pub fn up(&mut self) {
        let listener = TcpListener::bind((self.host, self.port)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let closing = Arc::new(AtomicBool::new(false));
        let (closed, received, connections) =
            (closing.clone(), self.received.clone(), self.connections.clone());
        let respond = self.respond.clone();
        let thread = std::thread::spawn(move || {
            while !closed.load(Ordering::Relaxed) {
                let Ok((stream, _)) = listener.accept() else {
                    std::thread::sleep(Duration::from_millis(2));
                    continue;
                };
                connections.fetch_add(1, Ordering::Relaxed);
                let (received, respond) = (received.clone(), respond.clone());
                std::thread::spawn(move || serve(stream, &received, &*respond));
            }
        });
        self.open = Some((closing, thread));
    }

    /// Stops listening: connections are refused.
    pub fn down(&mut self) {
        if let Some((closing, thread)) = self.open.take() {
            closing.store(true, Ordering::Relaxed);
            thread.join().unwrap();
        }
    }

    pub fn received(&self) -> Vec<ReceivedRequest> {
        self.received.lock().unwrap().clone()
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Waits until `count` requests have arrived and returns them.
    #[track_caller]
    pub fn wait_for_requests(&self, count: usize) -> Vec<ReceivedRequest> {
        eventually("the receiver is called", || self.received.lock().unwrap().len() >= count);
        self.received()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.down();
    }
}

fn serve(mut stream: TcpStream, received: &Mutex<Vec<ReceivedRequest>>, respond: &Respond) {
    let _ = stream.set_nonblocking(false);
    let _ = stream.set_read_timeout(Some(Duration::from_secs(20)));
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    let request = loop {
        match stream.read(&mut chunk) {
            Ok(n) if n > 0 => bytes.extend_from_slice(&chunk[..n]),
            _ => return,
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length =
            head.lines().find_map(|l| l.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if body.len() < length.unwrap_or(0) {
            continue;
        }
        let fields: Vec<(String, String)> = form_urlencoded::parse(body.as_bytes()).into_owned().collect();
        let token = match &fields[..] {
            [(name, token)] if name == "signed_parameters" => token.clone(),
            _ => String::new(),
        };
        let line = head.lines().next().unwrap_or("").trim_end_matches(" HTTP/1.1").to_owned();
        break ReceivedRequest { line, head: head.to_owned(), token };
    };
    received.lock().unwrap().push(request.clone());
    let _ = stream.write_all(respond(&request).as_bytes());
    if request.line == "POST /held" {
        // Keep the connection open until the client closes it.
        let _ = stream.read(&mut chunk);
    }
}
