//! `/sl/recordings/{record_id}.tar`: where BBB servers without a shared file system send their recordings.
//!
//! | request | response |
//! | --- | --- |
//! | `HEAD` | 200. `Upload-Offset`: bytes of an unfinished upload that have arrived; `Upload-Complete: yes`: all of this archive (`sha256`) was taken since its upload last started over; `Recording-State`: `published`, `unpublished`, `deleted`, … as in the index, else `spool`, `failed`, or `none` |
//! | `PUT` | 201: the archive is complete, and in the spool |
//! | `PUT`, `Content-Range: bytes FIRST-LAST/TOTAL` | 201, or 202 while LAST is not the end; 409 with `Upload-Offset` where FIRST is not the next byte. FIRST = 0 starts over |
//! | `PUT`, `Content-Range: bytes */TOTAL`, empty | the same, where all bytes have arrived and only the 201 is missing |
//!
//! `Authorization: Bearer JWT`, HS256 or HS512 with the secret of any server of the pool. Claims: `sub`, the
//! record id, the only one that the archive may hold; `exp`, at most a day from now; `sha256` (64 hex digits, of the
//! whole archive; PUT requires it), which makes sure that parts belong together, and is verified at the end; `packed` (seconds since 1970), when the archive
//! was made. Errors are `{"error": "…"}`.

use super::auth::{UploadClaims, authorize};
use super::range::UploadRange;
use super::refusal::Refusal;
use crate::app::App;
use crate::http::responses;
use crate::recordings::spool::receive::{
    ArchiveLocation, IncomingUpload, Upload, UploadProgress, UploadReceiver,
};
use crate::recordings::{RecordId, Recordings};
use crate::telemetry::permit_log;
use bytes::Buf;
use futures_util::{Stream, StreamExt};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use std::time::{Duration, Instant};
use tracing::{debug, info, warn};
use warp::reply::Response;

const BASE: &str = "/sl/recordings/";
pub(super) const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
const UPLOAD_COMPLETE: HeaderName = HeaderName::from_static("upload-complete");
const RECORDING_STATE: HeaderName = HeaderName::from_static("recording-state");

/// The name after `/sl/recordings/`, if a request is one of these.
pub fn target<'a>(method: &Method, path: &'a str) -> Option<&'a str> {
    matches!(*method, Method::PUT | Method::HEAD).then(|| path.strip_prefix(BASE)).flatten()
}

/// Responds to such a request. Its body is read only when all else is in order.
pub async fn respond<S, B, E>(
    app: &App,
    method: &Method,
    name: &str,
    headers: &HeaderMap,
    body: S,
) -> Response
where
    S: Stream<Item = Result<B, E>>,
    B: Buf,
{
    let mut server = None;
    try_respond(app, method, name, headers, body, &mut server).await.unwrap_or_else(|refusal| {
        log_refusal(name, server.as_deref(), &refusal);
        refusal.into_response()
    })
}

/// Logs why an upload was refused: the log of its server is on another host. A part that does not follow the last
/// one, or arrives while another is written, is how uploads resume.
fn log_refusal(name: &str, server: Option<&str>, refusal: &Refusal) {
    let Refusal { status, reason, .. } = refusal;
    if matches!(*status, StatusCode::CONFLICT | StatusCode::LOCKED) {
        return debug!(name, server, reason, "an upload must resume elsewhere or later");
    }
    if let Some(permit) = permit_log("upload", server.unwrap_or_default()) {
        let name = name.chars().take(100).collect::<String>();
        let (status, suppressed) = (status.as_u16(), permit.suppressed);
        warn!(name, server, status, reason, suppressed, "an upload was refused");
    }
}

