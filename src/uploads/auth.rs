//! Who may upload: a BBB server of the pool, with a JWT that it signed with its secret (HS256 or HS512).

use super::refusal::Refusal;
use crate::app::App;
use crate::bbb::Secret;
use crate::jwt::{self, Algorithm, NumericDate};
use crate::recordings::RecordId;
use crate::telemetry::permit_log;
use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tracing::warn;

/// The servers' secrets are read from Redis again after this time; sooner, but at most once in
/// `MIN_SECRETS_AGE`, for a token that none of them has signed.
const MAX_SECRETS_AGE: Duration = Duration::from_secs(10);
const MIN_SECRETS_AGE: Duration = Duration::from_secs(1);
/// A token must expire within a day. Clocks may differ by an hour.
const MAX_TOKEN_LIFETIME: Duration = Duration::from_secs(25 * 3600);

/// What a server says of the archive that it uploads.
#[derive(Deserialize)]
pub(super) struct UploadClaims {
    sub: String,
    exp: NumericDate,
    pub(super) sha256: Option<String>,
    packed: Option<NumericDate>,
}

impl UploadClaims {
    pub(super) fn packed(&self) -> Option<SystemTime> {
        let since_1970 = Duration::try_from_secs_f64(self.packed?.0).ok()?;
        UNIX_EPOCH.checked_add(since_1970)
    }
}

/// The claims for this recording, and the id of the server that signed them.
pub(super) async fn authorize(
    app: &App,
    id: &RecordId,
    headers: &HeaderMap,
) -> Result<(UploadClaims, String), Refusal> {
    let unauthorized = || {
        let reason = "a JWT for this recording, signed with a server's secret, is required";
        Refusal::new(StatusCode::UNAUTHORIZED, reason)
    };
    let token = bearer_token(headers).ok_or_else(unauthorized)?;
    let now = SystemTime::now();
    // Checked before the signature: a token that no signature would make valid must not cause a query to Redis.
    let unverified: UploadClaims = jwt::unverified(token).ok_or_else(unauthorized)?;
    let latest = (now + MAX_TOKEN_LIFETIME).duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64());
    if unverified.sub != id.as_str() || unverified.exp.0 > latest {
        return Err(unauthorized());
    }
    let mut max_age = MAX_SECRETS_AGE;
    loop {
        let (servers, are_fresh) = server_secrets(app, max_age).await?;
        for (server, secret) in servers.iter() {
            let key = secret.expose().as_bytes();
            for algorithm in [Algorithm::Hs256, Algorithm::Hs512] {
                if let Some(claims) = jwt::verify::<UploadClaims>(algorithm, key, token, now) {
                    return Ok((claims, server.clone()));
                }
            }
        }
        if are_fresh || max_age == MIN_SECRETS_AGE {
            return Err(unauthorized());
        }
        // The server may have been added, or have got another secret, since the secrets were cached.
        max_age = MIN_SECRETS_AGE;
    }
}

fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && token.split('.').count() == 3).then_some(token)
}

type ServerSecrets = Arc<[(String, Secret)]>;

/// The id and secret of every server, at most `max_age` old; and whether they were read just now.
async fn server_secrets(app: &App, max_age: Duration) -> Result<(ServerSecrets, bool), Refusal> {
    /// One for the process, so that the workers do not each read all servers.
    static CACHE: Mutex<Option<(Instant, ServerSecrets)>> = Mutex::new(None);
    let cache = || CACHE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((read_at, secrets)) = &*cache()
        && read_at.elapsed() < max_age
    {
        return Ok((secrets.clone(), false));
    }
    let servers = app.store.servers().await.map_err(|error| {
        if let Some(permit) = permit_log("servers for uploads", "") {
            warn!(%error, suppressed = permit.suppressed, "cannot read the servers to authorize an upload");
        }
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "Redis is unavailable")
    })?;
    let secrets: ServerSecrets = servers.into_iter().map(|server| (server.at.id, server.at.secret)).collect();
    *cache() = Some((Instant::now(), secrets.clone()));
    Ok((secrets, true))
}
