//! `sl recordings retain`: deletes recordings by age and metadata.

use super::super::out::{Out, confirm};
use super::super::time::{parse_age, utc};
use super::{Session, key_value, list, record_id};
use crate::recordings::index::RecordingQuery;
use anyhow::bail;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[derive(Args)]
pub struct RetainArgs {
    /// Delete recordings that began longer ago than this: 90d, 12w, 36h
    #[arg(long, value_name = "AGE", value_parser = parse_age)]
    older_than: Option<Duration>,
    /// Delete only recordings with this metadata; a leading or trailing % matches any text
    #[arg(long = "meta", value_name = "KEY=VALUE", value_parser = key_value)]
    meta: Vec<(String, String)>,
    /// Delete only recordings in these states (default: published, unpublished)
    #[arg(long = "state", value_name = "STATE")]
    states: Vec<String>,
    /// Print what would be deleted, and delete nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask for confirmation
    #[arg(long, short)]
    yes: bool,
}

pub(super) async fn retain(session: &Session, args: RetainArgs, out: Out) -> anyhow::Result<()> {
    if args.older_than.is_none() && args.meta.is_empty() {
        bail!("choose the recordings to delete: --older-than, --meta, or both");
    }
    if args.states.iter().any(|state| matches!(state.as_str(), "any" | "deleted")) {
        bail!("deleted recordings cannot be deleted again: name other states");
    }
    let mut query = list::query(&args.meta, &args.states);
    if let Some(age) = args.older_than {
        let before = SystemTime::now().duration_since(UNIX_EPOCH)?.saturating_sub(age);
        query.before_ms = Some(i64::try_from(before.as_millis())?);
    }
    let total = session.recordings.index.total(&query).await?;
    if total == 0 {
        return report(out, &[], args.dry_run);
    }
    if !args.dry_run && !args.yes {
        let settings = &session.config.recordings;
        let where_ = match &settings.s3 {
            Some(s3) => format!("the bucket {}", s3.bucket),
            None => format!("{} and {}", settings.publish_dir.display(), settings.unpublish_dir.display()),
        };
        confirm(&format!("Delete {total} recordings, with their files in {where_}?"), "--yes")?;
    }
    let done = delete(session, query, total, args.dry_run, out).await?;
    report(out, &done, args.dry_run)
}

/// Deletes page by page. A recording that another process has just deleted is no error.
async fn delete(
    session: &Session,
    query: RecordingQuery,
    total: i64,
    dry_run: bool,
    out: Out,
) -> anyhow::Result<Vec<String>> {
    // Hidden unless standard error is a terminal.
    let progress = ProgressBar::new(total.max(0) as u64)
        .with_style(ProgressStyle::with_template("{bar:40} {pos}/{len} {eta}")?);
    let mut done = Vec::new();
    let mut pages = session.recordings.index.pages(query);
    while !pages.is_done() {
        for recording in pages.next().await? {
            if !dry_run {
                session.recordings.delete(&record_id(&recording.record_id)?).await?;
            }
            if !out.json {
                let start = recording.start_ms.map_or(String::new(), utc);
                let line = format!(
                    "{}{}\t{start}\n",
                    if dry_run { "would delete " } else { "" },
                    recording.record_id
                );
                progress.suspend(|| out.text(line))?;
            }
            progress.inc(1);
            done.push(recording.record_id);
        }
    }
    progress.finish_and_clear();
    Ok(done)
}

fn report(out: Out, done: &[String], dry_run: bool) -> anyhow::Result<()> {
    if out.json {
        return out.value(&json!({ "dry_run": dry_run, "record_ids": done }));
    }
    let verb = if dry_run { "would be deleted" } else { "deleted" };
    out.text(format!("{} recordings {verb}.\n", done.len()))
}
