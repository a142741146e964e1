//! `sl recordings import`, `retry`.

use super::super::out::{Out, printable};
use crate::config::Config;
use crate::recordings::import::{ImportError, ImportReport, Importer};
use crate::recordings::spool::{RetryResult, Spool};
use crate::recordings::unpack::UnpackControl;
use crate::telemetry;
use anyhow::{Context, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

#[derive(Args)]
pub struct ImportArgs {
    /// Archives: .tar, .tar.gz, .tar.zst, .tar.xz
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Delete each archive after it was imported
    #[arg(long)]
    remove: bool,
}

/// Imports files one after the other. A failure does not stop the others.
pub(super) async fn import(config: &Config, args: ImportArgs, out: Out) -> anyhow::Result<()> {
    let importer =
        Importer::new(config)?.context("the index of recordings is not configured: set DATABASE_URL")?;
    let (mut reports, mut failures) = (Vec::new(), 0);
    for path in &args.files {
        let result = import_one(&importer, path, args.remove).await;
        let name = path.display().to_string();
        let (record_ids, formats, bad) = match result {
            Ok(report) => split_report(report),
            Err(error) => (Vec::new(), Vec::new(), vec![error.to_string()]),
        };
        failures += usize::from(!bad.is_empty());
        if out.json {
            reports
                .push(json!({ "file": name, "record_ids": record_ids, "formats": formats, "errors": bad }));
            continue;
        }
        for (id, formats) in record_ids.iter().zip(&formats) {
            out.text(format!("OK {id}: {}\n", formats.join(", ")))?;
        }
        for why in bad {
            telemetry::print_line(&format!("{}: {}", printable(&name), printable(&why)));
        }
    }
    if out.json {
        out.value(&reports)?;
    }
    match failures {
        0 => Ok(()),
        _ => bail!("{failures} of {} archives were not, or not completely, imported", args.files.len()),
    }
}

fn split_report(report: ImportReport) -> (Vec<String>, Vec<Vec<String>>, Vec<String>) {
    let (ids, formats) = report.recordings.into_iter().map(|(id, formats)| (id.to_string(), formats)).unzip();
    (ids, formats, report.errors)
}

async fn import_one(importer: &Importer, path: &Path, remove: bool) -> Result<ImportReport, ImportError> {
    let control = Arc::new(UnpackControl::default());
    // Drawn on a terminal only.
    let bar = ProgressBar::new(fs::metadata(path).map_or(0, |about| about.len()));
    if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {bytes}/{total_bytes} {eta}") {
        bar.set_style(style);
    }
    bar.set_message(printable(&path.file_name().unwrap_or_default().to_string_lossy()));
    let import = importer.import_file(path, control.clone(), remove);
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    tokio::pin!(import);
    let result = loop {
        tokio::select! {
            result = &mut import => break result,
            _ = ticks.tick() => bar.set_position(control.bytes_read()),
        }
    };
    bar.finish_and_clear();
    result
}

/// Moves archives from failed/ back into the spool, where an importer finds them.
pub(super) fn retry(
    config: &Config,
    names: Vec<String>,
    accept_server: bool,
    out: Out,
) -> anyhow::Result<()> {
    let spool = Spool::new(&config.recordings.spool_dir);
    let all = names.is_empty();
    let names = if all {
        let failed =
            spool.failed().with_context(|| format!("cannot read {}", spool.directory().display()))?;
        failed.into_iter().map(|(name, _)| name).collect()
    } else {
        names
    };
    let (mut done, mut refused) = (Vec::new(), Vec::new());
    for name in names {
        let retried = if accept_server { spool.retry_accepted(&name) } else { spool.retry(&name) };
        match retried.with_context(|| format!("cannot move {} back into the spool", printable(&name)))? {
            RetryResult::Moved => {
                if !out.json {
                    out.text(format!("OK {}\n", printable(&name)))?;
                }
                done.push(name);
            }
            RetryResult::AlreadyInSpool => {
                refused.push(format!("{}: an archive of that name is in the spool already", printable(&name)))
            }
            // Another process has just moved it back.
            RetryResult::Missing if all => {}
            RetryResult::NotUploaded if all => {}
            RetryResult::NotUploaded => refused.push(format!(
                "{}: no server has uploaded it, so --accept-server has no meaning",
                printable(&name)
            )),
            RetryResult::Missing => refused.push(format!("there is no {} in failed/", printable(&name))),
        }
    }
    if out.json {
        out.value(&json!({ "retried": done, "refused": refused }))?;
    }
    if refused.is_empty() { Ok(()) } else { bail!(refused.join("; ")) }
}
