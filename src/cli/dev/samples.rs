//! The recordings that `sl dev` has from the start.

use crate::config::Config;
use crate::recordings::import::Importer;
use crate::recordings::unpack::UnpackControl;
use anyhow::{Context, Result};
use sl_sim::{Compression, Recording, RecordingFormat};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

/// What of it to show.
pub(super) struct Samples {
    /// The path of a presentation that plays.
    pub(super) open: String,
    /// The id of a recording that is protected.
    pub(super) protected: String,
}

/// Imports some recordings, the last of them protected.
pub(super) async fn import(config: &Config, directory: &Path) -> Result<Samples> {
    use RecordingFormat::{Notes, Podcast, Presentation, Screenshare, Video};
    const HOUR: u64 = 3_600_000;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let now = now.as_millis() as u64;
    let mut samples = Samples { open: String::new(), protected: String::new() };
    for (n, (meeting_id, name, formats, protected)) in [
        ("algebra-101", "Algebra & Co", vec![Presentation, Video], false),
        ("algebra-101", "Algebra & Co, week 2", vec![Presentation, Video, Notes], false),
        ("biology", "Biology <live>", vec![Presentation, Podcast, Screenshare], false),
        ("staff", "Staff meeting", vec![Presentation, Video], true),
    ]
    .into_iter()
    .enumerate()
    {
        let recording = Recording {
            meeting_id: meeting_id.into(),
            name: name.into(),
            formats,
            start_ms: now - (24 * 7 - 24 * n as u64) * HOUR,
            seed: n as u64 + 1,
            ..Recording::default()
        };
        let archive = recording
            .write_archive(directory, Compression::None)
            .context("cannot write a sample recording")?;
        let mut config = config.clone();
        config.recordings.protected_enabled = protected;
        let importer = Importer::new(&config)?.context("there is no index of recordings")?;
        importer
            .import_file(&archive, Arc::new(UnpackControl::default()), false)
            .await
            .context("cannot import a sample")?;
        fs::remove_file(&archive)?;
        match protected {
            true => samples.protected = recording.record_id(),
            false => samples.open = format!("/playback/presentation/2.3/{}", recording.record_id()),
        }
    }
    Ok(samples)
}
