//! Responses of BBB servers: envelope, meetings, single fields.

use super::{Node, XmlError, decode_text, walk};
use std::ops::Range;

/// The part of a response that every call needs; the rest is passed on unchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// returncode is SUCCESS.
    pub success: bool,
    /// messageKey; empty if absent.
    pub message_key: String,
    /// The bytes between `<meetings>` and `</meetings>`, unless blank.
    pub meetings: Option<Range<usize>>,
}

/// A meeting of a getMeetings response, with the fields that scheduling needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MeetingStats {
    /// meetingID.
    pub id: String,
    /// createTime, ms since 1970 by the server's clock; 0 if absent.
    pub create_time: u64,
    /// participantCount.
    pub participants: u32,
    /// moderatorCount.
    pub moderators: u32,
    /// videoCount.
    pub videos: u32,
    /// A breakout room: made by BBB itself, not by a create of ours.
    pub breakout: bool,
    /// hasBeenForciblyEnded: over, but still listed for a while.
    pub ended: bool,
    /// voiceBridge, unparsed.
    pub voice_bridge: String,
    /// moderatorPW; empty if absent.
    pub moderator_pw: String,
    /// metadata/tenant-id; empty if absent.
    pub tenant: String,
}

/// Reads a response to its end and returns its envelope.
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
    // Positions are relative to the text, which begins after a byte order mark.
    let mark = body.len() - text.len();
    let meetings =
        meetings.filter(|r| !text[r.clone()].trim().is_empty()).map(|r| r.start + mark..r.end + mark);
    Ok(Envelope { success, message_key, meetings })
}

/// Reads a getMeetings response for the poll.
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
        Some(false) => Err(XmlError::Malformed("returncode is FAILED".into())),
        None => Err(XmlError::MissingReturncode),
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
