//! BBB's checksum: the hex hash of call, raw query and secret.
//!
//! The query is hashed byte for byte without its checksum parameter. The length of the checksum gives the algorithm.
//! A POST body is never hashed, but a form body may contain the checksum.

use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};

/// Whether the request has exactly one checksum and it is right. `body_checksums`: the checksum parameters of a form
/// body.
pub(crate) fn verify<'a>(
    call: &str,
    query: &'a str,
    body_checksums: impl IntoIterator<Item = &'a str>,
    secret: &str,
) -> bool {
    let mut checksums =
        query.split('&').filter_map(|part| part.strip_prefix("checksum=")).chain(body_checksums);
    let Some(checksum) = checksums.next() else {
        return false;
    };
    if checksums.next().is_some() {
        return false;
    }
    match checksum.len() {
        40 => checksum_matches::<Sha1>(call, query, secret, checksum),
        64 => checksum_matches::<Sha256>(call, query, secret, checksum),
        96 => checksum_matches::<Sha384>(call, query, secret, checksum),
        128 => checksum_matches::<Sha512>(call, query, secret, checksum),
        _ => false,
    }
}

/// The SHA-256 checksum of a query without a checksum parameter.
pub(crate) fn sign(call: &str, query: &str, secret: &str) -> String {
    hex::encode(digest::<Sha256>(call, query, secret))
}

/// Lower-case hex of SHA-1, as in BBB's internal meeting ids.
pub(crate) fn sha1_hex(text: &str) -> String {
    hex::encode(Sha1::digest(text.as_bytes()))
}

fn checksum_matches<D: Digest>(call: &str, query: &str, secret: &str, checksum: &str) -> bool {
    let digest = digest::<D>(call, query, secret);
    let mut digits = checksum.bytes();
    digest.iter().all(|&byte| {
        let high = digits.next().and_then(hex_digit);
        let low = digits.next().and_then(hex_digit);
        matches!((high, low), (Some(h), Some(l)) if h << 4 | l == byte)
    })
}

fn digest<D: Digest>(call: &str, query: &str, secret: &str) -> sha1::digest::Output<D> {
    let mut hash = D::new();
    hash.update(call.as_bytes());
    let mut first = true;
    for part in query.split('&') {
        if part.starts_with("checksum=") {
            continue;
        }
        if !first {
            hash.update(b"&");
        }
        first = false;
        hash.update(part.as_bytes());
    }
    hash.update(secret.as_bytes());
    hash.finalize()
}

/// The value of a hex digit; BBB accepts both cases.
pub(crate) fn hex_digit(c: u8) -> Option<u8> {
    match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        b'A'..=b'F' => Some(c - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VECTORS: &str = include_str!("../../../../tests/vectors/checksum.tsv");

    /// (call, query, secret, checksum) of every vector.
    fn vectors() -> impl Iterator<Item = (&'static str, &'static str, &'static str, &'static str)> {
        VECTORS.lines().skip(1).map(|line| {
            let columns: Vec<&str> = line.split('\t').collect();
            (columns[0], columns[1], columns[2], columns[4])
        })
    }

    #[test]
    fn vectors_verify_wherever_the_checksum_stands() {
        let mut seen = 0;
        for (call, query, secret, checksum) in vectors() {
            seen += 1;
            let upper = checksum.to_uppercase();
            let mut forms = vec![format!("{query}&checksum={checksum}"), format!("{query}&checksum={upper}")];
            if query.is_empty() {
                forms.push(format!("checksum={checksum}"));
            } else {
                forms.push(format!("checksum={checksum}&{query}"));
                if query.contains('&') {
                    forms.push(query.replacen('&', &format!("&checksum={checksum}&"), 1));
                }
            }
            for form in forms {
                assert!(verify(call, &form, [], secret), "{call}?{form}");
                assert!(!verify(call, &form, [], "another"), "{call}?{form}");
                assert!(!verify(call, &form, [checksum], secret), "two checksums: {form}");
                assert!(!verify("x", &form, [], secret), "{call}?{form}");
                assert!(!verify(call, &format!("{form}&a=1"), [], secret));
            }
            assert!(verify(call, query, [checksum], secret), "in the body");
            assert!(!verify(call, query, [], secret), "no checksum");
        }
        assert!(seen >= 20, "{seen}");
    }

    #[test]
    fn sign_agrees_with_vectors() {
        for (call, query, secret, checksum) in vectors().filter(|v| v.3.len() == 64) {
            assert_eq!(sign(call, query, secret), checksum);
        }
    }

    #[test]
    fn wrong_length_or_non_hex_fails() {
        let good = sign("end", "meetingID=a", "s");
        assert!(verify("end", &format!("meetingID=a&checksum={good}"), [], "s"));
        for bad in [&good[1..], "", &"g".repeat(64)] {
            let query = format!("meetingID=a&checksum={bad}");
            assert!(!verify("end", &query, [], "s"), "{bad}");
        }
    }
}
