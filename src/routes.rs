//! What is asked for. One warp filter takes every request; nothing is ever rejected, since BBB
//! clients want an answer in their own form for everything.

use crate::app::App;
use crate::bbb::ApiError;
use crate::calls::{Call, guard};
use crate::http::drain::Notice;
use crate::http::responses;
use crate::playback::{self, Target};
use crate::uploads::http as upload;
use bytes::Buf;
use futures_util::{FutureExt, Stream, StreamExt};
use http::header::HOST;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use std::borrow::Cow;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, debug, debug_span, error};
use warp::Filter;
use warp::path::FullPath;
use warp::reply::Response;

const BASE: &str = "/bigbluebutton/api";

/// The whole service. `tasks` holds what has begun, so that a stop can wait for it.
pub fn service(
    app: App,
    tasks: TaskTracker,
    notice: Arc<Notice>,
) -> impl Filter<Extract = (Response,), Error = std::convert::Infallible> + Clone {
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    warp::any()
        .map(move || (app.clone(), tasks.clone(), notice.clone()))
        .and(warp::method())
        .and(warp::path::full())
        .and(query)
        .and(warp::header::headers_cloned())
        .and(warp::body::stream())
        .then(
            |(app, tasks, notice): (App, TaskTracker, Arc<Notice>),
             method,
             path: FullPath,
             query: String,
             headers: HeaderMap,
             body| async move {
                let id = request_id(&headers);
                let uploads = upload::target(&method, path.as_str()).is_some();
                let response = if notice.turns_away(&headers) {
                    // What may be gigabytes is not read.
                    if uploads { responses::stopping() } else { turn_away(&app, body).await }
                } else {
                    handle(app, tasks, method, path.as_str(), &query, &headers, body, &id).await
                };
                responses::finish(response, &id)
            },
        )
        .recover(|_| async { Ok::<_, std::convert::Infallible>(responses::empty(StatusCode::BAD_REQUEST)) })
        .unify()
}

#[allow(clippy::too_many_arguments)] // the parts of one request, taken apart by warp
async fn handle<S, B, E>(
    app: App,
    tasks: TaskTracker,
    method: Method,
    path: &str,
    query: &str,
    headers: &HeaderMap,
    body: S,
    id: &HeaderValue,
) -> Response
where
    S: Stream<Item = Result<B, E>>,
    B: Buf,
{
    let is_head = method == Method::HEAD;
    let asked = method.clone();
    let method = if is_head { Method::GET } else { method };
    let raw_path = path;
    let path = tidy(path);
    if method == Method::GET && matches!(path.as_ref(), "" | "/health_check") {
        return health(&app).await;
    }
    if let Some(host) = &app.config.api.url_host
        && !serves(host, headers)
    {
        return responses::empty(StatusCode::FORBIDDEN);
    }
    if let Some(name) = upload::target(&asked, &path) {
        let answer = AssertUnwindSafe(upload::respond(&app, &asked, name, headers, body)).catch_unwind();
        return answer.await.unwrap_or_else(|_| {
            error!("an upload panicked");
            responses::empty(StatusCode::INTERNAL_SERVER_ERROR)
        });
    }
    if method == Method::GET
        && !path.starts_with(BASE)
        && let Some(target) = Target::of(raw_path, &app.config.playback)
    {
        let span = debug_span!("playback", id = id.to_str().unwrap_or("-"));
        let playing = playback::http::answer(&app, target, query, headers, is_head).instrument(span);
        return AssertUnwindSafe(playing).catch_unwind().await.unwrap_or_else(|_| {
            error!("a request for playback panicked");
            responses::empty(StatusCode::INTERNAL_SERVER_ERROR)
        });
    }
    let Some(call) = route(&method, &path) else {
        return responses::error(&ApiError::Unsupported);
    };
    let request = match guard::check(&app.config, call, &method, query, headers, body).await {
        Ok(request) => request,
        Err(guard::Refused::Api(error)) => {
            debug!(call = call.name(), key = error.key(), "refused");
            return responses::error_of(call, &error);
        }
        Err(guard::Refused::BadEncoding) => return responses::empty(StatusCode::BAD_REQUEST),
    };
    let span = debug_span!("request", call = call.name(), id = id.to_str().unwrap_or("-"));
    let running = async move { call.run(&app, request).await }.instrument(span);
    // A panic ends this request only. What must not stay half done is a task of its own: when the
    // client hangs up, it is finished all the same.
    let result = if call.must_finish() {
        tasks.spawn(running).await.ok()
    } else {
        AssertUnwindSafe(running).catch_unwind().await.ok()
    };
    result.map_or_else(
        || {
            error!(call = call.name(), "a request panicked");
            responses::error_of(call, &ApiError::AccessFailed)
        },
        |result| responses::call(call, result),
    )
}

