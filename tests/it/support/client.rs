//! A BBB client with signing of its own, never the proxy's.

use sha1::{Digest, Sha1};
use sha2::{Sha256, Sha384, Sha512};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A checksum as a client makes it.
pub fn sign(algorithm: &str, call: &str, query: &str, secret: &str) -> String {
    let text = format!("{call}{query}{secret}");
    match algorithm {
        "sha1" => hex::encode(Sha1::digest(text)),
        "sha256" => hex::encode(Sha256::digest(text)),
        "sha384" => hex::encode(Sha384::digest(text)),
        "sha512" => hex::encode(Sha512::digest(text)),
        other => panic!("no such algorithm: {other}"),
    }
}

/// The whole answer.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The text of the first element of that name.
    pub fn xml(&self, name: &str) -> Option<&str> {
        let (open, close) = (format!("<{name}>"), format!("</{name}>"));
        let from = self.body.find(&open)? + open.len();
        let to = self.body[from..].find(&close)? + from;
        Some(&self.body[from..to])
    }

    #[track_caller]
    pub fn success(self) -> Reply {
        assert_eq!(self.xml("returncode"), Some("SUCCESS"), "{self:#?}");
        self
    }

    /// The messageKey of a FAILED answer.
    #[track_caller]
    pub fn failed(&self) -> &str {
        assert_eq!((self.status, self.xml("returncode")), (200, Some("FAILED")), "{self:#?}");
        assert_eq!(self.header("content-type"), Some("text/xml; charset=utf-8"));
        self.xml("messageKey").unwrap_or("")
    }
}

/// Makes a request and reads the whole answer. Redirects are not followed.
pub fn fetch(method: &str, url: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(Duration::from_secs(60)))
        .build()
        .into();
    let mut request = ureq::http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut response = if body.is_empty() && method != "POST" {
        agent.run(request.body(()).unwrap()).unwrap()
    } else {
        agent.run(request.body(body).unwrap()).unwrap()
    };
    let headers = response
        .headers()
        .iter()
        .map(|(n, v)| (n.to_string(), String::from_utf8_lossy(v.as_bytes()).into_owned()))
        .collect();
    let body = response.body_mut().with_config().limit(1 << 30).read_to_vec().unwrap();
    Reply { status: response.status().as_u16(), headers, body: text(body) }
}

/// Films are no text, and need not be.
fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// Sends bytes as they are and reads until the other side closes, or ten seconds are over.
pub fn raw(address: &str, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    // The other side may refuse before it has read all of it.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let mut piece = [0; 65536];
    while let Ok(n) = stream.read(&mut piece) {
        if n == 0 {
            break;
        }
        answer.extend_from_slice(&piece[..n]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// A connection that fails rather than hangs.
pub fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

/// Reads until so many XML answers have come.
pub fn read_answers(stream: &mut TcpStream, count: usize) -> String {
    let mut text = Vec::new();
    let mut piece = [0; 4096];
    while String::from_utf8_lossy(&text).matches("</response>").count() < count {
        match stream.read(&mut piece) {
            Ok(n) if n > 0 => text.extend_from_slice(&piece[..n]),
            end => panic!("{end:?} after {:?}", String::from_utf8_lossy(&text)),
        }
    }
    String::from_utf8(text).unwrap()
}
