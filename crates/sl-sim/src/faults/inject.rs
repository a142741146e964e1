//! Applies a fault to a request.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};

use super::bodies::{GARBAGE, deep_xml, entities, html_page};
use super::{Fault, FaultKind, socket};
use crate::calls::{Answer, Call, HTML, XML};
use crate::net::connection::Connection;
use crate::service::{Dropped, answer, checksum_error, response};

/// What a server with a fault answers, or does instead.
pub(crate) async fn misbehave(
    connection: &Connection,
    fault: Fault,
    call: Call,
    parts: &Parts,
    body: &[u8],
) -> Result<Response<Full<Bytes>>, Dropped> {
    let wait = |ms| tokio::time::sleep(Duration::from_millis(ms));
    if fault.delay_ms > 0 {
        wait(fault.delay_ms).await;
    }
    let ok = |content_type, body: Bytes| {
        Ok(response(Answer { status: StatusCode::OK, content_type, location: None, body }))
    };
    let proper = || answer(&connection.server, call, parts, body);
    match fault.kind {
        FaultKind::Slow { ms } => {
            let answer = proper();
            wait(ms).await;
            Ok(response(answer))
        }
        FaultKind::Refuse | FaultKind::Reset => {
            socket::reset(connection);
            Err(Dropped)
        }
        FaultKind::ResetAfter => {
            proper();
            socket::reset(connection);
            Err(Dropped)
        }
        FaultKind::Hang => std::future::pending().await,
        FaultKind::HangAfter => {
            proper();
            std::future::pending().await
        }
        FaultKind::Full => Ok(response(Answer::failed(
            "maxConcurrentMeetings",
            "The maximum number of concurrent meetings on this server has been reached.",
        ))),
        FaultKind::Failed { message_key, message } => Ok(response(Answer::failed(&message_key, &message))),
        FaultKind::Garbage => ok(XML, Bytes::from_static(GARBAGE)),
        FaultKind::NotXmlHtml => ok(HTML, html_page("Welcome to nginx!")),
        FaultKind::NoReturncode => {
            ok(XML, Bytes::from_static(b"<response><running>true</running></response>"))
        }
        FaultKind::Status { code } => {
            let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            Ok(response(Answer::html(status, html_page(&status.to_string()))))
        }
        FaultKind::Huge { bytes } => {
            socket::huge(connection, bytes);
            Err(Dropped)
        }
        FaultKind::EndlessHeaders => {
            socket::endless_headers(connection);
            Err(Dropped)
        }
        FaultKind::DeepXml { depth } => ok(XML, deep_xml(depth)),
        FaultKind::Entities => ok(XML, entities()),
        FaultKind::Truncated => {
            let answer = proper();
            let length = answer.body.len().to_string();
            let half = answer.body.len() / 2;
            socket::send(connection, &answer, &length, half, true);
            Err(Dropped)
        }
        FaultKind::BadLength { value } => {
            let answer = proper();
            socket::send(connection, &answer, &value, answer.body.len(), false);
            Err(Dropped)
        }
        FaultKind::WrongChecksum if call != Call::Index => Ok(response(checksum_error())),
        FaultKind::WrongChecksum => Ok(response(proper())),
        FaultKind::Forget => Ok(response(Answer::not_found())),
    }
}
