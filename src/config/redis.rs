//! The connection to Redis.

use super::mask::{ENCODE_PASSWORD, UrlUser, has_stray_at, mask_url};
use super::tls::redis_tls;
use super::{Env, ServerClientConfig};
use redis::TlsCertificates;
use std::time::Duration;
use url::Url;

/// Settings of the connection to Redis.
#[derive(Clone)]
pub struct RedisConfig {
    /// REDIS_URL: redis://, rediss:// (TLS), or redis+unix:///path; may have an ACL user and password. In the form
    /// of the redis crate.
    pub url: String,
    /// What TLS trusts beside the system's roots (EXTRA_CA_FILE), and our own certificate (REDIS_TLS_CERT,
    /// REDIS_TLS_KEY). None without them.
    pub tls: Option<TlsCertificates>,
    /// The prefix of every key: REDIS_NAMESPACE and a colon, or nothing.
    pub prefix: String,
    /// REDIS_CONNECT_TIMEOUT.
    pub connect_timeout: Duration,
    /// REDIS_RESPONSE_TIMEOUT. After a timeout, the script may have run.
    pub response_timeout: Duration,
}

impl RedisConfig {
    pub(super) fn from_env(env: &mut Env<'_>, servers: &ServerClientConfig) -> RedisConfig {
        let about = "URL of the Redis with the pool's state";
        let text = env.url("REDIS_URL", "redis://127.0.0.1:6379", UrlUser::Password, about);
        let url = connection_url(&text).unwrap_or_else(|must| {
            env.mistake("REDIS_URL", &must);
            text
        });
        let tls = redis_tls(env, &url, servers.extra_ca_file.as_deref());
        // Unlike elsewhere, an empty value differs from an unset one: it means no prefix.
        let namespace = env.namespace();
        RedisConfig {
            url,
            tls,
            prefix: if namespace.is_empty() { String::new() } else { format!("{namespace}:") },
            connect_timeout: env.seconds(
                "REDIS_CONNECT_TIMEOUT",
                1.0,
                "time limit for connecting to Redis, seconds",
            ),
            response_timeout: env.seconds(
                "REDIS_RESPONSE_TIMEOUT",
                2.0,
                "time limit for a response of Redis, seconds",
            ),
        }
    }
}

/// The URL in the form that the redis crate understands. Scalelite's Ruby client also takes a password alone before
/// the host (`redis://password@host`), and some write it before the path of a socket.
fn connection_url(text: &str) -> Result<String, String> {
    let must = |why: &str| format!("must be redis://, rediss:// (TLS) or redis+unix:///path ({why})");
    let (scheme, rest) = text.split_once("://").ok_or_else(|| must("there is no ://"))?;
    let url = match scheme.to_ascii_lowercase().as_str() {
        "unix" | "redis+unix" => socket_url(rest)?,
        "redis" | "rediss" => {
            let mut url = Url::parse(text).map_err(|error| must(&format!("{error}; {ENCODE_PASSWORD}")))?;
            if has_stray_at(&url) {
                return Err(must(ENCODE_PASSWORD));
            }
            if !url.username().is_empty() && url.password().is_none_or(str::is_empty) {
                let password = url.username().to_owned();
                // Both succeed: the URL has a host.
                let _ = url.set_username("");
                let _ = url.set_password(Some(&password));
            }
            url.into()
        }
        _ => return Err(must("another scheme")),
    };
    // The error's text has no part of the URL.
    redis::Client::open(url.as_str()).map_err(|error| must(&error.to_string()))?;
    Ok(url)
}

/// A socket's URL has user and password in its query.
fn socket_url(rest: &str) -> Result<String, String> {
    let (user_info, path) = match rest.rsplit_once("@/") {
        Some((user_info, path)) => (Some(user_info), format!("/{path}")),
        None => (None, rest.to_owned()),
    };
    if !path.starts_with('/') {
        return Err("must be redis+unix:///path, with three slashes and an absolute path".into());
    }
    let mut url = format!("redis+unix://{path}");
    if let Some(user_info) = user_info {
        let (user, password) = user_info.split_once(':').unwrap_or(("", user_info));
        for (name, value) in [("user", user), ("pass", password)] {
            if !value.is_empty() {
                let decoded = percent_encoding::percent_decode_str(value).decode_utf8_lossy();
                let encoded: String = form_urlencoded::byte_serialize(decoded.as_bytes()).collect();
                url += &format!("{}{name}={encoded}", if url.contains('?') { '&' } else { '?' });
            }
        }
    }
    Ok(url)
}

impl std::fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisConfig")
            .field("url", &mask_url(&self.url, UrlUser::Password))
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use redis::IntoConnectionInfo;

    #[test]
    fn every_form_of_a_password_is_understood() {
        for (text, user, password) in [
            ("redis://h", None, None),
            ("redis://:pw@h:6380/1", None, Some("pw")),
            ("redis://pw@h", None, Some("pw")),
            ("redis://pw:@h", None, Some("pw")),
            ("rediss://p%40w@h", None, Some("p@w")),
            ("redis://p@w@h", None, Some("p@w")),
            ("redis://sl:pw@h", Some("sl"), Some("pw")),
            ("redis+unix:///run/r.sock?db=2&pass=p%2Bw", None, Some("p+w")),
            ("unix:///run/r.sock", None, None),
            ("unix://:p%2Bw@/run/r.sock?db=2", None, Some("p+w")),
            ("unix://sl:p/w@/run/r.sock", Some("sl"), Some("p/w")),
        ] {
            let url = connection_url(text).unwrap_or_else(|must| panic!("{text}: {must}"));
            let info = url.as_str().into_connection_info().unwrap();
            let redis = info.redis_settings();
            assert_eq!((redis.username(), redis.password()), (user, password), "{text}");
        }
    }

    #[test]
    fn wrong_url_is_refused_with_its_remedy_and_without_its_password() {
        for text in [
            "redis://:hu/sh@h",
            "redis://:hu#sh@h",
            "redis://:hu?sh@h",
            "redis://sl:12/hush@h",
            "redis://sl:12#hush@h",
            "redis://sl:12?hush@h",
        ] {
            let must = connection_url(text).unwrap_err();
            assert!(must.contains("%2F for /"), "{text}: {must}");
            assert!(!must.contains("hush") && !must.contains("sh@h"), "{text}: {must}");
        }
        for text in
            ["localhost", "localhost:6379", "http://h", "redis://", "redis://h/x", "unix://run/r.sock"]
        {
            assert!(connection_url(text).unwrap_err().starts_with("must be redis"), "{text}");
        }
    }
}
