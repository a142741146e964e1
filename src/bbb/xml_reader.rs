//! Reading what BBB servers answer. All of it is hostile until it has been read to its end: no
//! DOCTYPE, no entities beyond XML's five and character references, bounded depth, well-formed.

use quick_xml::Reader;
use quick_xml::events::{BytesRef, BytesStart, Event};
use std::borrow::Cow;
use std::ops::Range;

/// Elements may nest this deep. BBB's own answers reach 7.
const MAX_DEPTH: usize = 64;

/// Why an answer is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum XmlError {
    /// Not well-formed XML, or XML of a kind that no BBB server sends.
    #[error("not well-formed XML ({0})")]
    Malformed(String),
    /// Well-formed, but not a `<response>` with a `<returncode>`.
    #[error("XML without <response><returncode>")]
    MissingReturncode,
}

/// What every call needs to know of an answer; the rest is passed on as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// returncode is SUCCESS.
    pub success: bool,
    /// messageKey, empty where there is none.
    pub message_key: String,
    /// The bytes between `<meetings>` and `</meetings>`, where they are not blank.
    pub meetings: Option<Range<usize>>,
}

/// One meeting of a getMeetings answer, as far as scheduling asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MeetingStats {
    /// meetingID.
    pub id: String,
    /// createTime, ms since 1970 by that server's clock; 0 if absent.
    pub create_time: u64,
    /// participantCount.
    pub participants: u32,
    /// moderatorCount.
    pub moderators: u32,
    /// videoCount.
    pub videos: u32,
    /// A breakout room: BBB made it itself, it never came through create.
    pub breakout: bool,
    /// hasBeenForciblyEnded: over, and listed for a little while yet.
    pub ended: bool,
    /// voiceBridge, as it stands there.
    pub voice_bridge: String,
    /// moderatorPW; empty if absent.
    pub moderator_pw: String,
    /// metadata/tenant-id; empty if absent.
    pub tenant: String,
}

/// Reads an answer to its end and returns its envelope.
pub fn read_envelope(body: &[u8]) -> Result<Envelope, XmlError> {
    let text = decode_text(body)?;
    let mut returncode = None;
    let mut message_key = String::new();
    let (mut open, mut meetings) = (None, None);
    walk(text, |node| match node {
        Node::Open { path, inner, .. } if path == ["response", "meetings"] => open = Some(inner),
        Node::Close { path, text, inner } => match path {
            ["response", "returncode"] => returncode = Some(text.trim() == "SUCCESS"),
            ["response", "messageKey"] => message_key = text.trim().to_owned(),
            ["response", "meetings"] => meetings = open.map(|start| start..inner),
            _ => {}
        },
        Node::Open { .. } => {}
    })?;
    let success = returncode.ok_or(XmlError::MissingReturncode)?;
    // Positions are counted in the text; a byte order mark stands before it.
    let mark = body.len() - text.len();
    let meetings =
        meetings.filter(|r| !text[r.clone()].trim().is_empty()).map(|r| r.start + mark..r.end + mark);
    Ok(Envelope { success, message_key, meetings })
}

