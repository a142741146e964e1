//! The one client that speaks to BBB servers. It signs the bytes that go on the wire, bounds time
//! and size of every answer, and hands on only what is a BBB response.

use crate::bbb::xml_reader::{self, Envelope, XmlError};
use crate::bbb::{Algorithm, Params};
use crate::config::BackendConfig;
use crate::net::connector::Connector;
use crate::store::ServerRef;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::{HeaderValue, Method, Request};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

/// The query of a create that is longer than this goes as a form instead: servers cap request lines
/// near 8 KB, and welcome texts are long. Other calls are short, and BBB takes some as GET only.
const LONGEST_QUERY: usize = 2048;

/// Idle connections are closed before the servers' nginx would do it (65 or 75 s), so that a
/// request does not meet a closing connection.
const IDLE: Duration = Duration::from_secs(30);

/// Speaks to BBB servers. One for each thread; cheap to clone.
#[derive(Clone)]
pub struct Backend {
    client: Client<Connector, Full<Bytes>>,
    sign_with: Algorithm,
    deadline: Duration,
    max_answer: usize,
}

/// What goes along with the parameters.
#[derive(Debug, Clone)]
pub enum Payload {
    /// Nothing.
    None,
    /// A document, as it came: content type and bytes.
    Xml(HeaderValue, Bytes),
}

/// A BBB response.
#[derive(Debug, Clone)]
pub struct Reply {
    /// As it came.
    pub body: Bytes,
    /// What it says at its top.
    pub envelope: Envelope,
}

/// Why there is no answer. Says nothing that was signed.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// No connection: the request was not sent.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// The connection broke after the request was, or may have been, sent.
    #[error("no answer: {0}")]
    Broken(String),
    /// RESPONSE_TIMEOUT is over; the request may have been carried out.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// HTTP status 500 or above.
    #[error("status {0}")]
    Status(u16),
    /// Larger than MAX_ANSWER_SIZE.
    #[error("an answer over {0} bytes")]
    TooLarge(usize),
    /// No BBB response.
    #[error("{0}")]
    NotBbb(#[from] XmlError),
    /// The server's URL in Redis is none, or the request does not fit into one.
    #[error("no request can be made of its URL")]
    Url,
}

impl Backend {
    /// A client of its own, for the runtime that it is made in.
    pub fn new(config: &BackendConfig, tls: &Arc<ClientConfig>, sign_with: Algorithm) -> Backend {
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(128)
            .http2_keep_alive_interval(Duration::from_secs(20))
            .http2_keep_alive_timeout(Duration::from_secs(10))
            .build(Connector::new(tls, config.connect_timeout));
        Backend {
            client,
            sign_with,
            deadline: config.connect_timeout + config.response_timeout,
            max_answer: config.max_answer,
        }
    }

    /// The signed URL of a call: where a browser is sent on join.
    pub fn signed_url(&self, server: &ServerRef, call: &str, params: &Params) -> String {
        let query = params.encode();
        let checksum = self.sign_with.sign(call, &query, server.secret.expose());
        let separator = if query.is_empty() { "" } else { "&" };
        format!("{}/{call}?{query}{separator}checksum={checksum}", base(&server.url))
    }

    /// Makes a call and reads the answer. A FAILED answer is an answer.
    pub async fn call(
        &self,
        server: &ServerRef,
        call: &str,
        params: &Params,
        payload: Payload,
    ) -> Result<Reply, BackendError> {
        let body = self.fetch(self.request(server, call, params, payload)?).await?;
        let envelope = xml_reader::read_envelope(&body)?;
        Ok(Reply { body, envelope })
    }

    /// The raw answer to a call without parameters, for who reads all of it anyway.
    pub async fn raw(&self, server: &ServerRef, call: &str) -> Result<Bytes, BackendError> {
        self.fetch(self.request(server, call, &Params::default(), Payload::None)?).await
    }

    /// The BBB version that the server's index call tells, unsigned; None if it does not.
    pub async fn version(&self, server: &ServerRef) -> Option<String> {
        let request = Request::get(base(&server.url)).body(Full::default()).ok()?;
        let body = self.fetch(request).await.ok()?;
        xml_reader::read_field(&body, "bbbVersion").filter(|version| version.len() <= 100)
    }

