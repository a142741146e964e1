//! `sl poll`: one round now, with a progress bar.

use super::{Session, out::Out};
use crate::servers::poll::Round;
use crate::store::Fence;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::time::Duration;

/// Id and host of a server, and why its poll failed.
type Failure = (String, String, String);

/// Polls all servers with a progress bar. Returns the number of servers, the result, and the failures.
pub(super) async fn round_with_progress(session: &Session) -> anyhow::Result<(usize, Round, Vec<Failure>)> {
    let servers = session.store.servers().await?.len();
    // Drawn on standard error, if that is a terminal.
    let bar = ProgressBar::new(servers as u64);
    bar.set_style(ProgressStyle::with_template("polling {pos}/{len} {wide_bar} {elapsed}")?);
    bar.enable_steady_tick(Duration::from_millis(100));
    let mut failures = Vec::new();
    let poller = session.poller();
    let round = poller
        .poll_round(&Fence::None, |server, result| {
            bar.inc(1);
            if let Err(failure) = result {
                failures.push((server.at.id.clone(), server.hostname(), failure.to_string()));
            }
        })
        .await?;
    bar.finish_and_clear();
    failures.sort();
    Ok((servers, round, failures))
}

/// Polls all servers. Names those that do not answer; they do not make the command fail.
pub async fn poll(session: &Session, out: Out) -> anyhow::Result<()> {
    let (servers, round, failures) = round_with_progress(session).await?;
    if out.json {
        let failed: Vec<_> =
            failures.iter().map(|(id, host, why)| json!({ "id": id, "host": host, "error": why })).collect();
        return out.value(&json!({
            "servers": servers,
            "answered": round.answered,
            "failed": failed,
            "meetings_released": round.released,
            "meetings_adopted": round.adopted,
            "meetings_abandoned": round.abandoned,
            "braked": round.braked,
            "seconds": round.took.as_secs_f64(),
        }));
    }
    let mut text = String::new();
    for (id, host, why) in failures {
        text += &format!("{host} ({id}): {why}\n");
    }
    text +=
        &format!("{} of {servers} servers answered, in {:.1} s\n", round.answered, round.took.as_secs_f64());
    if round.braked {
        text +=
            "More than half of the servers do not answer: check the network here. No meeting is released.\n";
    }
    out.text(text)
}
