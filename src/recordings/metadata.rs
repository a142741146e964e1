//! Parses the `metadata.xml` that BBB writes for each format of a recording.
//!
//! The formats differ: video has `meta` after `playback` and no `meeting`, screenshare neither
//! participants nor sizes, state is `available` in some and `published` in others. So the order of
//! elements does not matter, and few are required. The file is untrusted: its size, depth and names are
//! limited, and a DOCTYPE is an error.

use super::{FormatMetadata, FormatName, RecordId, Thumbnail};
use crate::bbb::xml_reader::{self, Node, XmlError};
use encoding_rs::Encoding;
use std::borrow::Cow;

/// The largest metadata.xml. BBB's have some thousand bytes.
pub const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// Children of `meta`, `breakoutRooms` and `images`: the index has a row for each.
const MAX_ROWS: usize = 1000;
/// Values that the index searches by must fit into a page of a Postgres index.
const MAX_MEETING_ID_BYTES: usize = 1024;
const MAX_META_KEY_BYTES: usize = 512;
/// A rejected value goes to a log and a terminal: escaped, and cut to this.
const MAX_SHOWN_CHARS: usize = 100;
/// The declaration of its encoding is within these bytes.
const MAX_DECLARATION_BYTES: usize = 256;
/// The end of the year 9999, ms since 1970: later than any time, and larger than any size in bytes, of a recording.
/// Postgres accepts no time much later.
const MAX_NUMBER: i64 = 253_402_300_799_999;

/// Why a file is not the metadata of a recording's format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotMetadata {
    /// Too large, not well-formed, or not a `<recording>`.
    #[error("metadata.xml is {0}")]
    Document(String),
    /// A required element is missing or empty.
    #[error("metadata.xml has no <{0}>")]
    Missing(&'static str),
    /// An element has an invalid value.
    #[error("metadata.xml: <{0}> {1}")]
    Invalid(&'static str, String),
}

impl From<XmlError> for NotMetadata {
    fn from(error: XmlError) -> NotMetadata {
        NotMetadata::Document(error.to_string())
    }
}

/// The texts of the elements, before they are validated.
#[derive(Default)]
struct RawMetadata {
    is_recording: bool,
    playbacks: usize,
    id: Option<String>,
    state: Option<String>,
    published: Option<String>,
    start: Option<String>,
    end: Option<String>,
    participants: Option<String>,
    raw_size: Option<String>,
    external_id: Option<String>,
    meeting_name: Option<String>,
    meta: Vec<(String, String)>,
    is_breakout: bool,
    parent: Option<String>,
    sequence: Option<String>,
    rooms: Vec<String>,
    format: Option<String>,
    link: Option<String>,
    processing_time: Option<String>,
    duration: Option<String>,
    size: Option<String>,
    images: Vec<Thumbnail>,
}

/// Parses a whole metadata.xml.
pub fn parse(bytes: &[u8]) -> Result<FormatMetadata, NotMetadata> {
    if bytes.len() as u64 > MAX_BYTES {
        return Err(NotMetadata::Document(format!("larger than {MAX_BYTES} bytes")));
    }
    let mut raw = RawMetadata::default();
    xml_reader::walk(&decode(bytes)?, |node| raw.collect(node))?;
    raw.validate()
}

/// Decodes a document: by its byte order mark, else as it declares, else as UTF-8.
fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, NotMetadata> {
    let (encoding, start) = match Encoding::for_bom(bytes) {
        Some((encoding, bom_bytes)) => (encoding, bom_bytes),
        None => (declared_encoding(bytes)?, 0),
    };
    encoding
        .decode_without_bom_handling_and_without_replacement(bytes.get(start..).unwrap_or_default())
        .ok_or_else(|| NotMetadata::Document(format!("not {}, as it should be", encoding.name())))
}

/// `<?xml version="1.0" encoding="…"?>`
fn declared_encoding(bytes: &[u8]) -> Result<&'static Encoding, NotMetadata> {
    let head = &bytes[..bytes.len().min(MAX_DECLARATION_BYTES)];
    // UTF-16 without a mark.
    if head.starts_with(b"<\0?\0") {
        return Ok(encoding_rs::UTF_16LE);
    }
    if head.starts_with(b"\0<\0?") {
        return Ok(encoding_rs::UTF_16BE);
    }
    let head = String::from_utf8_lossy(head);
    let declaration = head.strip_prefix("<?xml").and_then(|rest| rest.split_once("?>"));
    let Some((_, value)) = declaration.and_then(|(text, _)| text.split_once("encoding")) else {
        return Ok(encoding_rs::UTF_8);
    };
    let value = value.trim_start().strip_prefix('=').unwrap_or_default().trim_start();
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
    let label = quote.and_then(|quote| value.get(1..)?.split(quote).next()).unwrap_or_default();
    match Encoding::for_label(label.as_bytes()) {
        // It could not be read so far if that were true.
        Some(encoding) if encoding == encoding_rs::UTF_16LE || encoding == encoding_rs::UTF_16BE => {
            Ok(encoding_rs::UTF_8)
        }
        Some(encoding) => Ok(encoding),
        None => {
            let shown: String = label.escape_debug().take(MAX_SHOWN_CHARS).collect();
            Err(NotMetadata::Document(format!("in an unknown encoding, {shown:?}")))
        }
    }
}

