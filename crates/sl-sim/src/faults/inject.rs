//! Injects a fault: responds wrongly, late or not at all.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};

use super::bodies::{GARBAGE, deep_xml, entity_bomb, html_page};
use super::{Fault, FaultKind, socket};
use crate::calls::{ApiResponse, Call, HTML, XML};
use crate::net::connection::Connection;
use crate::service::{ConnectionDropped, checksum_error, healthy_response, into_http};

/// Handles a request as `fault` says.
pub(crate) async fn inject(
    connection: &Connection,
    fault: Fault,
    call: Call,
    parts: &Parts,
    body: &[u8],
) -> Result<Response<Full<Bytes>>, ConnectionDropped> {
    let sleep = |ms| tokio::time::sleep(Duration::from_millis(ms));
    if fault.delay_ms > 0 {
        sleep(fault.delay_ms).await;
    }
    let ok = |content_type, body: Bytes| {
        Ok(into_http(ApiResponse { status: StatusCode::OK, content_type, location: None, body }))
    };
    let handle = || healthy_response(&connection.server, call, parts, body);
    match fault.kind {
        FaultKind::Slow { ms } => {
            let response = handle();
            sleep(ms).await;
            Ok(into_http(response))
        }
        FaultKind::Refuse | FaultKind::Reset => {
            socket::reset_connection(connection);
            Err(ConnectionDropped)
        }
        FaultKind::ResetAfter => {
            handle();
            socket::reset_connection(connection);
            Err(ConnectionDropped)
        }
        FaultKind::Hang => std::future::pending().await,
        FaultKind::HangAfter => {
            handle();
            std::future::pending().await
        }
        FaultKind::Full => Ok(into_http(ApiResponse::failed(
            "maxConcurrentMeetings",
            "The maximum number of concurrent meetings on this server has been reached.",
        ))),
        FaultKind::Failed { message_key, message } => {
            Ok(into_http(ApiResponse::failed(&message_key, &message)))
        }
        FaultKind::Garbage => ok(XML, Bytes::from_static(GARBAGE)),
        FaultKind::NotXmlHtml => ok(HTML, html_page("Welcome to nginx!")),
        FaultKind::NoReturncode => {
            ok(XML, Bytes::from_static(b"<response><running>true</running></response>"))
        }
        FaultKind::Status { code } => {
            let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            Ok(into_http(ApiResponse::html(status, html_page(&status.to_string()))))
        }
        FaultKind::Huge { bytes } => {
            socket::send_huge_body(connection, bytes);
            Err(ConnectionDropped)
        }
        FaultKind::EndlessHeaders => {
            socket::send_endless_headers(connection);
            Err(ConnectionDropped)
        }
        FaultKind::DeepXml { depth } => ok(XML, deep_xml(depth)),
        FaultKind::Entities => ok(XML, entity_bomb()),
        FaultKind::Truncated => {
            let response = handle();
            let length = response.body.len().to_string();
            let half = response.body.len() / 2;
            socket::send_with_length(connection, &response, &length, half, true);
            Err(ConnectionDropped)
        }
        FaultKind::CutOff => {
            let mut response = handle();
            response.body.truncate(response.body.len() / 2);
            Ok(into_http(response))
        }
        FaultKind::BadLength { value } => {
            let response = handle();
            socket::send_with_length(connection, &response, &value, response.body.len(), false);
            Err(ConnectionDropped)
        }
        FaultKind::WrongChecksum if call != Call::Index => Ok(into_http(checksum_error())),
        FaultKind::WrongChecksum => Ok(into_http(handle())),
        FaultKind::Forget => Ok(into_http(ApiResponse::not_found(&connection.server))),
    }
}