    fn request(
        &self,
        server: &ServerRef,
        call: &str,
        params: &Params,
        payload: Payload,
    ) -> Result<Request<Full<Bytes>>, BackendError> {
        let form = (call == "create" && matches!(payload, Payload::None)).then(|| params.encode());
        let (method, url, content_type, body) = match (payload, form) {
            (Payload::None, Some(form)) if form.len() > LONGEST_QUERY => {
                let url = self.signed_url(server, call, &Params::default());
                let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
                (Method::POST, url, Some(form_type), Bytes::from(form))
            }
            (Payload::Xml(content_type, body), _) => {
                (Method::POST, self.signed_url(server, call, params), Some(content_type), body)
            }
            _ => (Method::GET, self.signed_url(server, call, params), None, Bytes::new()),
        };
        let mut request = Request::builder()
            .method(method)
            .uri(url)
            .header(USER_AGENT, concat!("sl/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT, "text/xml, application/xml");
        if let Some(content_type) = content_type {
            request = request.header(CONTENT_TYPE, content_type);
        }
        request.body(Full::new(body)).map_err(|_| BackendError::Url)
    }

    async fn fetch(&self, request: Request<Full<Bytes>>) -> Result<Bytes, BackendError> {
        let answer = async {
            let response = self.client.request(request).await.map_err(|error| {
                if error.is_connect() {
                    BackendError::Connect(root_cause(&error))
                } else {
                    BackendError::Broken(root_cause(&error))
                }
            })?;
            if response.status().is_server_error() {
                return Err(BackendError::Status(response.status().as_u16()));
            }
            match Limited::new(response.into_body(), self.max_answer).collect().await {
                Ok(body) => Ok(body.to_bytes()),
                Err(error) if error.is::<LengthLimitError>() => Err(BackendError::TooLarge(self.max_answer)),
                Err(error) => Err(BackendError::Broken(root_cause(error.as_ref()))),
            }
        };
        match tokio::time::timeout(self.deadline, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(BackendError::Timeout(self.deadline)),
        }
    }
}

impl BackendError {
    /// True if the server cannot have carried the request out.
    pub fn never_sent(&self) -> bool {
        matches!(self, BackendError::Connect(_) | BackendError::Url)
    }

    /// True if it speaks against the server's health, rather than against this one request.
    pub fn is_the_servers(&self) -> bool {
        !matches!(self, BackendError::Url | BackendError::TooLarge(_))
    }
}

/// A server's URL without a slash at its end.
fn base(url: &str) -> &str {
    url.trim_end_matches('/')
}

fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(url: &str) -> ServerRef {
        ServerRef { id: "s".into(), url: url.into(), secret: "639259d4-9dd8-4b25-bf01-95f9567eaf4b".into() }
    }

    fn backend(sign_with: Algorithm) -> Backend {
        let config = crate::config::Config::read(&|_| None).unwrap().backend;
        let _ = rustls::crypto::ring::default_provider().install_default();
        let tls = crate::net::connector::tls(&config).unwrap();
        Backend::new(&config, &tls, sign_with)
    }

    #[test]
    fn the_bytes_that_are_signed_are_those_that_are_sent() {
        let backend = backend(Algorithm::Sha1);
        let params = Params::parse("fullName=J%C3%BCrgen%20O'Neil&meetingID=x~y*\"&bare").unwrap();
        let request =
            backend.request(&server("https://h/bigbluebutton/api/"), "join", &params, Payload::None).unwrap();
        let query = request.uri().query().unwrap();
        let signed = "fullName=J%C3%BCrgen+O%27Neil&meetingID=x%7Ey*%22&bare";
        let checksum = Algorithm::Sha1.sign("join", signed, "639259d4-9dd8-4b25-bf01-95f9567eaf4b");
        assert_eq!(query, format!("{signed}&checksum={checksum}"));
        assert_eq!(request.uri().path(), "/bigbluebutton/api/join");
    }

    #[test]
    fn long_queries_become_forms_unless_there_is_a_document() {
        let backend = backend(Algorithm::Sha256);
        let mut params = Params::parse("meetingID=m").unwrap();
        params.set("welcome", "w".repeat(3000));
        let at = server("http://h/bigbluebutton/api");
        let request = backend.request(&at, "create", &params, Payload::None).unwrap();
        assert_eq!(request.method(), Method::POST);
        let checksum = Algorithm::Sha256.sign("create", "", at.secret.expose());
        assert_eq!(request.uri().query().unwrap(), format!("checksum={checksum}"));
        let xml = Payload::Xml(HeaderValue::from_static("application/xml"), Bytes::from("<m/>"));
        let request = backend.request(&at, "create", &params, xml).unwrap();
        assert!(request.uri().query().unwrap().contains("welcome=www"));
        params.set("welcome", "w".repeat(70_000));
        let xml = Payload::Xml(HeaderValue::from_static("application/xml"), Bytes::from("<m/>"));
        assert!(matches!(backend.request(&at, "create", &params, xml), Err(BackendError::Url)));
    }
}
