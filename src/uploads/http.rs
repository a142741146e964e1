//! `/sl/recordings/{record_id}.tar`: where BBB servers without a shared file system send their recordings.
//!
//! | request | answer |
//! | --- | --- |
//! | `HEAD` | 200. `Upload-Offset`: bytes that are here of an upload that is not whole; `Upload-Complete: yes`: all of this archive (`sha256`) was taken since it was last begun anew; `Recording-State`: `published`, `unpublished`, `deleted`, … as in the index, else `spool`, `failed`, or `none` |
//! | `PUT` | 201: the archive is whole, and in the spool |
//! | `PUT`, `Content-Range: bytes FIRST-LAST/TOTAL` | 201, or 202 while LAST is not the end; 409 with `Upload-Offset` where FIRST is not what comes next. FIRST = 0 begins anew |
//! | `PUT`, `Content-Range: bytes */TOTAL`, empty | the same, where all bytes are here already and only the 201 is missing |
//!
//! `Authorization: Bearer JWT`, HS256 or HS512 with the secret of any server of the pool. Claims: `sub`, the
//! record id; `exp`, at most a day from now; `sha256` (64 hex digits, of the whole archive), which makes
//! sure that parts belong together, and is compared at the end; `packed` (seconds since 1970), when the archive
//! was made. Errors are `{"error": "…"}`.

use crate::app::App;
use crate::bbb::Secret;
use crate::http::responses;
use crate::jwt::{self, Algorithm};
use crate::recordings::RecordId;
use crate::recordings::spool::receive::{Receiving, Upload, UploadError, Uploads};
use bytes::Buf;
use futures_util::{Stream, StreamExt};
use http::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_RANGE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde::Deserialize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tracing::{info, warn};
use warp::reply::Response;

const BASE: &str = "/sl/recordings/";
const OFFSET: HeaderName = HeaderName::from_static("upload-offset");
const STATE: HeaderName = HeaderName::from_static("recording-state");
const COMPLETE: HeaderName = HeaderName::from_static("upload-complete");
/// The servers' secrets are looked up again after so long; sooner, but not more than once a second, for a
/// token that none of them has signed.
const REMEMBERED: Duration = Duration::from_secs(10);
const AT_LEAST: Duration = Duration::from_secs(1);
/// A token is not good for longer; clocks differ a little.
const LONGEST: Duration = Duration::from_secs(25 * 3600);

/// The name after `/sl/recordings/`, if a request is one of these.
pub fn target<'a>(method: &Method, path: &'a str) -> Option<&'a str> {
    matches!(*method, Method::PUT | Method::HEAD).then(|| path.strip_prefix(BASE)).flatten()
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: f64,
    sha256: Option<String>,
    packed: Option<f64>,
}

struct Refusal(StatusCode, String, Option<u64>);

impl From<UploadError> for Refusal {
    fn from(error: UploadError) -> Refusal {
        let (status, offset) = match &error {
            UploadError::Busy => (StatusCode::LOCKED, None),
            UploadError::Offset(offset) => (StatusCode::CONFLICT, Some(*offset)),
            UploadError::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, None),
            UploadError::Digest => (StatusCode::UNPROCESSABLE_ENTITY, Some(0)),
            UploadError::Empty => (StatusCode::BAD_REQUEST, None),
            UploadError::Full => (StatusCode::INSUFFICIENT_STORAGE, None),
            // Of which the client need not know more.
            UploadError::Io(failure) => {
                warn!(%failure, "an upload: the spool");
                return refusal(StatusCode::SERVICE_UNAVAILABLE, "the spool cannot take it now");
            }
        };
        Refusal(status, error.to_string(), offset)
    }
}

fn refusal(status: StatusCode, why: &str) -> Refusal {
    Refusal(status, why.to_owned(), None)
}

