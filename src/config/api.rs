//! The BBB API: secrets, checksums, and changes to the parameters of calls.

use super::{CallParameters, Env};
use crate::bbb::{Algorithm, Secret};
use url::Host;

/// Settings of the BBB API.
#[derive(Debug, Clone)]
pub struct ApiConfig {
    /// LOADBALANCER_SECRET and LOADBALANCER_SECRETS: a client may sign with any of them.
    pub secrets: Vec<Secret>,
    /// LOADBALANCER_CHECKSUM_ALGORITHM.
    pub algorithms: Vec<Algorithm>,
    /// Signs requests to servers: the strongest algorithm that LOADBALANCER_CHECKSUM_ALGORITHM names, SHA-256
    /// if it is not set (every BBB server since 2.3 accepts that).
    pub sign_with: Algorithm,
    /// URL_HOST; None serves all hosts.
    pub url_host: Option<String>,
    /// BUILD_NUMBER.
    pub build_number: Option<String>,
    /// GET_MEETINGS_API_DISABLED.
    pub get_meetings_disabled: bool,
    /// MAX_MEETING_DURATION, minutes; None is no limit.
    pub max_meeting_duration: Option<u32>,
    /// DISABLED_REFUSES_JOINS, as Scalelite does.
    pub disabled_refuses_joins: bool,
    /// VOICE_BRIDGE_LEN, 1 to 18.
    pub voice_bridge_len: usize,
    /// USE_EXTERNAL_VOICE_BRIDGE.
    pub external_voice_bridge: bool,
    /// CREATE_FAILOVER_TRIES.
    pub failover_tries: usize,
    /// UNTAGGED_FALLBACK.
    pub untagged_fallback: bool,
    /// CREATE_EXCLUDE_PARAMS, DEFAULT_CREATE_PARAMS, OVERRIDE_CREATE_PARAMS.
    pub create: CallParameters,
    /// JOIN_EXCLUDE_PARAMS, DEFAULT_JOIN_PARAMS, OVERRIDE_JOIN_PARAMS.
    pub join: CallParameters,
    /// SERVER_ID_IS_HOSTNAME.
    pub server_id_is_hostname: bool,
    /// MAX_BODY_SIZE.
    pub max_body_bytes: usize,
    /// ALLOW_BODY_CHECKSUM. Such a checksum covers the query alone, so that with an empty query it is the same for all
    /// requests of a call, whatever their form says, and for ever.
    pub allow_body_checksum: bool,
}

impl ApiConfig {
    pub(super) fn from_env(env: &mut Env<'_>) -> ApiConfig {
        let mut secrets: Vec<Secret> = Vec::new();
        secrets.extend(env.secret("LOADBALANCER_SECRET", "secret that clients sign with").map(Secret::from));
        if let Some(more) = env.secret("LOADBALANCER_SECRETS", "more secrets, separated by colons") {
            secrets.extend(more.split(':').map(str::trim).filter(|s| !s.is_empty()).map(Secret::from));
        }
        let given = env.optional(
            "LOADBALANCER_CHECKSUM_ALGORITHM",
            "algorithms that clients may sign with: SHA1, SHA256, SHA384, SHA512, separated by colons (default: all)",
        );
        let mut algorithms = Algorithm::ALL.to_vec();
        let mut sign_with = Algorithm::Sha256;
        if let Some(list) = given {
            let named: Option<Vec<_>> = list.split([':', ',']).map(Algorithm::parse).collect();
            match named {
                Some(named) if !named.is_empty() => {
                    sign_with = named.iter().copied().max().unwrap_or(sign_with);
                    algorithms = named;
                }
                _ => env.mistake(
                    "LOADBALANCER_CHECKSUM_ALGORITHM",
                    "must be a list of SHA1, SHA256, SHA384, SHA512, separated by colons",
                ),
            }
        }
        ApiConfig {
            secrets,
            algorithms,
            sign_with,
            url_host: env
                .parsed(
                    "URL_HOST",
                    "",
                    url_host,
                    "the only host that is served, with its subdomains (default: all hosts)",
                )
                .flatten(),
            build_number: env.optional("BUILD_NUMBER", "build number in the response of the index call"),
            get_meetings_disabled: env.flag(
                "GET_MEETINGS_API_DISABLED",
                false,
                "getMeetings always returns no meetings",
            ),
            max_meeting_duration: Some(env.number(
                "MAX_MEETING_DURATION",
                0u32,
                |_| true,
                "must be a number of minutes, 0 or more",
                "maximum duration of a meeting, minutes (0: no limit)",
            ))
            .filter(|minutes| *minutes > 0),
            disabled_refuses_joins: env.flag(
                "DISABLED_REFUSES_JOINS",
                false,
                "refuse joins to meetings on disabled servers",
            ),
            voice_bridge_len: env.number(
                "VOICE_BRIDGE_LEN",
                9usize,
                |n| (1..=18).contains(n),
                "must be a number of digits from 1 to 18",
                "number of digits of a voice bridge",
            ),
            external_voice_bridge: env.flag(
                "USE_EXTERNAL_VOICE_BRIDGE",
                false,
                "use the voiceBridge that a client sends, if it is free",
            ),
            failover_tries: env.number(
                "CREATE_FAILOVER_TRIES",
                2usize,
                |n| *n <= 100,
                "must be a number from 0 to 100",
                "how many more servers a create tries after one failed",
            ),
            untagged_fallback: env.flag(
                "UNTAGGED_FALLBACK",
                false,
                "place untagged meetings on any server if all servers are tagged",
            ),
            create: CallParameters::from_env(
                env,
                ["CREATE_EXCLUDE_PARAMS", "DEFAULT_CREATE_PARAMS", "OVERRIDE_CREATE_PARAMS"],
            ),
            join: CallParameters::from_env(
                env,
                ["JOIN_EXCLUDE_PARAMS", "DEFAULT_JOIN_PARAMS", "OVERRIDE_JOIN_PARAMS"],
            ),
            server_id_is_hostname: env.flag(
                "SERVER_ID_IS_HOSTNAME",
                false,
                "use the host of a new server as its id",
            ),
            max_body_bytes: env.number(
                "MAX_BODY_SIZE",
                32 * 1024 * 1024usize,
                |n| *n >= 1024,
                "must be a number of bytes, 1024 or more",
                "maximum size of a request body, bytes",
            ),
            allow_body_checksum: env.flag(
                "ALLOW_BODY_CHECKSUM",
                true,
                "accept a checksum in a form instead of the query: it does not cover the form",
            ),
        }
    }

