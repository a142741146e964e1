//! `sl poll`: one round now, with progress.

use super::{Session, out::Out};
use crate::pool::poll;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::time::Duration;

/// Polls all servers; a server that does not answer is named, and is no failure of the command.
pub async fn poll(session: &Session, out: Out) -> anyhow::Result<()> {
    let servers = session.store.servers().await?.len();
    // Drawn on standard error, and only on a terminal.
    let bar = ProgressBar::new(servers as u64);
    bar.set_style(ProgressStyle::with_template("polling {pos}/{len} {wide_bar} {elapsed}")?);
    bar.enable_steady_tick(Duration::from_millis(100));
    let mut failures = Vec::new();
    let round = poll::round(&session.store, &session.backend, &session.config, |server, result| {
        bar.inc(1);
        if let Err(failure) = result {
            failures.push((server.at.id.clone(), server.hostname(), failure.to_string()));
        }
    })
    .await?;
    bar.finish_and_clear();
    failures.sort();
    if out.json {
        let failed: Vec<_> =
            failures.iter().map(|(id, host, why)| json!({ "id": id, "host": host, "error": why })).collect();
        return out.value(&json!({
            "servers": servers,
            "answered": round.answered,
            "failed": failed,
            "meetings_released": round.released,
            "seconds": round.took.as_secs_f64(),
        }));
    }
    let mut text = String::new();
    for (id, host, why) in failures {
        text += &format!("{host} ({id}): {why}\n");
    }
    text +=
        &format!("{} of {servers} servers answered, in {:.1} s\n", round.answered, round.took.as_secs_f64());
    out.text(text)
}
