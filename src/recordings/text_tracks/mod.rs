//! Text tracks: subtitles and captions, where the player of presentations finds them. Each is a WebVTT
//! file of the presentation, `caption_{lang}.vtt`, and captions.json lists them:
//! `[{"localeName": …, "locale": …}]`, to which `kind` and `source` are added here. The player does not
//! mind; lists that BBB has written have neither.

mod convert;

pub use convert::{BadTrack, to_webvtt};

use super::{ChangeError, FormatName, RecordId, Recordings, Shelf, Storage, StorageError};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

const LIST: &str = "captions.json";
/// A list that is larger is not read.
const LONGEST_LIST: u64 = 1 << 20;
/// A track that is larger was not uploaded here.
const LONGEST_TRACK: u64 = 64 << 20;
/// Tracks of a recording.
const MOST: usize = 500;

/// A language by its BCP 47 tag. Letters, digits and `-`, so that it can stand in a file's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Language(String);

impl Language {
    /// None if the text is no such tag. Its parts get their usual case: `en-US`, `zh-Hant`.
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

    /// As it stands in the file's name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The file of a track in this language.
    pub fn file(&self) -> String {
        format!("caption_{}.vtt", self.0)
    }
}

impl TryFrom<String> for Language {
    type Error = String;

    fn try_from(text: String) -> Result<Language, String> {
        Language::parse(&text).ok_or_else(|| format!("{text:?} is no language"))
    }
}

impl From<Language> for String {
    fn from(language: Language) -> String {
        language.0
    }
}

/// What a track is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// What is said, for who does not know the language.
    Subtitles,
    /// What is heard, for who does not hear.
    #[default]
    Captions,
}

impl Kind {
    /// As clients name it.
    pub fn parse(text: &str) -> Option<Kind> {
        match text {
            "subtitles" => Some(Kind::Subtitles),
            "captions" => Some(Kind::Captions),
            _ => None,
        }
    }

    /// As clients name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Subtitles => "subtitles",
            Kind::Captions => "captions",
        }
    }
}

/// Where a track came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// Written during the meeting.
    #[default]
    Live,
    /// Uploaded later.
    Upload,
}

impl Source {
    /// As clients see it.
    pub fn as_str(self) -> &'static str {
        match self {
            Source::Live => "live",
            Source::Upload => "upload",
        }
    }
}

/// A track, as it stands in captions.json.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextTrack {
    /// For people.
    #[serde(rename = "localeName")]
    pub label: String,
    /// In which language.
    #[serde(rename = "locale")]
    pub language: Language,
    /// What it is for.
    #[serde(default)]
    pub kind: Kind,
    /// Where it came from.
    #[serde(default)]
    pub source: Source,
}

/// What came of putting one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It is there now.
    Done,
    /// There is no such recording.
    NoRecording,
    /// The recording has no presentation, or too many tracks already.
    NoPlace,
}

impl Recordings {
    /// The text tracks of a recording, as they are listed. None where there is no such recording.
    pub async fn text_tracks(&self, id: &RecordId) -> Result<Option<Vec<TextTrack>>, ChangeError> {
        let Some((state, shelf)) = self.index.state(id).await? else { return Ok(None) };
        if state == "deleted" {
            return Ok(None);
        }
        let Some(format) = presentation() else { return Ok(Some(Vec::new())) };
        Ok(Some(listed(&self.storage, id, &format, shelf).await?))
    }

    /// Puts a text track in the place of the one in that language, if there is one. Two at once lose
    /// nothing: it is done under the recording's lock. Cut off, a file may be there that no list names.
    pub async fn put_text_track(
        &self,
        id: &RecordId,
        track: TextTrack,
        webvtt: String,
    ) -> Result<Put, ChangeError> {
        let locked = self.index.lock(id).await?;
        let Some(shelf) = locked.current_shelf() else { return Ok(Put::NoRecording) };
        let Some(format) = presentation() else { return Ok(Put::NoPlace) };
        // What is still to come into its place would replace what is put there now.
        self.storage.recover(id).await?;
        if !self.storage.formats(id).await?.contains(&(format.clone(), shelf)) {
            return Ok(Put::NoPlace);
        }
        let bytes = self.storage.read_file(id, &format, shelf, LIST, LONGEST_LIST).await?;
        // What is no list is not written over: somebody may want to mend it.
        let Some(mut list) = entries(&bytes.unwrap_or_default()) else { return Ok(Put::NoPlace) };
        let file = track.language.file();
        if !put_into(&mut list, &track) {
            return Ok(Put::NoPlace);
        }
        // Names and texts: they can be written.
        let list = serde_json::to_vec(&list).unwrap_or_default();
        self.storage.write_file(id, &format, shelf, &file, webvtt.into()).await?;
        self.storage.write_file(id, &format, shelf, LIST, Bytes::from(list)).await?;
        locked.commit().await?;
        Ok(Put::Done)
    }
}

