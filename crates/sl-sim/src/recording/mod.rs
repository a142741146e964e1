//! Recordings as a BBB server's post-publish script archives them: `{record_id}.tar` with
//! `{format}/{record_id}/…`, each format with the files that its player asks for and a
//! `metadata.xml` in that format's own variant.
//!
//! Names, identifiers and XML are made here, by none of the code that will read them.

mod files;
mod media;
mod metadata;
#[cfg(test)]
mod tests;

use sha1::{Digest, Sha1};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// A playback format of BBB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordingFormat {
    /// Slides, webcams, chat.
    Presentation,
    /// One film of it all.
    Video,
    /// The sound.
    Podcast,
    /// The shared notes.
    Notes,
    /// What was shared of a screen.
    Screenshare,
}

impl RecordingFormat {
    /// All of them.
    pub const ALL: [RecordingFormat; 5] = [
        RecordingFormat::Presentation,
        RecordingFormat::Video,
        RecordingFormat::Podcast,
        RecordingFormat::Notes,
        RecordingFormat::Screenshare,
    ];

    /// As it stands in paths.
    pub fn name(self) -> &'static str {
        match self {
            RecordingFormat::Presentation => "presentation",
            RecordingFormat::Video => "video",
            RecordingFormat::Podcast => "podcast",
            RecordingFormat::Notes => "notes",
            RecordingFormat::Screenshare => "screenshare",
        }
    }
}

impl FromStr for RecordingFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<RecordingFormat, String> {
        let known = RecordingFormat::ALL.into_iter().find(|format| format.name() == text);
        known.ok_or_else(|| "one of presentation, video, podcast, notes, screenshare".to_owned())
    }
}

/// How an archive is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// `.tar`
    None,
    /// `.tar.gz`
    Gz,
    /// `.tar.zst`
    Zst,
    /// `.tar.xz`
    Xz,
}

impl FromStr for Packing {
    type Err = String;

    fn from_str(text: &str) -> Result<Packing, String> {
        match text {
            "none" => Ok(Packing::None),
            "gz" => Ok(Packing::Gz),
            "zst" => Ok(Packing::Zst),
            "xz" => Ok(Packing::Xz),
            _ => Err("one of none, gz, zst, xz".to_owned()),
        }
    }
}

/// One recording. The same values make the same bytes.
#[derive(Debug, Clone)]
pub struct Recording {
    /// The client's meetingID. Makes the record id, together with the start.
    pub meeting_id: String,
    /// The meeting's name.
    pub name: String,
    /// ms since 1970.
    pub start_ms: u64,
    /// ms.
    pub duration_ms: u64,
    /// People.
    pub participants: u32,
    /// In this order in the archive.
    pub formats: Vec<RecordingFormat>,
    /// Slides of the presentation.
    pub slides: u32,
    /// About so many bytes for each format, where its few real ones are less.
    pub size: u64,
    /// `meta`, beside what BBB writes itself.
    pub metadata: Vec<(String, String)>,
    /// Makes what is random.
    pub seed: u64,
    /// The BBB server that it was made on.
    pub host: String,
}

impl Default for Recording {
    /// A presentation of an hour, a few kilobytes.
    fn default() -> Recording {
        Recording {
            meeting_id: "algebra-101".into(),
            name: "Algebra & Co".into(),
            start_ms: 1_767_225_600_000,
            duration_ms: 3_605_120,
            participants: 4,
            formats: vec![RecordingFormat::Presentation],
            slides: 3,
            size: 0,
            metadata: vec![
                ("bbb-origin".into(), "moodle".into()),
                ("bbb-origin-server-name".into(), "moodle.example.org".into()),
                ("bbb-recording-tags".into(), String::new()),
            ],
            seed: 1,
            host: "bbb1.example.org".into(),
        }
    }
}

impl Recording {
    /// internalMeetingID, as BBB makes it.
    pub fn record_id(&self) -> String {
        format!("{}-{}", hex::encode(Sha1::digest(self.meeting_id.as_bytes())), self.start_ms)
    }

    /// Writes the tar.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&self, out: impl Write) -> io::Result<()> {
        let mut tar = tar::Builder::new(out);
        for format in &self.formats {
            self.append(&mut tar, *format)?;
        }
        tar.into_inner()?.flush()
    }

    /// Writes `{record_id}.tar…` into a directory: under a hidden name first, so that whoever
    /// watches the directory sees a whole archive or none.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn archive(&self, directory: &Path, packing: Packing) -> io::Result<PathBuf> {
        let ending = match packing {
            Packing::None => "tar",
            Packing::Gz => "tar.gz",
            Packing::Zst => "tar.zst",
            Packing::Xz => "tar.xz",
        };
        let name = format!("{}.{ending}", self.record_id());
        let (hidden, path) = (directory.join(format!(".{name}.part")), directory.join(&name));
        let file = BufWriter::with_capacity(1 << 18, File::create(&hidden)?);
        match packing {
            Packing::None => self.write(file)?,
            Packing::Gz => {
                let mut gz = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
                self.write(&mut gz)?;
                gz.finish()?.flush()?;
            }
            Packing::Zst => {
                let mut zst = zstd::Encoder::new(file, 1)?;
                zst.include_checksum(true)?;
                self.write(&mut zst)?;
                zst.finish()?.flush()?;
            }
            Packing::Xz => {
                let mut xz = liblzma::write::XzEncoder::new(file, 1);
                self.write(&mut xz)?;
                xz.finish()?.flush()?;
            }
        }
        fs::rename(&hidden, &path)?;
        Ok(path)
    }

    fn append(&self, tar: &mut tar::Builder<impl Write>, format: RecordingFormat) -> io::Result<()> {
        let files = files::of(self, format);
        let size: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
        let root = format!("{}/{}", format.name(), self.record_id());
        let mut made = Vec::new();
        let metadata = metadata::xml(self, format, size as u64);
        let all = files.into_iter().chain([("metadata.xml".to_owned(), metadata.into_bytes())]);
        for (name, bytes) in all {
            let path = format!("{root}/{name}");
            // Directories come first, as `tar` writes them.
            for (at, _) in path.match_indices('/') {
                let directory = &path[..=at];
                if !made.iter().any(|known| known == directory) {
                    made.push(directory.to_owned());
                    self.member(tar, tar::EntryType::Directory, directory, &[])?;
                }
            }
            self.member(tar, tar::EntryType::Regular, &path, &bytes)?;
        }
        Ok(())
    }

    fn member(
        &self,
        tar: &mut tar::Builder<impl Write>,
        kind: tar::EntryType,
        path: &str,
        bytes: &[u8],
    ) -> io::Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(bytes.len() as u64);
        header.set_mode(if kind.is_dir() { 0o755 } else { 0o644 });
        header.set_mtime((self.start_ms + self.duration_ms) / 1000);
        // The user `bigbluebutton` of a BBB server.
        header.set_uid(997);
        header.set_gid(997);
        tar.append_data(&mut header, path, bytes)
    }
}

/// Bytes that do not compress, the same for the same seed.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