/// Answers such a request. Its body is looked at only when all else is in order.
pub async fn answer<S, B, E>(app: &App, method: &Method, name: &str, headers: &HeaderMap, body: S) -> Response
where
    S: Stream<Item = Result<B, E>>,
    B: Buf,
{
    let done = async {
        let config = &app.config.recordings;
        let Some(recordings) = &app.recordings else {
            return Err(refusal(StatusCode::NOT_FOUND, "this pool has no recordings"));
        };
        let id = name
            .strip_suffix(".tar")
            .and_then(RecordId::parse)
            .ok_or_else(|| refusal(StatusCode::NOT_FOUND, "the path must be /sl/recordings/RECORD-ID.tar"))?;
        let (claims, server) = authorize(app, &id, headers).await?;
        let sha256 = match claims.sha256.as_deref().map(hex::FromHex::from_hex) {
            None => None,
            Some(Ok(digest)) => Some(digest),
            Some(Err(_)) => return Err(refusal(StatusCode::BAD_REQUEST, "sha256 must be 64 hex digits")),
        };
        let uploads = Uploads::new(&config.spool_dir, config.upload_max_size);
        let packed = claims.packed.and_then(|at| Duration::try_from_secs_f64(at).ok());
        let packed = packed.and_then(|since| UNIX_EPOCH.checked_add(since));
        let mut upload = Upload { record_id: id.clone(), sha256, total: None, packed };
        if *method == Method::HEAD {
            let mut response = responses::empty(StatusCode::OK);
            set(&mut response, OFFSET, uploads.received(&upload).await?);
            if uploads.was_taken(&upload).await? {
                response.headers_mut().insert(COMPLETE, HeaderValue::from_static("yes"));
            }
            let state = match uploads.waiting(&id).await? {
                (true, _) => "spool".to_owned(),
                (false, true) => "failed".to_owned(),
                (false, false) => match recordings.index.state(&id).await {
                    Ok(found) => found.map_or_else(|| "none".to_owned(), |(state, _)| state),
                    Err(failure) => {
                        warn!(%failure, "an upload: the index");
                        return Err(refusal(StatusCode::SERVICE_UNAVAILABLE, "the index does not answer"));
                    }
                },
            };
            if let Ok(state) = HeaderValue::try_from(state) {
                response.headers_mut().insert(STATE, state);
            }
            return Ok(response);
        }
        let (after, last) = range(headers, &mut upload)?;
        let began = Instant::now();
        let receiving = uploads.begin(&upload, after).await?;
        let left =
            receive(receiving, body, last.map(|last| last + 1 - after), app.config.listen.body_timeout)
                .await?;
        Ok(match left {
            None => {
                let ms = began.elapsed().as_millis() as u64;
                info!(record_id = %id, server, bytes = upload.total, ms, "an archive was sent");
                responses::empty(StatusCode::CREATED)
            }
            Some(size) => {
                let mut response = responses::empty(StatusCode::ACCEPTED);
                set(&mut response, OFFSET, size);
                response
            }
        })
    };
    done.await.unwrap_or_else(|Refusal(status, why, offset)| {
        let body = serde_json::json!({ "error": why }).to_string();
        let mut response = responses::text(status, body);
        let headers = response.headers_mut();
        headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        // What is still coming in is not worth reading.
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        match status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::LOCKED | StatusCode::SERVICE_UNAVAILABLE | StatusCode::INSUFFICIENT_STORAGE => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("10"));
            }
            _ => {}
        }
        if let Some(offset) = offset {
            set(&mut response, OFFSET, offset);
        }
        response
    })
}

fn set(response: &mut Response, name: HeaderName, number: u64) {
    response.headers_mut().insert(name, HeaderValue::from(number));
}