async fn try_respond<S, B, E>(
    app: &App,
    method: &Method,
    name: &str,
    headers: &HeaderMap,
    body: S,
    sender: &mut Option<String>,
) -> Result<Response, Refusal>
where
    S: Stream<Item = Result<B, E>>,
    B: Buf,
{
    let not_found = |reason| Refusal::new(StatusCode::NOT_FOUND, reason);
    let recordings = app.recordings.as_ref().ok_or_else(|| not_found("this pool has no recordings"))?;
    let id = name
        .strip_suffix(".tar")
        .and_then(RecordId::parse)
        .ok_or_else(|| not_found("the path must be /sl/recordings/RECORD-ID.tar"))?;
    let (claims, server) = authorize(app, &id, headers).await?;
    *sender = Some(server.clone());
    let mut upload = announced_upload(id, server, &claims)?;
    let config = &app.config.recordings;
    let receiver = UploadReceiver::new(&config.spool_dir, config.upload_max_size);
    if *method == Method::HEAD {
        return upload_state(recordings, &receiver, &upload).await;
    }
    if upload.sha256.is_none() {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "the token must have the archive's sha256"));
    }
    let range = UploadRange::from_headers(headers)?;
    upload.total = range.total;
    let began = Instant::now();
    let incoming = receiver.begin(&upload, range.offset).await?;
    match receive_body(incoming, body, range.length, app.config.listen.body_timeout).await? {
        UploadProgress::Complete => {
            let ms = began.elapsed().as_millis() as u64;
            let server = &upload.server;
            info!(record_id = %upload.record_id, server, bytes = upload.total, ms, "archive uploaded");
            Ok(responses::empty(StatusCode::CREATED))
        }
        UploadProgress::Partial(bytes) => {
            let mut response = responses::empty(StatusCode::ACCEPTED);
            response.headers_mut().insert(UPLOAD_OFFSET, HeaderValue::from(bytes));
            Ok(response)
        }
    }
}

fn announced_upload(record_id: RecordId, server: String, claims: &UploadClaims) -> Result<Upload, Refusal> {
    let sha256 = match claims.sha256.as_deref().map(hex::FromHex::from_hex) {
        None => None,
        Some(Ok(digest)) => Some(digest),
        Some(Err(_)) => {
            return Err(Refusal::new(StatusCode::BAD_REQUEST, "sha256 must be 64 hex digits"));
        }
    };
    Ok(Upload { record_id, server, sha256, total: None, packed: claims.packed() })
}

/// The response to HEAD: what has arrived, and what became of it.
async fn upload_state(
    recordings: &Recordings,
    receiver: &UploadReceiver,
    upload: &Upload,
) -> Result<Response, Refusal> {
    let mut response = responses::empty(StatusCode::OK);
    let headers = response.headers_mut();
    headers.insert(UPLOAD_OFFSET, HeaderValue::from(receiver.received_bytes(upload).await?));
    if receiver.was_taken(upload).await? {
        headers.insert(UPLOAD_COMPLETE, HeaderValue::from_static("yes"));
    }
    let state = match receiver.locate_archive(upload).await? {
        Some(ArchiveLocation::Spool) => "spool".to_owned(),
        Some(ArchiveLocation::Failed) => "failed".to_owned(),
        None => match recordings.index.state(&upload.record_id).await {
            Ok(found) => found.map_or_else(|| "none".to_owned(), |(state, _)| state),
            Err(error) => {
                if let Some(permit) = permit_log("index for uploads", "") {
                    let suppressed = permit.suppressed;
                    warn!(%error, suppressed, "cannot read a recording's state for an upload");
                }
                return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the index is unavailable"));
            }
        },
    };
    if let Ok(state) = HeaderValue::try_from(state) {
        headers.insert(RECORDING_STATE, state);
    }
    Ok(response)
}

/// Receives the body, of `expected` bytes if announced. What has arrived of one that is cut off is kept.
async fn receive_body<S, B, E>(
    mut incoming: IncomingUpload,
    body: S,
    expected: Option<u64>,
    chunk_timeout: Duration,
) -> Result<UploadProgress, Refusal>
where
    S: Stream<Item = Result<B, E>>,
    B: Buf,
{
    let bad_request = |reason| Refusal::new(StatusCode::BAD_REQUEST, reason);
    let mut body = std::pin::pin!(body);
    let mut received = 0;
    loop {
        let next = tokio::time::timeout(chunk_timeout, body.next()).await;
        let next =
            next.map_err(|_| Refusal::new(StatusCode::REQUEST_TIMEOUT, "no bytes arrived for too long"))?;
        let Some(chunk) = next else { break };
        let mut chunk = chunk.map_err(|_| bad_request("the body was cut off"))?;
        received += chunk.remaining() as u64;
        if expected.is_some_and(|expected| received > expected) {
            return Err(bad_request("the body is longer than announced"));
        }
        incoming.write(chunk.copy_to_bytes(chunk.remaining())).await?;
    }
    if expected.is_some_and(|expected| received < expected) {
        return Err(bad_request("the body is shorter than announced"));
    }
    Ok(incoming.finish().await?)
}
