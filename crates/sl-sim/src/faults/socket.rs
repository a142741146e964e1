//! Faults below HTTP: they take the socket away from hyper and write to it directly.

use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::calls::ApiResponse;
use crate::net::connection::Connection;

/// Closes the connection with a reset (RST).
pub(crate) fn reset_connection(connection: &Connection) {
    if let Some(stream) = connection.take_stream() {
        // With a linger time of zero, close sends RST.
        let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    }
}

/// Sends a status line, then headers until the client closes the connection.
pub(crate) fn send_endless_headers(connection: &Connection) {
    let Some(mut stream) = connection.take_stream() else {
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

/// Sends one text element of `bytes` bytes, generated on the way; endless for 0.
///
/// Not through hyper: with pipeline_flush it would buffer the whole body.
pub(crate) fn send_huge_body(connection: &Connection, bytes: u64) {
    let Some(mut stream) = connection.take_stream() else {
        return;
    };
    let length = if bytes == 0 { u64::MAX } else { bytes };
    tokio::spawn(async move {
        let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml;charset=utf-8\r\n\
            Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
        stream.write_all(head).await?;
        let opening = "<response><returncode>SUCCESS</returncode><message>";
        stream.write_all(encode_chunk(opening).as_bytes()).await?;
        let filler = "x".repeat(16 << 10);
        let full_chunk = encode_chunk(&filler);
        let mut remaining = length;
        while remaining >= filler.len() as u64 {
            stream.write_all(full_chunk.as_bytes()).await?;
            remaining -= filler.len() as u64;
        }
        let last = encode_chunk(&filler[..remaining as usize])
            + &encode_chunk("</message></response>")
            + "0\r\n\r\n";
        stream.write_all(last.as_bytes()).await
    });
}

fn encode_chunk(text: &str) -> String {
    match text.len() {
        0 => String::new(),
        length => format!("{length:x}\r\n{text}\r\n"),
    }
}

/// Sends the first `body_bytes` bytes of a response's body with the given Content-Length, then closes or waits for
/// the client to close.
pub(crate) fn send_with_length(
    connection: &Connection,
    response: &ApiResponse,
    content_length: &str,
    body_bytes: usize,
    close: bool,
) {
    let Some(mut stream) = connection.take_stream() else {
        return;
    };
    let mut bytes = format!(
        "HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {content_length}\r\n",
        response.status, response.content_type,
    )
    .into_bytes();
    if let Some(location) = &response.location {
        bytes.extend_from_slice(format!("Location: {location}\r\n").as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(&response.body[..body_bytes.min(response.body.len())]);
    tokio::spawn(async move {
        if stream.write_all(&bytes).await.is_ok() && !close {
            wait_for_close(&mut stream).await;
        }
    });
}

async fn wait_for_close(stream: &mut TcpStream) {
    let mut buffer = [0; 1024];
    while matches!(stream.read(&mut buffer).await, Ok(1..)) {}
}
