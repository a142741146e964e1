//! `sl servers drain`: cordons a server and waits until its last meeting has ended.

use super::super::Session;
use super::super::out::Out;
use super::super::time::parse_duration;
use super::{done, panic};
use crate::store::{Server, ServerState, SetStateOutcome};
use crate::telemetry;
use anyhow::bail;
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

/// How often the server is polled.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

#[derive(Args)]
pub struct DrainArgs {
    /// Server id
    id: String,
    /// Wait until the last meeting has ended; then the server is disabled
    #[arg(long)]
    wait: bool,
    /// Wait no longer than this, such as 90s, 30m, 2h
    #[arg(long, value_parser = parse_duration)]
    deadline: Option<Duration>,
    /// What to do if meetings still run at the deadline (default: stop waiting, with exit status 1)
    #[arg(long, requires = "deadline")]
    then: Option<Then>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Then {
    /// Disable the server, end and release all meetings
    Panic,
    /// Disable the server; the meetings continue
    Disable,
}

pub async fn run(session: &Session, args: DrainArgs, out: Out) -> anyhow::Result<()> {
    let server = session.server(&args.id).await?;
    let id = server.at.id.as_str();
    let SetStateOutcome::Set { meetings } = session.store.set_state(id, ServerState::Cordoned).await? else {
        bail!("server {id} was removed meanwhile");
    };
    if !args.wait && args.deadline.is_none() {
        return done(id, "cordoned", json!({ "meetings": meetings }), out);
    }
    match wait_until_empty(session, &server, args.deadline).await? {
        0 => done(id, "drained", json!({ "state": "disabled", "meetings": 0 }), out),
        left => match args.then {
            Some(Then::Panic) => panic(session, id, false, false, out).await,
            Some(Then::Disable) => {
                session.store.set_state(id, ServerState::Disabled).await?;
                done(id, "disabled", json!({ "meetings": left }), out)
            }
            None => bail!(
                "deadline reached, {left} meetings are still running: {id} stays cordoned; \
                 wait longer, or end them with `sl servers panic {id}`"
            ),
        },
    }
}

/// Returns 0 once the server is empty and disabled, or the number of meetings at the deadline.
async fn wait_until_empty(
    session: &Session,
    server: &Server,
    deadline: Option<Duration>,
) -> anyhow::Result<u64> {
    let id = server.at.id.as_str();
    let until = deadline.map(|deadline| Instant::now() + deadline);
    let terminal = io::stderr().is_terminal();
    // Drawn on standard error; without a terminal, one line for each change.
    let bar = ProgressBar::new_spinner();
    bar.set_style(ProgressStyle::with_template("{spinner} {msg} ({elapsed})")?);
    bar.enable_steady_tick(Duration::from_millis(200));
    let mut last_message = None;
    loop {
        // Only a poll detects that a meeting has ended, and there may be no poller.
        let polled = session.poller().poll_immediately(&server.at).await;
        let Some(now) = session.store.server(id).await? else {
            bail!("server {id} was removed meanwhile");
        };
        if now.state == ServerState::Disabled {
            bar.finish_and_clear();
            return Ok(0);
        }
        if now.state == ServerState::Enabled {
            bail!("server {id} was enabled meanwhile");
        }
        let left =
            session.store.poll_history(&[id]).await?.first().map_or(0, |s| s.meetings).max(now.meetings);
        let silent = if polled.is_ok() { "" } else { ", it does not answer" };
        let message = format!("{}: {left} meetings, {} users{silent}", now.hostname(), now.users);
        if !terminal && last_message.as_ref() != Some(&message) {
            telemetry::print_line(&message);
        }
        bar.set_message(message.clone());
        last_message = Some(message);
        let pause = match until {
            Some(until) if Instant::now() >= until => {
                bar.finish_and_clear();
                return Ok(left.max(1));
            }
            Some(until) => POLL_INTERVAL.min(until - Instant::now()),
            None => POLL_INTERVAL,
        };
        tokio::time::sleep(pause).await;
    }
}
