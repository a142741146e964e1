//! What quick-xml lets pass and a strict parser does not: names, attributes, references, declarations.

use super::{XmlError, malformed_because};
use crate::bbb::xml_name::is_element_name;

/// Limit of attributes of an element. BBB's own have two.
const MAX_ATTRIBUTES: usize = 32;

/// Characters that XML 1.0 forbids.
pub(in crate::bbb) fn is_forbidden(c: char) -> bool {
    (c < ' ' && !matches!(c, '\t' | '\n' | '\r')) || matches!(c, '\u{fffe}' | '\u{ffff}')
}

/// A fast check for them over UTF-8 bytes: control characters, U+FFFE and U+FFFF.
pub(super) fn has_forbidden(bytes: &[u8]) -> bool {
    bytes.iter().any(|b| *b < b' ' && !matches!(b, b'\t' | b'\n' | b'\r'))
        || memchr::memchr_iter(0xef, bytes)
            .any(|at| matches!(bytes.get(at + 1..at + 3), Some([0xbf, 0xbe | 0xbf])))
}

/// White space of XML, narrower than Unicode's.
pub(super) fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

/// What `&name;` stands for: one of XML's five entities, or any character by its number.
pub(super) fn resolve_reference(name: &str) -> Option<char> {
    match name {
        "amp" => return Some('&'),
        "lt" => return Some('<'),
        "gt" => return Some('>'),
        "quot" => return Some('"'),
        "apos" => return Some('\''),
        _ => {}
    }
    let number = name.strip_prefix('#')?;
    let (digits, radix) = match number.strip_prefix('x') {
        Some(digits) => (digits, 16),
        None => (number, 10),
    };
    // from_str_radix accepts a sign.
    if !digits.starts_with(|c: char| c.is_digit(radix)) {
        return None;
    }
    char::from_u32(u32::from_str_radix(digits, radix).ok()?)
}

/// Whether what follows an element's name in its tag is well-formed, without namespaces.
pub(super) fn check_attributes(mut rest: &str) -> Result<(), XmlError> {
    let mut names: Vec<&str> = Vec::new();
    loop {
        let trimmed = rest.trim_start_matches(is_space);
        if trimmed.is_empty() {
            return Ok(());
        }
        if trimmed.len() == rest.len() || names.len() >= MAX_ATTRIBUTES {
            return Err(malformed_because("invalid attributes"));
        }
        let parsed = parse_attribute(trimmed).filter(|(name, _)| !names.contains(name));
        let (name, after) = parsed.ok_or_else(|| malformed_because("invalid attributes"))?;
        names.push(name);
        rest = after;
    }
}

/// The name of the first attribute, and what follows it.
fn parse_attribute(text: &str) -> Option<(&str, &str)> {
    let (name, value) = text.split_once('=')?;
    let name = name.trim_end_matches(is_space);
    let value = value.trim_start_matches(is_space);
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let (value, after) = value[1..].split_once(quote)?;
    let is_text = !value.contains('<')
        && value.split('&').skip(1).all(|part| {
            let reference = part.split_once(';').and_then(|(name, _)| resolve_reference(name));
            reference.is_some_and(|c| !is_forbidden(c))
        });
    (is_text && is_element_name(name) && name != "xmlns").then_some((name, after))
}

/// Whether `<?xml …?>`, without its brackets, declares what the document is: XML 1.0 in UTF-8.
pub(super) fn is_utf8_declaration(inner: &str) -> bool {
    let plain = inner.trim_end_matches(is_space).replace('\'', "\"").to_ascii_lowercase();
    matches!(
        plain.as_str(),
        "xml version=\"1.0\""
            | "xml version=\"1.0\" encoding=\"utf-8\""
            | "xml version=\"1.0\" encoding=\"utf-8\" standalone=\"yes\""
            | "xml version=\"1.0\" encoding=\"utf-8\" standalone=\"no\""
    )
}
