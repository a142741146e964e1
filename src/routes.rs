//! Dispatch of requests to groups of endpoints: health check, uploads, playback, API. One warp filter takes every
//! request and rejects none, since BBB clients expect a response in their own format for everything.

use crate::app::App;
use crate::bbb::ApiError;
use crate::calls::spec::Completion;
use crate::calls::{self, ApiRequest, Call, guard};
use crate::http::drain::DrainSignal;
use crate::http::{host, responses};
use crate::playback::{self, PlaybackTarget};
use crate::uploads::http as upload;
use bytes::Buf;
use futures_util::{FutureExt, Stream, StreamExt};
use http::header::{CONNECTION, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use std::borrow::Cow;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, Span, debug, debug_span, error};
use warp::Filter;
use warp::path::FullPath;
use warp::reply::Response;

const API_PATH: &str = "/bigbluebutton/api";

/// A request as it arrived.
struct Incoming<S> {
    method: Method,
    path: FullPath,
    raw_query: String,
    headers: HeaderMap,
    body: S,
    request_id: HeaderValue,
}

impl<S> Incoming<S> {
    /// True for HEAD as well.
    fn is_get(&self) -> bool {
        matches!(self.method, Method::GET | Method::HEAD)
    }

    /// Its id, for a span of the log.
    fn id(&self) -> &str {
        self.request_id.to_str().unwrap_or("-")
    }
}

