//! One attempt to deliver a callback: a POST of a form with a signed token to the client's URL.

use crate::bbb::{Algorithm as Checksum, Secret};
use crate::config::Config;
use crate::jwt::{self, Algorithm};
use crate::net::public_address::NotPublic;
use crate::net::public_connector::{PublicConnector, find_blocked_address};
use crate::net::root_cause;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use serde::Serialize;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::time::timeout;
use url::Url;

/// More than one or two redirects are a loop, or an attack.
const MAX_REDIRECTS: usize = 3;

/// Limit of a response's head.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// Limit of a response's body. It has no meaning for us: it is read so that the receiver does not see its
/// connection break while it writes.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// The outcome of an attempt. The texts contain no part of the URL except addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// The receiver accepted it.
    Delivered(String),
    /// A permanent failure.
    Failed(String),
    /// A transient failure; the receiver may say when to retry.
    Retry(String, Option<Duration>),
}

/// Delivers callbacks. Cheap to clone.
#[derive(Clone)]
pub struct CallbackClient {
    client: Client<HttpsConnector<PublicConnector>, Full<Bytes>>,
    secrets: Arc<[Secret]>,
    algorithm: Algorithm,
    timeout: Duration,
}

/// The claims of the signed token.
#[derive(Serialize)]
struct ReadyClaims<'a> {
    meeting_id: &'a str,
    record_id: &'a str,
}

struct Reply {
    status: StatusCode,
    headers: HeaderMap,
}

/// Time limit for reading a response's body, as a share of CALLBACK_TIMEOUT.
const BODY_TIMEOUT_SHARE: f32 = 0.25;

#[derive(Debug, thiserror::Error)]
enum AttemptError {
    #[error("blocked: {0}")]
    Refused(#[from] NotPublic),
    #[error("blocked: {0}")]
    BadUrl(&'static str),
    #[error("{0}")]
    Transient(String),
}

impl CallbackClient {
    /// None without LOADBALANCER_SECRET, which signs the tokens.
    pub fn new(config: &Config, tls: &Arc<ClientConfig>) -> Option<CallbackClient> {
        if config.api.secrets.is_empty() {
            return None;
        }
        let timeout = config.callbacks.timeout;
        let connect_timeout = config.servers.connect_timeout.min(timeout / 2);
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            // A new connection for each attempt: the connector checks addresses when it connects.
            .pool_max_idle_per_host(0)
            .http1_max_buf_size(MAX_HEAD_BYTES)
            .build(PublicConnector::with_tls(&config.callbacks.allow_private, connect_timeout, tls));
        let only_sha512 = config.api.algorithms.iter().all(|a| *a == Checksum::Sha512);
        Some(CallbackClient {
            client,
            secrets: config.api.secrets.clone().into(),
            algorithm: if only_sha512 { Algorithm::Hs512 } else { Algorithm::Hs256 },
            timeout,
        })
    }

    /// The longest possible duration of an attempt.
    pub fn max_attempt_time(&self) -> Duration {
        self.timeout.mul_f32(1.0 + BODY_TIMEOUT_SHARE) * self.secrets.len() as u32
    }

    /// Calls the URL of a recording that is ready. Signs with each secret in turn until the receiver accepts
    /// one.
    pub async fn send_recording_ready(
        &self,
        url: &str,
        meeting_id: &str,
        record_id: &str,
    ) -> DeliveryOutcome {
        let claims = ReadyClaims { meeting_id, record_id };
        let mut outcome = DeliveryOutcome::Retry("there is no secret to sign with".into(), None);
        for secret in self.secrets.iter() {
            let token = jwt::sign(self.algorithm, secret.expose().as_bytes(), &claims);
            let form = form_urlencoded::Serializer::new(String::new())
                .append_pair("signed_parameters", &token)
                .finish();
            let reply = match timeout(self.timeout, self.post(url, Bytes::from(form))).await {
                Ok(Ok((reply, body))) => {
                    // The status decides: an error in the body makes no difference.
                    let end = Limited::new(body, MAX_BODY_BYTES).collect();
                    let _ = timeout(self.timeout.mul_f32(BODY_TIMEOUT_SHARE), end).await;
                    reply
                }
                Ok(Err(failure @ (AttemptError::Refused(_) | AttemptError::BadUrl(_)))) => {
                    return DeliveryOutcome::Failed(failure.to_string());
                }
                Ok(Err(failure)) => return DeliveryOutcome::Retry(failure.to_string(), None),
                Err(_) => {
                    return DeliveryOutcome::Retry(format!("no response within {:?}", self.timeout), None);
                }
            };
            outcome = outcome_of(&reply);
            if !matches!(reply.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
                break;
            }
        }
        outcome
    }

    /// Follows redirects: receivers move to https, or to another host.
    async fn post(&self, url: &str, form: Bytes) -> Result<(Reply, Incoming), AttemptError> {
        let mut url = Url::parse(url).map_err(|_| AttemptError::BadUrl("invalid URL"))?;
        for _ in 0..=MAX_REDIRECTS {
            let response = self.client.request(request(&url, form.clone())?).await.map_err(|error| {
                match find_blocked_address(&error) {
                    Some(address) => AttemptError::Refused(address),
                    None => AttemptError::Transient(printable_cause(&error)),
                }
            })?;
            let (head, body) = response.into_parts();
            let reply = Reply { status: head.status, headers: head.headers };
            let moved = matches!(reply.status.as_u16(), 301 | 302 | 307 | 308)
                .then(|| reply.headers.get(LOCATION)?.to_str().ok())
                .flatten();
            let Some(location) = moved else { return Ok((reply, body)) };
            let next =
                url.join(location).map_err(|_| AttemptError::BadUrl("a redirect to an invalid URL"))?;
            if url.scheme() == "https" && next.scheme() != "https" {
                return Err(AttemptError::BadUrl("a redirect away from https"));
            }
            url = next;
        }
        Err(AttemptError::Transient(format!("more than {MAX_REDIRECTS} redirects")))
    }
}

fn request(url: &Url, form: Bytes) -> Result<Request<Full<Bytes>>, AttemptError> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(AttemptError::BadUrl("neither http nor https"));
    }
    let mut target = url.clone();
    target.set_fragment(None);
    // These succeed if the URL has a host.
    let _ = target.set_username("");
    let _ = target.set_password(None);
    let mut request = Request::post(target.as_str())
        .header(USER_AGENT, concat!("sl/", env!("CARGO_PKG_VERSION")))
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    if !url.username().is_empty() || url.password().is_some() {
        let decoded = |part: &str| percent_encoding::percent_decode_str(part).collect::<Vec<u8>>();
        let both = [decoded(url.username()), decoded(url.password().unwrap_or(""))].join(&b':');
        request = request.header(AUTHORIZATION, format!("Basic {}", STANDARD.encode(both)));
    }
    request.body(Full::new(form)).map_err(|_| AttemptError::BadUrl("invalid URL"))
}

