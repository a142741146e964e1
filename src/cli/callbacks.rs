//! `sl callbacks …`: callbacks to clients, and whether they were delivered.

use super::out::{Out, table};
use super::time::utc;
use crate::callbacks::table::{Callback, CallbackState, CallbackTable};
use crate::callbacks::url_origin;
use crate::config::Config;
use crate::db::{DEFAULT_CONNECTIONS, Database};
use anyhow::{Context, bail};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

#[derive(Subcommand)]
pub enum CallbacksCommand {
    /// Print callbacks, newest first
    List(ListArgs),
    /// Retry callbacks, from now on for another day
    Retry {
        /// Ids of callbacks
        #[arg(required_unless_present = "all_failed")]
        ids: Vec<i64>,
        /// Retry all that have failed
        #[arg(long, conflicts_with = "ids")]
        all_failed: bool,
    },
    /// Delete callbacks: they are not retried
    Drop {
        /// Ids of callbacks
        #[arg(required = true)]
        ids: Vec<i64>,
    },
}

#[derive(Args, Default)]
pub struct ListArgs {
    /// Only callbacks in this state
    #[arg(long, value_enum)]
    state: Option<State>,
    /// Maximum number to print; 0 prints all
    #[arg(long, default_value_t = 100)]
    limit: u32,
}

#[derive(Clone, Copy, ValueEnum)]
enum State {
    Pending,
    Delivered,
    Failed,
}

impl From<State> for CallbackState {
    fn from(state: State) -> CallbackState {
        match state {
            State::Pending => CallbackState::Pending,
            State::Delivered => CallbackState::Delivered,
            State::Failed => CallbackState::Failed,
        }
    }
}

pub async fn run(config: Config, command: Option<CallbacksCommand>, out: Out) -> anyhow::Result<()> {
    let settings = &config.recordings;
    let db = Database::for_background(settings, DEFAULT_CONNECTIONS)
        .context("callbacks are stored in Postgres: set DATABASE_URL")?;
    db.wait_until_ready(settings.database_attempts.max(1))
        .await
        .context("cannot reach Postgres (DATABASE_URL)")?;
    let callbacks = CallbackTable::new(db);
    match command {
        None => list(&callbacks, ListArgs { limit: 100, ..ListArgs::default() }, out).await,
        Some(CallbacksCommand::List(args)) => list(&callbacks, args, out).await,
        Some(CallbacksCommand::Retry { ids, all_failed }) => {
            let done = callbacks.retry((!all_failed).then_some(&ids)).await?;
            let why = "there is no such callback, or it is being delivered right now";
            report(&ids, done, "retried", why, out)
        }
        Some(CallbacksCommand::Drop { ids }) => {
            let done = callbacks.delete(&ids).await?;
            report(&ids, done, "dropped", "there is no such callback", out)
        }
    }
}

async fn list(callbacks: &CallbackTable, args: ListArgs, out: Out) -> anyhow::Result<()> {
    let limit = (args.limit > 0).then_some(args.limit);
    let found = callbacks.list(args.state.map(CallbackState::from), limit).await?;
    if out.json {
        return out.value(&found.iter().map(|callback| described(callback, out)).collect::<Vec<_>>());
    }
    if found.is_empty() {
        return out.text("No callbacks.\n");
    }
    let rows = found.iter().map(|c| {
        let next = match c.state.as_str() {
            "pending" if c.claimed => "now".to_owned(),
            "pending" => utc(c.due_ms),
            _ => String::new(),
        };
        vec![
            c.id.to_string(),
            c.state.clone(),
            c.record_id.clone(),
            url_origin(&c.url),
            c.tries.to_string(),
            c.tried_ms.map_or(String::new(), utc),
            next,
            c.outcome.clone().unwrap_or_default(),
        ]
    });
    let headings = ["ID", "STATE", "RECORD ID", "TO", "TRIES", "LAST TRY (UTC)", "NEXT (UTC)", "OUTCOME"];
    out.text(table(&headings, rows))
}

/// The whole URL may be a secret: it is printed with --show-secrets only.
fn described(c: &Callback, out: Out) -> Value {
    json!({
        "id": c.id, "kind": c.kind, "state": c.state, "record_id": c.record_id, "meeting_id": c.meeting_id,
        "to": url_origin(&c.url), "url": out.secret(&c.url), "tries": c.tries, "in_hand": c.claimed,
        "created_ms": c.created_ms, "due_ms": c.due_ms, "tried_ms": c.tried_ms, "finished_ms": c.finished_ms,
        "outcome": c.outcome,
    })
}

fn report(asked: &[i64], mut done: Vec<i64>, verb: &str, why: &str, out: Out) -> anyhow::Result<()> {
    done.sort_unstable();
    let refused: Vec<i64> = asked.iter().copied().filter(|id| !done.contains(id)).collect();
    if out.json {
        out.value(&json!({ verb: done, "refused": refused }))?;
    } else {
        for id in &done {
            out.text(format!("OK {id}\n"))?;
        }
    }
    if refused.is_empty() {
        return Ok(());
    }
    let refused: Vec<_> = refused.iter().map(i64::to_string).collect();
    bail!("{}: {why}", refused.join(", "))
}
