//! Checksums: `hex(H(call + query + secret))` over the raw query without its checksum.
//!
//! Rule: the BBB API. The query is verified as received and never re-encoded first, since clients differ
//! on `+` and `%20`, `~` and `%7E`.

use memchr::{memchr, memmem};
use serde::Serialize;
use sha1::{Digest, Sha1};
use sha2::{Sha256, Sha384, Sha512};
use std::fmt;
use subtle::ConstantTimeEq;

/// A hash function that BBB knows, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Algorithm {
    /// 40 hex digits.
    Sha1,
    /// 64 hex digits.
    Sha256,
    /// 96 hex digits.
    Sha384,
    /// 128 hex digits.
    Sha512,
}

impl Algorithm {
    /// All of them, weakest first.
    pub const ALL: [Algorithm; 4] =
        [Algorithm::Sha1, Algorithm::Sha256, Algorithm::Sha384, Algorithm::Sha512];

    /// The algorithm whose hex digest has this many digits.
    pub fn from_hex_length(hex_digits: usize) -> Option<Algorithm> {
        match hex_digits {
            40 => Some(Algorithm::Sha1),
            64 => Some(Algorithm::Sha256),
            96 => Some(Algorithm::Sha384),
            128 => Some(Algorithm::Sha512),
            _ => None,
        }
    }

    /// Parses a value of LOADBALANCER_CHECKSUM_ALGORITHM: `SHA1`, `sha256`, `SHA-384` …
    pub fn parse(name: &str) -> Option<Algorithm> {
        match name.trim().to_ascii_uppercase().replace('-', "").as_str() {
            "SHA1" => Some(Algorithm::Sha1),
            "SHA256" => Some(Algorithm::Sha256),
            "SHA384" => Some(Algorithm::Sha384),
            "SHA512" => Some(Algorithm::Sha512),
            _ => None,
        }
    }

    /// The hex digest of `call + query + secret`.
    pub fn sign(self, call: &str, query: &str, secret: &str) -> String {
        let mut out = [0u8; 128];
        let digest = self.digest(call, query, secret);
        let digits = &mut out[..digest.len() * 2];
        // The length fits by construction, and hex digits are ASCII.
        let _ = hex::encode_to_slice(digest.as_ref(), digits);
        String::from_utf8_lossy(digits).into_owned()
    }

    fn digest(self, call: &str, query: &str, secret: &str) -> DigestBytes {
        fn of<D: Digest>(call: &str, query: &str, secret: &str) -> DigestBytes {
            let mut hasher = D::new();
            hasher.update(call);
            hasher.update(query);
            hasher.update(secret);
            let digest = hasher.finalize();
            let mut bytes = [0; 64];
            bytes[..digest.len()].copy_from_slice(&digest);
            DigestBytes { bytes, len: digest.len() }
        }
        match self {
            Algorithm::Sha1 => of::<Sha1>(call, query, secret),
            Algorithm::Sha256 => of::<Sha256>(call, query, secret),
            Algorithm::Sha384 => of::<Sha384>(call, query, secret),
            Algorithm::Sha512 => of::<Sha512>(call, query, secret),
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Algorithm::Sha1 => "SHA1",
            Algorithm::Sha256 => "SHA256",
            Algorithm::Sha384 => "SHA384",
            Algorithm::Sha512 => "SHA512",
        })
    }
}

/// A digest of at most 64 bytes, on the stack.
struct DigestBytes {
    bytes: [u8; 64],
    len: usize,
}

impl DigestBytes {
    fn len(&self) -> usize {
        self.len
    }
}

impl AsRef<[u8]> for DigestBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// A query, split into its checksum and the rest.
#[derive(Debug, PartialEq, Eq)]
pub struct SignedQuery<'a> {
    /// The query as received, without the checksum and the `&` that separated it.
    pub query: String,
    /// The checksum as received, if there is one.
    pub checksum: Option<&'a str>,
}

/// More than one checksum parameter. It is rejected, since it is not clear which part was signed.
#[derive(Debug, PartialEq, Eq)]
pub struct DuplicateChecksum;

/// The checksum in a raw form, without parsing the rest: what is not signed is not worth more.
pub fn find_in_form(form: &[u8]) -> Result<Option<&str>, DuplicateChecksum> {
    const NAME: &[u8] = b"checksum=";
    let begins_pair = |at: &usize| *at == 0 || form[at - 1] == b'&';
    let values = memmem::find_iter(form, NAME).filter(begins_pair).map(|at| {
        let value = &form[at + NAME.len()..];
        &value[..memchr(b'&', value).unwrap_or(value.len())]
    });
    only_one(values)
}

/// The same in a raw `multipart/form-data`.
pub fn find_in_multipart(form: &[u8]) -> Result<Option<&str>, DuplicateChecksum> {
    const NAME: &[u8] = b"name=";
    let values = memmem::find_iter(form, NAME).filter_map(|at| {
        let is_attribute = at > 0 && matches!(form[at - 1], b' ' | b';' | b'\t');
        let name = &form[at + NAME.len()..];
        let after = name.strip_prefix(b"\"checksum\"").or_else(|| name.strip_prefix(b"checksum"))?;
        if !is_attribute || !matches!(after.first(), Some(b'\r' | b';' | b' ')) {
            return None;
        }
        let value = &after[memmem::find(after, b"\r\n\r\n")? + 4..];
        Some(&value[..memmem::find(value, b"\r\n")?])
    });
    only_one(values)
}