impl RawMetadata {
    fn collect(&mut self, node: Node<'_, '_>) {
        match node {
            Node::Open { path, attributes, .. } => match path {
                ["recording"] => self.is_recording = true,
                ["recording", "meeting"] => {
                    self.external_id = attributes.get("externalId");
                    self.meeting_name = attributes.get("name");
                    self.is_breakout |= attributes.get("breakout").as_deref() == Some("true");
                }
                ["recording", "breakout"] => {
                    self.parent = attributes.get("parentMeetingId").or_else(|| attributes.get("parentId"));
                    self.sequence = attributes.get("sequence");
                }
                ["recording", "playback"] => self.playbacks += 1,
                // BBB writes one playback. If there are more, the first counts.
                ["recording", "playback", "extensions", "preview", "images", "image"]
                    if self.playbacks == 1 && self.images.len() <= MAX_ROWS =>
                {
                    self.images.push(Thumbnail {
                        width: attributes.get("width").and_then(number),
                        height: attributes.get("height").and_then(number),
                        alt: attributes.get("alt"),
                        url: String::new(),
                    });
                }
                _ => {}
            },
            Node::Close { path, text, .. } => {
                let text = || text.trim().to_owned();
                match path {
                    ["recording", "id"] => self.id = Some(text()),
                    ["recording", "state"] => self.state = Some(text()),
                    ["recording", "published"] => self.published = Some(text()),
                    ["recording", "start_time"] => self.start = Some(text()),
                    ["recording", "end_time"] => self.end = Some(text()),
                    ["recording", "participants"] => self.participants = Some(text()),
                    ["recording", "raw_size"] => self.raw_size = Some(text()),
                    // The balancer's own: see store/marks.rs.
                    ["recording", "meta", "sl-mark"] => {}
                    ["recording", "meta", key] if self.meta.len() <= MAX_ROWS => {
                        self.meta.retain(|(known, _)| known != key);
                        self.meta.push(((*key).to_owned(), text()));
                    }
                    ["recording", "breakout", "parentId" | "parentMeetingId" | "parentMeetingID"] => {
                        self.parent = Some(text());
                    }
                    ["recording", "breakout", "sequence"] => self.sequence = Some(text()),
                    ["recording", "breakoutRooms", _] if self.rooms.len() <= MAX_ROWS => {
                        self.rooms.push(text());
                    }
                    ["recording", "playback", field] if self.playbacks == 1 => match *field {
                        "format" => self.format = Some(text()),
                        "link" => self.link = Some(text()),
                        "processing_time" => self.processing_time = Some(text()),
                        "duration" => self.duration = Some(text()),
                        "size" => self.size = Some(text()),
                        _ => {}
                    },
                    ["recording", "playback", "extensions", "preview", "images", "image"]
                        if self.playbacks == 1 =>
                    {
                        if let Some(image) = self.images.last_mut() {
                            image.url = path_of(&text()).unwrap_or_default();
                        }
                    }
                    _ => {}
                }
            }
        }
    }

