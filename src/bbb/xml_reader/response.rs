//! Responses of BBB servers: envelope, meetings, single fields.

use super::repair::{self, repair};
use super::repair_text::Forbidden;
use super::{Node, Rules, XmlError, decode_text, walk, walk_by};
use crate::bbb::meeting_id;
use bytes::Bytes;
use std::ops::Range;

/// The part of a response that every call needs; the rest is passed on unchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// returncode is SUCCESS.
    pub success: bool,
    /// messageKey; empty if absent.
    pub message_key: String,
    /// message, of a FAILED response only.
    pub message: String,
    /// The bytes between `<meetings>` and `</meetings>`, unless blank.
    pub meetings: Option<Range<usize>>,
}

impl Envelope {
    /// Whether the server says that it does not have the meeting. BBB 2.4 says so with the key that it has for any
    /// invalid parameter.
    pub fn is_not_found(&self) -> bool {
        match self.message_key.as_str() {
            "notFound" => true,
            "validationError" => self.message.ends_with("A meeting with that ID does not exist"),
            _ => false,
        }
    }
}

/// A meeting of a getMeetings response, with the fields that scheduling needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MeetingStats {
    /// meetingID.
    pub id: String,
    /// internalMeetingID; empty if absent.
    pub internal_id: String,
    /// createTime, ms since 1970 by the server's clock; 0 if absent.
    pub create_time: u64,
    /// participantCount.
    pub participants: u32,
    /// moderatorCount.
    pub moderators: u32,
    /// videoCount.
    pub videos: u32,
    /// A breakout room: made by BBB itself, or by a create, whose meetingID is then its internal id.
    pub breakout: bool,
    /// hasBeenForciblyEnded: over, but still listed for a while.
    pub ended: bool,
    /// voiceBridge, unparsed.
    pub voice_bridge: String,
    /// moderatorPW; empty if absent.
    pub moderator_pw: String,
    /// metadata/tenant-id; empty if absent.
    pub tenant: String,
    /// metadata/sl-mark; empty if absent.
    pub mark: String,
}

/// The meetings of a getMeetings response.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MeetingList {
    /// Those that could be read.
    pub meetings: Vec<MeetingStats>,
    /// How many there are beside them. Nothing tells which.
    pub unreadable: usize,
}

/// Reads a response, and returns it as it is passed on: byte for byte if it is well-formed, otherwise repaired.
///
/// # Errors
/// It is no response, it is cut off, or it is hostile. FAILED is no error.
pub fn read_response(body: Bytes) -> Result<(Bytes, Envelope), XmlError> {
    match read_envelope(&body) {
        Err(XmlError::Malformed(_)) => {}
        Err(failure) => return Err(failure),
        Ok(envelope) => return Ok((body, envelope)),
    }
    let repaired = repair(&String::from_utf8_lossy(&body), Forbidden::Drop)?;
    let body = Bytes::from(repaired.text);
    let envelope = read_envelope(&body)?;
    Ok((body, envelope))
}

/// Whether a response that is cut off has come as far as its returncode.
pub fn has_returncode(body: &[u8]) -> bool {
    repair::has_returncode(&String::from_utf8_lossy(&body[..body.len().min(4096)]))
}

/// Reads a well-formed response to its end and returns its envelope.
pub fn read_envelope(body: &[u8]) -> Result<Envelope, XmlError> {
    let text = decode_text(body)?;
    let mut returncode = None;
    let (mut message_key, mut message) = (String::new(), String::new());
    let (mut open, mut meetings) = (None, None);
    walk_by(Rules::Strict, text, |node| match node {
        Node::Open { path, inner, .. } if path == ["response", "meetings"] => open = Some(inner),
        Node::Close { path, text, inner } => match path {
            ["response", "returncode"] => returncode = Some(text.trim() == "SUCCESS"),
            ["response", "messageKey"] => message_key = text.trim().to_owned(),
            ["response", "message"] if returncode == Some(false) => message = text.trim().to_owned(),
            ["response", "meetings"] => meetings = open.map(|start| start..inner),
            _ => {}
        },
        Node::Open { .. } => {}
    })?;
    let success = returncode.ok_or(XmlError::MissingReturncode)?;
    // Positions are relative to the text, which begins after a byte order mark.
    let mark = body.len() - text.len();
    let meetings =
        meetings.filter(|r| !text[r.clone()].trim().is_empty()).map(|r| r.start + mark..r.end + mark);
    Ok(Envelope { success, message_key, message, meetings })
}

