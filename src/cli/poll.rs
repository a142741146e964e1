//! `sl poll`: one round now, with a progress bar.

use super::{Session, out::Out};
use crate::servers::poll::{PollError, Poller, Round};
use crate::store::{Fence, ServerState};
use anyhow::bail;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::time::Duration;

/// A server whose poll failed.
pub(super) struct Failure {
    id: String,
    host: String,
    /// It is in use and did not answer.
    counts: bool,
    why: String,
}

impl Failure {
    /// As a line of text.
    pub(super) fn line(&self) -> String {
        format!("{} ({}): {}\n", self.host, self.id, self.why)
    }

    /// As JSON.
    pub(super) fn json(&self) -> serde_json::Value {
        json!({ "id": self.id, "host": self.host, "error": self.why })
    }
}

/// Polls all servers with a progress bar. Returns the number of servers, the result, and the failures.
pub(super) async fn round_with_progress(
    session: &Session,
    poller: Poller,
) -> anyhow::Result<(usize, Round, Vec<Failure>)> {
    let servers = session.store.servers().await?.len();
    // Drawn on standard error, if that is a terminal.
    let bar = ProgressBar::new(servers as u64);
    bar.set_style(ProgressStyle::with_template("polling {pos}/{len} {wide_bar} {elapsed}")?);
    bar.enable_steady_tick(Duration::from_millis(100));
    let mut failures = Vec::new();
    let round = poller
        .poll_round(&Fence::None, |server, result| {
            bar.inc(1);
            if let Err(failure) = result {
                failures.push(Failure {
                    id: server.at.id.clone(),
                    host: server.hostname(),
                    counts: server.state != ServerState::Disabled
                        && !matches!(failure, PollError::Unreadable(..)),
                    why: failure.to_string(),
                });
            }
        })
        .await?;
    bar.finish_and_clear();
    failures.sort_by(|a, b| natord::compare(&a.host, &b.host));
    Ok((servers, round, failures))
}

/// Polls all servers. Fails if one that is not disabled does not answer.
pub async fn poll(session: &Session, out: Out) -> anyhow::Result<()> {
    let (servers, round, failures) = round_with_progress(session, session.poller()).await?;
    if out.json {
        out.value(&json!({
            "servers": servers,
            "answered": round.answered,
            "failed": failures.iter().map(Failure::json).collect::<Vec<_>>(),
            "meetings_released": round.released,
            "meetings_adopted": round.adopted,
            "meetings_abandoned": round.abandoned,
            "braked": round.braked,
            "seconds": round.took.as_secs_f64(),
        }))?;
    } else {
        let mut text: String = failures.iter().map(Failure::line).collect();
        let seconds = round.took.as_secs_f64();
        text += &format!("{} of {servers} servers answered, in {seconds:.1} s\n", round.answered);
        if round.braked {
            text += "More than half of the servers do not answer: check the network here. No meeting is released.\n";
        }
        out.text(text)?;
    }
    match failures.iter().filter(|failure| failure.counts).count() {
        0 => Ok(()),
        failed => bail!("{failed} servers did not answer"),
    }
}
