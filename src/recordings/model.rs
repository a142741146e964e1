//! What a recording is. Names are checked once, here, before they become paths.

use std::fmt;

/// A record id: internalMeetingID, `sha1hex-milliseconds` as BBB makes it. Letters, digits, `-` and
/// `_`, 1 to 128 of them, so that it can be a directory's name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordId(String);

/// The name of a playback format: `presentation`, `video`, … Letters, digits, `-` and `_`, 1 to 64.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FormatName(String);

/// The path of a file within a format: names with `/` between them. None of them is empty, `.` or `..`, or
/// has control characters; so it leads nowhere else by itself. Links are the storage's to look after.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FilePath(String);

impl FilePath {
    /// None if the text must not become a path.
    pub fn parse(text: &str) -> Option<FilePath> {
        let is_fine = |name: &str| {
            // What file systems take; S3 takes 1024 for all of it.
            (1..=255).contains(&name.len())
                && !matches!(name, "." | "..")
                && !name.chars().any(char::is_control)
        };
        (text.len() <= 2048 && text.split('/').all(is_fine)).then(|| FilePath(text.to_owned()))
    }

    /// As it stands below the recording.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What is below it, a directory, by that name.
    pub fn join(&self, name: &str) -> Option<FilePath> {
        FilePath::parse(&format!("{}/{name}", self.0))
    }
}

fn is_name(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

impl RecordId {
    /// None if the text must not become a path.
    pub fn parse(text: &str) -> Option<RecordId> {
        is_name(text, 128).then(|| RecordId(text.to_owned()))
    }

    /// As it stands in paths and in the index.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FormatName {
    /// None if the text must not become a path.
    pub fn parse(text: &str) -> Option<FormatName> {
        is_name(text, 64).then(|| FormatName(text.to_owned()))
    }

    /// As it stands in paths and in the index.
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
    /// Text for who cannot see it.
    pub alt: Option<String>,
    /// Path (and query) on the host that serves recordings.
    pub url: String,
}

/// What the `metadata.xml` of one format of a recording says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormatMetadata {
    /// `id`
    pub record_id: RecordId,
    /// `meta/meetingId`, the client's meetingID.
    pub meeting_id: String,
    /// `meta/meetingName`
    pub name: Option<String>,
    /// `state` as it stands there: `published`, `unpublished`, `available`, …
    pub state: String,
    /// `published`, or a state that means so.
    pub published: bool,
    /// ms since 1970, UTC.
    pub start_ms: Option<i64>,
    /// ms since 1970, UTC.
    pub end_ms: Option<i64>,
    /// `participants`, where the format tells.
    pub participants: Option<i32>,
    /// The other children of `meta`, keys as they stand there.
    pub metadata: Vec<(String, String)>,
    /// `meta/isBreakout`, or the attribute of `meeting`.
    pub is_breakout: bool,
    /// `breakout`: the parent meeting's id, and its place among the rooms.
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
    fn a_path_leads_nowhere_else() {
        for fine in ["a", "a/b.c", "video/webcams.webm", "...", "a b/ü/%41", "a\\b", ".hidden"] {
            assert_eq!(FilePath::parse(fine).unwrap().as_str(), fine);
        }
        let long = "a".repeat(256);
        for refused in
            ["", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "a/.", "a\0", "a\nb", "a/\x7f", &long]
        {
            assert_eq!(FilePath::parse(refused), None, "{refused:?}");
        }
        assert_eq!(FilePath::parse(&"a/".repeat(1200)), None);
        assert_eq!(FilePath::parse("a").unwrap().join("b").unwrap().as_str(), "a/b");
        assert_eq!(FilePath::parse("a").unwrap().join(".."), None);
    }
}
