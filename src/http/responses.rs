//! Results and errors of calls as HTTP responses.

use crate::bbb::ApiError;
use crate::calls::spec::{self, Format};
use crate::calls::{Call, CallResponse, CallResult};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, LOCATION};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use warp::reply::{Reply, Response as WarpResponse};

const XML: HeaderValue = HeaderValue::from_static("text/xml; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");
const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// The response to a call. Errors have HTTP status 200 and `text/xml` too, as in BBB.
pub fn call_result(call: Call, result: CallResult) -> WarpResponse {
    match result {
        Ok(CallResponse::Xml(body)) => with_body(StatusCode::OK, XML, body),
        Ok(CallResponse::XmlStream { first_chunks, rest }) => {
            let rest =
                stream::unfold(rest, |mut rest| async move { rest.recv().await.map(|chunk| (chunk, rest)) });
            let chunks = stream::iter(first_chunks.into_iter().map(Ok)).chain(rest);
            let mut response = warp::reply::stream(chunks).into_response();
            response.headers_mut().insert(CONTENT_TYPE, XML);
            response
        }
        Ok(CallResponse::Json(value)) => with_body(StatusCode::OK, JSON, Bytes::from(value.to_string())),
        Ok(CallResponse::Redirect(to)) => match HeaderValue::try_from(to) {
            Ok(to) => {
                let mut response = empty(StatusCode::FOUND);
                response.headers_mut().insert(LOCATION, to);
                response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
                response
            }
            // A server URL in Redis that is not valid in a header.
            Err(_) => api_error(&ApiError::ServerAccessFailed),
        },
        Err(failure) => call_error(call, &failure),
    }
}

/// An error in the format of the call's other responses.
pub fn call_error(call: Call, failure: &ApiError) -> WarpResponse {
    match call.spec().format {
        Format::Xml => api_error(failure),
        Format::Json => with_body(StatusCode::OK, JSON, Bytes::from(failure.to_json())),
    }
}

/// A path below the API that is no call of ours, or a wrong method: in JSON if BBB answers that call in JSON.
pub fn unsupported(path: &str) -> WarpResponse {
    let failure = ApiError::UnsupportedRequest;
    match spec::answers_json(path.trim_start_matches('/')) {
        true => with_body(StatusCode::OK, JSON, Bytes::from(failure.to_json())),
        false => api_error(&failure),
    }
}

/// An error in BBB's XML.
pub fn api_error(failure: &ApiError) -> WarpResponse {
    with_body(StatusCode::OK, XML, Bytes::from(failure.to_xml()))
}

/// A line of plain text.
pub fn text(status: StatusCode, line: impl Into<Bytes>) -> WarpResponse {
    with_body(status, PLAIN, line.into())
}

/// A status without a body.
pub fn empty(status: StatusCode) -> WarpResponse {
    let mut response = Response::new(None::<Bytes>).into_response();
    *response.status_mut() = status;
    response
}

/// 503, and the connection closes: the proxy is to try another replica.
pub fn draining() -> WarpResponse {
    let mut response = text(StatusCode::SERVICE_UNAVAILABLE, "stopping\n");
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// Adds the headers that every response has.
pub fn with_common_headers(mut response: WarpResponse, request_id: &HeaderValue) -> WarpResponse {
    const NOSNIFF: HeaderName = HeaderName::from_static("x-content-type-options");
    const REFERRER: HeaderName = HeaderName::from_static("referrer-policy");
    const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
    let headers = response.headers_mut();
    headers.insert(NOSNIFF, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER, HeaderValue::from_static("strict-origin-when-cross-origin"));
    headers.insert(REQUEST_ID, request_id.clone());
    response
}

fn with_body(status: StatusCode, content_type: HeaderValue, body: Bytes) -> WarpResponse {
    let mut response = Response::new(body).into_response();
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
