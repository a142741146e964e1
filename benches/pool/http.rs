//! A plain HTTP/1.1 client for single requests. It counts the bytes of an answer, which `wrk` counts too:
//! an answer of another size under load is then another answer.

use anyhow::{Context, Result, bail};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// An answer, as it came.
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Head and body. A chunked body keeps its chunk sizes.
    pub text: String,
    /// How many bytes all of it has.
    pub bytes: usize,
}

/// A GET.
pub fn get(address: &str, target: &str) -> Result<Answer> {
    exchange(address, "GET", target, "")
}

/// A POST of JSON.
pub fn post(address: &str, target: &str, json: &str) -> Result<Answer> {
    exchange(address, "POST", target, json)
}

fn exchange(address: &str, method: &str, target: &str, body: &str) -> Result<Answer> {
    let mut stream = TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.set_nodelay(true)?;
    let length = match body.len() {
        0 => String::new(),
        n => format!("Content-Type: application/json\r\nContent-Length: {n}\r\n"),
    };
    // wrk sends no more than this either, so the answers have the same headers.
    let request = format!("{method} {target} HTTP/1.1\r\nHost: {address}\r\n{length}\r\n{body}");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    let mut piece = [0; 65536];
    while !is_whole(&answer) {
        match stream.read(&mut piece).context("no whole answer")? {
            0 => break,
            n => answer.extend_from_slice(&piece[..n]),
        }
    }
    let text = String::from_utf8_lossy(&answer).into_owned();
    let Some(status) = text.split(' ').nth(1).and_then(|code| code.parse().ok()) else {
        bail!("{address} answered no HTTP to {method} {target}: {text:?}");
    };
    Ok(Answer { status, text, bytes: answer.len() })
}

fn is_whole(answer: &[u8]) -> bool {
    let Some(head) = answer.windows(4).position(|w| w == b"\r\n\r\n").map(|at| at + 4) else {
        return false;
    };
    let text = String::from_utf8_lossy(&answer[..head]).to_ascii_lowercase();
    if text.contains("transfer-encoding: chunked") {
        return answer.ends_with(b"\r\n0\r\n\r\n");
    }
    let length =
        text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    length.is_some_and(|length| answer.len() >= head + length)
}

impl Answer {
    /// Its body.
    pub fn body(&self) -> &str {
        self.text.split_once("\r\n\r\n").map_or("", |(_, body)| body)
    }
}
