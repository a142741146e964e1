//! One recording as getRecordings shows it: the elements, and their order.

use crate::bbb::xml_writer::{close, element, element_name, open, plain, text};
use crate::recordings::index::{PlaybackFormat, Recording};
use crate::store::PlaybackToken;
use rand::RngCore;

/// What is the same for all recordings of an answer.
pub(super) struct Writer {
    /// What links begin with.
    pub base_url: String,
    /// Whether protection is in force.
    pub protect: bool,
}

impl Writer {
    /// Writes a recording, and notes the tokens that its links have got.
    pub fn recording(&self, out: &mut Vec<u8>, recording: &Recording, tokens: &mut Vec<PlaybackToken>) {
        open(out, "recording");
        element(out, "recordID", &recording.record_id);
        element(out, "meetingID", &recording.meeting_id);
        element(out, "internalMeetingID", &recording.record_id);
        element(out, "name", recording.name.as_deref().unwrap_or_default());
        plain(out, "isBreakout", recording.is_breakout);
        plain(out, "published", recording.published);
        if self.protect {
            plain(out, "protected", recording.protected);
        }
        element(out, "state", &recording.state);
        plain(out, "startTime", recording.start_ms.unwrap_or(0));
        plain(out, "endTime", recording.end_ms.unwrap_or(0));
        if let Some(participants) = recording.participants {
            plain(out, "participants", participants);
        }
        if let Some(size) = recording.raw_size {
            plain(out, "rawSize", size);
        }
        open(out, "metadata");
        for (key, value) in &recording.metadata {
            metadata(out, key, value);
        }
        close(out, "metadata");
        if let Some((parent, sequence)) = &recording.breakout_parent {
            open(out, "breakout");
            element(out, "parentId", parent);
            plain(out, "sequence", sequence);
            close(out, "breakout");
        }
        if !recording.breakout_rooms.is_empty() {
            open(out, "breakoutRooms");
            for room in &recording.breakout_rooms {
                element(out, "breakoutRoom", room);
            }
            close(out, "breakoutRooms");
        }
        let sizes: Vec<i64> = recording.formats.iter().filter_map(|format| format.size).collect();
        if !sizes.is_empty() {
            plain(out, "size", sizes.iter().fold(0, |sum: i64, size| sum.saturating_add(*size)));
        }
        open(out, "playback");
        for format in &recording.formats {
            self.format(out, recording, format, tokens);
        }
        close(out, "playback");
        close(out, "recording");
    }

    fn format(
        &self,
        out: &mut Vec<u8>,
        recording: &Recording,
        format: &PlaybackFormat,
        tokens: &mut Vec<PlaybackToken>,
    ) {
        let protected = self.protect && recording.protected;
        open(out, "format");
        element(out, "type", &format.format);
        open(out, "url");
        if protected {
            let token = PlaybackToken {
                token: token(),
                record_id: recording.record_id.clone(),
                format: format.format.clone(),
            };
            self.link(out, &format!("/recording/{}/{}?token={}", token.record_id, token.format, token.token));
            tokens.push(token);
        } else {
            self.link(out, &format.url);
        }
        close(out, "url");
        if let Some(ms) = format.processing_time {
            plain(out, "processingTime", ms);
        }
        plain(out, "length", format.length.unwrap_or(0));
        if let Some(size) = format.size {
            plain(out, "size", size);
        }
        if !protected && !format.thumbnails.is_empty() {
            open(out, "preview");
            open(out, "images");
            for image in &format.thumbnails {
                out.extend_from_slice(b"<image");
                attribute(out, "alt", image.alt.as_deref());
                attribute(out, "width", image.width.map(|n| n.to_string()).as_deref());
                attribute(out, "height", image.height.map(|n| n.to_string()).as_deref());
                out.push(b'>');
                self.link(out, &image.url);
                close(out, "image");
            }
            close(out, "images");
            close(out, "preview");
        }
        close(out, "format");
    }

    /// A path of ours as a link; one that is a whole link stays.
    fn link(&self, out: &mut Vec<u8>, path: &str) {
        if path.starts_with('/') {
            text(out, &self.base_url);
        }
        text(out, path);
    }
}

/// Some clients need a node inside an empty element.
fn metadata(out: &mut Vec<u8>, key: &str, value: &str) {
    let key = element_name(key);
    if value.is_empty() {
        open(out, &key);
        out.extend_from_slice(b"<![CDATA[]]>");
        close(out, &key);
    } else {
        element(out, &key, value);
    }
}

fn attribute(out: &mut Vec<u8>, name: &str, value: Option<&str>) {
    let Some(value) = value else { return };
    out.push(b' ');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"=\"");
    text(out, value);
    out.push(b'"');
}

fn token() -> String {
    let mut bytes = [0u8; 32];
    rand::rng().fill_bytes(&mut bytes);
    hex::encode(bytes)
}
