//! From an HTTP request to its answer, by way of the faults.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue, LOCATION};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};

use crate::calls::{self, Answer, Ask, Call, join};
use crate::faults::bodies::html_page;
use crate::faults::inject::misbehave;
use crate::net::connection::Connection;
use crate::protocol::params::Params;
use crate::server::Server;

/// The largest request body taken: insertDocument carries slides in base64.
const LARGEST_BODY: usize = 64 << 20;

/// The one answer there is no HTTP for: the connection ends here.
#[derive(Debug)]
pub(crate) struct Dropped;

impl std::fmt::Display for Dropped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the connection was dropped by a fault")
    }
}

impl std::error::Error for Dropped {}

/// Answers one request.
pub(crate) async fn serve(
    connection: Arc<Connection>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Dropped> {
    let server = &*connection.server;
    let (parts, incoming) = request.into_parts();
    let body = if incoming.is_end_stream() { Bytes::new() } else { collect(incoming).await? };
    let call = Call::of(parts.uri.path());
    server.tally.request(call);
    let Some(fault) = server.fault_for(call.name()) else {
        let answer = answer(server, call, &parts, &body);
        if server.recording() {
            server.record(parts, body);
        }
        return Ok(response(answer));
    };
    if server.recording() {
        // Before the fault shows, so that a test finds a request that hangs.
        server.record(parts.clone(), body.clone());
    }
    misbehave(&connection, fault, call, &parts, &body).await
}

async fn collect(mut incoming: Incoming) -> Result<Bytes, Dropped> {
    let mut all = BytesMut::new();
    while let Some(frame) = incoming.frame().await {
        if let Ok(data) = frame.map_err(|_| Dropped)?.into_data() {
            if all.len() + data.len() > LARGEST_BODY {
                return Err(Dropped);
            }
            all.extend_from_slice(&data);
        }
    }
    Ok(all.freeze())
}

/// What a healthy server answers.
pub(crate) fn answer(server: &Server, call: Call, parts: &Parts, body: &[u8]) -> Answer {
    match call {
        Call::Index => return calls::index(server),
        Call::Unsupported => return calls::unsupported(),
        Call::Elsewhere => {
            return Answer::html(StatusCode::NOT_FOUND, html_page("404 Not Found"));
        }
        _ => {}
    }
    let post = parts.method == Method::POST;
    let get = parts.method == Method::GET || parts.method == Method::HEAD;
    let allowed = match call {
        Call::InsertDocument => post,
        Call::SendChatMessage | Call::Page => get,
        _ => get || post,
    };
    if !allowed {
        return calls::unsupported();
    }
    let query = parts.uri.query().unwrap_or("");
    let mut params = Params::default();
    if params.add_urlencoded(query).is_err() {
        return malformed();
    }
    if call == Call::Page {
        return join::page(server, &params);
    }
    let in_query = params.len();
    let mut xml = None;
    if post && !body.is_empty() {
        let read = match content_type(parts) {
            ContentType::Form => match std::str::from_utf8(body) {
                Ok(text) => params.add_urlencoded(text),
                Err(_) => return malformed(),
            },
            ContentType::Multipart(boundary) => params.add_multipart(body, boundary),
            ContentType::Xml if matches!(call, Call::Create | Call::InsertDocument) => {
                xml = std::str::from_utf8(body).ok();
                Ok(())
            }
            _ => {
                return Answer::failed(
                    "unsupportedContentType",
                    "POST request Content-Type is missing or unsupported",
                );
            }
        };
        if read.is_err() {
            return malformed();
        }
    }
    if !params.signed(in_query, call.name(), query, &server.secret) {
        server.tally.checksum_failures.one();
        if server.log_checksum_failures {
            tracing::warn!(server = server.n, call = call.name(), query, "checksum failed");
        }
        return checksum_error();
    }
    let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok());
    calls::answer(server, call, &Ask { params, xml, host })
}

pub(crate) fn checksum_error() -> Answer {
    Answer::failed("checksumError", "Checksums do not match")
}

/// 400, as Tomcat answers what it cannot decode.
fn malformed() -> Answer {
    Answer::html(StatusCode::BAD_REQUEST, html_page("400 Bad Request"))
}

enum ContentType<'a> {
    Form,
    Multipart(&'a str),
    Xml,
    Other,
}

fn content_type(parts: &Parts) -> ContentType<'_> {
    let Some(value) = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else {
        return ContentType::Other;
    };
    let (kind, rest) = value.split_once(';').unwrap_or((value, ""));
    match kind.trim().to_ascii_lowercase().as_str() {
        "application/x-www-form-urlencoded" => ContentType::Form,
        "application/xml" | "text/xml" => ContentType::Xml,
        "multipart/form-data" => rest
            .split(';')
            .find_map(|part| part.trim().strip_prefix("boundary="))
            .map_or(ContentType::Other, |boundary| ContentType::Multipart(boundary.trim_matches('"'))),
        _ => ContentType::Other,
    }
}

pub(crate) fn response(answer: Answer) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(answer.body));
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    if let Some(location) = answer.location.and_then(|l| HeaderValue::from_str(&l).ok()) {
        headers.insert(LOCATION, location);
    }
    response
}
