//! Archives of recordings, as the post-publish script of a BBB server makes them: `{record_id}.tar` with
//! `{format}/{record_id}/…`, each format with the files that its player requests and its own variant of `metadata.xml`.
//!
//! Names, identifiers and XML are generated here, not by the code that will parse them.

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
    /// One video of the whole meeting.
    Video,
    /// The audio.
    Podcast,
    /// The shared notes.
    Notes,
    /// The shared screen.
    Screenshare,
}

impl RecordingFormat {
    /// All formats.
    pub const ALL: [RecordingFormat; 5] = [
        RecordingFormat::Presentation,
        RecordingFormat::Video,
        RecordingFormat::Podcast,
        RecordingFormat::Notes,
        RecordingFormat::Screenshare,
    ];

    /// Its name in paths.
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
        known.ok_or_else(|| "must be presentation, video, podcast, notes or screenshare".to_owned())
    }
}

/// How an archive is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// `.tar`
    None,
    /// `.tar.gz`
    Gz,
    /// `.tar.zst`
    Zst,
    /// `.tar.xz`
    Xz,
}

impl FromStr for Compression {
    type Err = String;

    fn from_str(text: &str) -> Result<Compression, String> {
        match text {
            "none" => Ok(Compression::None),
            "gz" => Ok(Compression::Gz),
            "zst" => Ok(Compression::Zst),
            "xz" => Ok(Compression::Xz),
            _ => Err("must be none, gz, zst or xz".to_owned()),
        }
    }
}

/// One recording. The same values give the same bytes.
#[derive(Debug, Clone)]
pub struct Recording {
    /// The client's meetingID; with the start, it gives the record id.
    pub meeting_id: String,
    /// The meeting's name.
    pub name: String,
    /// Start of the meeting, in milliseconds since 1970.
    pub start_ms: u64,
    /// Duration of the meeting, in milliseconds.
    pub duration_ms: u64,
    /// Number of participants.
    pub participants: u32,
    /// Formats, in their order in the archive.
    pub formats: Vec<RecordingFormat>,
    /// Number of slides in the presentation.
    pub slides: u32,
    /// Approximate bytes of each format: shorter content is padded or repeated.
    pub size: u64,
    /// Elements of `meta`, besides those that BBB adds.
    pub metadata: Vec<(String, String)>,
    /// Seed of what is random.
    pub seed: u64,
    /// Host name of the BBB server.
    pub host: String,
}

impl Default for Recording {
    /// A presentation of one hour, a few kilobytes.
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
    /// The record id, which is the internalMeetingID: hex SHA-1 of the meetingID, a dash, the start.
    pub fn record_id(&self) -> String {
        format!("{}-{}", hex::encode(Sha1::digest(self.meeting_id.as_bytes())), self.start_ms)
    }

    /// Writes the tar, uncompressed.
    ///
    /// # Errors
    /// Writing to `out` fails.
    pub fn write_tar(&self, out: impl Write) -> io::Result<()> {
        let mut tar = tar::Builder::new(out);
        for format in &self.formats {
            self.append_format(&mut tar, *format)?;
        }
        tar.into_inner()?.flush()
    }

    /// Writes `{record_id}.tar…` into a directory: under a hidden name first, so that an importer that watches the
    /// directory sees only complete archives.
    ///
    /// # Errors
    /// The file cannot be written or renamed.
    pub fn write_archive(&self, directory: &Path, compression: Compression) -> io::Result<PathBuf> {
        let extension = match compression {
            Compression::None => "tar",
            Compression::Gz => "tar.gz",
            Compression::Zst => "tar.zst",
            Compression::Xz => "tar.xz",
        };
        let name = format!("{}.{extension}", self.record_id());
        let (hidden, path) = (directory.join(format!(".{name}.part")), directory.join(&name));
        let file = BufWriter::with_capacity(1 << 18, File::create(&hidden)?);
        match compression {
            Compression::None => self.write_tar(file)?,
            Compression::Gz => {
                let mut gz = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
                self.write_tar(&mut gz)?;
                gz.finish()?.flush()?;
            }
            Compression::Zst => {
                let mut zst = zstd::Encoder::new(file, 1)?;
                zst.include_checksum(true)?;
                self.write_tar(&mut zst)?;
                zst.finish()?.flush()?;
            }
            Compression::Xz => {
                let mut xz = liblzma::write::XzEncoder::new(file, 1);
                self.write_tar(&mut xz)?;
                xz.finish()?.flush()?;
            }
        }
        fs::rename(&hidden, &path)?;
        Ok(path)
    }

    fn append_format(&self, tar: &mut tar::Builder<impl Write>, format: RecordingFormat) -> io::Result<()> {
        let files = files::format_files(self, format);
        let size: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
        let root = format!("{}/{}", format.name(), self.record_id());
        let mut directories = Vec::new();
        let metadata = metadata::metadata_xml(self, format, size as u64);
        let all = files.into_iter().chain([("metadata.xml".to_owned(), metadata.into_bytes())]);
        for (name, bytes) in all {
            let path = format!("{root}/{name}");
            // A directory before its files, as `tar` writes them.
            for (slash, _) in path.match_indices('/') {
                let directory = &path[..=slash];
                if !directories.iter().any(|known| known == directory) {
                    directories.push(directory.to_owned());
                    self.append_entry(tar, tar::EntryType::Directory, directory, &[])?;
                }
            }
            self.append_entry(tar, tar::EntryType::Regular, &path, &bytes)?;
        }
        Ok(())
    }

    fn append_entry(
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
        // The user `bigbluebutton` on a BBB server.
        header.set_uid(997);
        header.set_gid(997);
        tar.append_data(&mut header, path, bytes)
    }
}

/// Pseudo-random bytes: they do not compress, and the same seed gives the same bytes.
fn incompressible_bytes(seed: u64, length: usize) -> Vec<u8> {
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
