//! Faults below HTTP: they take the socket away from hyper and write to it.

use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::calls::Answer;
use crate::net::connection::Connection;

/// Ends the connection with a reset instead of an orderly close.
pub(crate) fn reset(connection: &Connection) {
    if let Some(stream) = connection.take() {
        // Lingering for no time at all is what makes the kernel send RST.
        let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    }
}

/// A status line and then headers, until the client has had enough.
pub(crate) fn endless_headers(connection: &Connection) {
    let Some(mut stream) = connection.take() else {
        return;
    };
    tokio::spawn(async move {
        let mut text = String::from("HTTP/1.1 200 OK\r\n");
        for n in 0_u64.. {
            text.push_str(&format!("X-Endless-{n}: {}\r\n", "y".repeat(100)));
            if text.len() > 8 << 10 {
                if stream.write_all(text.as_bytes()).await.is_err() {
                    return;
                }
                text.clear();
            }
        }
    });
}

/// One enormous text element, made on the way out; without end for 0 bytes.
///
/// Not through hyper: under pipeline_flush it would buffer such a body whole.
pub(crate) fn huge(connection: &Connection, bytes: u64) {
    let Some(mut stream) = connection.take() else {
        return;
    };
    let end = if bytes == 0 { u64::MAX } else { bytes };
    tokio::spawn(async move {
        let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml;charset=utf-8\r\n\
            Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
        stream.write_all(head).await?;
        let opening = "<response><returncode>SUCCESS</returncode><message>";
        stream.write_all(chunk(opening).as_bytes()).await?;
        let filling = "x".repeat(16 << 10);
        let full = chunk(&filling);
        let mut left = end;
        while left >= filling.len() as u64 {
            stream.write_all(full.as_bytes()).await?;
            left -= filling.len() as u64;
        }
        let last = chunk(&filling[..left as usize]) + &chunk("</message></response>") + "0\r\n\r\n";
        stream.write_all(last.as_bytes()).await
    });
}

fn chunk(text: &str) -> String {
    match text.len() {
        0 => String::new(),
        length => format!("{length:x}\r\n{text}\r\n"),
    }
}

/// Sends `sent` bytes of an answer under a Content-Length of our choice, then
/// closes or waits for the client to.
pub(crate) fn send(connection: &Connection, answer: &Answer, content_length: &str, sent: usize, close: bool) {
    let Some(mut stream) = connection.take() else {
        return;
    };
    let mut bytes = format!(
        "HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {content_length}\r\n",
        answer.status, answer.content_type,
    )
    .into_bytes();
    if let Some(location) = &answer.location {
        bytes.extend_from_slice(format!("Location: {location}\r\n").as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(&answer.body[..sent.min(answer.body.len())]);
    tokio::spawn(async move {
        if stream.write_all(&bytes).await.is_ok() && !close {
            read_to_end(&mut stream).await;
        }
    });
}

async fn read_to_end(stream: &mut TcpStream) {
    let mut space = [0; 1024];
    while matches!(stream.read(&mut space).await, Ok(1..)) {}
}
