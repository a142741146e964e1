//! `sl servers drain`: cordons a server and watches until its last meeting has ended.

use super::Session;
use super::out::Out;
use super::servers;
use crate::servers::poll;
use crate::store::{Server, ServerState, SetStateOutcome};
use anyhow::bail;
use clap::{Args, ValueEnum};
use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use serde_json::json;
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

/// How often the server is asked.
const ASK_EVERY: Duration = Duration::from_secs(5);

#[derive(Args)]
pub struct DrainArgs {
    /// Server id
    id: String,
    /// Wait until its last meeting has ended; the server is then disabled
    #[arg(long)]
    wait: bool,
    /// Wait for so long at most, such as 90s, 30m, 2h
    #[arg(long, value_parser = duration)]
    deadline: Option<Duration>,
    /// What to do with the meetings that run on at the deadline (default: stop waiting, with exit status 1)
    #[arg(long, requires = "deadline")]
    then: Option<Then>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Then {
    /// End and release them all, and disable the server
    Panic,
    /// Disable the server; they run on
    Disable,
}

pub async fn run(session: &Session, args: DrainArgs, out: Out) -> anyhow::Result<()> {
    let server = session.server(&args.id).await?;
    let id = server.at.id.as_str();
    let SetStateOutcome::Set { meetings } = session.store.set_state(id, ServerState::Cordoned).await? else {
        bail!("there is no server {id} any more");
    };
    if !args.wait && args.deadline.is_none() {
        return servers::done(id, "cordoned", json!({ "meetings": meetings }), out);
    }
    match watch(session, &server, args.deadline).await? {
        0 => servers::done(id, "drained", json!({ "state": "disabled", "meetings": 0 }), out),
        left => match args.then {
            Some(Then::Panic) => servers::panic(session, id, false, false, out).await,
            Some(Then::Disable) => {
                session.store.set_state(id, ServerState::Disabled).await?;
                servers::done(id, "disabled", json!({ "meetings": left }), out)
            }
            None => bail!(
                "the deadline is over and {left} meetings run on: {id} stays cordoned; \
                 wait longer, or end them with `sl servers panic {id}`"
            ),
        },
    }
}

/// Returns 0 once the server is empty and disabled, or the meetings that are left at the deadline.
async fn watch(session: &Session, server: &Server, deadline: Option<Duration>) -> anyhow::Result<u64> {
    let id = server.at.id.as_str();
    let until = deadline.map(|deadline| Instant::now() + deadline);
    let terminal = io::stderr().is_terminal();
    // Drawn on standard error; without a terminal, a line for each change.
    let bar = ProgressBar::new_spinner();
    bar.set_style(ProgressStyle::with_template("{spinner} {msg} ({elapsed})")?);
    bar.enable_steady_tick(Duration::from_millis(200));
    let mut said = None;
    loop {
        // Whether or not a poller runs: only a poll tells that a meeting has ended.
        let answered = poll::now(&session.store, &session.backend, &session.config, &server.at).await;
        let Some(now) = session.store.server(id).await? else {
            bail!("there is no server {id} any more");
        };
        if now.state == ServerState::Disabled {
            bar.finish_and_clear();
            return Ok(0);
        }
        if now.state == ServerState::Enabled {
            bail!("somebody has enabled {id} again");
        }
        let left =
            session.store.poll_history(&[id]).await?.first().map_or(0, |s| s.meetings).max(now.meetings);
        let silent = if answered.is_ok() { "" } else { ", it does not answer" };
        let message = format!("{}: {left} meetings, {} people{silent}", now.hostname(), now.users);
        if !terminal && said.as_ref() != Some(&message) {
            eprintln!("{message}");
        }
        bar.set_message(message.clone());
        said = Some(message);
        let pause = match until {
            Some(until) if Instant::now() >= until => {
                bar.finish_and_clear();
                return Ok(left.max(1));
            }
            Some(until) => ASK_EVERY.min(until - Instant::now()),
            None => ASK_EVERY,
        };
        tokio::time::sleep(pause).await;
    }
}

/// `90s`, `30m`, `2h`, `1d`; a bare number is seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let must = "must be a time such as 90s, 30m, 2h or 1d";
    let (number, unit) = text.split_at(text.trim_end_matches(char::is_alphabetic).len());
    let seconds = match unit {
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return Err(must.into()),
    };
    match number.parse::<f64>() {
        Ok(n) if n > 0.0 && n * seconds <= 31_536_000.0 => Ok(Duration::from_secs_f64(n * seconds)),
        _ => Err(must.into()),
    }
}

/// How long something has been so, for people.
pub fn ago(ms: u64) -> String {
    HumanDuration(Duration::from_millis(ms)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, seconds) in [("90", 90), ("90s", 90), ("1.5m", 90), ("2h", 7200), ("1d", 86_400)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "h", "-1h", "2x", "0", "nan", "1000d"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
