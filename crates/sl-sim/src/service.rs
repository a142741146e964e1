//! Handles one HTTP request: parse, check the checksum, dispatch to the call, or inject a fault.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue, LOCATION};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};

use crate::calls::{self, ApiRequest, ApiResponse, Call};
use crate::faults::bodies::html_page;
use crate::faults::inject::inject;
use crate::net::connection::Connection;
use crate::protocol::params::Params;
use crate::server::Server;

/// Bounds a request body. Large, because insertDocument carries slides in base64.
const MAX_BODY_BYTES: usize = 64 << 20;

/// No HTTP response: the connection was dropped.
#[derive(Debug)]
pub(crate) struct ConnectionDropped;

impl std::fmt::Display for ConnectionDropped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("connection dropped by a fault")
    }
}

impl std::error::Error for ConnectionDropped {}

/// Handles one request.
pub(crate) async fn serve(
    connection: Arc<Connection>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, ConnectionDropped> {
    let server = &*connection.server;
    let (parts, incoming) = request.into_parts();
    let body = if incoming.is_end_stream() { Bytes::new() } else { read_body(incoming).await? };
    let call = Call::from_path(parts.uri.path());
    server.counters.count_request(call);
    let Some(fault) = server.take_fault(call.name()) else {
        let response = healthy_response(server, call, &parts, &body);
        if server.records_requests() {
            server.record_request(parts, body);
        }
        return Ok(into_http(response));
    };
    if server.records_requests() {
        // Before the fault takes effect, so that tests see a request that hangs.
        server.record_request(parts.clone(), body.clone());
    }
    inject(&connection, fault, call, &parts, &body).await
}

async fn read_body(mut incoming: Incoming) -> Result<Bytes, ConnectionDropped> {
    let mut all = BytesMut::new();
    while let Some(frame) = incoming.frame().await {
        if let Ok(data) = frame.map_err(|_| ConnectionDropped)?.into_data() {
            if all.len() + data.len() > MAX_BODY_BYTES {
                return Err(ConnectionDropped);
            }
            all.extend_from_slice(&data);
        }
    }
    Ok(all.freeze())
}

/// The response of a server without a fault.
pub(crate) fn healthy_response(server: &Server, call: Call, parts: &Parts, body: &[u8]) -> ApiResponse {
    match call {
        Call::Index => {
            let content_type = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
            return calls::index(server, content_type);
        }
        Call::OutsideApi => {
            return ApiResponse::html(StatusCode::NOT_FOUND, html_page("404 Not Found"));
        }
        call if !calls::has_call(server, call) => return calls::unknown_call(server, parts.uri.path()),
        _ => {}
    }
    let is_post = parts.method == Method::POST;
    let is_get = parts.method == Method::GET || parts.method == Method::HEAD;
    let is_allowed = match call {
        Call::InsertDocument => is_post,
        Call::SendChatMessage | Call::ClientPage => is_get,
        _ => is_get || is_post,
    };
    if !is_allowed {
        return calls::unsupported();
    }
    let query = parts.uri.query().unwrap_or("");
    let mut params = Params::default();
    if params.add_urlencoded(query).is_err() {
        return bad_request();
    }
    if let Some(response) = calls::dispatch_session(server, call, &params) {
        return response;
    }
    let query_count = params.len();
    let mut xml = None;
    if is_post && !body.is_empty() {
        let parsed = match content_type(parts) {
            ContentType::Form => match std::str::from_utf8(body) {
                Ok(text) => params.add_urlencoded(text),
                Err(_) => return bad_request(),
            },
            ContentType::Multipart(boundary) => params.add_multipart(body, boundary),
            ContentType::Xml if matches!(call, Call::Create | Call::InsertDocument) => {
                xml = std::str::from_utf8(body).ok();
                Ok(())
            }
            _ => {
                return ApiResponse::failed(
                    "unsupportedContentType",
                    "POST request Content-Type is missing or unsupported",
                );
            }
        };
        if parsed.is_err() {
            return bad_request();
        }
    }
    if !params.has_valid_checksum(query_count, call.name(), query, &server.secret) {
        server.counters.checksum_failures.increment();
        if server.log_checksum_failures {
            tracing::warn!(server = server.number, call = call.name(), query, "checksum failed");
        }
        return checksum_error();
    }
    let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok());
    calls::dispatch(server, call, &ApiRequest { params, xml, host })
}

pub(crate) fn checksum_error() -> ApiResponse {
    ApiResponse::failed("checksumError", "Checksums do not match")
}

/// 400, which Tomcat returns for parameters that it cannot decode.
fn bad_request() -> ApiResponse {
    ApiResponse::html(StatusCode::BAD_REQUEST, html_page("400 Bad Request"))
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

pub(crate) fn into_http(response: ApiResponse) -> Response<Full<Bytes>> {
    let mut http = Response::new(Full::new(response.body));
    *http.status_mut() = response.status;
    let headers = http.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(response.content_type));
    if let Some(location) = response.location.and_then(|l| HeaderValue::from_str(&l).ok()) {
        headers.insert(LOCATION, location);
    }
    http
}
