//! The hosts that are served: URL_HOST and its subdomains.

use crate::config::ApiConfig;
use http::HeaderMap;
use http::header::HOST;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tracing::warn;

/// Between two log lines about refused hosts, whatever their number: each is one request of anybody's.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Characters of a host that are logged.
const MAX_LOGGED_CHARS: usize = 100;

static LAST_LOGGED: Mutex<Option<Instant>> = Mutex::new(None);

/// Whether the Host header names URL_HOST or a subdomain of it.
pub fn is_served(api: &ApiConfig, headers: &HeaderMap) -> bool {
    let requested = headers.get(HOST).and_then(|value| value.to_str().ok());
    requested.is_some_and(|requested| api.names_url_host(requested))
}

/// Logs that a request for another host than `served` was refused, at most once a minute: a wrong URL_HOST refuses
/// everybody, and the log must say why.
pub fn log_refused(served: &str, headers: &HeaderMap) {
    if LAST_LOGGED.lock().is_ok_and(|mut last| is_due(&mut last, Instant::now())) {
        warn!(host = %loggable(headers), "refused requests for a host that is not {served} (URL_HOST)");
    }
}

fn is_due(last: &mut Option<Instant>, now: Instant) -> bool {
    let is_due = last.is_none_or(|last| now.saturating_duration_since(last) >= LOG_INTERVAL);
    if is_due {
        *last = Some(now);
    }
    is_due
}

/// The Host header, escaped and shortened: anybody can send one.
fn loggable(headers: &HeaderMap) -> String {
    let Some(host) = headers.get(HOST) else { return "(none)".to_owned() };
    let text = String::from_utf8_lossy(host.as_bytes());
    let shown: String = text.chars().take(MAX_LOGGED_CHARS).flat_map(char::escape_debug).collect();
    if text.chars().nth(MAX_LOGGED_CHARS).is_some() { shown + "…" } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn refused_hosts_are_logged_once_a_minute() {
        let (mut last, begun) = (None, Instant::now());
        let seconds = [0, 1, 59, 60, 61, 119, 120];
        let due: Vec<bool> =
            seconds.iter().map(|s| is_due(&mut last, begun + Duration::from_secs(*s))).collect();
        assert_eq!(due, [true, false, false, true, false, false, true]);
    }

    #[test]
    fn logged_host_is_escaped_and_short() {
        let with = |host: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_bytes(host).unwrap());
            loggable(&headers)
        };
        assert_eq!(with(b"a.example:443"), "a.example:443");
        assert_eq!(with(b"a\tb\"c"), "a\\tb\\\"c");
        assert_eq!(with(&[b'a'; 1000]).chars().count(), MAX_LOGGED_CHARS + 1);
        assert_eq!(loggable(&HeaderMap::new()), "(none)");
    }
}
