//! JSON Web Tokens (RFC 7519) with a shared secret: HS256 and HS512, and no other algorithm, least of all
//! `none`. Why no crate: docs/decisions/0012-jwt-by-hand.md.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Sha256, Sha512};
use std::time::{SystemTime, UNIX_EPOCH};

/// Longer tokens are rejected unread: ours have some hundred characters.
const MAX_TOKEN_BYTES: usize = 8192;

/// Signature algorithm of a token.
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

    fn mac(self, key: &[u8], text: &str) -> Vec<u8> {
        fn of<M: Mac + KeyInit>(key: &[u8], text: &str) -> Vec<u8> {
            // HMAC takes keys of any length.
            let Ok(mac) = <M as KeyInit>::new_from_slice(key) else { return Vec::new() };
            mac.chain_update(text).finalize().into_bytes().to_vec()
        }
        match self {
            Algorithm::Hs256 => of::<Hmac<Sha256>>(key, text),
            Algorithm::Hs512 => of::<Hmac<Sha512>>(key, text),
        }
    }
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    /// Extensions that the recipient must support. We support none.
    crit: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Validity {
    exp: Option<NumericDate>,
    nbf: Option<NumericDate>,
}

/// Seconds since 1970. RFC 7519 allows fractions; Scalelite writes a string of digits, which is read too.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct NumericDate(pub f64);

impl Serialize for NumericDate {
    /// As a whole number.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0 as u64)
    }
}

impl<'de> Deserialize<'de> for NumericDate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<NumericDate, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(f64),
            Text(String),
        }
        let seconds = match Written::deserialize(deserializer)? {
            Written::Number(seconds) => Some(seconds),
            // Not "inf", "NaN", "1e9" or " 1", which f64 reads too.
            Written::Text(text) if text.bytes().all(|b| b.is_ascii_digit() || b == b'.') => text.parse().ok(),
            Written::Text(_) => None,
        };
        let seconds = seconds.filter(|seconds: &f64| seconds.is_finite());
        seconds.map(NumericDate).ok_or_else(|| D::Error::custom("not a number of seconds"))
    }
}

