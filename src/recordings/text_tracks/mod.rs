//! Text tracks: subtitles and captions, stored where the presentation player looks for them. Each is a WebVTT file of
//! the presentation, `caption_{lang}.vtt`; captions.json lists them: `[{"localeName": …, "locale": …}]`. `sl` adds
//! `kind` and `source`, which the player ignores; lists written by BBB have neither.

mod convert;

pub use convert::{BadTrack, to_webvtt};

use super::{ChangeError, FormatName, RecordId, Recordings, Shelf, Storage, StorageError};
use crate::blocking::run_blocking;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

const LIST_FILE: &str = "captions.json";
/// Only this much of captions.json is read.
const MAX_LIST_BYTES: u64 = 1 << 20;
/// Larger than any track that was uploaded here.
const MAX_TRACK_BYTES: u64 = 64 << 20;
/// Tracks of one recording.
const MAX_TRACKS: usize = 500;

/// A language by its BCP 47 tag: letters, digits and `-`, so it is safe in a file name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Language(String);

impl Language {
    /// None if the text is not such a tag. Normalises the case of its parts: `en-US`, `zh-Hant`.
    pub fn parse(text: &str) -> Option<Language> {
        let mut parts = Vec::new();
        for (n, part) in text.split('-').enumerate() {
            let letters = part.bytes().all(|b| b.is_ascii_alphabetic());
            let is_fine = match n {
                0 => letters && (2..=8).contains(&part.len()),
                _ => part.bytes().all(|b| b.is_ascii_alphanumeric()) && (1..=8).contains(&part.len()),
            };
            if !is_fine {
                return None;
            }
            let lower = part.to_ascii_lowercase();
            parts.push(match (n, part.len(), letters) {
                (1.., 2, true) => lower.to_ascii_uppercase(),
                (1.., 4, true) => lower[..1].to_ascii_uppercase() + &lower[1..],
                _ => lower,
            });
        }
        let tag = parts.join("-");
        (tag.len() <= 35).then_some(Language(tag))
    }

    /// The tag, as in the file name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The file name of a track in this language.
    pub fn file_name(&self) -> String {
        format!("caption_{}.vtt", self.0)
    }
}

impl TryFrom<String> for Language {
    type Error = String;

    fn try_from(text: String) -> Result<Language, String> {
        Language::parse(&text).ok_or_else(|| format!("{text:?} is not a language tag"))
    }
}

impl From<Language> for String {
    fn from(language: Language) -> String {
        language.0
    }
}

/// The purpose of a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrackKind {
    /// The spoken words, for viewers who do not know the language.
    Subtitles,
    /// All sounds, for viewers who cannot hear.
    #[default]
    Captions,
}

impl TrackKind {
    /// From the API's name.
    pub fn parse(text: &str) -> Option<TrackKind> {
        match text {
            "subtitles" => Some(TrackKind::Subtitles),
            "captions" => Some(TrackKind::Captions),
            _ => None,
        }
    }

    /// The API's name.
    pub fn as_str(self) -> &'static str {
        match self {
            TrackKind::Subtitles => "subtitles",
            TrackKind::Captions => "captions",
        }
    }
}

/// The origin of a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrackSource {
    /// Written during the meeting.
    #[default]
    Live,
    /// Uploaded afterwards.
    Upload,
}

impl TrackSource {
    /// The API's name.
    pub fn as_str(self) -> &'static str {
        match self {
            TrackSource::Live => "live",
            TrackSource::Upload => "upload",
        }
    }
}

/// An entry of captions.json.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextTrack {
    /// The name shown to viewers.
    #[serde(rename = "localeName")]
    pub label: String,
    /// The language.
    #[serde(rename = "locale")]
    pub language: Language,
    /// The purpose.
    #[serde(default)]
    pub kind: TrackKind,
    /// The origin.
    #[serde(default)]
    pub source: TrackSource,
}

/// The result of [`Recordings::put_text_track`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutTrackOutcome {
    /// The track is stored.
    Stored,
    /// The recording does not exist, or is deleted.
    RecordingNotFound,
    /// The recording has no presentation, an unreadable captions.json, or too many tracks.
    Rejected,
}

impl Recordings {
    /// The tracks that captions.json lists. None if the recording does not exist, or is deleted.
    pub async fn text_tracks(&self, id: &RecordId) -> Result<Option<Vec<TextTrack>>, ChangeError> {
        let Some((state, shelf)) = self.index.state(id).await? else { return Ok(None) };
        if state == "deleted" {
            return Ok(None);
        }
        let Some(format) = presentation_format() else { return Ok(Some(Vec::new())) };
        Ok(Some(read_tracks(&self.storage, id, &format, shelf).await?))
    }

    /// Stores a text track; replaces the one in the same language. The recording's lock keeps two calls from
    /// losing one of the tracks. If interrupted, there may be a file that captions.json does not list.
    pub async fn put_text_track(
        &self,
        id: &RecordId,
        track: TextTrack,
        webvtt: String,
    ) -> Result<PutTrackOutcome, ChangeError> {
        let locked = self.index.lock(id).await?;
        let Some(shelf) = locked.current_shelf() else { return Ok(PutTrackOutcome::RecordingNotFound) };
        let Some(format) = presentation_format() else { return Ok(PutTrackOutcome::Rejected) };
        // Recover first: a new version of the format that is still staged would replace the track later.
        self.storage.recover(id).await?;
        if !self.storage.formats(id).await?.contains(&(format.clone(), shelf)) {
            return Ok(PutTrackOutcome::Rejected);
        }
        let bytes = self.storage.read_file(id, &format, shelf, LIST_FILE, MAX_LIST_BYTES).await?;
        // Do not overwrite a broken list: the operator may want to repair it.
        let Some(mut list) = parse_entries(&bytes.unwrap_or_default()) else {
            return Ok(PutTrackOutcome::Rejected);
        };
        let file = track.language.file_name();
        if !upsert_track(&mut list, &track) {
            return Ok(PutTrackOutcome::Rejected);
        }
        // Serializing JSON values does not fail.
        let list = serde_json::to_vec(&list).unwrap_or_default();
        self.storage.write_file(id, &format, shelf, &file, webvtt.into()).await?;
        self.storage.write_file(id, &format, shelf, LIST_FILE, Bytes::from(list)).await?;
        locked.commit().await?;
        Ok(PutTrackOutcome::Stored)
    }
}

