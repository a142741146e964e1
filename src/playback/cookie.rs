//! The cookie of a browser that has used a link to a protected recording. It admits to one format of one
//! recording for some hours, and is signed, so replicas share no state for it. Scalelite's cookies are the same:
//! viewers are not interrupted when one program replaces the other.

use super::FormatId;
use crate::bbb::Secret;
use crate::jwt::{self, Algorithm, NumericDate};
use http::HeaderMap;
use http::header::COOKIE;
use serde::{Deserialize, Serialize};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[derive(Serialize, Deserialize)]
struct CookieClaims {
    /// `/{format}/{recordID}`
    sub: String,
    /// Expiry. A cookie without one is invalid.
    exp: NumericDate,
}

fn cookie_name(format_id: &FormatId) -> String {
    format!("recording_{}_{}", format_id.format, format_id.id)
}

/// The value of a Set-Cookie header. SameSite=None, because recordings are embedded in pages of other sites.
pub fn issue(key: &Secret, format_id: &FormatId, now: SystemTime, lifetime: Duration) -> String {
    let path = format_id.path();
    let end = (now + lifetime).duration_since(UNIX_EPOCH).unwrap_or_default();
    let claims = CookieClaims { sub: path.clone(), exp: NumericDate(end.as_secs_f64()) };
    let token = jwt::sign(Algorithm::Hs256, key.expose().as_bytes(), &claims);
    format!("{}={token}; Path={path}; Secure; HttpOnly; SameSite=None", cookie_name(format_id))
}

/// Whether a request has a valid cookie for this format of this recording.
pub fn has_valid_cookie(key: &Secret, format_id: &FormatId, headers: &HeaderMap, now: SystemTime) -> bool {
    let (name, path) = (cookie_name(format_id), format_id.path());
    let valid_claims = |pair: &str| {
        let token = pair.trim().strip_prefix(&name)?.strip_prefix('=')?;
        jwt::verify::<CookieClaims>(Algorithm::Hs256, key.expose().as_bytes(), token, now)
            .filter(|claims| claims.sub == path)
    };
    // Cookies of other programs on this host may contain any bytes.
    let lines = headers.get_all(COOKIE).iter().map(|line| String::from_utf8_lossy(line.as_bytes()));
    lines.into_iter().any(|line| line.split(';').any(|pair| valid_claims(pair).is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recordings::{FormatName, RecordId};
    use http::HeaderValue;

    fn format_id(format: &str, id: &str) -> FormatId {
        FormatId { id: RecordId::parse(id).unwrap(), format: FormatName::parse(format).unwrap() }
    }

    fn with(lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(COOKIE, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        headers
    }

    #[test]
    fn cookie_is_valid_for_its_recording_and_format_until_it_expires() {
        let key = Secret::from("key");
        let now = UNIX_EPOCH + Duration::from_secs(1000);
        let ours = format_id("video", "r1");
        let cookie = issue(&key, &ours, now, Duration::from_secs(60));
        let (pair, attributes) = cookie.split_once("; ").unwrap();
        assert_eq!(attributes, "Path=/video/r1; Secure; HttpOnly; SameSite=None");
        let token = pair.strip_prefix("recording_video_r1=").unwrap();

        assert!(has_valid_cookie(&key, &ours, &with(&[pair]), now));
        assert!(has_valid_cookie(
            &key,
            &ours,
            &with(&["a=b", &format!("x; ü=ü; recording_video_r1=old;{pair}; c=d")]),
            now
        ));
        assert!(!has_valid_cookie(&key, &ours, &with(&[pair]), now + Duration::from_secs(60)), "expired");
        assert!(!has_valid_cookie(&Secret::from("another"), &ours, &with(&[pair]), now));
        assert!(!has_valid_cookie(&key, &ours, &with(&[]), now));
        for other in [format_id("video", "r2"), format_id("presentation", "r1")] {
            assert!(!has_valid_cookie(&key, &other, &with(&[pair]), now));
            // With the name of the other's cookie.
            let renamed = format!("{}={token}", cookie_name(&other));
            assert!(!has_valid_cookie(&key, &other, &with(&[&renamed]), now));
        }
    }

    #[test]
    fn cookie_without_expiry_is_invalid() {
        let key = Secret::from("key");
        let claims = serde_json::json!({ "sub": "/video/r1" });
        let token = jwt::sign(Algorithm::Hs256, b"key", &claims);
        let pair = format!("recording_video_r1={token}");
        assert!(!has_valid_cookie(&key, &format_id("video", "r1"), &with(&[&pair]), UNIX_EPOCH));
    }
}