/// Reads a getMeetings response for the poll, repaired if it is malformed. Ids are as the server knows them:
/// characters that XML forbids are part of them.
///
/// # Errors
/// It is no response, it is cut off, it is hostile, or its returncode is not SUCCESS.
pub fn read_meetings(body: &[u8]) -> Result<MeetingList, XmlError> {
    match decode_text(body).and_then(|text| list_meetings(Rules::Strict, text)) {
        Err(XmlError::Malformed(_)) => {}
        read => return read,
    }
    let repaired = repair(&String::from_utf8_lossy(body), Forbidden::Keep)?;
    let mut list = list_meetings(Rules::Repaired, &repaired.text)?;
    list.unreadable += repaired.unreadable;
    Ok(list)
}

fn list_meetings(rules: Rules, text: &str) -> Result<MeetingList, XmlError> {
    let mut success = None;
    let mut meetings: Vec<MeetingStats> = Vec::new();
    let (mut key, mut message) = (String::new(), String::new());
    walk_by(rules, text, |node| match node {
        Node::Open { path: ["response", "meetings", "meeting"], .. } => {
            meetings.push(MeetingStats::default());
        }
        Node::Close { path: ["response", "meetings", "meeting", rest @ ..], text, .. } => {
            if let Some(meeting) = meetings.last_mut() {
                meeting.set(rest, text);
            }
        }
        Node::Close { path: ["response", "returncode"], text, .. } => {
            success = Some(text.trim() == "SUCCESS");
        }
        Node::Close {
            path: ["response", "messageKey"] | ["response", "errors", "error", "key"],
            text,
            ..
        } => {
            key = shorten(text);
        }
        Node::Close {
            path: ["response", "message"] | ["response", "errors", "error", "message"],
            text,
            ..
        } => {
            message = shorten(text);
        }
        Node::Open { .. } | Node::Close { .. } => {}
    })?;
    match success {
        Some(true) => {
            let listed = meetings.len();
            meetings.retain(|m| !m.id.is_empty());
            Ok(MeetingList { unreadable: listed - meetings.len(), meetings })
        }
        Some(false) => Err(XmlError::Failed { key, message }),
        None => Err(XmlError::MissingReturncode),
    }
}

/// Reads a getMeetingInfo response that [`read_response`] has returned; None if it is not one of success.
pub fn read_meeting(body: &[u8]) -> Option<MeetingStats> {
    let mut meeting = MeetingStats::default();
    let mut success = false;
    walk(decode_text(body).ok()?, |node| {
        if let Node::Close { path: ["response", rest @ ..], text, .. } = node {
            match rest {
                ["returncode"] => success = text.trim() == "SUCCESS",
                field => meeting.set(field, text),
            }
        }
    })
    .ok()?;
    (success && !meeting.id.is_empty()).then_some(meeting)
}

/// A text of the server for a log line.
fn shorten(text: &str) -> String {
    text.trim().escape_debug().take(200).collect()
}

impl MeetingStats {
    /// Takes the text of the element at this path below `<meeting>`, or `<response>` of getMeetingInfo.
    fn set(&mut self, path: &[&str], untrimmed: &str) {
        let text = untrimmed.trim();
        match path {
            ["meetingID"] => self.id = meeting_id::trim(untrimmed).to_owned(),
            ["internalMeetingID"] => self.internal_id = meeting_id::trim(untrimmed).to_owned(),
            ["createTime"] => self.create_time = text.parse().unwrap_or(0),
            ["participantCount"] => self.participants = text.parse().unwrap_or(0),
            ["moderatorCount"] => self.moderators = text.parse().unwrap_or(0),
            ["videoCount"] => self.videos = text.parse().unwrap_or(0),
            ["isBreakout"] => self.breakout = text == "true",
            ["hasBeenForciblyEnded"] => self.ended = text == "true",
            ["voiceBridge"] => self.voice_bridge = text.to_owned(),
            ["moderatorPW"] => self.moderator_pw = text.to_owned(),
            ["metadata", "tenant-id"] => self.tenant = text.to_owned(),
            ["metadata", "sl-mark"] => self.mark = text.to_owned(),
            _ => {}
        }
    }
}

/// The text of one child of `<response>`, such as `bbbVersion`.
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

/// The children of `<response>` that have no child elements, with their text, in order.
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
