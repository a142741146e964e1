//! The BBB API: secrets, checksums, and what is done to parameters on their way.

use super::{CallParameters, Env};
use crate::bbb::{Algorithm, Secret};

/// See the fields.
#[derive(Debug, Clone)]
pub struct ApiConfig {
    /// LOADBALANCER_SECRET and those of LOADBALANCER_SECRETS: any of them may have signed.
    pub secrets: Vec<Secret>,
    /// LOADBALANCER_CHECKSUM_ALGORITHM: what clients may sign with.
    pub algorithms: Vec<Algorithm>,
    /// What we sign with towards servers: the strongest one that the setting names, SHA-256 if it
    /// is not set (every BBB server since 2.3 takes it).
    pub sign_with: Algorithm,
    /// URL_HOST: only this host and its subdomains are served; None serves all.
    pub url_host: Option<String>,
    /// BUILD_NUMBER, answered by the index call.
    pub build_number: Option<String>,
    /// GET_MEETINGS_API_DISABLED: getMeetings always answers that there are none.
    pub get_meetings_disabled: bool,
    /// MAX_MEETING_DURATION in minutes; None is no limit.
    pub max_meeting_duration: Option<u32>,
    /// DISABLED_REFUSES_JOINS: Scalelite's rule that nobody joins on a disabled server.
    pub disabled_refuses_joins: bool,
    /// VOICE_BRIDGE_LEN: digits of a voice bridge number, 1 to 18.
    pub voice_bridge_len: usize,
    /// USE_EXTERNAL_VOICE_BRIDGE: the client's own number is tried first.
    pub external_voice_bridge: bool,
    /// CREATE_FAILOVER_TRIES: how many more servers a create tries after one failed.
    pub failover_tries: usize,
    /// UNTAGGED_FALLBACK: any server will do for untagged meetings of a pool that has only tagged ones.
    pub untagged_fallback: bool,
    /// CREATE_EXCLUDE_PARAMS, DEFAULT_CREATE_PARAMS, OVERRIDE_CREATE_PARAMS.
    pub create: CallParameters,
    /// The same for join.
    pub join: CallParameters,
    /// SERVER_ID_IS_HOSTNAME: a server that is added gets its host as id.
    pub server_id_is_hostname: bool,
    /// MAX_BODY_SIZE: the largest request body taken in, bytes.
    pub max_body: usize,
}

impl ApiConfig {
    pub(super) fn from_env(env: &mut Env<'_>) -> ApiConfig {
        let mut secrets: Vec<Secret> = Vec::new();
        secrets
            .extend(env.secret("LOADBALANCER_SECRET", "the secret that clients sign with").map(Secret::from));
        if let Some(more) = env.secret("LOADBALANCER_SECRETS", "more secrets, separated by colons") {
            secrets.extend(more.split(':').map(str::trim).filter(|s| !s.is_empty()).map(Secret::from));
        }
        let given = env.optional(
            "LOADBALANCER_CHECKSUM_ALGORITHM",
            "what clients may sign with: SHA1, SHA256, SHA384, SHA512, separated by colons (default: all)",
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
                .optional("URL_HOST", "only this host and its subdomains are served (default: all)")
                .map(|host| host.trim().trim_end_matches('.').to_ascii_lowercase()),
            build_number: env.optional("BUILD_NUMBER", "answered by the index call"),
            get_meetings_disabled: env.flag(
                "GET_MEETINGS_API_DISABLED",
                false,
                "getMeetings always answers that there are none",
            ),
            max_meeting_duration: Some(env.number(
                "MAX_MEETING_DURATION",
                0u32,
                |_| true,
                "must be a number of minutes, 0 or more",
                "longest duration of a meeting, minutes (0: no limit)",
            ))
            .filter(|minutes| *minutes > 0),
            disabled_refuses_joins: env.flag(
                "DISABLED_REFUSES_JOINS",
                false,
                "nobody joins meetings on disabled servers",
            ),
            voice_bridge_len: env.number(
                "VOICE_BRIDGE_LEN",
                9usize,
                |n| (1..=18).contains(n),
                "must be a number of digits from 1 to 18",
                "digits of a voice bridge number",
            ),
            external_voice_bridge: env.flag(
                "USE_EXTERNAL_VOICE_BRIDGE",
                false,
                "the voiceBridge that a client sends is tried first",
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
                "untagged meetings go to any server when the pool has only tagged ones",
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
                "a server that is added gets its host as id",
            ),
            max_body: env.number(
                "MAX_BODY_SIZE",
                32 * 1024 * 1024usize,
                |n| *n >= 1024,
                "must be a number of bytes, 1024 or more",
                "largest request body taken in, bytes",
            ),
        }
    }
}
