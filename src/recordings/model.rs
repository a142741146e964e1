//! Recordings, their formats and files. Names are checked once, here, before they become paths.

use std::fmt;

/// As file systems allow.
const MAX_FILE_NAME_BYTES: usize = 255;
/// S3 allows keys of 1024 bytes: its storage checks that.
const MAX_FILE_PATH_BYTES: usize = 2048;

/// A record id: internalMeetingID, `sha1hex-milliseconds` as BBB makes it. Letters, digits, `-` and
/// `_`, 1 to 128 of them, so that it can be a directory's name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordId(String);

/// The name of a playback format: `presentation`, `video`, … Letters, digits, `-` and `_`, 1 to 64.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FormatName(String);

/// The path of a file within a format: names with `/` between them, at most 2048 bytes. No name is empty, `.` or
/// `..`, is longer than 255 bytes, or has control characters; so the path stays within the format. Symbolic links
/// on disk are checked by the storage.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FilePath(String);

impl FilePath {
    /// None if the text must not become a path.
    pub fn parse(text: &str) -> Option<FilePath> {
        let is_valid_name = |name: &str| {
            (1..=MAX_FILE_NAME_BYTES).contains(&name.len())
                && !matches!(name, "." | "..")
                && !name.chars().any(char::is_control)
        };
        (text.len() <= MAX_FILE_PATH_BYTES && text.split('/').all(is_valid_name))
            .then(|| FilePath(text.to_owned()))
    }

    /// Relative to the format's directory.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path of `name` in this directory.
    pub fn join(&self, name: &str) -> Option<FilePath> {
        FilePath::parse(&format!("{}/{name}", self.0))
    }
}

fn is_name(text: &str, max_bytes: usize) -> bool {
    (1..=max_bytes).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

impl RecordId {
    /// None if the text must not become a path.
    pub fn parse(text: &str) -> Option<RecordId> {
        is_name(text, 128).then(|| RecordId(text.to_owned()))
    }

    /// As used in paths and in the index.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FormatName {
    /// None if the text must not become a path.
    pub fn parse(text: &str) -> Option<FormatName> {
        is_name(text, 64).then(|| FormatName(text.to_owned()))
    }

    /// As used in paths and in the index.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for FormatName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A preview image of a format.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Thumbnail {
    /// Pixels.
    pub width: Option<i32>,
    /// Pixels.
    pub height: Option<i32>,
    /// Text in place of the image.
    pub alt: Option<String>,
    /// Path (and query) on the host that serves recordings.
    pub url: String,
}

/// The content of the `metadata.xml` of one format of a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormatMetadata {
    /// `id`
    pub record_id: RecordId,
    /// `meta/meetingId`, the client's meetingID.
    pub meeting_id: String,
    /// `meta/meetingName`
    pub name: Option<String>,
    /// `state` as written: `published`, `unpublished`, `available`, …
    pub state: String,
    /// `published` is true, or `state` is `published` or `available`.
    pub published: bool,
    /// ms since 1970, UTC.
    pub start_ms: Option<i64>,
    /// ms since 1970, UTC.
    pub end_ms: Option<i64>,
    /// `participants`; not every format has it.
    pub participants: Option<i32>,
    /// The other children of `meta`, keys as written.
    pub metadata: Vec<(String, String)>,
    /// `meta/isBreakout`, or the attribute of `meeting`.
    pub is_breakout: bool,
    /// `breakout`: the parent meeting's id, and the room's number.
    pub breakout_parent: Option<(String, i32)>,
    /// `breakoutRooms`: record ids (internal meeting ids) of its rooms.
    pub breakout_rooms: Vec<String>,
    /// `raw_size`, bytes.
    pub raw_size: Option<i64>,
    /// `playback/format`
    pub format: FormatName,
    /// Path (and query) of `playback/link`.
    pub url: String,
    /// `playback/processing_time`, ms.
    pub processing_time: Option<i64>,
    /// `playback/duration` in minutes, rounded.
    pub length: Option<i32>,
    /// `playback/size`, bytes.
    pub size: Option<i64>,
    /// In order.
    pub thumbnails: Vec<Thumbnail>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_path_stays_within_its_format() {
        for valid in ["a", "a/b.c", "video/webcams.webm", "...", "a b/ü/%41", "a\\b", ".hidden"] {
            assert_eq!(FilePath::parse(valid).unwrap().as_str(), valid);
        }
        let long = "a".repeat(256);
        for invalid in
            ["", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "a/.", "a\0", "a\nb", "a/\x7f", &long]
        {
            assert_eq!(FilePath::parse(invalid), None, "{invalid:?}");
        }
        assert_eq!(FilePath::parse(&"a/".repeat(1200)), None);
        assert_eq!(FilePath::parse("a").unwrap().join("b").unwrap().as_str(), "a/b");
        assert_eq!(FilePath::parse("a").unwrap().join(".."), None);
    }
}
