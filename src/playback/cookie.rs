//! The cookie of a browser that came by a link to a protected recording: good for one format of one
//! recording, for some hours, and signed, so that no replica has to remember it. Scalelite's are the same:
//! who is watching when the one takes the other's place goes on watching.

use super::Place;
use crate::bbb::Secret;
use crate::jwt::{self, Algorithm};
use http::HeaderMap;
use http::header::COOKIE;
use serde::{Deserialize, Serialize};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[derive(Serialize, Deserialize)]
struct Claims {
    /// `/{format}/{recordID}`
    sub: String,
    /// Seconds since 1970. A cookie without an end is none.
    exp: u64,
}

fn name(place: &Place) -> String {
    format!("recording_{}_{}", place.format, place.id)
}

/// The value of a Set-Cookie header. SameSite=None: recordings are shown inside the pages of others.
pub fn issue(key: &Secret, place: &Place, now: SystemTime, lifetime: Duration) -> String {
    let path = place.path();
    let end = (now + lifetime).duration_since(UNIX_EPOCH).unwrap_or_default();
    let claims = Claims { sub: path.clone(), exp: end.as_secs() };
    let token = jwt::sign(Algorithm::Hs256, key.expose().as_bytes(), &claims);
    format!("{}={token}; Path={path}; Secure; HttpOnly; SameSite=None", name(place))
}

/// Whether a request has such a cookie for this format of this recording.
pub fn admits(key: &Secret, place: &Place, headers: &HeaderMap, now: SystemTime) -> bool {
    let (name, path) = (name(place), place.path());
    let admits = |pair: &str| {
        let token = pair.trim().strip_prefix(&name)?.strip_prefix('=')?;
        jwt::verify::<Claims>(Algorithm::Hs256, key.expose().as_bytes(), token, now)
            .filter(|claims| claims.sub == path)
    };
    // Cookies of other programs on this host may have any bytes.
    let lines = headers.get_all(COOKIE).iter().map(|line| String::from_utf8_lossy(line.as_bytes()));
    lines.into_iter().any(|line| line.split(';').any(|pair| admits(pair).is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recordings::{FormatName, RecordId};
    use http::HeaderValue;

    fn place(format: &str, id: &str) -> Place {
        Place { id: RecordId::parse(id).unwrap(), format: FormatName::parse(format).unwrap() }
    }

    fn with(lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(COOKIE, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        headers
    }

    #[test]
    fn it_is_good_for_its_recording_and_format_until_it_ends() {
        let key = Secret::from("key");
        let now = UNIX_EPOCH + Duration::from_secs(1000);
        let ours = place("video", "r1");
        let cookie = issue(&key, &ours, now, Duration::from_secs(60));
        let (pair, attributes) = cookie.split_once("; ").unwrap();
        assert_eq!(attributes, "Path=/video/r1; Secure; HttpOnly; SameSite=None");
        let token = pair.strip_prefix("recording_video_r1=").unwrap();

        assert!(admits(&key, &ours, &with(&[pair]), now));
        assert!(admits(
            &key,
            &ours,
            &with(&["a=b", &format!("x; ü=ü; recording_video_r1=old;{pair}; c=d")]),
            now
        ));
        assert!(!admits(&key, &ours, &with(&[pair]), now + Duration::from_secs(60)), "over");
        assert!(!admits(&Secret::from("another"), &ours, &with(&[pair]), now));
        assert!(!admits(&key, &ours, &with(&[]), now));
        for other in [place("video", "r2"), place("presentation", "r1")] {
            assert!(!admits(&key, &other, &with(&[pair]), now));
            // Under the other's name.
            let renamed = format!("{}={token}", name(&other));
            assert!(!admits(&key, &other, &with(&[&renamed]), now));
        }
    }

    #[test]
    fn one_without_an_end_is_none() {
        let key = Secret::from("key");
        let claims = serde_json::json!({ "sub": "/video/r1" });
        let token = jwt::sign(Algorithm::Hs256, b"key", &claims);
        let pair = format!("recording_video_r1={token}");
        assert!(!admits(&key, &place("video", "r1"), &with(&[&pair]), UNIX_EPOCH));
    }
}
