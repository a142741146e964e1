//! The XML of one recording in getRecordings: the elements and their order.

use crate::bbb::xml_name::element_name;
use crate::bbb::xml_writer::{close, element, open, plain, text};
use crate::recordings::index::{PlaybackFormat, Recording};
use crate::store::PlaybackToken;
use rand::RngCore;

/// Writes recordings of one response.
pub(super) struct RecordingWriter {
    /// The scheme and host of links.
    pub base_url: String,
    /// Whether links to protected recordings carry tokens.
    pub protect: bool,
}

impl RecordingWriter {
    /// Writes a recording. Appends the tokens of its links to `tokens`.
    pub fn write(&self, out: &mut Vec<u8>, recording: &Recording, tokens: &mut Vec<PlaybackToken>) {
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
            write_metadata(out, key, value);
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
            self.write_format(out, recording, format, tokens);
        }
        close(out, "playback");
        close(out, "recording");
    }

    fn write_format(
        &self,
        out: &mut Vec<u8>,
        recording: &Recording,
        format: &PlaybackFormat,
        tokens: &mut Vec<PlaybackToken>,
    ) {
        let protected = recording.protected;
        open(out, "format");
        element(out, "type", &format.format);
        open(out, "url");
        if protected && self.protect {
            let token = PlaybackToken {
                token: new_token(),
                record_id: recording.record_id.clone(),
                format: format.format.clone(),
            };
            self.write_link(
                out,
                &format!("/recording/{}/{}?token={}", token.record_id, token.format, token.token),
            );
            tokens.push(token);
        } else {
            self.write_link(out, &format.url);
        }
        close(out, "url");
        if let Some(ms) = format.processing_time {
            plain(out, "processingTime", ms);
        }
        match format.length {
            Some(minutes) => plain(out, "length", minutes),
            None => element(out, "length", ""),
        }
        if let Some(size) = format.size {
            plain(out, "size", size);
        }
        if !protected && !format.thumbnails.is_empty() {
            open(out, "preview");
            open(out, "images");
            for image in &format.thumbnails {
                out.extend_from_slice(b"<image");
                write_attribute(out, "alt", image.alt.as_deref());
                write_attribute(out, "width", image.width.map(|n| n.to_string()).as_deref());
                write_attribute(out, "height", image.height.map(|n| n.to_string()).as_deref());
                out.push(b'>');
                self.write_link(out, &image.url);
                close(out, "image");
            }
            close(out, "images");
            close(out, "preview");
        }
        close(out, "format");
    }

    /// Writes a link: paths get the base URL, absolute URLs stay as they are.
    fn write_link(&self, out: &mut Vec<u8>, path: &str) {
        if path.starts_with('/') {
            text(out, &self.base_url);
        }
        text(out, path);
    }
}

/// An empty value becomes an empty CDATA section, because some clients need a node inside the element.
fn write_metadata(out: &mut Vec<u8>, key: &str, value: &str) {
    let key = element_name(key);
    if value.is_empty() {
        open(out, &key);
        out.extend_from_slice(b"<![CDATA[]]>");
        close(out, &key);
    } else {
        element(out, &key, value);
    }
}

fn write_attribute(out: &mut Vec<u8>, name: &str, value: Option<&str>) {
    let Some(value) = value else { return };
    out.push(b' ');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"=\"");
    text(out, value);
    out.push(b'"');
}

fn new_token() -> String {
    let mut bytes = [0u8; 32];
    rand::rng().fill_bytes(&mut bytes);
    hex::encode(bytes)
}
