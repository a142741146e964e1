//! A plain HTTP/1.1 client for single requests. It counts the bytes of a response, as `wrk` does: a different size
//! under load means a different response.

use anyhow::{Context, Result, bail};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A response as received.
pub struct HttpResponse {
    /// The HTTP status.
    pub status: u16,
    /// Head and body; a chunked body is not decoded.
    pub text: String,
    /// Total bytes.
    pub bytes: usize,
}

/// Sends a GET.
pub fn get(address: &str, target: &str) -> Result<HttpResponse> {
    exchange(address, "GET", target, "")
}

/// Sends a POST with JSON.
pub fn post(address: &str, target: &str, json: &str) -> Result<HttpResponse> {
    exchange(address, "POST", target, json)
}

fn exchange(address: &str, method: &str, target: &str, body: &str) -> Result<HttpResponse> {
    let mut stream = TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.set_nodelay(true)?;
    let length = match body.len() {
        0 => String::new(),
        n => format!("Content-Type: application/json\r\nContent-Length: {n}\r\n"),
    };
    // The same headers as wrk sends, so that the responses have the same headers too.
    let request = format!("{method} {target} HTTP/1.1\r\nHost: {address}\r\n{length}\r\n{body}");
    stream.write_all(request.as_bytes())?;
    let mut response = Vec::new();
    let mut buffer = [0; 65536];
    while !is_complete(&response) {
        match stream.read(&mut buffer).context("incomplete response")? {
            0 => break,
            n => response.extend_from_slice(&buffer[..n]),
        }
    }
    let text = String::from_utf8_lossy(&response).into_owned();
    let Some(status) = text.split(' ').nth(1).and_then(|code| code.parse().ok()) else {
        bail!("{address} did not answer {method} {target} with HTTP: {text:?}");
    };
    Ok(HttpResponse { status, text, bytes: response.len() })
}

fn is_complete(response: &[u8]) -> bool {
    let Some(head) = response.windows(4).position(|w| w == b"\r\n\r\n").map(|at| at + 4) else {
        return false;
    };
    let text = String::from_utf8_lossy(&response[..head]).to_ascii_lowercase();
    if text.contains("transfer-encoding: chunked") {
        return response.ends_with(b"\r\n0\r\n\r\n");
    }
    let length =
        text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    length.is_some_and(|length| response.len() >= head + length)
}

impl HttpResponse {
    /// The body.
    pub fn body(&self) -> &str {
        self.text.split_once("\r\n\r\n").map_or("", |(_, body)| body)
    }
}