/// Reads a getMeetings answer for the poll.
pub fn read_meetings(body: &[u8]) -> Result<Vec<MeetingStats>, XmlError> {
    let mut success = None;
    let mut found = Vec::new();
    walk(decode_text(body)?, |node| match node {
        Node::Open { path: ["response", "meetings", "meeting"], .. } => {
            found.push(MeetingStats::default());
        }
        Node::Close { path: ["response", "returncode"], text, .. } => {
            success = Some(text.trim() == "SUCCESS");
        }
        Node::Close { path: ["response", "meetings", "meeting", field], text, .. } => {
            let Some(meeting) = found.last_mut() else { return };
            let text = text.trim();
            match *field {
                "meetingID" => meeting.id = text.to_owned(),
                "createTime" => meeting.create_time = text.parse().unwrap_or(0),
                "participantCount" => meeting.participants = text.parse().unwrap_or(0),
                "moderatorCount" => meeting.moderators = text.parse().unwrap_or(0),
                "videoCount" => meeting.videos = text.parse().unwrap_or(0),
                "isBreakout" => meeting.breakout = text == "true",
                "hasBeenForciblyEnded" => meeting.ended = text == "true",
                "voiceBridge" => meeting.voice_bridge = text.to_owned(),
                "moderatorPW" => meeting.moderator_pw = text.to_owned(),
                _ => {}
            }
        }
        Node::Close { path: ["response", "meetings", "meeting", "metadata", "tenant-id"], text, .. } => {
            if let Some(meeting) = found.last_mut() {
                meeting.tenant = text.trim().to_owned();
            }
        }
        _ => {}
    })?;
    match success {
        Some(true) => {
            found.retain(|m| !m.id.is_empty());
            Ok(found)
        }
        Some(false) => Err(XmlError::Malformed("returncode FAILED".into())),
        None => Err(XmlError::MissingReturncode),
    }
}

/// The text of one element right below `<response>`, such as `bbbVersion`.
pub fn read_field(body: &[u8], name: &str) -> Option<String> {
    let mut value = None;
    walk(decode_text(body).ok()?, |node| {
        if let Node::Close { path: ["response", field], text, .. } = node
            && *field == name
        {
            value = Some(text.trim().to_owned());
        }
    })
    .ok()?;
    value
}

/// The elements right below `<response>` that hold text, in order.
pub fn read_fields(body: &[u8]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut has_elements = false;
    let read = decode_text(body).and_then(|text| {
        walk(text, |node| match node {
            Node::Open { path, .. } => has_elements = path.len() > 2,
            Node::Close { path: ["response", name], text, .. } => {
                if !has_elements {
                    found.push(((*name).to_owned(), text.trim().to_owned()));
                }
                has_elements = false;
            }
            Node::Close { .. } => {}
        })
    });
    if read.is_err() {
        found.clear();
    }
    found
}

/// Text for an element or an attribute. What XML 1.0 cannot say becomes U+FFFD.
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.chars().any(|c| matches!(c, '&' | '<' | '>' | '"' | '\'') || is_forbidden(c)) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            c if is_forbidden(c) => out.push(char::REPLACEMENT_CHARACTER),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Control characters that no XML 1.0 document may hold.
fn is_forbidden(c: char) -> bool {
    (c < ' ' && !matches!(c, '\t' | '\n' | '\r')) || matches!(c, '\u{fffe}' | '\u{ffff}')
}

/// The same over bytes, quickly: control characters, and U+FFFE and U+FFFF as they stand in UTF-8.
fn has_forbidden(bytes: &[u8]) -> bool {
    bytes.iter().any(|b| *b < b' ' && !matches!(b, b'\t' | b'\n' | b'\r'))
        || memchr::memchr_iter(0xef, bytes)
            .any(|at| matches!(bytes.get(at + 1..at + 3), Some([0xbf, 0xbe | 0xbf])))
}

/// What [`walk`] comes by.
pub(crate) enum Node<'a, 'p> {
    /// An element begins; `inner` is where its content does.
    Open { path: &'p [&'a str], attributes: Attributes<'p>, inner: usize },
    /// It ends; `text` is its text if it had no elements in it, `inner` where its content ends.
    Close { path: &'p [&'a str], text: &'p str, inner: usize },
}

/// Those of an element. They are well-formed.
#[derive(Clone, Copy)]
pub(crate) struct Attributes<'p>(&'p BytesStart<'p>);

impl Attributes<'_> {
    /// The value of one of them. Entities other than XML's own make it none.
    pub(crate) fn get(self, name: &str) -> Option<String> {
        let attribute = self.0.try_get_attribute(name).ok()??;
        let value = attribute.normalized_value(quick_xml::XmlVersion::Implicit1_0).ok()?;
        (!value.chars().any(is_forbidden)).then(|| value.into_owned())
    }
}

