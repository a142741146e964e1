//! The cookie of a browser that has used a link to a protected recording. It admits to one format of one
//! recording, or to a part of one, for some hours, and is signed, so replicas share no state for it. Scalelite's
//! cookies are the same, of whole formats: viewers are not interrupted when one program replaces the other.

use super::FormatId;
use super::link_scope::CookieScope;
use crate::bbb::Secret;
use crate::jwt::{self, Algorithm, NumericDate};
use crate::recordings::FilePath;
use http::HeaderMap;
use http::header::COOKIE;
use serde::{Deserialize, Serialize};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[derive(Serialize, Deserialize)]
struct CookieClaims {
    /// `/{format}/{recordID}`; with the path of a file after it, or of a directory and a slash, that part only.
    sub: String,
    /// Expiry. A cookie without one is invalid.
    exp: NumericDate,
}

fn cookie_name(format_id: &FormatId) -> String {
    format!("recording_{}_{}", format_id.format, format_id.id)
}

/// The value of a Set-Cookie header. SameSite=None, because recordings are embedded in pages of other sites.
pub fn issue(key: &Secret, scope: &CookieScope, now: SystemTime, lifetime: Duration) -> String {
    let end = (now + lifetime).duration_since(UNIX_EPOCH).unwrap_or_default();
    let claims = CookieClaims { sub: scope.subject.clone(), exp: NumericDate(end.as_secs_f64()) };
    let token = jwt::sign(Algorithm::Hs256, key.expose().as_bytes(), &claims);
    let (name, path) = (cookie_name(&scope.format_id), &scope.url_path);
    format!("{name}={token}; Path={path}; Secure; HttpOnly; SameSite=None")
}

/// Whether a request has a valid cookie for a file of this format of this recording; None: for the format.
pub fn has_valid_cookie(
    key: &Secret,
    format_id: &FormatId,
    file: Option<&FilePath>,
    headers: &HeaderMap,
    now: SystemTime,
) -> bool {
    let (name, format_path) = (cookie_name(format_id), format_id.path());
    let covers = |subject: &str| match subject.strip_prefix(&format_path) {
        Some("") => true,
        Some(part) => part.strip_prefix('/').zip(file).is_some_and(|(part, file)| {
            let file = file.as_str();
            file == part || (part.ends_with('/') && file.starts_with(part))
        }),
        None => false,
    };
    let valid_claims = |pair: &str| {
        let token = pair.trim().strip_prefix(&name)?.strip_prefix('=')?;
        jwt::verify::<CookieClaims>(Algorithm::Hs256, key.expose().as_bytes(), token, now)
            .filter(|claims| covers(&claims.sub))
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
        let cookie = issue(&key, &CookieScope::of_format(ours.clone()), now, Duration::from_secs(60));
        let (pair, attributes) = cookie.split_once("; ").unwrap();
        assert_eq!(attributes, "Path=/video/r1; Secure; HttpOnly; SameSite=None");
        let token = pair.strip_prefix("recording_video_r1=").unwrap();

        assert!(has_valid_cookie(&key, &ours, None, &with(&[pair]), now));
        assert!(has_valid_cookie(
            &key,
            &ours,
            None,
            &with(&["a=b", &format!("x; ü=ü; recording_video_r1=old;{pair}; c=d")]),
            now
        ));
        assert!(
            !has_valid_cookie(&key, &ours, None, &with(&[pair]), now + Duration::from_secs(60)),
            "expired"
        );
        assert!(!has_valid_cookie(&Secret::from("another"), &ours, None, &with(&[pair]), now));
        assert!(!has_valid_cookie(&key, &ours, None, &with(&[]), now));
        for other in [format_id("video", "r2"), format_id("presentation", "r1")] {
            assert!(!has_valid_cookie(&key, &other, None, &with(&[pair]), now));
            // With the name of the other's cookie.
            let renamed = format!("{}={token}", cookie_name(&other));
            assert!(!has_valid_cookie(&key, &other, None, &with(&[&renamed]), now));
        }
    }

    #[test]
    fn cookie_of_a_part_admits_to_that_part() {
        let (key, format_id) = (Secret::from("key"), format_id("presentation", "r1"));
        let is_admitted = |subject: &str, file: Option<&str>| {
            let scope = CookieScope {
                format_id: format_id.clone(),
                subject: subject.to_owned(),
                url_path: "/presentation/r1/x".to_owned(),
            };
            let cookie = issue(&key, &scope, UNIX_EPOCH, Duration::from_secs(60));
            let file = file.map(|file| FilePath::parse(file).unwrap());
            has_valid_cookie(&key, &format_id, file.as_ref(), &with(&[&cookie]), UNIX_EPOCH)
        };
        assert!(is_admitted("/presentation/r1/meeting.mp4", Some("meeting.mp4")));
        assert!(is_admitted("/presentation/r1/film/", Some("film/index.html")));
        assert!(is_admitted("/presentation/r1", Some("meeting.mp4")));
        for (subject, file) in [
            ("/presentation/r1/meeting.mp4", Some("meeting.mp4x")),
            ("/presentation/r1/meeting.mp4", Some("meeting.mp4/x")),
            ("/presentation/r1/meeting.mp4", Some("metadata.xml")),
            ("/presentation/r1/meeting.mp4", None),
            ("/presentation/r1/film/", Some("filmed")),
            ("/presentation/r1/film/", None),
            ("/presentation/r10/", Some("meeting.mp4")),
            ("/", Some("meeting.mp4")),
            ("/presentation/", Some("meeting.mp4")),
            ("", Some("meeting.mp4")),
        ] {
            assert!(!is_admitted(subject, file), "{subject} {file:?}");
        }
    }

    #[test]
    fn cookie_without_expiry_is_invalid() {
        let key = Secret::from("key");
        let claims = serde_json::json!({ "sub": "/video/r1" });
        let token = jwt::sign(Algorithm::Hs256, b"key", &claims);
        let pair = format!("recording_video_r1={token}");
        assert!(!has_valid_cookie(&key, &format_id("video", "r1"), None, &with(&[&pair]), UNIX_EPOCH));
    }
}
