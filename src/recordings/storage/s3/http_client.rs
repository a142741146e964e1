//! The HTTP client for S3: the same TLS and hyper as all other connections, with a timeout on every step. The
//! timeout of a request depends on the operation; a response that has begun must make progress.

use crate::net::connector::Connector;
use async_trait::async_trait;
use http::Method;
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody,
    HttpService,
};
use rustls::ClientConfig;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep, timeout};

/// For TCP and TLS.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// From the end of a request to the start of its response.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);
/// The same for requests that S3 works on for long: copying an object, or joining its parts.
const SLOW_RESPONSE_TIMEOUT: Duration = Duration::from_secs(600);
/// Between two frames of a response body.
const BODY_TIMEOUT: Duration = Duration::from_secs(20);
/// An upload that is slower than this times out.
const MIN_UPLOAD_BYTES_PER_SECOND: u64 = 64 * 1024;

/// Creates the client of a storage.
#[derive(Clone)]
pub(super) struct S3Connector(Arc<ClientConfig>);

impl S3Connector {
    pub(super) fn new(tls: Arc<ClientConfig>) -> S3Connector {
        S3Connector(tls)
    }
}

impl fmt::Debug for S3Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("S3Connector")
    }
}

impl HttpConnector for S3Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(20))
            .build(Connector::new(&self.0, CONNECT_TIMEOUT));
        Ok(HttpClient::new(S3HttpClient(client)))
    }
}

#[derive(Debug)]
struct S3HttpClient(Client<Connector, UnsyncBoxBody<Bytes, HttpError>>);

#[async_trait]
impl HttpService for S3HttpClient {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let time = response_timeout(&request);
        let deletes = *request.method() == Method::DELETE || request.uri().query() == Some("delete");
        let request = request.map(|body| body.boxed_unsync());
        match timeout(time, self.0.request(request)).await {
            Ok(Ok(response)) => Ok(response.map(|body| HttpResponseBody::new(TimedBody::new(body)))),
            Ok(Err(error)) => Err(http_error(error, deletes)),
            Err(_) => Err(HttpError::new(HttpErrorKind::Timeout, TimedOut("no response", time))),
        }
    }
}

fn response_timeout(request: &HttpRequest) -> Duration {
    let joins = *request.method() == Method::POST
        && request.uri().query().is_some_and(|query| query.contains("uploadId="));
    if joins || request.headers().contains_key("x-amz-copy-source") {
        return SLOW_RESPONSE_TIMEOUT;
    }
    CONNECT_TIMEOUT
        + RESPONSE_TIMEOUT
        + Duration::from_secs(request.body().content_length() as u64 / MIN_UPLOAD_BYTES_PER_SECOND)
}

/// object_store decides by the kind whether to retry. Repeating a delete is harmless, but object_store retries
/// one only if the kind says that nothing was sent.
fn http_error(error: Error, deletes: bool) -> HttpError {
    let kind = match (error.is_connect(), deletes) {
        (true, _) => HttpErrorKind::Connect,
        (false, true) => HttpErrorKind::Request,
        (false, false) => HttpErrorKind::Interrupted,
    };
    HttpError::new(kind, ErrorChain(error))
}

/// hyper's errors give the reason only in their sources, so this prints the whole chain.
#[derive(Debug)]
struct ErrorChain(Error);

impl fmt::Display for ErrorChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)?;
        let mut source = std::error::Error::source(&self.0);
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}

impl std::error::Error for ErrorChain {}

#[derive(Debug, thiserror::Error)]
#[error("{0} within {1:?}")]
struct TimedOut(&'static str, Duration);

/// A response body that fails if it makes no progress.
struct TimedBody {
    body: Incoming,
    deadline: Pin<Box<Sleep>>,
}

impl TimedBody {
    fn new(body: Incoming) -> TimedBody {
        TimedBody { body, deadline: Box::pin(sleep(BODY_TIMEOUT)) }
    }
}

impl Body for TimedBody {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            self.deadline.as_mut().reset(Instant::now() + BODY_TIMEOUT);
            let failed = |error| HttpError::new(HttpErrorKind::Interrupted, error);
            return Poll::Ready(frame.map(|frame| frame.map_err(failed)));
        }
        ready!(self.deadline.as_mut().poll(cx));
        Poll::Ready(Some(Err(HttpError::new(
            HttpErrorKind::Timeout,
            TimedOut("no more of the response", BODY_TIMEOUT),
        ))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}
