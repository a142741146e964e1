//! HTTP to S3: over the same TLS and hyper as everything else, and never without end. A request has as
//! long as what it asks for may take; an answer that has begun must go on.

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

/// TCP and TLS.
const CONNECT: Duration = Duration::from_secs(5);
/// From the end of a request to the beginning of its answer.
const ANSWER: Duration = Duration::from_secs(10);
/// The same, where S3 works long before it answers: it copies an object, or joins the parts of one.
const LONG_ANSWER: Duration = Duration::from_secs(600);
/// Between two pieces of an answer.
const PIECE: Duration = Duration::from_secs(20);
/// Whoever uploads more slowly than so many bytes a second is lost.
const SLOWEST: u64 = 64 * 1024;

/// Makes one client for all that a storage asks.
#[derive(Clone)]
pub(super) struct Connection(Arc<ClientConfig>);

impl Connection {
    pub(super) fn new(tls: Arc<ClientConfig>) -> Connection {
        Connection(tls)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connection")
    }
}

impl HttpConnector for Connection {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(20))
            .build(Connector::new(&self.0, CONNECT));
        Ok(HttpClient::new(Requests(client)))
    }
}

#[derive(Debug)]
struct Requests(Client<Connector, UnsyncBoxBody<Bytes, HttpError>>);

#[async_trait]
impl HttpService for Requests {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let time = time_for(&request);
        let deletes = *request.method() == Method::DELETE || request.uri().query() == Some("delete");
        let request = request.map(|body| body.boxed_unsync());
        match timeout(time, self.0.request(request)).await {
            Ok(Ok(response)) => Ok(response.map(|body| HttpResponseBody::new(Answer::new(body)))),
            Ok(Err(error)) => Err(failed(error, deletes)),
            Err(_) => Err(HttpError::new(HttpErrorKind::Timeout, Late("no answer", time))),
        }
    }
}

fn time_for(request: &HttpRequest) -> Duration {
    let joins = *request.method() == Method::POST
        && request.uri().query().is_some_and(|query| query.contains("uploadId="));
    if joins || request.headers().contains_key("x-amz-copy-source") {
        return LONG_ANSWER;
    }
    CONNECT + ANSWER + Duration::from_secs(request.body().content_length() as u64 / SLOWEST)
}

/// Whether it is sent again depends on the kind. Deleting twice does no harm, which the library does not
/// believe unless it is told that nothing was sent.
fn failed(error: Error, deletes: bool) -> HttpError {
    let kind = match (error.is_connect(), deletes) {
        (true, _) => HttpErrorKind::Connect,
        (false, true) => HttpErrorKind::Request,
        (false, false) => HttpErrorKind::Interrupted,
    };
    HttpError::new(kind, Cause(error))
}

/// hyper tells why only in the error's sources.
#[derive(Debug)]
struct Cause(Error);

impl fmt::Display for Cause {
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

impl std::error::Error for Cause {}

#[derive(Debug, thiserror::Error)]
#[error("{0} within {1:?}")]
struct Late(&'static str, Duration);

/// A body that fails when it stands still.
struct Answer {
    body: Incoming,
    deadline: Pin<Box<Sleep>>,
}

impl Answer {
    fn new(body: Incoming) -> Answer {
        Answer { body, deadline: Box::pin(sleep(PIECE)) }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            self.deadline.as_mut().reset(Instant::now() + PIECE);
            let failed = |error| HttpError::new(HttpErrorKind::Interrupted, error);
            return Poll::Ready(frame.map(|frame| frame.map_err(failed)));
        }
        ready!(self.deadline.as_mut().poll(cx));
        Poll::Ready(Some(Err(HttpError::new(
            HttpErrorKind::Timeout,
            Late("nothing more of an answer", PIECE),
        ))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}