/// Signs a token with these claims.
pub fn sign<T: Serialize>(algorithm: Algorithm, key: &[u8], claims: &T) -> String {
    let header = format!(r#"{{"alg":"{}","typ":"JWT"}}"#, algorithm.name());
    // Claims that cannot be serialized leave an empty token, which no recipient accepts.
    let claims = serde_json::to_vec(claims).unwrap_or_default();
    let signed = format!("{}.{}", BASE64.encode(header), BASE64.encode(claims));
    let signature = BASE64.encode(algorithm.mac(key, &signed));
    format!("{signed}.{signature}")
}

/// The claims of a token that was signed with this algorithm and key and is valid at `now`. `exp` and `nbf`
/// are checked if present; a caller that requires one of them makes it a field of `T`. An empty key verifies
/// no token.
pub fn verify<T: DeserializeOwned>(
    algorithm: Algorithm,
    key: &[u8],
    token: &str,
    now: SystemTime,
) -> Option<T> {
    if token.len() > MAX_TOKEN_BYTES || key.is_empty() {
        return None;
    }
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    let header: Header = serde_json::from_slice(&BASE64.decode(header).ok()?).ok()?;
    if header.alg != algorithm.name() || header.crit.is_some() {
        return None;
    }
    let (given, expected) = (BASE64.decode(signature).ok()?, algorithm.mac(key, signed));
    if !bool::from(subtle::ConstantTimeEq::ct_eq(&given[..], &expected[..])) {
        return None;
    }
    let claims = BASE64.decode(claims).ok()?;
    let validity: Validity = serde_json::from_slice(&claims).ok()?;
    let now = now.duration_since(UNIX_EPOCH).ok()?.as_secs_f64();
    if validity.exp.is_some_and(|exp| now >= exp.0) || validity.nbf.is_some_and(|nbf| now < nbf.0) {
        return None;
    }
    serde_json::from_slice(&claims).ok()
}

/// The claims of a token, unverified: for a cheap look at it before [`verify`].
pub fn unverified<T: DeserializeOwned>(token: &str) -> Option<T> {
    if token.len() > MAX_TOKEN_BYTES {
        return None;
    }
    let (_, rest) = token.split_once('.')?;
    let (claims, _) = rest.split_once('.')?;
    serde_json::from_slice(&BASE64.decode(claims).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::time::Duration;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn read(algorithm: Algorithm, key: &[u8], token: &str, seconds: u64) -> Option<Value> {
        verify(algorithm, key, token, at(seconds))
    }

    /// Tokens made with Python's hmac and base64.
    #[test]
    fn tokens_of_another_implementation_are_verified() {
        const HS256: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhIiwiZXhwIjoxMDB9.\
            Hx4G50mxG7j00ro4Crmh32AnUqhpVuV_UoL9yeqCuhY";
        const HS512: &str = "eyJhbGciOiJIUzUxMiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhIiwiZXhwIjoxMDB9.\
            qdr3-VaWQHydcCYoAPwANO7RG3J-WuvO9v3pCcsgYk2y5Ay9jXM3tIsunrmDOzoyrZFnFMznBC_QOie6UG-o0A";
        for (algorithm, token) in [(Algorithm::Hs256, HS256), (Algorithm::Hs512, HS512)] {
            let claims = json!({ "sub": "a", "exp": 100 });
            assert_eq!(read(algorithm, b"key", token, 99), Some(claims.clone()));
            assert_eq!(sign(algorithm, b"key", &claims).split('.').count(), 3);
        }
    }

    #[test]
    fn only_an_unchanged_token_with_the_right_key_and_time_is_verified() {
        let claims = json!({ "sub": "/video/r1", "exp": 100, "nbf": 50 });
        for (algorithm, other) in [(Algorithm::Hs256, Algorithm::Hs512), (Algorithm::Hs512, Algorithm::Hs256)]
        {
            let token = sign(algorithm, b"key", &claims);
            assert_eq!(read(algorithm, b"key", &token, 50), Some(claims.clone()));
            assert_eq!(read(algorithm, b"key", &token, 100), None, "expired");
            assert_eq!(read(algorithm, b"key", &token, 49), None, "not yet");
            assert_eq!(read(algorithm, b"another", &token, 60), None);
            assert_eq!(read(algorithm, b"", &token, 60), None);
            assert_eq!(read(other, b"key", &token, 60), None);
            for broken in [format!("{token}x"), format!("{token}."), token[1..].to_owned(), String::new()] {
                assert_eq!(read(algorithm, b"key", &broken, 60), None, "{broken}");
            }
            let (signed, signature) = token.rsplit_once('.').unwrap();
            assert_eq!(read(algorithm, b"key", &format!("{signed}."), 60), None);
            let (header, _) = signed.split_once('.').unwrap();
            let forged = BASE64.encode(r#"{"sub":"/video/r2","exp":100}"#);
            assert_eq!(read(algorithm, b"key", &format!("{header}.{forged}.{signature}"), 60), None);
        }
        assert_eq!(read(Algorithm::Hs256, b"", &sign(Algorithm::Hs256, b"", &claims), 60), None);
    }

    #[test]
    fn a_token_cannot_choose_its_algorithm() {
        let claims = BASE64.encode("{}");
        for header in [
            r#"{"alg":"none"}"#,
            r#"{"alg":"None"}"#,
            r#"{"alg":""}"#,
            r#"{"alg":"HS512"}"#,
            r#"{"alg":"HS256","crit":["b64"],"b64":false}"#,
            r#"{"typ":"JWT"}"#,
            "[]",
        ] {
            let signed = format!("{}.{claims}", BASE64.encode(header));
            let right = BASE64.encode(Algorithm::Hs256.mac(b"key", &signed));
            for signature in ["", &right] {
                let token = format!("{signed}.{signature}");
                assert_eq!(read(Algorithm::Hs256, b"key", &token, 0), None, "{header} {signature}");
            }
        }
        // The same with a correct header.
        let signed = format!("{}.{claims}", BASE64.encode(r#"{"alg":"HS256"}"#));
        let right = BASE64.encode(Algorithm::Hs256.mac(b"key", &signed));
        assert_eq!(read(Algorithm::Hs256, b"key", &format!("{signed}.{right}"), 0), Some(json!({})));
    }

    #[test]
    fn exp_and_nbf_that_are_not_numbers_are_rejected() {
        for not_a_time in
            [json!([]), json!(true), json!(""), json!("."), json!("1e9"), json!("inf"), json!(" 100")]
        {
            for times in [json!({ "exp": not_a_time }), json!({ "nbf": not_a_time })] {
                let token = sign(Algorithm::Hs256, b"key", &times);
                assert_eq!(read(Algorithm::Hs256, b"key", &token, 0), None, "{times}");
            }
        }
    }

    /// Scalelite writes a string.
    #[test]
    fn exp_is_read_as_integer_float_or_string() {
        for exp in [json!(101), json!(100.5), json!("101"), json!("100.5")] {
            let token = sign(Algorithm::Hs256, b"key", &json!({ "exp": exp }));
            assert!(read(Algorithm::Hs256, b"key", &token, 100).is_some(), "{exp}");
            assert!(read(Algorithm::Hs256, b"key", &token, 101).is_none(), "{exp}");
        }
    }
}
