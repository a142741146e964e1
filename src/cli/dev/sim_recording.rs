//! `sl sim recording`: recording archives, as BBB servers make them.

use super::super::out::Out;
use anyhow::{Context, bail};
use clap::Args;
use serde_json::json;
use sl_sim::{Compression, Recording, RecordingFormat};
use std::path::PathBuf;

/// Time between the starts of two recordings.
const START_INTERVAL_MS: u64 = 60_000;

#[derive(Args)]
pub struct RecordingArgs {
    /// Directory to write to, for example a spool
    #[arg(long, default_value = ".")]
    out: PathBuf,
    /// Number of recordings, each of its own meeting
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    count: u32,
    /// Formats: presentation, video, podcast, notes, screenshare
    #[arg(long, value_delimiter = ',', default_value = "presentation,video")]
    formats: Vec<RecordingFormat>,
    /// Approximate bytes of each format
    #[arg(long, default_value_t = 0)]
    size: u64,
    /// Number of slides in the presentation
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    slides: u32,
    /// The client's meetingID; with --count, a number is appended
    #[arg(long, default_value = "algebra-101")]
    meeting_id: String,
    /// The meeting's name
    #[arg(long, default_value = "Algebra & Co")]
    name: String,
    /// Metadata; may be repeated
    #[arg(long = "meta", value_name = "KEY=VALUE")]
    metadata: Vec<String>,
    /// Start of the first meeting, in milliseconds since 1970
    #[arg(long, default_value_t = 1_767_225_600_000)]
    start: u64,
    /// The same seed gives the same bytes
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Compression: none, gz, zst or xz
    #[arg(long, default_value = "none")]
    compress: Compression,
}

/// Writes the archives and prints their paths.
pub fn recording(args: RecordingArgs, out: Out) -> anyhow::Result<()> {
    let mut recording = Recording {
        name: args.name,
        formats: args.formats,
        slides: args.slides,
        size: args.size,
        ..Recording::default()
    };
    for pair in &args.metadata {
        let Some((key, value)) = pair.split_once('=') else { bail!("--meta {pair} must be KEY=VALUE") };
        recording.metadata.retain(|(known, _)| known != key);
        recording.metadata.push((key.to_owned(), value.to_owned()));
    }
    let mut paths = Vec::new();
    for n in 0..args.count {
        let meeting_id = match (args.count, n) {
            (1, _) => args.meeting_id.clone(),
            (_, n) => format!("{}-{}", args.meeting_id, n + 1),
        };
        let recording = Recording {
            meeting_id,
            start_ms: args.start + u64::from(n) * START_INTERVAL_MS,
            seed: args.seed.wrapping_add(u64::from(n)),
            ..recording.clone()
        };
        let path = recording
            .write_archive(&args.out, args.compress)
            .with_context(|| format!("cannot write to {}", args.out.display()))?;
        if out.json {
            paths.push(json!({ "recordID": recording.record_id(), "path": path }));
        } else {
            out.text(format!("{}\n", path.display()))?;
        }
    }
    if out.json { out.value(&paths) } else { Ok(()) }
}
