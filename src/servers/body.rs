//! Reads the body of a response, within its limits.

use super::ServerCallError;
use crate::bbb::xml_reader::{self, XmlError};
use crate::net::root_cause;
use bytes::{Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Response};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};

/// Larger bodies are read on a thread that may block: the thread of the connection has other requests.
const BLOCKING_BYTES: usize = 256 * 1024;

/// A response that was received whole.
pub(super) struct Fetched {
    pub(super) status: u16,
    pub(super) body: Bytes,
    /// By its Content-Type.
    is_html: bool,
}

/// Receives a body of up to `max_bytes`. One that is announced as larger is not received at all.
pub(super) async fn receive(
    response: Response<Incoming>,
    max_bytes: usize,
) -> Result<Fetched, ServerCallError> {
    let status = response.status();
    let is_html = is_html_type(response.headers());
    if status.is_server_error() {
        return Err(match is_html {
            true => ServerCallError::Html(status.as_u16()),
            false => ServerCallError::Status(status.as_u16()),
        });
    }
    let mut incoming = response.into_body();
    if incoming.size_hint().lower() > max_bytes as u64 {
        return Err(ServerCallError::TooLarge(max_bytes));
    }
    // Most bodies are one frame, which is not copied.
    let (mut first, mut rest) = (Bytes::new(), BytesMut::new());
    while let Some(frame) = incoming.frame().await {
        let data = match frame {
            Ok(frame) => frame.into_data().unwrap_or_default(),
            Err(error) => {
                let received = first.len() + rest.len();
                let begin = [first.slice(..first.len().min(4096)), rest.freeze()].concat();
                return Err(match status.is_success() && xml_reader::has_returncode(&begin) {
                    true => ServerCallError::CutOff(received),
                    false => ServerCallError::Broken(root_cause(&error)),
                });
            }
        };
        if first.len() + rest.len() + data.len() > max_bytes {
            return Err(ServerCallError::TooLarge(max_bytes));
        }
        match first.is_empty() {
            true => first = data,
            false => rest.extend_from_slice(&data),
        }
    }
    let body = match rest.is_empty() {
        true => first,
        false => [first, rest.freeze()].concat().into(),
    };
    Ok(Fetched { status: status.as_u16(), body, is_html })
}

impl Fetched {
    /// Reads the body with `read`, and says what it is if it is no BBB response.
    pub(super) async fn read<T: Send + 'static>(
        self,
        read: fn(Bytes) -> Result<T, XmlError>,
    ) -> Result<T, ServerCallError> {
        let Fetched { status, body, is_html } = self;
        let length = body.len();
        let is_html = is_html || is_html_page(&body);
        let result = if length > BLOCKING_BYTES {
            let reading = tokio::task::spawn_blocking(move || read(body));
            reading.await.unwrap_or_else(|panic| Err(XmlError::Malformed(panic.to_string())))
        } else {
            read(body)
        };
        result.map_err(|error| match error {
            XmlError::Malformed(_) | XmlError::MissingReturncode | XmlError::Hostile(_) if is_html => {
                ServerCallError::Html(status)
            }
            error => ServerCallError::of_response(error, length),
        })
    }
}

fn is_html_type(headers: &HeaderMap) -> bool {
    let html = b"text/html";
    headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.as_bytes().get(..html.len()))
        .is_some_and(|kind| kind.eq_ignore_ascii_case(html))
}

/// Whether a body begins as an HTML page does.
fn is_html_page(body: &[u8]) -> bool {
    let body = body.trim_ascii_start();
    let begins = |with: &[u8]| body.get(..with.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(with));
    begins(b"<!doctype html") || begins(b"<html")
}