/// The tracks of a presentation on a shelf.
async fn listed(
    storage: &Storage,
    id: &RecordId,
    format: &FormatName,
    shelf: Shelf,
) -> Result<Vec<TextTrack>, StorageError> {
    let bytes = storage.read_file(id, format, shelf, LIST, LONGEST_LIST).await?.unwrap_or_default();
    Ok(read_list(&bytes))
}

/// What is no list, and what in it is no track, is as if it was not there.
fn read_list(bytes: &[u8]) -> Vec<TextTrack> {
    let entries = entries(bytes).unwrap_or_default();
    entries.into_iter().filter_map(|entry| serde_json::from_value(entry).ok()).collect()
}

/// All that stands in a list, in whatever form BBB has it. None if it is none.
fn entries(bytes: &[u8]) -> Option<Vec<serde_json::Value>> {
    if bytes.is_empty() { Some(Vec::new()) } else { serde_json::from_slice(bytes).ok() }
}

/// Puts a track into a list, in the place of the one in that language; all else stays as it is. Whether
/// there was room.
fn put_into(list: &mut Vec<serde_json::Value>, track: &TextTrack) -> bool {
    let language = |entry: &serde_json::Value| {
        serde_json::from_value::<TextTrack>(entry.clone()).ok().map(|other| other.language)
    };
    let Ok(entry) = serde_json::to_value(track) else { return false };
    match list.iter().position(|other| language(other).as_ref() == Some(&track.language)) {
        Some(n) => list[n] = entry,
        None if list.len() >= MOST => return false,
        None => list.push(entry),
    }
    true
}

/// Takes the tracks that clients have uploaded over into a presentation that is to replace the one on the
/// shelf: a directory that nobody else knows yet. Theirs count more than those that it brings itself.
pub(super) async fn keep(
    storage: &Storage,
    id: &RecordId,
    format: &FormatName,
    shelf: Shelf,
    into: &Path,
) -> Result<(), StorageError> {
    if presentation().as_ref() != Some(format) {
        return Ok(());
    }
    let directory = into.to_owned();
    let failed = |source| StorageError::Io { what: "keep the text tracks in", path: into.to_owned(), source };
    let lost = || io::Error::other("this process is stopping");
    let mut kept = Vec::new();
    for track in listed(storage, id, format, shelf).await? {
        if track.source != Source::Upload {
            continue;
        }
        let file = track.language.file();
        // One at a time in memory.
        if let Some(bytes) = storage.read_file(id, format, shelf, &file, LONGEST_TRACK).await? {
            let path = directory.join(file);
            let written = tokio::task::spawn_blocking(move || write_synced(&path, &bytes)).await;
            written.unwrap_or_else(|_| Err(lost())).map_err(failed)?;
            kept.push(track);
        }
    }
    if kept.is_empty() {
        return Ok(());
    }
    let written = tokio::task::spawn_blocking(move || list_in(&directory, kept)).await;
    written.unwrap_or_else(|_| Err(lost())).map_err(failed)
}

fn list_in(directory: &Path, kept: Vec<TextTrack>) -> io::Result<()> {
    let mut bytes = Vec::new();
    if let Ok(list) = File::open(directory.join(LIST)) {
        // What cannot be read is no list.
        let _ = list.take(LONGEST_LIST).read_to_end(&mut bytes);
    }
    let mut list = entries(&bytes).unwrap_or_default();
    for track in kept {
        put_into(&mut list, &track);
    }
    write_synced(&directory.join(LIST), &serde_json::to_vec(&list)?)
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // The archive may have anything in its place.
    if path.is_dir() {
        std::fs::remove_dir_all(path)?;
    }
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn presentation() -> Option<FormatName> {
    FormatName::parse("presentation")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages() {
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
        for no in
            ["", "e", "en_US", "../en", "en/..", "en-", "-en", "en--US", "en\0", "1a", "en-ninechars", "ü"]
        {
            assert_eq!(Language::parse(no), None, "{no:?}");
        }
        assert_eq!(Language::parse(&format!("en{}", "-abcdefgh".repeat(5))), None);
    }

    #[test]
    fn a_list_of_bbbs_is_read() {
        let entry = serde_json::json!({"localeName": "Deutsch", "locale": "de"});
        let track: TextTrack = serde_json::from_value(entry).unwrap();
        assert_eq!(
            (track.kind, track.source, track.language.file()),
            (Kind::Captions, Source::Live, "caption_de.vtt".into())
        );
        let hostile = serde_json::json!({"localeName": "x", "locale": "../../x"});
        assert!(serde_json::from_value::<TextTrack>(hostile).is_err());
    }
}