/// The listed tracks of a presentation on a shelf.
async fn read_tracks(
    storage: &Storage,
    id: &RecordId,
    format: &FormatName,
    shelf: Shelf,
) -> Result<Vec<TextTrack>, StorageError> {
    let bytes = storage.read_file(id, format, shelf, LIST_FILE, MAX_LIST_BYTES).await?.unwrap_or_default();
    Ok(parse_list(&bytes))
}

/// Ignores a broken list, and entries that are not tracks.
fn parse_list(bytes: &[u8]) -> Vec<TextTrack> {
    let entries = parse_entries(bytes).unwrap_or_default();
    entries.into_iter().filter_map(|entry| serde_json::from_value(entry).ok()).collect()
}

/// The entries of a list, in whatever form BBB has written them. None if it is not a list.
fn parse_entries(bytes: &[u8]) -> Option<Vec<serde_json::Value>> {
    if bytes.is_empty() { Some(Vec::new()) } else { serde_json::from_slice(bytes).ok() }
}

/// Adds a track to a list, or replaces the one in its language; leaves other entries as they are. False if the
/// list is full.
fn upsert_track(list: &mut Vec<serde_json::Value>, track: &TextTrack) -> bool {
    let language = |entry: &serde_json::Value| {
        serde_json::from_value::<TextTrack>(entry.clone()).ok().map(|other| other.language)
    };
    let Ok(entry) = serde_json::to_value(track) else { return false };
    match list.iter().position(|other| language(other).as_ref() == Some(&track.language)) {
        Some(n) => list[n] = entry,
        None if list.len() >= MAX_TRACKS => return false,
        None => list.push(entry),
    }
    true
}

/// Copies the tracks that clients have uploaded from the presentation on the shelf into `into`, the unpacked new
/// version that will replace it. They take precedence over the new version's own tracks.
pub(super) async fn carry_over_uploads(
    storage: &Storage,
    id: &RecordId,
    format: &FormatName,
    shelf: Shelf,
    into: &Path,
) -> Result<(), StorageError> {
    if presentation_format().as_ref() != Some(format) {
        return Ok(());
    }
    let directory = into.to_owned();
    let failed = |source| StorageError::Io { what: "copy text tracks into", path: into.to_owned(), source };
    let mut kept = Vec::new();
    for track in read_tracks(storage, id, format, shelf).await? {
        if track.source != TrackSource::Upload {
            continue;
        }
        let file = track.language.file_name();
        // One at a time in memory.
        if let Some(bytes) = storage.read_file(id, format, shelf, &file, MAX_TRACK_BYTES).await? {
            let path = directory.join(file);
            run_blocking(move || write_synced(&path, &bytes)).await.map_err(failed)?;
            kept.push(track);
        }
    }
    if kept.is_empty() {
        return Ok(());
    }
    run_blocking(move || merge_into_list(&directory, kept)).await.map_err(failed)
}

fn merge_into_list(directory: &Path, kept: Vec<TextTrack>) -> io::Result<()> {
    let mut bytes = Vec::new();
    if let Ok(list) = File::open(directory.join(LIST_FILE)) {
        // An unreadable list counts as empty.
        let _ = list.take(MAX_LIST_BYTES).read_to_end(&mut bytes);
    }
    let mut list = parse_entries(&bytes).unwrap_or_default();
    for track in kept {
        upsert_track(&mut list, &track);
    }
    write_synced(&directory.join(LIST_FILE), &serde_json::to_vec(&list)?)
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // The archive may have a directory of this name.
    if path.is_dir() {
        std::fs::remove_dir_all(path)?;
    }
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn presentation_format() -> Option<FormatName> {
    FormatName::parse("presentation")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn language_parse_normalises_tags_and_refuses_others() {
        for (text, expected) in [
            ("en", "en"),
            ("EN-us", "en-US"),
            ("zh-hant-TW", "zh-Hant-TW"),
            ("es-419", "es-419"),
            ("sl-rozaj-biske", "sl-rozaj-biske"),
            ("de-x-privat", "de-x-privat"),
        ] {
            assert_eq!(Language::parse(text).unwrap().as_str(), expected);
        }
        for invalid in
            ["", "e", "en_US", "../en", "en/..", "en-", "-en", "en--US", "en\0", "1a", "en-ninechars", "ü"]
        {
            assert_eq!(Language::parse(invalid), None, "{invalid:?}");
        }
        assert_eq!(Language::parse(&format!("en{}", "-abcdefgh".repeat(5))), None);
    }

    #[test]
    fn text_track_reads_entries_of_bbb() {
        let entry = serde_json::json!({"localeName": "Deutsch", "locale": "de"});
        let track: TextTrack = serde_json::from_value(entry).unwrap();
        assert_eq!(
            (track.kind, track.source, track.language.file_name()),
            (TrackKind::Captions, TrackSource::Live, "caption_de.vtt".into())
        );
        let hostile = serde_json::json!({"localeName": "x", "locale": "../../x"});
        assert!(serde_json::from_value::<TextTrack>(hostile).is_err());
    }
}
