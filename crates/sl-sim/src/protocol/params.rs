//! Parses parameters from a query, a form body or a multipart body.

use std::borrow::Cow;

use super::checksum::{self, hex_digit};

/// The parameters of one request in the order received, the query first.
#[derive(Default)]
pub(crate) struct Params<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

/// Invalid percent-encoding, invalid UTF-8 or a broken multipart body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

impl<'a> Params<'a> {
    /// Adds the parameters of an urlencoded string (query or form body).
    pub(crate) fn add_urlencoded(&mut self, raw: &'a str) -> Result<(), Malformed> {
        for part in raw.split('&') {
            if part.is_empty() {
                continue;
            }
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            self.0.push((percent_decode(name)?, percent_decode(value)?));
        }
        Ok(())
    }

    /// Adds the fields of a multipart/form-data body, files included.
    pub(crate) fn add_multipart(&mut self, body: &'a [u8], boundary: &str) -> Result<(), Malformed> {
        let body = std::str::from_utf8(body).map_err(|_| Malformed)?;
        let delimiter = format!("--{boundary}");
        for part in body.split(delimiter.as_str()).skip(1) {
            let part = part.strip_prefix("\r\n").unwrap_or(part);
            if part.starts_with("--") {
                break;
            }
            let (head, value) = part.split_once("\r\n\r\n").ok_or(Malformed)?;
            let name =
                head.split("name=\"").nth(1).and_then(|rest| rest.split('"').next()).ok_or(Malformed)?;
            let value = value.strip_suffix("\r\n").unwrap_or(value);
            self.0.push((Cow::Borrowed(name), Cow::Borrowed(value)));
        }
        Ok(())
    }

    /// The value of `name`; the last one if there are several.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(n, _)| n == name).map(|(_, value)| value.as_ref())
    }

    /// Like [`Params::get`], but ignores a blank value.
    pub(crate) fn non_blank(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.trim().is_empty())
    }

    /// An id, without what Java's `strip` removes at its ends: BBB does so with every id. `None` if nothing is left.
    pub(crate) fn trimmed_id(&self, name: &str) -> Option<&str> {
        self.get(name).map(|id| id.trim_matches(is_java_space)).filter(|id| !id.is_empty())
    }

    /// A boolean: `true` in any case is true, anything else false.
    pub(crate) fn flag(&self, name: &str) -> Option<bool> {
        self.non_blank(name).map(|value| value.eq_ignore_ascii_case("true"))
    }

    /// A number; `None` if it is not one.
    pub(crate) fn number(&self, name: &str) -> Option<u32> {
        self.non_blank(name).and_then(|value| value.parse().ok())
    }

    /// Number of parameters.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the request has exactly one checksum and it is right. The first `query_count` parameters are those of
    /// the query, the others those of the body.
    pub(crate) fn has_valid_checksum(
        &self,
        query_count: usize,
        call: &str,
        query: &str,
        secret: &str,
    ) -> bool {
        let body_checksums = self.0[query_count..]
            .iter()
            .filter(|(name, _)| name == "checksum")
            .map(|(_, value)| value.as_ref());
        checksum::verify(call, query, body_checksums, secret)
    }

    /// All parameters.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(n, v)| (n.as_ref(), v.as_ref()))
    }
}

/// Java's `Character.isWhitespace`, and the control characters that BBB drops from parameters. Not the spaces that
/// forbid a line break.
fn is_java_space(c: char) -> bool {
    c.is_ascii_control()
        || c == ' '
        || (c.is_whitespace() && !matches!(c, '\u{85}' | '\u{a0}' | '\u{2007}' | '\u{202f}'))
}

/// Percent-decodes; `+` is a space.
pub(crate) fn percent_decode(raw: &str) -> Result<Cow<'_, str>, Malformed> {
    if !raw.bytes().any(|b| b == b'%' || b == b'+') {
        return Ok(Cow::Borrowed(raw));
    }
    let mut out = Vec::with_capacity(raw.len());
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let high = bytes.next().and_then(hex_digit).ok_or(Malformed)?;
                let low = bytes.next().and_then(hex_digit).ok_or(Malformed)?;
                high << 4 | low
            }
            other => other,
        });
    }
    String::from_utf8(out).map(Cow::Owned).map_err(|_| Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_decode_reverses_form_encoding() {
        assert_eq!(percent_decode("a%20b+c%2Bd%C3%A9~").as_deref(), Ok("a b c+dé~"));
        for bad in ["%", "%2", "%zz", "%ff", "%C3"] {
            assert_eq!(percent_decode(bad), Err(Malformed), "{bad}");
        }
    }

    #[test]
    fn last_value_wins_and_bare_name_is_empty() {
        let mut params = Params::default();
        params.add_urlencoded("a=1&&b&a=2&c=x=y").unwrap();
        assert_eq!(params.get("a"), Some("2"));
        assert_eq!(params.get("b"), Some(""));
        assert_eq!(params.non_blank("b"), None);
        assert_eq!(params.get("c"), Some("x=y"));
    }

    #[test]
    fn ids_are_trimmed_as_java_does() {
        let mut params = Params::default();
        params.add_urlencoded("a=+%09room+1%0B%E2%80%83&b=+&c=%C2%A0x").unwrap();
        assert_eq!(params.trimmed_id("a"), Some("room 1"));
        assert_eq!(params.trimmed_id("b"), None);
        assert_eq!(params.trimmed_id("c"), Some("\u{a0}x"), "a no-break space belongs to the id");
    }

    #[test]
    fn multipart_fields_are_parsed() {
        let body = "--X\r\nContent-Disposition: form-data; name=\"meetingID\"\r\n\r\nm 1\r\n\
                    --X\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\na\r\nb\r\n--X--\r\n";
        let mut params = Params::default();
        params.add_multipart(body.as_bytes(), "X").unwrap();
        assert_eq!(params.get("meetingID"), Some("m 1"));
        assert_eq!(params.get("name"), Some("a\r\nb"));
        assert_eq!(params.iter().count(), 2);
    }
}