/// The parser's reason. It may quote the document: what would break a line of the log is escaped.
fn malformed(error: impl std::fmt::Display) -> XmlError {
    XmlError::Malformed(error.to_string().escape_debug().take(200).collect())
}

/// The text of a document, without a byte order mark.
pub(crate) fn decode_text(body: &[u8]) -> Result<&str, XmlError> {
    let text = std::str::from_utf8(body).map_err(|_| XmlError::Malformed("not UTF-8".into()))?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// Reads a document to its end, and shows each element as it begins and ends.
pub(crate) fn walk<'a>(text: &'a str, mut visit: impl FnMut(Node<'a, '_>)) -> Result<(), XmlError> {
    let bad = |why: &str| XmlError::Malformed(why.to_owned());
    if has_forbidden(text.as_bytes()) {
        return Err(bad("a forbidden control character"));
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
                    return Err(bad("text outside the root element"));
                }
                content.push_str(t);
                continue;
            }
            Event::CData(t) if !path.is_empty() => {
                content.push_str(t);
                continue;
            }
            Event::GeneralRef(reference) if !path.is_empty() => {
                content.push(resolve(reference)?);
                continue;
            }
            Event::Comment(_) | Event::PI(_) | Event::Decl(_) => continue,
            Event::Eof if path.is_empty() && roots == 1 => return Ok(()),
            Event::Eof => return Err(bad("broken off")),
            Event::DocType(_) => return Err(bad("a DOCTYPE")),
            Event::CData(_) | Event::GeneralRef(_) => return Err(bad("text outside the root element")),
        };
        if let Some(start) = open {
            if path.is_empty() {
                roots += 1;
            }
            if roots > 1 || path.len() >= MAX_DEPTH {
                return Err(bad("more than one root, or nested too deep"));
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

/// Checks that attributes are well-formed, and returns the length of the element's name.
fn check_names(start: &BytesStart<'_>) -> Result<usize, XmlError> {
    let name = start.name().0;
    if start.len() > name.len() {
        for attribute in start.attributes() {
            attribute.map_err(malformed)?;
        }
    }
    let begins_well = name.starts_with(|c: char| c.is_alphabetic() || c == '_' || c == ':');
    if !begins_well || name.bytes().any(|b| matches!(b, b'<' | b'&' | b'"' | b'\'')) {
        return Err(XmlError::Malformed("a name that is none".into()));
    }
    Ok(name.len())
}

fn resolve(reference: &BytesRef<'_>) -> Result<char, XmlError> {
    let name: &str = reference;
    match name {
        "amp" => Ok('&'),
        "lt" => Ok('<'),
        "gt" => Ok('>'),
        "quot" => Ok('"'),
        "apos" => Ok('\''),
        _ => match reference.resolve_char_ref() {
            Ok(Some(c)) if !is_forbidden(c) => Ok(c),
            _ => Err(XmlError::Malformed("an entity that is not XML's own".into())),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_envelope_and_where_the_meetings_are() {
        let body = "\u{feff}<?xml version=\"1.0\"?>\n<response>\n <returncode>SUCCESS</returncode><messageKey/>\
            <meetings><meeting><meetingName>A &amp; &#66;</meetingName></meeting></meetings></response>\n";
        let envelope = read_envelope(body.as_bytes()).unwrap();
        assert!(envelope.success);
        assert_eq!(envelope.message_key, "");
        assert_eq!(
            &body.as_bytes()[envelope.meetings.unwrap()],
            b"<meeting><meetingName>A &amp; &#66;</meetingName></meeting>"
        );
    }

    #[test]
    fn no_meetings_is_none() {
        for meetings in ["<meetings/>", "<meetings></meetings>", "<meetings> \n</meetings>", ""] {
            let body = format!("<response><returncode>SUCCESS</returncode>{meetings}</response>");
            assert_eq!(read_envelope(body.as_bytes()).unwrap().meetings, None, "{meetings}");
        }
    }

    #[test]
    fn figures_of_meetings() {
        let body = "<response><returncode>SUCCESS</returncode><meetings>\
            <meeting><meetingID>a&amp;b</meetingID><createTime>17</createTime><participantCount>3</participantCount>\
            <moderatorCount>1</moderatorCount><videoCount>2</videoCount><isBreakout>false</isBreakout>\
            <attendees><attendee><meetingID>not this</meetingID></attendee></attendees>\
            <voiceBridge>71234</voiceBridge><moderatorPW>m&lt;p</moderatorPW>\
            <metadata><tenant-id>t1</tenant-id></metadata></meeting>\
            <meeting><meetingID><![CDATA[<c>]]></meetingID><isBreakout>true</isBreakout>\
            <hasBeenForciblyEnded>true</hasBeenForciblyEnded></meeting>\
            </meetings></response>";
        let found = read_meetings(body.as_bytes()).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(
            found[0],
            MeetingStats {
                id: "a&b".into(),
                create_time: 17,
                participants: 3,
                moderators: 1,
                videos: 2,
                breakout: false,
                ended: false,
                voice_bridge: "71234".into(),
                moderator_pw: "m<p".into(),
                tenant: "t1".into(),
            }
        );
        assert_eq!((found[1].id.as_str(), found[1].breakout, found[1].ended), ("<c>", true, true));
    }

    #[test]
    fn fields_are_those_with_text() {
        let body =
            "<response><returncode>SUCCESS</returncode><a>1</a><list><x>2</x></list><empty/></response>";
        let names: Vec<_> =
            read_fields(body.as_bytes()).into_iter().map(|(n, v)| format!("{n}={v}")).collect();
        assert_eq!(names, ["returncode=SUCCESS", "a=1", "empty="]);
    }

    #[test]
    fn hostile_answers_are_refused() {
        let deep = format!("<response>{}<returncode>SUCCESS</returncode>", "<a>".repeat(100_000));
        for body in [
            "",
            "hello",
            "{}",
            "<html><body>502</body></html>",
            "<response></response>",
            "<response><returncode>SUCCESS</returncode>",
            "<response><returncode>SUCCESS</returncode></response><response/>",
            "<response><returncode>SUCCESS</wrong></response>",
            "<!DOCTYPE r [<!ENTITY a \"b\">]><response><returncode>SUCCESS</returncode></response>",
            "<response><returncode>SUCCESS</returncode><x>&undefined;</x></response>",
            "<response><returncode>SUCCESS</returncode><x>&#1;</x></response>",
            "<response><returncode>SUCCESS</returncode><x>\u{1}</x></response>",
            "<response><returncode>SUCCESS</returncode><x a=1></x></response>",
            "<response><returncode>SUCCESS</returncode><1></1></response>",
            "<response><x><returncode>SUCCESS</returncode></x></response>",
            deep.as_str(),
        ] {
            assert!(read_envelope(body.as_bytes()).is_err(), "{}", &body[..body.len().min(80)]);
        }
        assert!(read_envelope(b"<response><returncode>SUCC\xff</returncode></response>").is_err());
    }

    proptest! {
        #[test]
        fn what_we_escape_reads_back(text in "\\PC*") {
            let body = format!("<response><returncode>SUCCESS</returncode><v>{}</v></response>", escape(&text));
            let expected: String = text.trim().chars().map(|c| if is_forbidden(c) { '\u{fffd}' } else { c }).collect();
            prop_assert_eq!(read_field(body.as_bytes(), "v").unwrap(), expected);
        }

        #[test]
        fn reading_never_panics(body in "[<>/&;#a-z!\\[\\]\"'= ?-]{0,80}") {
            let _ = read_envelope(body.as_bytes());
            let _ = read_meetings(body.as_bytes());
        }
    }
}
