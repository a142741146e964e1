//! The one client that calls BBB servers. It signs the bytes that go on the wire, limits time and size
//! of every response, and returns only what is a BBB response.

use super::ServerCallError;
use super::body::{self, Fetched};
use super::in_flight::InFlight;
use crate::bbb::xml_reader::{self, Envelope, MeetingList};
use crate::bbb::{Algorithm, Params};
use crate::config::ServerClientConfig;
use crate::net::connector::Connector;
use crate::net::root_cause;
use crate::store::ServerRef;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::{HeaderValue, Method, Request};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use std::sync::Arc;
use std::time::Duration;

/// A create with a longer query is sent as a form instead: servers cap request lines near 8 KB, and
/// welcome texts are long. Other calls are short, and BBB accepts some as GET only.
const MAX_QUERY_BYTES: usize = 2048;

/// Limit of a response of a call that lists nothing, if MAX_ANSWER_SIZE is not lower. They have a few KB.
const MAX_RESPONSE_BYTES: usize = 1024 * 1024;

/// Limit of a response of the index call.
const MAX_INDEX_BYTES: usize = 64 * 1024;

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
    /// The whole response: byte for byte, or repaired where it is malformed.
    pub body: Bytes,
    /// Its `returncode` and message.
    pub envelope: Envelope,
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
        let max_bytes = match call {
            "getMeetings" | "getMeetingInfo" => self.max_response_bytes,
            _ => self.max_response_bytes.min(MAX_RESPONSE_BYTES),
        };
        let fetched = self.fetch(self.request(server, call, params, payload)?, max_bytes).await?;
        let (body, envelope) = fetched.read(xml_reader::read_response).await?;
        Ok(ServerResponse { body, envelope })
    }

    /// The server's meetings, for the poll.
    pub async fn meetings(
        &self,
        server: &ServerRef,
        max_meetings: usize,
    ) -> Result<MeetingList, ServerCallError> {
        let request = self.request(server, "getMeetings", &Params::default(), Payload::None)?;
        let fetched = self.fetch(request, self.max_response_bytes).await?;
        // Counted before it is read: a very long list takes a multiple of its size in memory.
        let listed = memchr::memmem::find_iter(&fetched.body, b"<meetingID>").count();
        if listed > max_meetings {
            return Err(ServerCallError::TooManyMeetings { listed, max: max_meetings });
        }
        fetched.read(|body| xml_reader::read_meetings(&body)).await
    }

    /// The BBB version from the server's unsigned index call; None if it has none.
    ///
    /// # Errors
    /// The server does not respond as BBB does.
    pub async fn version(&self, server: &ServerRef) -> Result<Option<String>, ServerCallError> {
        let request =
            Request::get(base(&server.url)).body(Full::default()).map_err(|_| ServerCallError::Url)?;
        let (body, _) = self.fetch(request, MAX_INDEX_BYTES).await?.read(xml_reader::read_response).await?;
        Ok(xml_reader::read_field(&body, "bbbVersion").filter(|version| version.len() <= 100))
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

    async fn fetch(
        &self,
        request: Request<Full<Bytes>>,
        max_bytes: usize,
    ) -> Result<Fetched, ServerCallError> {
        let fetch = async {
            let response = self.client.request(request).await.map_err(|error| {
                if error.is_connect() {
                    ServerCallError::Connect(root_cause(&error))
                } else {
                    ServerCallError::Broken(root_cause(&error))
                }
            })?;
            body::receive(response, max_bytes).await
        };
        match tokio::time::timeout(self.timeout, fetch).await {
            Ok(result) => result,
            Err(_) => Err(ServerCallError::Timeout(self.timeout)),
        }
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
