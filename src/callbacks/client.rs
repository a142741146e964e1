//! One try of a callback: a form with a signed token, POSTed to where the client said.

use crate::bbb::{Algorithm as Checksum, Secret};
use crate::config::Config;
use crate::jwt::{self, Algorithm};
use crate::net::public_address::NotPublic;
use crate::net::public_connector::{Guarded, refused};
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
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::time::timeout;
use url::Url;

/// More than one or two moves are a loop, or a game.
const MOST_REDIRECTS: usize = 3;

/// Of an answer's head.
const LARGEST_HEAD: usize = 64 * 1024;

/// Of an answer's body, which says nothing to us: it is read so that the receiver is not cut off in
/// mid-sentence.
const LARGEST_BODY: usize = 64 * 1024;

/// What came of a try. The words hold nothing of the URL but addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver took it.
    Delivered(String),
    /// It will never do.
    GaveUp(String),
    /// It may do later, after so long if the receiver says so.
    Later(String, Option<Duration>),
}

/// Delivers callbacks.
#[derive(Clone)]
pub struct Announcer {
    client: Client<HttpsConnector<Guarded>, Full<Bytes>>,
    secrets: Arc<[Secret]>,
    algorithm: Algorithm,
    timeout: Duration,
}

#[derive(Serialize)]
struct Ready<'a> {
    meeting_id: &'a str,
    record_id: &'a str,
}

struct Reply {
    status: StatusCode,
    headers: HeaderMap,
}

/// A try has so many times CALLBACK_TIMEOUT more for listening to the end.
const LISTENING: f32 = 0.25;

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("refused: {0}")]
    Refused(#[from] NotPublic),
    #[error("refused: {0}")]
    BadUrl(&'static str),
    #[error("{0}")]
    Passing(String),
}

impl Announcer {
    /// By the settings; None where they have no secret to sign with.
    pub fn new(config: &Config, tls: &Arc<ClientConfig>) -> Option<Announcer> {
        if config.api.secrets.is_empty() {
            return None;
        }
        let timeout = config.callbacks.timeout;
        let patience = config.servers.connect_timeout.min(timeout / 2);
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            // A connection for each: an address is looked at when it is connected to.
            .pool_max_idle_per_host(0)
            .http1_max_buf_size(LARGEST_HEAD)
            .build(Guarded::with_tls(&config.callbacks.allow_private, patience, tls));
        let only_sha512 = config.api.algorithms.iter().all(|a| *a == Checksum::Sha512);
        Some(Announcer {
            client,
            secrets: config.api.secrets.clone().into(),
            algorithm: if only_sha512 { Algorithm::Hs512 } else { Algorithm::Hs256 },
            timeout,
        })
    }

    /// How long a try may take at most.
    pub fn longest(&self) -> Duration {
        self.timeout.mul_f32(1.0 + LISTENING) * self.secrets.len() as u32
    }

    /// Tells that a recording is ready, signed with each secret in turn until one is right.
    pub async fn recording_ready(&self, url: &str, meeting_id: &str, record_id: &str) -> Outcome {
        let claims = Ready { meeting_id, record_id };
        let mut outcome = Outcome::Later("nothing to sign with".into(), None);
        for secret in self.secrets.iter() {
            let token = jwt::sign(self.algorithm, secret.expose().as_bytes(), &claims);
            let form = form_urlencoded::Serializer::new(String::new())
                .append_pair("signed_parameters", &token)
                .finish();
            let reply = match timeout(self.timeout, self.post(url, Bytes::from(form))).await {
                Ok(Ok((reply, body))) => {
                    // Within bounds. How it ends makes no difference: the status has been said.
                    let end = Limited::new(body, LARGEST_BODY).collect();
                    let _ = timeout(self.timeout.mul_f32(LISTENING), end).await;
                    reply
                }
                Ok(Err(failure @ (Failure::Refused(_) | Failure::BadUrl(_)))) => {
                    return Outcome::GaveUp(failure.to_string());
                }
                Ok(Err(failure)) => return Outcome::Later(failure.to_string(), None),
                Err(_) => return Outcome::Later(format!("no answer within {:?}", self.timeout), None),
            };
            outcome = read(&reply);
            if !matches!(reply.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
                break;
            }
        }
        outcome
    }

    /// Follows redirects: receivers move to https, or to another host.
    async fn post(&self, url: &str, form: Bytes) -> Result<(Reply, Incoming), Failure> {
        let mut url = Url::parse(url).map_err(|_| Failure::BadUrl("it is no URL"))?;
        for _ in 0..=MOST_REDIRECTS {
            let response = self.client.request(request(&url, form.clone())?).await.map_err(|error| {
                match refused(&error) {
                    Some(address) => Failure::Refused(address),
                    None => Failure::Passing(said(&error)),
                }
            })?;
            let (head, body) = response.into_parts();
            let reply = Reply { status: head.status, headers: head.headers };
            let moved = matches!(reply.status.as_u16(), 301 | 302 | 307 | 308)
                .then(|| reply.headers.get(LOCATION)?.to_str().ok())
                .flatten();
            let Some(location) = moved else { return Ok((reply, body)) };
            let next = url.join(location).map_err(|_| Failure::BadUrl("a redirect to what is no URL"))?;
            if url.scheme() == "https" && next.scheme() != "https" {
                return Err(Failure::BadUrl("a redirect away from https"));
            }
            url = next;
        }
        Err(Failure::Passing(format!("more than {MOST_REDIRECTS} redirects")))
    }
}

fn request(url: &Url, form: Bytes) -> Result<Request<Full<Bytes>>, Failure> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Failure::BadUrl("neither http nor https"));
    }
    let mut target = url.clone();
    target.set_fragment(None);
    // Where there is a host, these succeed.
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
    request.body(Full::new(form)).map_err(|_| Failure::BadUrl("no request can be made of it"))
}

fn read(reply: &Reply) -> Outcome {
    let status = reply.status;
    let said = format!("status {}", status.as_u16());
    match status {
        StatusCode::NOT_FOUND | StatusCode::GONE => Outcome::GaveUp(said),
        // 303: what was posted is taken, and there is a page about it.
        status if status.is_success() || status == StatusCode::SEE_OTHER => Outcome::Delivered(said),
        _ => Outcome::Later(said, retry_after(&reply.headers, SystemTime::now())),
    }
}

/// `Retry-After`: seconds, or a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => httpdate::parse_http_date(text).ok()?.duration_since(now).ok(),
    }
}

/// The cause at the bottom.
fn said(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    // It may quote what the other side sent.
    cause.to_string().chars().filter(|c| !c.is_control()).take(200).collect()
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
    fn what_an_answer_means() {
        for status in [200, 201, 204, 299, 303] {
            assert!(matches!(read(&reply(status, "5")), Outcome::Delivered(_)), "{status}");
        }
        for status in [404, 410] {
            assert!(matches!(read(&reply(status, "5")), Outcome::GaveUp(_)), "{status}");
        }
        for status in [100, 300, 304, 400, 401, 403, 405, 429, 500, 503] {
            let outcome = read(&reply(status, "5"));
            assert_eq!(
                outcome,
                Outcome::Later(format!("status {status}"), Some(Duration::from_secs(5))),
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
    fn a_request_goes_to_http_and_https_and_keeps_credentials_out_of_its_target() {
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
