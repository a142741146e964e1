//! A BBB client with its own signing code, independent of the proxy's.

use sha1::{Digest, Sha1};
use sha2::{Sha256, Sha384, Sha512};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A checksum as clients compute it.
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

/// A complete response.
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

    /// The messageKey of a FAILED response.
    #[track_caller]
    pub fn failed(&self) -> &str {
        assert_eq!((self.status, self.xml("returncode")), (200, Some("FAILED")), "{self:#?}");
        assert_eq!(self.header("content-type"), Some("text/xml; charset=utf-8"));
        self.xml("messageKey").unwrap_or("")
    }
}

/// Makes a request and reads the complete response. Does not follow redirects.
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

/// Lossy for bodies that are not UTF-8, such as videos.
fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// Sends bytes unmodified and reads until the server closes the connection or ten seconds have passed.
pub fn send_raw(address: &str, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    // The server may reject the request before it has read everything.
    let _ = stream.write_all(bytes);
    let mut received = Vec::new();
    let mut chunk = [0; 65536];
    while let Ok(n) = stream.read(&mut chunk) {
        if n == 0 {
            break;
        }
        received.extend_from_slice(&chunk[..n]);
    }
    String::from_utf8_lossy(&received).into_owned()
}

/// Opens a connection with a read timeout of ten seconds.
pub fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

/// Reads until `count` XML responses have arrived.
pub fn read_responses(stream: &mut TcpStream, count: usize) -> String {
    let mut text = Vec::new();
    let mut chunk = [0; 4096];
    while String::from_utf8_lossy(&text).matches("</response>").count() < count {
        match stream.read(&mut chunk) {
            Ok(n) if n > 0 => text.extend_from_slice(&chunk[..n]),
            end => panic!("{end:?} after {:?}", String::from_utf8_lossy(&text)),
        }
    }
    String::from_utf8(text).unwrap()
}
