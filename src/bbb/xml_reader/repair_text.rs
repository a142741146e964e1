//! Writes the text and the names of a repaired response.

use super::strict::{is_forbidden, resolve_reference};
use crate::bbb::xml_name::{MAX_NAME_BYTES, element_name, is_element_name};
use std::borrow::Cow;

/// What happens to characters that XML forbids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Forbidden {
    /// Dropped: the result is XML.
    Drop,
    /// Kept, in place of references to them too: an id that contains them must be recognised.
    Keep,
}

/// A response that is being written.
pub(super) struct Output {
    pub(super) text: String,
    pub(super) forbidden: Forbidden,
}

impl Output {
    /// Writes text that should be escaped, and what is not.
    pub(super) fn write_text(&mut self, text: &str) {
        let mut rest = text;
        while let Some(at) = rest.find(|c| matches!(c, '&' | '>') || is_forbidden(c)) {
            self.text.push_str(&rest[..at]);
            rest = &rest[at..];
            let c = rest.chars().next().unwrap_or_default();
            let mut length = c.len_utf8();
            match (c, read_reference(rest)) {
                ('&', Some((found, whole))) => {
                    length = whole;
                    match found {
                        Some(c) if !is_forbidden(c) => self.text.push_str(&rest[..whole]),
                        Some(c) => self.write_forbidden(c),
                        // No character has this number.
                        None => {}
                    }
                }
                ('&', None) => self.text.push_str("&amp;"),
                ('>', _) if self.text.ends_with("]]") => self.text.push_str("&gt;"),
                ('>', _) => self.text.push('>'),
                (c, _) => self.write_forbidden(c),
            }
            rest = &rest[length..];
        }
        self.text.push_str(rest);
    }

    fn write_forbidden(&mut self, c: char) {
        if self.forbidden == Forbidden::Keep {
            self.text.push(c);
        }
    }

    /// Writes the text of a CDATA section, escaped instead.
    pub(super) fn write_cdata(&mut self, data: &str) {
        for c in data.chars() {
            match c {
                '&' => self.text.push_str("&amp;"),
                '<' => self.text.push_str("&lt;"),
                '>' => self.text.push_str("&gt;"),
                c if is_forbidden(c) => self.write_forbidden(c),
                c => self.text.push(c),
            }
        }
    }
}

/// A valid name for an element, from what BBB wrote as its name: escaped like text.
pub(super) fn valid_name(read: &str) -> Cow<'_, str> {
    if is_element_name(read) {
        return Cow::Borrowed(read);
    }
    let mut name = String::new();
    let mut rest = read;
    // More than an element's name can be long is not looked at.
    while let Some(c) = rest.chars().next().filter(|_| name.len() <= MAX_NAME_BYTES) {
        let (c, length) = read_reference(rest).unwrap_or((Some(c), c.len_utf8()));
        name.extend(c.filter(|c| !is_forbidden(*c)));
        rest = &rest[length..];
    }
    Cow::Owned(element_name(&name).into_owned())
}

/// The reference that the text begins with, and its length. No character: its number is that of none.
fn read_reference(text: &str) -> Option<(Option<char>, usize)> {
    // The longest is &#x10ffff; with a few leading zeros.
    let inner = text.strip_prefix('&')?;
    let end = inner.bytes().take(16).position(|b| b == b';')?;
    let name = &inner[..end];
    let c = resolve_reference(name);
    let is_numeric = name.strip_prefix('#').is_some_and(|number| match number.strip_prefix('x') {
        Some(digits) => !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit()),
        None => !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()),
    });
    (c.is_some() || is_numeric).then_some((c, end + 2))
}
