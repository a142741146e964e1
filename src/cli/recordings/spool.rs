//! `sl recordings spool`: what waits, what arrives, what failed and why.

use super::super::out::{Out, printable, table};
use super::super::time::utc;
use crate::config::Config;
use crate::recordings::spool::{Spool, WaitingArchive};
use anyhow::Context;
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

pub(super) fn list(config: &Config, out: Out) -> anyhow::Result<()> {
    let spool = Spool::new(&config.recordings.spool_dir);
    let listing = spool
        .listing()
        .with_context(|| format!("cannot read {} (RECORDING_SPOOL_DIR)", spool.directory().display()))?;
    if out.json {
        let failed: Vec<_> = listing
            .failed
            .iter()
            .map(|(archive, reasons)| {
                let mut value = as_json(archive);
                value["reasons"] = json!(reasons);
                value
            })
            .collect();
        return out.value(&json!({
            "waiting": listing.waiting.iter().map(as_json).collect::<Vec<_>>(),
            "arriving": listing.arriving.iter().map(as_json).collect::<Vec<_>>(),
            "failed": failed,
        }));
    }
    if listing.waiting.is_empty() && listing.arriving.is_empty() && listing.failed.is_empty() {
        return out.text("No archives.\n");
    }
    let groups = [("waiting", &listing.waiting), ("arriving", &listing.arriving)];
    let mut rows: Vec<Vec<String>> = Vec::new();
    for (state, archives) in groups {
        rows.extend(archives.iter().map(|archive| row(state, archive, String::new())));
    }
    for (archive, reasons) in &listing.failed {
        rows.push(row("failed", archive, printable(&reasons.join("; "))));
    }
    out.text(table(&["ARCHIVE", "STATE", "BYTES", "WRITTEN (UTC)", "SERVER", "REASON"], rows))
}

fn row(state: &str, archive: &WaitingArchive, reason: String) -> Vec<String> {
    vec![
        printable(&archive.name),
        state.to_owned(),
        archive.bytes.to_string(),
        utc(unix_ms(archive.modified)),
        printable(archive.server.as_deref().unwrap_or_default()),
        reason,
    ]
}

fn as_json(archive: &WaitingArchive) -> Value {
    json!({
        "name": archive.name,
        "bytes": archive.bytes,
        "modified_ms": unix_ms(archive.modified),
        "server": archive.server,
    })
}

/// ms since 1970.
fn unix_ms(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}
