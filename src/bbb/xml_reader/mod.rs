//! Reads responses of BBB servers. A document is untrusted until it has been read to its end: well-formed, no
//! DOCTYPE, no entities but XML's five and character references, bounded depth.

mod response;

use quick_xml::Reader;
use quick_xml::events::{BytesRef, BytesStart, Event};

pub use response::{Envelope, MeetingStats, read_envelope, read_field, read_fields, read_meetings};

/// Limit of nested elements. BBB's own responses reach 7.
const MAX_DEPTH: usize = 64;

/// Why a document is rejected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum XmlError {
    /// Not well-formed, or with constructs that no BBB server sends.
    #[error("not well-formed XML ({0})")]
    Malformed(String),
    /// Well-formed, but not a `<response>` with a `<returncode>`.
    #[error("XML without <response><returncode>")]
    MissingReturncode,
}

/// Characters that XML 1.0 forbids.
pub(super) fn is_forbidden(c: char) -> bool {
    (c < ' ' && !matches!(c, '\t' | '\n' | '\r')) || matches!(c, '\u{fffe}' | '\u{ffff}')
}

/// A fast check for them over UTF-8 bytes: control characters, U+FFFE and U+FFFF.
fn has_forbidden(bytes: &[u8]) -> bool {
    bytes.iter().any(|b| *b < b' ' && !matches!(b, b'\t' | b'\n' | b'\r'))
        || memchr::memchr_iter(0xef, bytes)
            .any(|at| matches!(bytes.get(at + 1..at + 3), Some([0xbf, 0xbe | 0xbf])))
}

/// A step of [`walk`].
pub(crate) enum Node<'a, 'p> {
    /// An element begins; its content begins at byte `inner`.
    Open { path: &'p [&'a str], attributes: Attributes<'p>, inner: usize },
    /// An element ends; its content ends at byte `inner`. `text` is its text if it has no child elements.
    Close { path: &'p [&'a str], text: &'p str, inner: usize },
}

/// Attributes of an element, checked to be well-formed.
#[derive(Clone, Copy)]
pub(crate) struct Attributes<'p>(&'p BytesStart<'p>);

impl Attributes<'_> {
    /// The value of an attribute; None if it has entities other than XML's own.
    pub(crate) fn get(self, name: &str) -> Option<String> {
        let attribute = self.0.try_get_attribute(name).ok()??;
        let value = attribute.normalized_value(quick_xml::XmlVersion::Implicit1_0).ok()?;
        (!value.chars().any(is_forbidden)).then(|| value.into_owned())
    }
}

/// The parser's error. It may quote the document, so characters that would break a log line are escaped.
fn malformed(error: impl std::fmt::Display) -> XmlError {
    XmlError::Malformed(error.to_string().escape_debug().take(200).collect())
}

/// Decodes a document as UTF-8, without a byte order mark.
pub(crate) fn decode_text(body: &[u8]) -> Result<&str, XmlError> {
    let text = std::str::from_utf8(body).map_err(|_| XmlError::Malformed("not UTF-8".into()))?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// Reads a document to its end, and calls `visit` for each element as it begins and ends.
pub(crate) fn walk<'a>(text: &'a str, mut visit: impl FnMut(Node<'a, '_>)) -> Result<(), XmlError> {
    let malformed_because = |why: &str| XmlError::Malformed(why.to_owned());
    if has_forbidden(text.as_bytes()) {
        return Err(malformed_because("forbidden control character"));
    }
    let mut reader = Reader::from_str(text);
    let mut path: Vec<&'a str> = Vec::with_capacity(8);
    let mut content = String::new();
    let mut roots = 0;
    loop {
        let before = reader.buffer_position() as usize;
        let event = reader.read_event().map_err(malformed)?;
        let after = reader.buffer_position() as usize;
        let (open, close) = match &event {
            Event::Start(start) => (Some(start), false),
            Event::Empty(start) => (Some(start), true),
            Event::End(_) => (None, true),
            Event::Text(t) => {
                if path.is_empty() && !t.trim().is_empty() {
                    return Err(malformed_because("text outside the root element"));
                }
                content.push_str(t);
                continue;
            }
            Event::CData(t) if !path.is_empty() => {
                content.push_str(t);
                continue;
            }
            Event::GeneralRef(reference) if !path.is_empty() => {
                content.push(resolve_entity(reference)?);
                continue;
            }
            Event::Comment(_) | Event::PI(_) | Event::Decl(_) => continue,
            Event::Eof if path.is_empty() && roots == 1 => return Ok(()),
            Event::Eof => return Err(malformed_because("unexpected end")),
            Event::DocType(_) => return Err(malformed_because("DOCTYPE not allowed")),
            Event::CData(_) | Event::GeneralRef(_) => {
                return Err(malformed_because("text outside the root element"));
            }
        };
        if let Some(start) = open {
            if path.is_empty() {
                roots += 1;
            }
            if roots > 1 || path.len() >= MAX_DEPTH {
                return Err(malformed_because("more than one root element, or nested too deep"));
            }
            let name_length = check_names(start)?;
            path.push(&text[before + 1..before + 1 + name_length]);
            content.clear();
            visit(Node::Open { path: &path, attributes: Attributes(start), inner: after });
        }
        if close {
            let inner = if open.is_some() { after } else { before };
            visit(Node::Close { path: &path, text: &content, inner });
            content.clear();
            path.pop();
        }
    }
}

/// Checks the element's name and attributes, and returns the length of the name.
fn check_names(start: &BytesStart<'_>) -> Result<usize, XmlError> {
    let name = start.name().0;
    if start.len() > name.len() {
        for attribute in start.attributes() {
            attribute.map_err(malformed)?;
        }
    }
    let begins_well = name.starts_with(|c: char| c.is_alphabetic() || c == '_' || c == ':');
    if !begins_well || name.bytes().any(|b| matches!(b, b'<' | b'&' | b'"' | b'\'')) {
        return Err(XmlError::Malformed("invalid element name".into()));
    }
    Ok(name.len())
}

fn resolve_entity(reference: &BytesRef<'_>) -> Result<char, XmlError> {
    let name: &str = reference;
    match name {
        "amp" => Ok('&'),
        "lt" => Ok('<'),
        "gt" => Ok('>'),
        "quot" => Ok('"'),
        "apos" => Ok('\''),
        _ => match reference.resolve_char_ref() {
            Ok(Some(c)) if !is_forbidden(c) => Ok(c),
            _ => Err(XmlError::Malformed("undefined entity".into())),
        },
    }
}

#[cfg(test)]
mod tests;