    fn validate(mut self) -> Result<FormatMetadata, NotMetadata> {
        if !self.is_recording {
            return Err(NotMetadata::Document("no <recording>".into()));
        }
        let id = required(self.id, "id")?;
        let record_id = RecordId::parse(&id).ok_or_else(|| invalid("id", &id))?;
        let format = required(self.format, "playback/format")?;
        let format = FormatName::parse(&format).ok_or_else(|| invalid("playback/format", &format))?;
        let link = required(self.link, "playback/link")?;
        let url = path_of(&link).ok_or_else(|| invalid("playback/link", &link))?;

        let mut meta = |name: &str| {
            let at = self.meta.iter().position(|(key, _)| key == name)?;
            Some(self.meta.remove(at).1)
        };
        let meeting_id =
            meta("meetingId").filter(|id| !id.is_empty()).or(self.external_id.map(|id| id.trim().to_owned()));
        let meeting_id = required(meeting_id, "meta/meetingId")?;
        let name = meta("meetingName").or(self.meeting_name);
        let is_breakout = self.is_breakout || meta("isBreakout").as_deref() == Some("true");
        let too_many = |what| NotMetadata::Invalid(what, format!("has more than {MAX_ROWS} children"));
        if meeting_id.len() > MAX_MEETING_ID_BYTES {
            return Err(invalid("meta/meetingId", &meeting_id));
        }
        if let Some((key, _)) = self.meta.iter().find(|(key, _)| key.len() > MAX_META_KEY_BYTES) {
            return Err(invalid("meta", key));
        }
        for (what, rows) in [
            ("meta", self.meta.len()),
            ("breakoutRooms", self.rooms.len()),
            ("playback/extensions/preview/images", self.images.len()),
        ] {
            if rows > MAX_ROWS {
                return Err(too_many(what));
            }
        }
        self.rooms.retain(|room| !room.is_empty());
        self.images.retain(|image| !image.url.is_empty());

        let says_published = self.published.as_deref() != Some("false");
        let state = self
            .state
            .filter(|state| !state.is_empty())
            .unwrap_or_else(|| if says_published { "published" } else { "unpublished" }.to_owned());
        Ok(FormatMetadata {
            record_id,
            meeting_id,
            name,
            published: self.published.as_deref() == Some("true")
                || matches!(state.as_str(), "published" | "available"),
            state,
            start_ms: self.start.and_then(number),
            end_ms: self.end.and_then(number),
            participants: self.participants.and_then(number),
            metadata: self.meta,
            is_breakout,
            breakout_parent: self
                .parent
                .filter(|parent| !parent.is_empty())
                .map(|parent| (parent, self.sequence.and_then(number).unwrap_or(0))),
            breakout_rooms: self.rooms,
            raw_size: self.raw_size.and_then(number),
            format,
            url,
            processing_time: self.processing_time.and_then(number),
            length: self.duration.and_then(number::<i64>).and_then(minutes),
            size: self.size.and_then(number),
            thumbnails: self.images,
        })
    }
}

fn required(value: Option<String>, what: &'static str) -> Result<String, NotMetadata> {
    value.filter(|value| !value.is_empty()).ok_or(NotMetadata::Missing(what))
}

fn invalid(what: &'static str, value: &str) -> NotMetadata {
    let shown: String = value.escape_debug().take(MAX_SHOWN_CHARS).collect();
    NotMetadata::Invalid(what, format!("is invalid: {shown}"))
}

/// A number from 0 to [`MAX_NUMBER`], without its decimals; anything else counts as missing.
fn number<T: TryFrom<i64>>(text: String) -> Option<T> {
    let text = text.trim();
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !are_digits(whole) || !are_digits(decimals) {
        return None;
    }
    let number = whole.parse().ok().filter(|number| (0..=MAX_NUMBER).contains(number))?;
    T::try_from(number).ok()
}

fn minutes(ms: i64) -> Option<i32> {
    i32::try_from(ms.checked_add(30_000)? / 60_000).ok()
}

/// Path and query of an http or https URL, or of one without a host. Its host is a BBB server; clients play the
/// recording from us.
fn path_of(link: &str) -> Option<String> {
    const BASE: &str = "http://host/";
    let base = url::Url::parse(BASE).ok()?;
    let url = base.join(link).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    let path = format!("/{}", url.path().trim_start_matches('/'));
    Some(match url.query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    })
}

#[cfg(test)]
mod tests;
