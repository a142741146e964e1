//! The one client that calls BBB servers. It signs the bytes that go on the wire, limits time and size
//! of every response, and returns only what is a BBB response.

use super::in_flight::InFlight;
use crate::bbb::xml_reader::{self, Envelope, XmlError};
use crate::bbb::{Algorithm, Params};
use crate::config::ServerClientConfig;
use crate::net::connector::Connector;
use crate::net::root_cause;
use crate::store::ServerRef;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::{HeaderValue, Method, Request};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use std::sync::Arc;
use std::time::Duration;

/// A create with a longer query is sent as a form instead: servers cap request lines near 8 KB, and
/// welcome texts are long. Other calls are short, and BBB accepts some as GET only.
const MAX_QUERY_BYTES: usize = 2048;

/// Idle connections are closed before the servers' nginx closes them (65 or 75 s), so that a
/// request does not meet a closing connection.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Calls BBB servers. One for each thread; cheap to clone.
#[derive(Clone)]
pub struct ServerClient {
    client: Client<Connector, Full<Bytes>>,
    sign_with: Algorithm,
    timeout: Duration,
    max_response_bytes: usize,
    in_flight: InFlight,
}

/// The body of a call, beside its parameters.
#[derive(Debug, Clone)]
pub enum Payload {
    /// Nothing.
    None,
    /// A document, unchanged: content type and bytes.
    Xml(HeaderValue, Bytes),
}

/// A BBB response.
#[derive(Debug, Clone)]
pub struct ServerResponse {
    /// The whole response, unchanged.
    pub body: Bytes,
    /// Its `returncode` and message.
    pub envelope: Envelope,
}

/// Why a call has no response. The texts contain nothing that was signed.
#[derive(Debug, thiserror::Error)]
pub enum ServerCallError {
    /// No connection: the request was not sent.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// The connection broke after the request was, or may have been, sent.
    #[error("no response: {0}")]
    Broken(String),
    /// No response within the timeout; the server may have processed the request.
    #[error("no response within {0:?}")]
    Timeout(Duration),
    /// HTTP status 500 or above.
    #[error("status {0}")]
    Status(u16),
    /// Larger than MAX_ANSWER_SIZE.
    #[error("the response is larger than {0} bytes (MAX_ANSWER_SIZE)")]
    TooLarge(usize),
    /// Not a BBB response.
    #[error("{0}")]
    NotBbb(#[from] XmlError),
    /// The server's URL in Redis is invalid, or the request is too long for a URL.
    #[error("the server's URL is invalid, or the request is too long for a URL")]
    Url,
    /// As many calls wait for the server as may; this one was not sent.
    #[error("too many calls wait for this server (MAX_CALLS_PER_SERVER)")]
    Busy,
}

impl ServerClient {
    /// A client for the runtime that it is created in.
    pub fn new(config: &ServerClientConfig, tls: &Arc<ClientConfig>, sign_with: Algorithm) -> ServerClient {
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(128)
            .http2_keep_alive_interval(Duration::from_secs(20))
            .http2_keep_alive_timeout(Duration::from_secs(10))
            .build(Connector::new(tls, config.connect_timeout));
        ServerClient {
            client,
            sign_with,
            timeout: config.connect_timeout + config.response_timeout,
            max_response_bytes: config.max_response_bytes,
            in_flight: InFlight::new(config.max_calls),
        }
    }

    /// The signed URL of a call: the target of a join's redirect.
    pub fn signed_url(&self, server: &ServerRef, call: &str, params: &Params) -> String {
        self.sign_query(server, call, &params.encode())
    }

    fn sign_query(&self, server: &ServerRef, call: &str, query: &str) -> String {
        let checksum = self.sign_with.sign(call, query, server.secret.expose());
        let separator = if query.is_empty() { "" } else { "&" };
        format!("{}/{call}?{query}{separator}checksum={checksum}", base(&server.url))
    }

    /// Makes a call and reads the response, which may say FAILED. Fails at once if MAX_CALLS_PER_SERVER calls wait
    /// for the server.
    pub async fn call(
        &self,
        server: &ServerRef,
        call: &str,
        params: &Params,
        payload: Payload,
    ) -> Result<ServerResponse, ServerCallError> {
        let _in_flight = self.in_flight.begin(&server.url).ok_or(ServerCallError::Busy)?;
        let body = self.fetch(self.request(server, call, params, payload)?).await?;
        let envelope = xml_reader::read_envelope(&body)?;
        Ok(ServerResponse { body, envelope })
    }

    /// Makes a call without parameters; the caller parses the response. For polls, which are not bounded.
    pub async fn call_raw(&self, server: &ServerRef, call: &str) -> Result<Bytes, ServerCallError> {
        self.fetch(self.request(server, call, &Params::default(), Payload::None)?).await
    }

