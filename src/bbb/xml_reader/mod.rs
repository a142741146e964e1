//! Reads responses of BBB servers. A document is untrusted until it has been read to its end: well-formed, no
//! DOCTYPE, no entities but XML's five and character references, bounded depth.
//!
//! Responses hold data of strangers: BBB makes element names of the `userdata-…` parameters of a join, and passes
//! control characters on. What is malformed in a response is repaired ([`repair`]); what is passed on has been
//! read by the rules of a strict parser ([`strict`]).

mod repair;
mod repair_text;
mod response;
mod strict;

use super::xml_name::is_element_name;
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

pub(super) use self::strict::is_forbidden;
pub use response::{
    Envelope, MeetingList, MeetingStats, has_returncode, read_envelope, read_field, read_fields,
    read_meeting, read_meetings, read_response,
};

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
    /// It begins as a response, and does not end.
    #[error("cut off: <response> without </response>")]
    CutOff,
    /// Made to harm a parser: a DOCTYPE, or elements nested too deep.
    #[error("hostile XML ({0})")]
    Hostile(&'static str),
    /// returncode is not SUCCESS.
    #[error("FAILED: {key} ({message})")]
    Failed {
        /// messageKey; empty if absent.
        key: String,
        /// message, shortened to 200 characters.
        message: String,
    },
}

/// By which rules a document is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rules {
    /// Well-formed as far as we need it: any XML with namespaces, comments and so on.
    Document,
    /// What is passed on to clients, and what the poll believes. Any parser must accept it, so only what BBB
    /// writes is accepted here: no namespaces, names that are valid in all editions of XML, and inside the root no comments,
    /// CDATA or processing instructions (two participants with the `userdata-` names `!--x` and `--` would hide
    /// all meetings between them in a comment).
    Strict,
    /// Repaired, apart from forbidden characters.
    Repaired,
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

fn malformed_because(why: &str) -> XmlError {
    XmlError::Malformed(why.to_owned())
}

/// Decodes a document as UTF-8, without a byte order mark.
pub(crate) fn decode_text(body: &[u8]) -> Result<&str, XmlError> {
    let text = std::str::from_utf8(body).map_err(|_| XmlError::Malformed("not UTF-8".into()))?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// Reads a document to its end, and calls `visit` for each element as it begins and ends.
pub(crate) fn walk<'a>(text: &'a str, visit: impl FnMut(Node<'a, '_>)) -> Result<(), XmlError> {
    walk_by(Rules::Document, text, visit)
}

/// Reads a document by the given rules.
fn walk_by<'a>(rules: Rules, text: &'a str, mut visit: impl FnMut(Node<'a, '_>)) -> Result<(), XmlError> {
    if rules != Rules::Repaired && strict::has_forbidden(text.as_bytes()) {
        return Err(malformed_because("forbidden control character"));
    }
    let is_strict = rules == Rules::Strict;
    // In text, it is an error; a document of BBB has none at all.
    let has_cdata_end = is_strict && memchr::memmem::find(text.as_bytes(), b"]]>").is_some();
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
                if path.is_empty() && !t.trim_matches(strict::is_space).is_empty() {
                    return Err(malformed_because("text outside the root element"));
                }
                if has_cdata_end && t.contains("]]>") {
                    return Err(malformed_because("]]> in text"));
                }
                content.push_str(t);
                continue;
            }
            Event::CData(t) if !path.is_empty() && !is_strict => {
                content.push_str(t);
                continue;
            }
            Event::GeneralRef(reference) if !path.is_empty() => {
                let c = strict::resolve_reference(reference).filter(|c| !is_forbidden(*c));
                content.push(c.ok_or_else(|| malformed_because("undefined entity"))?);
                continue;
            }
            Event::Decl(decl) if is_strict && !(before == 0 && strict::is_utf8_declaration(decl)) => {
                return Err(malformed_because("not a declaration of XML 1.0 in UTF-8"));
            }
            Event::Comment(_) | Event::PI(_) if is_strict && !path.is_empty() => {
                return Err(malformed_because("comment or processing instruction"));
            }
            Event::Comment(_) | Event::PI(_) | Event::Decl(_) => continue,
            Event::Eof if path.is_empty() && roots == 1 => return Ok(()),
            Event::Eof => return Err(malformed_because("unexpected end")),
            Event::DocType(_) if roots == 0 => return Err(XmlError::Hostile("DOCTYPE")),
            Event::DocType(_) => return Err(malformed_because("DOCTYPE not allowed")),
            Event::CData(_) | Event::GeneralRef(_) => {
                return Err(malformed_because("CDATA, or text outside the root element"));
            }
        };
        if let Some(start) = open {
            if path.is_empty() {
                roots += 1;
            }
            if roots > 1 {
                return Err(malformed_because("more than one root element"));
            }
            if path.len() >= MAX_DEPTH {
                return Err(XmlError::Hostile("nested too deep"));
            }
            let name_length = check_names(start, is_strict)?;
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
fn check_names(start: &BytesStart<'_>, is_strict: bool) -> Result<usize, XmlError> {
    let name = start.name().0;
    if is_strict {
        if !is_element_name(name) {
            return Err(malformed_because("invalid element name"));
        }
        if start.len() > name.len() {
            strict::check_attributes(start.attributes_raw())?;
        }
        return Ok(name.len());
    }
    if start.len() > name.len() {
        for attribute in start.attributes() {
            attribute.map_err(malformed)?;
        }
    }
    let begins_well = name.starts_with(|c: char| c.is_alphabetic() || c == '_' || c == ':');
    if !begins_well || name.bytes().any(|b| matches!(b, b'<' | b'&' | b'"' | b'\'')) {
        return Err(malformed_because("invalid element name"));
    }
    Ok(name.len())
}

#[cfg(test)]
mod odd_tests;
#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod tests;
