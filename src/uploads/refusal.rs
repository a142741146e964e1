//! Responses to requests that are refused: `{"error": "…"}`.

use crate::http::responses;
use crate::recordings::spool::receive::UploadError;
use crate::telemetry::permit_log;
use http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use tracing::warn;
use warp::reply::Response;

/// Why an upload is refused.
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) reason: String,
    /// Bytes that have arrived, where the sender must resume.
    pub(super) offset: Option<u64>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, reason: &str) -> Refusal {
        Refusal { status, reason: reason.to_owned(), offset: None }
    }

    pub(super) fn into_response(self) -> Response {
        let body = serde_json::json!({ "error": self.reason }).to_string();
        let mut response = responses::text(self.status, body);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        // The rest of the body is not worth reading.
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        match self.status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::LOCKED | StatusCode::SERVICE_UNAVAILABLE | StatusCode::INSUFFICIENT_STORAGE => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("10"));
            }
            _ => {}
        }
        if let Some(offset) = self.offset {
            headers.insert(super::http::UPLOAD_OFFSET, HeaderValue::from(offset));
        }
        response
    }
}

impl From<UploadError> for Refusal {
    fn from(error: UploadError) -> Refusal {
        let (status, offset) = match &error {
            UploadError::Busy => (StatusCode::LOCKED, None),
            UploadError::Offset(offset) => (StatusCode::CONFLICT, Some(*offset)),
            UploadError::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, None),
            UploadError::Digest => (StatusCode::UNPROCESSABLE_ENTITY, Some(0)),
            UploadError::Empty => (StatusCode::BAD_REQUEST, None),
            UploadError::Full => (StatusCode::INSUFFICIENT_STORAGE, None),
            // The details are for the operator only.
            UploadError::Io(error) => {
                if let Some(permit) = permit_log("spool for uploads", "") {
                    warn!(%error, suppressed = permit.suppressed, "cannot write an upload to the spool");
                }
                return Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the spool is unavailable");
            }
        };
        Refusal { status, reason: error.to_string(), offset }
    }
}
