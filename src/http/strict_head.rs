//! Refuses a request head whose lines end in LF alone. hyper accepts one, but proxies differ in what they take for the
//! end of a line: between two that differ, one request can be hidden in another.
//!
//! hyper has no setting for it, so this watches the bytes that it reads: a bare LF in a head becomes a NUL, which
//! hyper answers with 400. To tell heads from bodies, the length of a body is read from its head. A chunked body is not
//! followed: the connection closes after its response (`routes.rs`), so that no other head comes after it.

use memchr::memchr;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The names of the headers that matter here, and a length after some spaces, fit into this.
const MAX_LINE_BYTES: usize = 256;

/// A stream of requests, checked as it is read.
pub struct StrictHead<S> {
    stream: S,
    check: HeadCheck,
}

impl<S> StrictHead<S> {
    /// Checks what is read from a connection, from its first request on.
    pub fn new(stream: S) -> StrictHead<S> {
        StrictHead { stream, check: HeadCheck::default() }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for StrictHead<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if let Poll::Ready(Ok(())) = read {
            self.check.check(&mut buf.filled_mut()[before..]);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for StrictHead<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// Where in a connection the next byte is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Position {
    Head,
    /// In a body, with this many bytes to come.
    Body(u64),
    /// After the head of the last request.
    Unchecked,
}

struct HeadCheck {
    position: Position,
    /// The beginning of a line whose end was not read yet.
    line: Vec<u8>,
    /// The head has a line already: before the first one, hyper skips empty lines.
    begun: bool,
    body_bytes: u64,
    is_chunked: bool,
}

impl Default for HeadCheck {
    fn default() -> Self {
        let position = Position::Head;
        HeadCheck { position, line: Vec::new(), begun: false, body_bytes: 0, is_chunked: false }
    }
}

impl HeadCheck {
    fn check(&mut self, mut bytes: &mut [u8]) {
        while !bytes.is_empty() {
            match self.position {
                Position::Unchecked => return,
                Position::Body(left) => {
                    let skipped = left.min(bytes.len() as u64);
                    self.position = match left - skipped {
                        0 => Position::Head,
                        left => Position::Body(left),
                    };
                    bytes = &mut bytes[skipped as usize..];
                }
                Position::Head => {
                    let Some(end) = memchr(b'\n', bytes) else { return self.keep(bytes) };
                    let (line, rest) = bytes.split_at_mut(end + 1);
                    if !self.is_valid_line(&line[..end]) {
                        line[end] = 0;
                        self.position = Position::Unchecked;
                        return;
                    }
                    bytes = rest;
                }
            }
        }
    }

    fn keep(&mut self, part: &[u8]) {
        // The last byte is kept in any case: it may be the CR.
        let room = (MAX_LINE_BYTES - 1).saturating_sub(self.line.len()).min(part.len());
        self.line.extend_from_slice(&part[..room]);
        if room < part.len() {
            self.line.truncate(MAX_LINE_BYTES - 1);
            self.line.extend(part.last());
        }
    }

    /// Takes in a line up to its LF. False if it is not to get through.
    fn is_valid_line(&mut self, part: &[u8]) -> bool {
        if self.line.is_empty() {
            return self.read_line(part);
        }
        self.keep(part);
        let line = std::mem::take(&mut self.line);
        self.read_line(&line)
    }

    fn read_line(&mut self, line: &[u8]) -> bool {
        let Some(line) = line.strip_suffix(b"\r") else { return false };
        if line.is_empty() {
            if self.begun {
                self.end_head();
            }
            return true;
        }
        self.begun = true;
        // Most lines are other headers.
        match line[0].to_ascii_lowercase() {
            b't' if has_name(line, b"transfer-encoding") => self.is_chunked = true,
            b'c' if has_name(line, b"content-length") => {
                let value = line.get(b"content-length:".len()..).unwrap_or_default().trim_ascii();
                // What may be read in two ways, such as `5, 5` or a line too long to keep, is refused: no client sends it.
                let digits = line.len() < MAX_LINE_BYTES / 2
                    && !value.is_empty()
                    && value.iter().all(u8::is_ascii_digit);
                let length = std::str::from_utf8(value).ok().filter(|_| digits).and_then(|n| n.parse().ok());
                let Some(length) = length else { return false };
                self.body_bytes = length;
            }
            _ => {}
        }
        true
    }

    fn end_head(&mut self) {
        let position = match (self.is_chunked, self.body_bytes) {
            (true, _) => Position::Unchecked,
            (false, 0) => Position::Head,
            (false, length) => Position::Body(length),
        };
        *self = HeadCheck { position, line: std::mem::take(&mut self.line), ..HeadCheck::default() };
    }
}

fn has_name(line: &[u8], name: &[u8]) -> bool {
    line.len() > name.len() && line[name.len()] == b':' && line[..name.len()].eq_ignore_ascii_case(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Feeds a connection's bytes in parts of this size. True if they pass unchanged.
    fn passes(text: &str, part: usize) -> bool {
        let mut check = HeadCheck::default();
        let mut seen = Vec::new();
        for part in text.as_bytes().chunks(part) {
            let mut part = part.to_vec();
            check.check(&mut part);
            seen.extend(part);
        }
        seen == text.as_bytes()
    }

    const LONG: &str =
        "GET /?a=b HTTP/1.1\r\nHost: h\r\nContent-Length:     007\r\nX: LONG\r\n\r\na\nb\r\n\nc";

    #[test]
    fn heads_pass_and_bodies_may_have_any_lines() {
        let long = LONG.replace("LONG", &"x".repeat(1000));
        for text in [
            "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
            "\r\n\r\nGET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-LENGTH: 3\r\n\r\n\n\n\nGET / HTTP/1.1\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\nGET / HTTP/1.1\r\nContent-Length: 1\r\n\r\n\n",
            &long,
        ] {
            for part in [1, 2, 3, 7, 64, 1000, 5000] {
                assert!(passes(text, part), "{part}: {text:?}");
            }
        }
    }

    #[test]
    fn a_bare_line_feed_does_not_pass_in_any_head() {
        let long = LONG.replace("LONG\r", &"x".repeat(1000));
        for text in [
            "GET / HTTP/1.1\nHost: h\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\n\n",
            "\nGET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\nHost: h\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\n\n\n\nGET / HTTP/1.1\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 3, 3\r\n\r\nabc",
            "POST / HTTP/1.1\r\nContent-Length: \r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: +3\r\n\r\n",
            &format!("POST / HTTP/1.1\r\nContent-Length: {}3\r\n\r\nabc", "0".repeat(300)),
            &long,
        ] {
            for part in [1, 2, 3, 7, 64, 1000, 5000] {
                assert!(!passes(text, part), "{part}: {text:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn the_size_of_the_parts_does_not_matter(
            text in "(GET / HTTP/1\\.1\r\n|POST / HTTP/1\\.1\r\n|Content-Length: [0-9]\r\n|H: h\r\n|H: h\n|\r\n|[a\n]{0,9}){0,12}",
            part in 1usize..20,
        ) {
            prop_assert_eq!(passes(&text, part), passes(&text, text.len().max(1)), "{:?}", text);
        }
    }
}