/// The only value, if it can be a checksum at all.
fn only_one<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Result<Option<&'a str>, DuplicateChecksum> {
    let first = values.next();
    if values.next().is_some() {
        return Err(DuplicateChecksum);
    }
    // Bytes that are not UTF-8 are no checksum; an empty one never verifies.
    Ok(first.map(|value| std::str::from_utf8(value).unwrap_or("")))
}

/// Splits the checksum off a raw query, wherever it is.
pub fn split_checksum(raw: &str) -> Result<SignedQuery<'_>, DuplicateChecksum> {
    let mut checksum = None;
    let mut query = String::with_capacity(raw.len());
    // `first` distinguishes a leading empty pair (`?&checksum=`) from no pair yet.
    let mut first = true;
    for pair in raw.split('&') {
        if let Some(value) = pair.strip_prefix("checksum=") {
            if checksum.replace(value).is_some() {
                return Err(DuplicateChecksum);
            }
            continue;
        }
        if !first {
            query.push('&');
        }
        query.push_str(pair);
        first = false;
    }
    Ok(SignedQuery { query, checksum })
}

/// Whether `checksum` signs `call` and `query` (without its checksum) with one of the secrets and one of the
/// allowed algorithms. Hex digits in either case; compared in constant time.
pub fn verify<'s>(
    call: &str,
    query: &str,
    checksum: &str,
    secrets: impl IntoIterator<Item = &'s str>,
    allowed: &[Algorithm],
) -> bool {
    let Some(algorithm) = Algorithm::from_hex_length(checksum.len()) else {
        return false;
    };
    let mut given = [0u8; 64];
    let given = &mut given[..checksum.len() / 2];
    if !allowed.contains(&algorithm) || hex::decode_to_slice(checksum, given).is_err() {
        return false;
    }
    let mut valid = subtle::Choice::from(0);
    for secret in secrets {
        valid |= algorithm.digest(call, query, secret).as_ref().ct_eq(given);
    }
    valid.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const VECTORS: &str = include_str!("../../tests/vectors/checksum.tsv");

    #[test]
    fn signs_and_verifies_every_vector() {
        let mut rows = 0;
        for line in VECTORS.lines().skip(1) {
            let [call, query, secret, algorithm, checksum] = line.split('\t').collect::<Vec<_>>()[..] else {
                panic!("malformed vector: {line}")
            };
            let algorithm = Algorithm::parse(algorithm).unwrap();
            assert_eq!(algorithm.sign(call, query, secret), checksum);
            assert!(verify(call, query, checksum, [secret], &Algorithm::ALL));
            assert!(verify(call, query, &checksum.to_uppercase(), ["x", secret], &[algorithm]));
            assert!(!verify(call, query, checksum, ["x"], &Algorithm::ALL));
            assert!(!verify("join2", query, checksum, [secret], &Algorithm::ALL));
            let others: Vec<_> = Algorithm::ALL.into_iter().filter(|a| *a != algorithm).collect();
            assert!(!verify(call, query, checksum, [secret], &others));
            assert!(!verify(call, query, &checksum[1..], [secret], &Algorithm::ALL));
            rows += 1;
        }
        assert_eq!(rows, 20);
    }

    #[test]
    fn a_checksum_is_found_in_raw_forms() {
        for (form, found) in [
            ("checksum=x&a=1", Ok(Some("x"))),
            ("a=1&checksum=x", Ok(Some("x"))),
            ("a=checksum=x&mychecksum=y&%63hecksum=z", Ok(None)),
            ("", Ok(None)),
            ("checksum=", Ok(Some(""))),
            ("checksum=x&checksum=x", Err(DuplicateChecksum)),
        ] {
            assert_eq!(find_in_form(form.as_bytes()), found, "{form}");
        }
        let field =
            |header: &str| format!("--B\r\n{header}\r\nContent-Type: text/plain\r\n\r\nx\r\n--B--\r\n");
        for (header, found) in [
            ("Content-Disposition: form-data; name=\"checksum\"", Some("x")),
            ("Content-Disposition: form-data;name=checksum", Some("x")),
            ("Content-Disposition: form-data; filename=\"checksum\"; name=\"a\"", None),
            ("Content-Disposition: form-data; name=\"checksums\"", None),
        ] {
            assert_eq!(find_in_multipart(field(header).as_bytes()), Ok(found), "{header}");
            let twice = field(header) + &field(header);
            assert_eq!(find_in_multipart(twice.as_bytes()).is_err(), found.is_some(), "{header}");
        }
    }

    #[test]
    fn a_checksum_is_split_off_wherever_it_is() {
        for (raw, query) in [
            ("a=1&checksum=x&b=2", "a=1&b=2"),
            ("checksum=x&a=1", "a=1"),
            ("a=1&checksum=x", "a=1"),
            ("&checksum=x", ""),
            ("checksum=x", ""),
            ("a=&checksum=x", "a="),
            ("a=1&&b&checksum=x", "a=1&&b"),
        ] {
            let signed = split_checksum(raw).unwrap();
            assert_eq!((signed.query.as_str(), signed.checksum), (query, Some("x")), "{raw}");
        }
        assert_eq!(split_checksum("a=1&mychecksum=3").unwrap().checksum, None);
        assert_eq!(split_checksum("a=1").unwrap().query, "a=1");
        assert_eq!(split_checksum("checksum=x&a=1&checksum=x"), Err(DuplicateChecksum));
    }
}