    /// The BBB version from the server's unsigned index call; None if it has none.
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
    ) -> Result<Request<Full<Bytes>>, ServerCallError> {
        let query = params.encode();
        let (method, url, content_type, body) = match payload {
            Payload::None if call == "create" && query.len() > MAX_QUERY_BYTES => {
                let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
                (Method::POST, self.sign_query(server, call, ""), Some(form_type), Bytes::from(query))
            }
            Payload::None => (Method::GET, self.sign_query(server, call, &query), None, Bytes::new()),
            Payload::Xml(content_type, body) => {
                (Method::POST, self.sign_query(server, call, &query), Some(content_type), body)
            }
        };
        let mut request = Request::builder()
            .method(method)
            .uri(url)
            .header(USER_AGENT, concat!("sl/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT, "text/xml, application/xml");
        if let Some(content_type) = content_type {
            request = request.header(CONTENT_TYPE, content_type);
        }
        request.body(Full::new(body)).map_err(|_| ServerCallError::Url)
    }

    async fn fetch(&self, request: Request<Full<Bytes>>) -> Result<Bytes, ServerCallError> {
        let fetch = async {
            let response = self.client.request(request).await.map_err(|error| {
                if error.is_connect() {
                    ServerCallError::Connect(root_cause(&error))
                } else {
                    ServerCallError::Broken(root_cause(&error))
                }
            })?;
            if response.status().is_server_error() {
                return Err(ServerCallError::Status(response.status().as_u16()));
            }
            match Limited::new(response.into_body(), self.max_response_bytes).collect().await {
                Ok(body) => Ok(body.to_bytes()),
                Err(error) if error.is::<LengthLimitError>() => {
                    Err(ServerCallError::TooLarge(self.max_response_bytes))
                }
                Err(error) => Err(ServerCallError::Broken(root_cause(error.as_ref()))),
            }
        };
        match tokio::time::timeout(self.timeout, fetch).await {
            Ok(result) => result,
            Err(_) => Err(ServerCallError::Timeout(self.timeout)),
        }
    }
}

impl ServerCallError {
    /// True if the server cannot have processed the request.
    pub fn never_sent(&self) -> bool {
        matches!(self, ServerCallError::Connect(_) | ServerCallError::Url | ServerCallError::Busy)
    }

    /// True if the cause is the server's health, rather than this one request.
    pub fn counts_against_server(&self) -> bool {
        !matches!(self, ServerCallError::Url | ServerCallError::TooLarge(_) | ServerCallError::Busy)
    }
}

/// A server's URL without a trailing slash.
fn base(url: &str) -> &str {
    url.trim_end_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(url: &str) -> ServerRef {
        ServerRef { id: "s".into(), url: url.into(), secret: "639259d4-9dd8-4b25-bf01-95f9567eaf4b".into() }
    }

    fn client(sign_with: Algorithm) -> ServerClient {
        let config = crate::config::Config::read(&|_| None).unwrap().servers;
        let _ = rustls::crypto::ring::default_provider().install_default();
        let tls = crate::net::tls::client_config(None).unwrap();
        ServerClient::new(&config, &tls, sign_with)
    }

    #[test]
    fn sends_the_bytes_that_it_signs() {
        let client = client(Algorithm::Sha1);
        let params = Params::parse("fullName=J%C3%BCrgen%20O'Neil&meetingID=x~y*\"&bare").unwrap();
        let request =
            client.request(&server("https://h/bigbluebutton/api/"), "join", &params, Payload::None).unwrap();
        let query = request.uri().query().unwrap();
        let signed = "fullName=J%C3%BCrgen+O%27Neil&meetingID=x%7Ey*%22&bare";
        let checksum = Algorithm::Sha1.sign("join", signed, "639259d4-9dd8-4b25-bf01-95f9567eaf4b");
        assert_eq!(query, format!("{signed}&checksum={checksum}"));
        assert_eq!(request.uri().path(), "/bigbluebutton/api/join");
    }

    #[test]
    fn sends_a_long_create_as_a_form_unless_it_has_a_document() {
        let client = client(Algorithm::Sha256);
        let mut params = Params::parse("meetingID=m").unwrap();
        params.set("welcome", "w".repeat(3000));
        let at = server("http://h/bigbluebutton/api");
        let request = client.request(&at, "create", &params, Payload::None).unwrap();
        assert_eq!(request.method(), Method::POST);
        let checksum = Algorithm::Sha256.sign("create", "", at.secret.expose());
        assert_eq!(request.uri().query().unwrap(), format!("checksum={checksum}"));
        let xml = Payload::Xml(HeaderValue::from_static("application/xml"), Bytes::from("<m/>"));
        let request = client.request(&at, "create", &params, xml).unwrap();
        assert!(request.uri().query().unwrap().contains("welcome=www"));
        params.set("welcome", "w".repeat(70_000));
        let xml = Payload::Xml(HeaderValue::from_static("application/xml"), Bytes::from("<m/>"));
        assert!(matches!(client.request(&at, "create", &params, xml), Err(ServerCallError::Url)));
    }
}