    /// Whether a Host header (`name[:port]`) names URL_HOST or a subdomain of it. False if URL_HOST is not set.
    pub fn names_url_host(&self, requested: &str) -> bool {
        let Some(host) = &self.url_host else { return false };
        let requested = match requested.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
            _ => requested,
        };
        let requested = requested.trim_end_matches('.').to_ascii_lowercase();
        match requested.strip_suffix(host.as_str()) {
            Some(rest) => {
                rest.is_empty()
                    || rest.strip_suffix('.').is_some_and(|sub| {
                        sub.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
                    })
            }
            None => false,
        }
    }
}

/// The host as it stands in a Host header, in lower case. None serves all hosts.
fn url_host(text: &str) -> Result<Option<String>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    // Rails writes a domain with its subdomains so.
    let name = text.trim_end_matches('.').trim_start_matches('.');
    if let Ok(host) = parse_host(name) {
        return Ok(Some(host.to_string()));
    }
    let must = "must be a host name such as sl.example.com, without https://, port or path";
    // What was probably meant.
    let rest = name.split_once("://").map_or(name, |(_, rest)| rest);
    let rest = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let host = rest.rsplit_once(':').map_or(rest, |(host, _)| host);
    match parse_host(host) {
        Ok(host) if !text.contains('@') => Err(format!("{must}: write {host}")),
        _ => Err(must.into()),
    }
}

/// A name (in punycode), or an address.
fn parse_host(text: &str) -> Result<Host, ()> {
    if let Ok(address) = text.parse() {
        return Ok(Host::Ipv6(address));
    }
    let is_name =
        |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    match Host::parse(text) {
        Ok(Host::Domain(name)) if !is_name(&name) => Err(()),
        host => host.map_err(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::url_host;

    #[test]
    fn url_host_is_a_host_as_browsers_send_it() {
        for (text, host) in [
            ("sl.example.com", "sl.example.com"),
            ("SL.Example.Com.", "sl.example.com"),
            (".example.com", "example.com"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("my_host", "my_host"),
            ("192.0.2.1", "192.0.2.1"),
            ("2001:db8::1", "[2001:db8::1]"),
            ("[2001:db8::1]", "[2001:db8::1]"),
        ] {
            assert_eq!(url_host(text), Ok(Some(host.to_owned())), "{text}");
        }
        assert_eq!(url_host(""), Ok(None));
    }

    #[test]
    fn url_host_with_scheme_port_or_path_is_refused_with_the_host_that_was_meant() {
        for text in [
            "https://sl.example.com",
            "https://sl.example.com/",
            "sl.example.com:443",
            "sl.example.com/",
            "http://sl.example.com:3000/bigbluebutton/api?x",
        ] {
            let must = url_host(text).unwrap_err();
            assert!(
                must.starts_with("must be a host name") && must.ends_with("write sl.example.com"),
                "{must}"
            );
        }
        for text in ["a b", "*.example.com", "a,b", "a b:1", "https://user@h", "/", "https://"] {
            let must = url_host(text).unwrap_err();
            assert!(must.ends_with("port or path"), "{text}: {must}");
        }
    }
}
