//! `sl recordings …`: a file for each group of commands.

mod change;
mod import;
mod list;
mod retain;
mod verify;

pub(super) use list::utc;

use super::out::Out;
use crate::config::Config;
use crate::recordings::{Index, RecordId, Recordings, Storage};
use anyhow::{Context, bail};
use clap::Subcommand;

#[derive(Subcommand)]
pub enum RecordingsCommand {
    /// Print recordings, newest first
    List(list::ListArgs),
    /// Print all that the index has of recordings
    Show {
        /// Record ids
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Publish recordings
    Publish {
        /// Record ids
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Take recordings back from the public
    Unpublish {
        /// Record ids
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Delete recordings for good
    Delete {
        /// Record ids
        #[arg(required = true)]
        ids: Vec<String>,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Import archives by hand
    Import(import::ImportArgs),
    /// Put archives that failed back into the spool; all of them, or some by name
    Retry {
        /// Names in failed/
        names: Vec<String>,
    },
    /// Compare the index and the files, both ways
    Verify(verify::VerifyArgs),
    /// Delete all recordings that are old, or that have certain metadata
    Retain(retain::RetainArgs),
}

/// What these commands work with. Redis is not among it.
struct Session {
    config: Config,
    recordings: Recordings,
}

pub async fn run(config: Config, command: RecordingsCommand, out: Out) -> anyhow::Result<()> {
    // It works on the spool alone.
    if let RecordingsCommand::Retry { names } = command {
        return import::retry(&config, names, out);
    }
    let settings = &config.recordings;
    let index =
        Index::for_background(settings).context("there is no index of recordings: set DATABASE_URL")?;
    index
        .db()
        .wait_until_ready(settings.database_attempts.max(1))
        .await
        .context("cannot reach the index of recordings (DATABASE_URL)")?;
    let storage = Storage::new(settings)?;
    let session = Session { recordings: Recordings { index, storage }, config };
    match command {
        RecordingsCommand::List(args) => list::list(&session, args, out).await,
        RecordingsCommand::Show { ids } => list::show(&session, &ids, out).await,
        RecordingsCommand::Publish { ids } => change::publish(&session, &ids, true, out).await,
        RecordingsCommand::Unpublish { ids } => change::publish(&session, &ids, false, out).await,
        RecordingsCommand::Delete { ids, yes } => change::delete(&session, &ids, yes, out).await,
        RecordingsCommand::Import(args) => import::import(&session.config, args, out).await,
        RecordingsCommand::Retry { .. } => Ok(()),
        RecordingsCommand::Verify(args) => verify::verify(&session, args, out).await,
        RecordingsCommand::Retain(args) => retain::retain(&session, args, out).await,
    }
}

fn record_id(text: &str) -> anyhow::Result<RecordId> {
    match RecordId::parse(text) {
        Some(id) => Ok(id),
        None => bail!("{text:?} is no record id: letters, digits, - and _"),
    }
}

/// `key=value`
fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("must be KEY=VALUE".to_owned()),
    }
}