/// The claims, and which server signed them.
async fn authorize(app: &App, id: &RecordId, headers: &HeaderMap) -> Result<(Claims, String), Refusal> {
    let no = || {
        refusal(
            StatusCode::UNAUTHORIZED,
            "a JWT is needed, for this recording, signed with a server's secret",
        )
    };
    let token = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim())
        .filter(|token| token.split('.').count() == 3)
        .ok_or_else(no)?;
    let now = SystemTime::now();
    // Nobody makes us ask Redis for a token that would not do, whoever signed it.
    let said: Claims = jwt::unverified(token).ok_or_else(no)?;
    let latest = (now + LONGEST).duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64());
    if said.sub != id.as_str() || !said.exp.is_finite() || said.exp > latest {
        return Err(no());
    }
    let mut oldest = REMEMBERED;
    loop {
        let (servers, are_new) = secrets(app, oldest).await?;
        for (server, secret) in servers.iter() {
            for algorithm in [Algorithm::Hs256, Algorithm::Hs512] {
                if let Some(claims) = jwt::verify::<Claims>(algorithm, secret.expose().as_bytes(), token, now)
                {
                    return Ok((claims, server.clone()));
                }
            }
        }
        if are_new || oldest == AT_LEAST {
            return Err(no());
        }
        oldest = AT_LEAST;
    }
}

type Secrets = Arc<[(String, Secret)]>;

/// Of all servers of the pool, no older than this; and whether they are from just now.
async fn secrets(app: &App, oldest: Duration) -> Result<(Secrets, bool), Refusal> {
    static LAST: Mutex<Option<(Instant, Secrets)>> = Mutex::new(None);
    let last = || LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((at, secrets)) = &*last()
        && at.elapsed() < oldest
    {
        return Ok((secrets.clone(), false));
    }
    let servers = app.store.servers().await.map_err(|failure| {
        warn!(%failure, "an upload: Redis");
        refusal(StatusCode::SERVICE_UNAVAILABLE, "Redis does not answer")
    })?;
    let secrets: Secrets = servers.into_iter().map(|server| (server.at.id, server.at.secret)).collect();
    *last() = Some((Instant::now(), secrets.clone()));
    Ok((secrets, true))
}

/// How many bytes come before what this request brings, and its last byte where that is known. Fills in the
/// total.
fn range(headers: &HeaderMap, upload: &mut Upload) -> Result<(u64, Option<u64>), Refusal> {
    let Some(range) = headers.get(CONTENT_RANGE) else {
        upload.total = headers.get(CONTENT_LENGTH).and_then(|n| n.to_str().ok()?.parse().ok());
        return Ok((0, upload.total.and_then(|total| total.checked_sub(1))));
    };
    let read = || {
        let (range, total) = range.to_str().ok()?.trim().strip_prefix("bytes ")?.split_once('/')?;
        if range == "*" {
            let total: u64 = total.parse().ok()?;
            return (total > 0).then_some((total, total - 1, total));
        }
        let (first, last) = range.split_once('-')?;
        let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
        let total: u64 = total.parse().ok()?;
        (first <= last && last < total).then_some((first, last, total))
    };
    let (first, last, total) = read().ok_or_else(|| {
        refusal(
            StatusCode::BAD_REQUEST,
            "Content-Range must be bytes FIRST-LAST/TOTAL with FIRST <= LAST < TOTAL, or bytes */TOTAL",
        )
    })?;
    upload.total = Some(total);
    Ok((first, Some(last)))
}

/// Takes in the body, of so many bytes where that is known. What has come of one that breaks off is kept.
async fn receive<S, B, E>(
    mut receiving: Receiving,
    body: S,
    expected: Option<u64>,
    patience: Duration,
) -> Result<Option<u64>, Refusal>
where
    S: Stream<Item = Result<B, E>>,
    B: Buf,
{
    let mut body = std::pin::pin!(body);
    let mut count = 0;
    loop {
        let next = tokio::time::timeout(patience, body.next());
        let next =
            next.await.map_err(|_| refusal(StatusCode::REQUEST_TIMEOUT, "nothing came for too long"))?;
        let Some(piece) = next else { break };
        let mut piece = piece.map_err(|_| refusal(StatusCode::BAD_REQUEST, "it broke off"))?;
        count += piece.remaining() as u64;
        if expected.is_some_and(|expected| count > expected) {
            return Err(refusal(StatusCode::BAD_REQUEST, "there is more than was announced"));
        }
        receiving.piece(piece.copy_to_bytes(piece.remaining())).await?;
    }
    if expected.is_some_and(|expected| count < expected) {
        return Err(refusal(StatusCode::BAD_REQUEST, "there is less than was announced"));
    }
    Ok(receiving.end().await?)
}