fn route(method: &Method, path: &str) -> Option<Call> {
    let rest = path.strip_prefix(BASE)?;
    let call = match rest.strip_prefix('/') {
        Some(name) => Call::named(name)?,
        None if rest.is_empty() => Call::Index,
        None => return None,
    };
    let allowed = match *method {
        Method::GET => call.takes_get(),
        Method::POST => call.takes_post(),
        _ => false,
    };
    allowed.then_some(call)
}

/// Doubled and trailing slashes mean nothing.
fn tidy(path: &str) -> Cow<'_, str> {
    let trimmed = path.trim_end_matches('/');
    if !trimmed.contains("//") {
        return Cow::Borrowed(trimmed);
    }
    let mut out = String::with_capacity(trimmed.len());
    for part in trimmed.split('/').filter(|part| !part.is_empty()) {
        out.push('/');
        out.push_str(part);
    }
    Cow::Owned(out)
}

/// 503: not begun. The body is read first, since a connection that closes while a body comes in may
/// take the answer with it.
async fn turn_away<S>(app: &App, body: S) -> Response
where
    S: Stream,
{
    let whole = body.for_each(|_| std::future::ready(()));
    let _ = tokio::time::timeout(app.config.listen.body_timeout, whole).await;
    responses::stopping()
}

/// Whether the Host header names this host or a subdomain of it.
fn serves(host: &str, headers: &HeaderMap) -> bool {
    let Some(asked) = headers.get(HOST).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let asked = match asked.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => asked,
    };
    let asked = asked.trim_end_matches('.').to_ascii_lowercase();
    match asked.strip_suffix(host) {
        Some(rest) => rest.is_empty() || rest.ends_with('.'),
        None => false,
    }
}

/// `success`, or 503 with the reason. The index is asked only where the settings say so: most balancers
/// would take the meeting calls away too, which need no Postgres.
async fn health(app: &App) -> Response {
    let failed = |who: &str, failure: &dyn std::fmt::Display| {
        error!(%failure, "the health check failed");
        responses::text(StatusCode::SERVICE_UNAVAILABLE, format!("{who} does not answer: {failure}\n"))
    };
    if let Err(failure) = app.store.ping().await {
        return failed("Redis", &failure);
    }
    if app.config.recordings.health_check
        && let Some(recordings) = &app.recordings
        && let Err(failure) = recordings.index.db().ping().await
    {
        return failed("The index of recordings", &failure);
    }
    responses::text(StatusCode::OK, "success")
}

/// The request's X-Request-Id if it has a sane one, else a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let sane = |value: &&HeaderValue| {
        (1..=128).contains(&value.len())
            && value.as_bytes().iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    if let Some(given) = headers.get("x-request-id").filter(sane) {
        return given.clone();
    }
    let mut text = [0u8; uuid::fmt::Hyphenated::LENGTH];
    let id = uuid::Uuid::new_v4().hyphenated().encode_lower(&mut text);
    HeaderValue::from_str(id).unwrap_or(HeaderValue::from_static("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let get = |path: &str| route(&Method::GET, &tidy(path));
        assert_eq!(get("/bigbluebutton/api"), Some(Call::Index));
        assert_eq!(get("/bigbluebutton/api/"), Some(Call::Index));
        assert_eq!(get("//bigbluebutton//api///create/"), Some(Call::Create));
        for unsupported in [
            "/bigbluebutton/api/Create",
            "/bigbluebutton/api/create.xml",
            "/bigbluebutton/apicreate",
            "/bigbluebutton/api/insertDocument",
            "/bigbluebutton/api/getJoinUrl",
            "/bigbluebutton",
            "/nothing",
        ] {
            assert_eq!(get(unsupported), None, "{unsupported}");
        }
        assert_eq!(route(&Method::POST, "/bigbluebutton/api/join"), None);
        assert_eq!(route(&Method::PUT, "/bigbluebutton/api/create"), None);
    }

    #[test]
    fn hosts() {
        let with = |host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_str(host).unwrap());
            serves("sl.example.org", &headers)
        };
        assert!(with("sl.example.org") && with("SL.example.org:443") && with("math.sl.example.org."));
        assert!(!with("evilsl.example.org") && !with("example.org") && !with("sl.example.org.evil.com"));
    }

    #[test]
    fn request_ids() {
        let mut headers = HeaderMap::new();
        headers.insert("x-request-id", HeaderValue::from_static("abc-1"));
        assert_eq!(request_id(&headers), "abc-1");
        headers.insert("x-request-id", HeaderValue::from_static("bad id\t!"));
        assert_eq!(request_id(&headers).len(), 36);
    }
}
