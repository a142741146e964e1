//! JSON Web Tokens signed with a shared secret: HS256 and HS512, and no others.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Sha256, Sha512};
use std::time::{SystemTime, UNIX_EPOCH};

/// What a token is signed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// HMAC with SHA-512.
    Hs512,
}

impl Algorithm {
    fn name(self) -> &'static str {
        match self {
            Algorithm::Hs256 => "HS256",
            Algorithm::Hs512 => "HS512",
        }
    }
}

/// A token with these claims.
pub fn sign<T: Serialize>(algorithm: Algorithm, key: &[u8], claims: &T) -> String {
    let header = format!(r#"{{"alg":"{}","typ":"JWT"}}"#, algorithm.name());
    // Claims are structs of ours: they always become JSON.
    let claims = serde_json::to_vec(claims).unwrap_or_default();
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = match algorithm {
        Algorithm::Hs256 => signature::<Hmac<Sha256>>(key, &signed),
        Algorithm::Hs512 => signature::<Hmac<Sha512>>(key, &signed),
    };
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.unwrap_or_default()))
}

/// The claims of a token; None unless it is signed so, with this key, and in force at `now` (`exp`, `nbf`,
/// where it has them).
pub fn verify<T: DeserializeOwned>(
    algorithm: Algorithm,
    key: &[u8],
    token: &str,
    now: SystemTime,
) -> Option<T> {
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    let json = |part: &str| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(part).ok()?).ok();
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    match algorithm {
        Algorithm::Hs256 => is_signed::<Hmac<Sha256>>(key, signed, &signature)?,
        Algorithm::Hs512 => is_signed::<Hmac<Sha512>>(key, signed, &signature)?,
    }
    let header = json(header)?;
    if header.get("alg")?.as_str()? != algorithm.name() || header.get("crit").is_some() {
        return None;
    }
    let claims = json(claims)?;
    let now = now.duration_since(UNIX_EPOCH).ok()?.as_secs_f64();
    let in_force = |name: &str, holds: fn(f64, f64) -> bool| match claims.get(name) {
        None => true,
        Some(at) => at.as_f64().is_some_and(|at| holds(now, at)),
    };
    if !in_force("exp", |now, exp| now < exp) || !in_force("nbf", |now, nbf| now >= nbf) {
        return None;
    }
    serde_json::from_value(claims).ok()
}

fn signature<M: Mac + KeyInit>(key: &[u8], text: &str) -> Option<Vec<u8>> {
    // HMAC takes keys of any length.
    let mut mac = <M as KeyInit>::new_from_slice(key).ok()?;
    mac.update(text.as_bytes());
    Some(mac.finalize().into_bytes().to_vec())
}

/// In constant time.
fn is_signed<M: Mac + KeyInit>(key: &[u8], text: &str, signature: &[u8]) -> Option<()> {
    let mut mac = <M as KeyInit>::new_from_slice(key).ok()?;
    mac.update(text.as_bytes());
    mac.verify_slice(signature).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::time::Duration;

    const NOW: u64 = 1_767_225_600;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn read(token: &str) -> Option<Value> {
        verify(Algorithm::Hs256, b"key", token, at(NOW))
    }

    #[test]
    fn the_example_of_rfc_7515() {
        let key = URL_SAFE_NO_PAD
            .decode("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
            .unwrap();
        let token = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let claims: Value = verify(Algorithm::Hs256, &key, token, at(1_300_819_379)).unwrap();
        assert_eq!(claims["iss"], "joe");
        assert_eq!(verify::<Value>(Algorithm::Hs256, &key, token, at(1_300_819_380)), None);
        assert_eq!(verify::<Value>(Algorithm::Hs512, &key, token, at(1_300_819_379)), None);
    }

    #[test]
    fn what_is_signed_is_read_by_who_has_the_key() {
        let claims = json!({ "sub": "é\"", "n": 1 });
        for algorithm in [Algorithm::Hs256, Algorithm::Hs512] {
            let token = sign(algorithm, b"key", &claims);
            assert_eq!(verify(algorithm, b"key", &token, at(NOW)), Some(claims.clone()));
            assert_eq!(verify::<Value>(algorithm, b"kez", &token, at(NOW)), None);
        }
        let token = sign(Algorithm::Hs512, b"key", &claims);
        assert_eq!(read(&token), None, "signed otherwise");
    }

    #[test]
    fn a_token_is_in_force_from_nbf_until_exp() {
        let signed = |claims: Value| sign(Algorithm::Hs256, b"key", &claims);
        assert!(read(&signed(json!({ "exp": NOW + 1, "nbf": NOW }))).is_some());
        assert!(read(&signed(json!({ "exp": NOW }))).is_none());
        assert!(read(&signed(json!({ "nbf": NOW + 1 }))).is_none());
        assert!(read(&signed(json!({ "exp": "tomorrow" }))).is_none());
    }

    #[test]
    fn what_is_no_token_is_none() {
        let token = sign(Algorithm::Hs256, b"key", &json!({ "a": 1 }));
        assert!(read(&token).is_some());
        let parts: Vec<_> = token.split('.').collect();
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
        for bad in [
            String::new(),
            "..".into(),
            format!("{}.{}", parts[0], parts[1]),
            format!("{}.{}.", parts[0], parts[1]),
            format!("{header}.{}.", parts[1]),
            format!("{header}.{}.{}", parts[1], parts[2]),
            format!("{token}."),
            format!("{token}a"),
            format!("{}.{}.{}", parts[0], URL_SAFE_NO_PAD.encode("{}"), parts[2]),
        ] {
            assert_eq!(read(&bad), None, "{bad}");
        }
        // Well signed, but told to be something else.
        for header in [r#"{"alg":"HS512"}"#, r#"{"alg":"none"}"#, r#"{}"#, r#"{"alg":"HS256","crit":["x"]}"#]
        {
            let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), parts[1]);
            let signature = signature::<Hmac<Sha256>>(b"key", &signed).unwrap();
            let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
            assert_eq!(read(&token), None, "{header}");
        }
    }
}