/// The whole service. `tasks` holds the calls that run to their end, so that a drain can wait for them.
pub fn service(
    app: App,
    tasks: TaskTracker,
    drain: Arc<DrainSignal>,
) -> impl Filter<Extract = (Response,), Error = std::convert::Infallible> + Clone {
    // One pointer to copy for each request, instead of the connections in it.
    let app = Arc::new(app);
    let raw_query = warp::query::raw().or(warp::any().map(String::new)).unify();
    warp::any()
        .map(move || (app.clone(), tasks.clone(), drain.clone()))
        .and(warp::method())
        .and(warp::path::full())
        .and(raw_query)
        .and(warp::header::headers_cloned())
        .and(warp::body::stream())
        .then(
            |(app, tasks, drain): (Arc<App>, TaskTracker, Arc<DrainSignal>),
             method,
             path,
             raw_query,
             headers: HeaderMap,
             body| async move {
                let request_id = request_id(&headers);
                let is_chunked = headers.contains_key(TRANSFER_ENCODING);
                let refuse = drain.should_refuse(&headers);
                let request =
                    Incoming { method, path, raw_query, headers, body, request_id: request_id.clone() };
                let mut response = match refuse {
                    true => refuse_while_draining(&app, request).await,
                    false => dispatch(app, &tasks, request).await,
                };
                if is_chunked {
                    // Lets `strict_head` stop there.
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                responses::with_common_headers(response, &request_id)
            },
        )
        .recover(|_| async { Ok::<_, std::convert::Infallible>(responses::empty(StatusCode::BAD_REQUEST)) })
        .unify()
}

/// Sends a request to its group of endpoints.
async fn dispatch<S, B, E>(app: Arc<App>, tasks: &TaskTracker, request: Incoming<S>) -> Response
where
    S: Stream<Item = Result<B, E>>,
    B: Buf,
{
    let path = normalize_path(request.path.as_str());
    if request.is_get() && matches!(path.as_ref(), "" | "/health_check") {
        return health(&app).await;
    }
    let for_playback_host = playback::http::is_for_playback_host(&app.config.playback, &request.headers);
    if for_playback_host != Some(true)
        && let Some(host) = &app.config.api.url_host
        && !host::is_served(&app.config.api, &request.headers)
    {
        host::log_refused(host, &request.headers);
        return responses::empty(StatusCode::FORBIDDEN);
    }
    if for_playback_host != Some(true)
        && let Some(record) = upload::target(&request.method, &path)
    {
        let upload = upload::respond(&app, &request.method, record, &request.headers, request.body);
        return catch_panic("upload", upload, internal_server_error).await;
    }
    if request.is_get()
        && !path.starts_with(API_PATH)
        && let Some(target) = PlaybackTarget::from_path(request.path.as_str(), &app.config.playback)
    {
        if for_playback_host == Some(false) {
            let (path, query) = (request.path.as_str(), &request.raw_query);
            return playback::http::redirect_to_playback_host(
                &app.config.playback,
                path,
                query,
                &request.headers,
            );
        }
        let span = debug_span!("playback", id = request.id());
        let is_head = request.method == Method::HEAD;
        let playback = playback::http::respond(&app, target, &request.raw_query, &request.headers, is_head);
        return catch_panic("playback", playback.instrument(span), internal_server_error).await;
    }
    // Nothing else is on the host of recordings.
    if for_playback_host == Some(true) {
        return responses::empty(StatusCode::FORBIDDEN);
    }
    match find_call(&request.method, &path) {
        Some(Call::Index) if calls::is_json_wanted(&request.headers) => {
            responses::call_result(Call::Index, Ok(calls::index_as_json(&app).await))
        }
        Some(call) => handle_call(app, tasks, call, request).await,
        None => responses::unsupported(path.strip_prefix(API_PATH).unwrap_or_default()),
    }
}

/// Verifies an API request and carries out its call.
async fn handle_call<S, B, E>(
    app: Arc<App>,
    tasks: &TaskTracker,
    call: Call,
    request: Incoming<S>,
) -> Response
where
    S: Stream<Item = Result<B, E>>,
    B: Buf,
{
    let span = debug_span!("request", call = call.name(), id = request.id());
    let Incoming { method, raw_query, headers, body, .. } = request;
    let head = guard::RequestHead { call, method: &method, raw_query: &raw_query, headers: &headers };
    let verified = match guard::check(&app.config, &app.unsigned_bytes, head, body).await {
        Ok(verified) => verified,
        Err(guard::Rejection::Api(error)) => {
            debug!(call = call.name(), key = error.key(), "request rejected");
            return responses::call_error(call, &error);
        }
        Err(guard::Rejection::BadEncoding) => return responses::empty(StatusCode::BAD_REQUEST),
    };
    match call.spec().completion {
        Completion::RunToEnd => {
            let panicked = |_| responses::call_error(call, &ApiError::ServerAccessFailed);
            tasks.spawn(run_call(app, call, verified, span)).await.unwrap_or_else(panicked)
        }
        Completion::MayCancel => run_call(app, call, verified, span).await,
    }
}

/// Carries out a verified call. Not an `async fn`, nor is [`catch_panic`]: these keep their arguments beside the
/// futures made of them, which would double the size of every request's future, and so the cost of moving it.
fn run_call(app: Arc<App>, call: Call, verified: ApiRequest, span: Span) -> impl Future<Output = Response> {
    let running = async move { responses::call_result(call, call.run(&app, verified).await) };
    catch_panic(call.name(), running.instrument(span), move || {
        responses::call_error(call, &ApiError::ServerAccessFailed)
    })
}

/// Confines a panic to its request: logs it, and responds with `on_panic`.
fn catch_panic(
    handler: &'static str,
    response: impl Future<Output = Response>,
    on_panic: impl FnOnce() -> Response,
) -> impl Future<Output = Response> {
    AssertUnwindSafe(response).catch_unwind().map(move |result| {
        result.unwrap_or_else(|_| {
            error!(handler, "a request handler panicked");
            on_panic()
        })
    })
}

fn internal_server_error() -> Response {
    responses::empty(StatusCode::INTERNAL_SERVER_ERROR)
}

fn find_call(method: &Method, path: &str) -> Option<Call> {
    // BBB's web application itself answers as the index of its API.
    if path == "/bigbluebutton" && matches!(*method, Method::GET | Method::HEAD) {
        return Some(Call::Index);
    }
    let rest = path.strip_prefix(API_PATH)?;
    let call = match rest.strip_prefix('/') {
        Some(name) => Call::named(name)?,
        None if rest.is_empty() => Call::Index,
        None => return None,
    };
    let methods = call.spec().methods;
    let allowed = match *method {
        Method::GET | Method::HEAD => methods.accepts_get(),
        Method::POST => methods.accepts_post(),
        _ => false,
    };
    allowed.then_some(call)
}

/// Removes doubled and trailing slashes: they mean nothing.
fn normalize_path(path: &str) -> Cow<'_, str> {
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

/// 503: the request was not begun. Its body is read first, since closing a connection while a body arrives
/// may destroy the response too. The body of an upload is not read: it may have gigabytes.
async fn refuse_while_draining<S: Stream>(app: &App, request: Incoming<S>) -> Response {
    if upload::target(&request.method, request.path.as_str()).is_none() {
        let read = request.body.for_each(|_| std::future::ready(()));
        let _ = tokio::time::timeout(app.config.listen.body_timeout, read).await;
    }
    responses::draining()
}

/// `success`, or 503 with the reason: see [`crate::health`].
async fn health(app: &App) -> Response {
    let health = app.health.check().await;
    let status = if health.is_healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    responses::text(status, health.text)
}

/// The request's X-Request-Id if it is 1 to 128 letters, digits, `-`, `_` and `.`, else a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let is_valid = |value: &&HeaderValue| {
        (1..=128).contains(&value.len())
            && value.as_bytes().iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    if let Some(given) = headers.get("x-request-id").filter(is_valid) {
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
    fn paths_lead_to_calls() {
        let get = |path: &str| find_call(&Method::GET, &normalize_path(path));
        assert_eq!(get("/bigbluebutton/api"), Some(Call::Index));
        assert_eq!(get("/bigbluebutton/api/"), Some(Call::Index));
        assert_eq!(get("/bigbluebutton/"), Some(Call::Index));
        assert_eq!(get("//bigbluebutton//api///create/"), Some(Call::Create));
        for unsupported in [
            "/bigbluebutton/api/Create",
            "/bigbluebutton/api/create.xml",
            "/bigbluebutton/apicreate",
            "/bigbluebutton/api/insertDocument",
            "/bigbluebutton/api/getJoinUrl",
            "/nothing",
        ] {
            assert_eq!(get(unsupported), None, "{unsupported}");
        }
        assert_eq!(find_call(&Method::POST, "/bigbluebutton/api/join"), None);
        assert_eq!(find_call(&Method::PUT, "/bigbluebutton/api/create"), None);
    }

    #[test]
    fn a_valid_request_id_is_kept() {
        let mut headers = HeaderMap::new();
        headers.insert("x-request-id", HeaderValue::from_static("abc-1"));
        assert_eq!(request_id(&headers), "abc-1");
        headers.insert("x-request-id", HeaderValue::from_static("bad id\t!"));
        assert_eq!(request_id(&headers).len(), 36);
    }
}