fn outcome_of(reply: &Reply) -> DeliveryOutcome {
    let status = reply.status;
    let text = format!("status {}", status.as_u16());
    match status {
        StatusCode::NOT_FOUND | StatusCode::GONE => DeliveryOutcome::Failed(text),
        // 303: the receiver accepted the POST, and offers a page about it.
        status if status.is_success() || status == StatusCode::SEE_OTHER => DeliveryOutcome::Delivered(text),
        _ => DeliveryOutcome::Retry(text, retry_after(&reply.headers, SystemTime::now())),
    }
}

/// The header `Retry-After`: seconds, or a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => httpdate::parse_http_date(text).ok()?.duration_since(now).ok(),
    }
}

/// The innermost cause, which may quote what the receiver sent: short, and without control characters.
fn printable_cause(error: &(dyn std::error::Error + 'static)) -> String {
    root_cause(error).chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    fn reply(status: u16, retry_after: &str) -> Reply {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, retry_after.parse().unwrap());
        Reply { status: StatusCode::from_u16(status).unwrap(), headers }
    }

    #[test]
    fn status_decides_the_outcome() {
        for status in [200, 201, 204, 299, 303] {
            assert!(matches!(outcome_of(&reply(status, "5")), DeliveryOutcome::Delivered(_)), "{status}");
        }
        for status in [404, 410] {
            assert!(matches!(outcome_of(&reply(status, "5")), DeliveryOutcome::Failed(_)), "{status}");
        }
        for status in [100, 300, 304, 400, 401, 403, 405, 429, 500, 503] {
            let outcome = outcome_of(&reply(status, "5"));
            assert_eq!(
                outcome,
                DeliveryOutcome::Retry(format!("status {status}"), Some(Duration::from_secs(5))),
                "{status}"
            );
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777 - 60);
        let after = |text| retry_after(&reply(503, text).headers, now);
        assert_eq!(after("120"), Some(Duration::from_secs(120)));
        assert_eq!(after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::from_secs(60)));
        for text in ["-1", "soon", "", "Sun, 06 Nov 1993 08:49:37 GMT", "99999999999999999999999"] {
            assert_eq!(after(text), None, "{text}");
        }
    }

    #[test]
    fn request_sends_credentials_as_a_header_and_refuses_other_schemes() {
        let made = |url: &str| request(&Url::parse(url).unwrap(), Bytes::new());
        let plain = made("https://e.org/ready?a=1#b").unwrap();
        assert_eq!(
            (plain.uri().to_string().as_str(), plain.headers().get(AUTHORIZATION)),
            ("https://e.org/ready?a=1", None)
        );
        let named = made("http://us%65r:p%3Aw@e.org:8080/").unwrap();
        assert_eq!(named.uri(), "http://e.org:8080/");
        assert_eq!(named.headers()[AUTHORIZATION], "Basic dXNlcjpwOnc=");
        assert_eq!(made("http://0x7f.1/").unwrap().uri().host(), Some("127.0.0.1"));
        for url in ["ftp://e.org/", "file:///etc/passwd", "gopher://e.org", "javascript:1", "unix:/run/x"] {
            assert!(made(url).is_err(), "{url}");
        }
    }
}
