//! `sl recordings …`: one file for each group of commands.

mod change;
mod import;
mod list;
mod retain;
mod spool;
mod verify;

use super::out::Out;
use crate::config::Config;
use crate::recordings::{Index, RecordId, Recordings, Storage};
use anyhow::{Context, bail};
use clap::Subcommand;

#[derive(Subcommand)]
pub enum RecordingsCommand {
    /// Print recordings, newest first
    List(list::ListArgs),
    /// Print all details of recordings in the index
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
    /// Unpublish recordings
    Unpublish {
        /// Record ids
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Delete recordings and their files permanently
    Delete {
        /// Record ids
        #[arg(required = true)]
        ids: Vec<String>,
        /// Do not ask for confirmation
        #[arg(long, short)]
        yes: bool,
    },
    /// Import archives now, without the spool
    Import(import::ImportArgs),
    /// Move failed archives back into the spool: all, or those named
    Retry {
        /// Names of archives in failed/
        names: Vec<String>,
        /// Only uploads: let the servers that sent them replace recordings of other servers
        #[arg(long)]
        accept_server: bool,
    },
    /// List archives that wait, arrive, or failed, with the reasons
    Spool,
    /// Check that the index and the files match
    Verify(verify::VerifyArgs),
    /// Delete recordings by age or metadata
    Retain(retain::RetainArgs),
}

/// What these commands work with. They do not need Redis.
struct Session {
    config: Config,
    recordings: Recordings,
}

pub async fn run(config: Config, command: RecordingsCommand, out: Out) -> anyhow::Result<()> {
    // These need the spool only.
    match command {
        RecordingsCommand::Retry { names, accept_server } => {
            return import::retry(&config, names, accept_server, out);
        }
        RecordingsCommand::Spool => return spool::list(&config, out),
        _ => {}
    }
    let settings = &config.recordings;
    let index = Index::for_background(settings)
        .context("the index of recordings is not configured: set DATABASE_URL")?;
    index
        .db()
        .wait_until_ready(settings.database_attempts.max(1))
        .await
        .context("cannot reach Postgres, the index of recordings (DATABASE_URL)")?;
    let storage = Storage::new(settings)?;
    let session = Session { recordings: Recordings { index, storage }, config };
    match command {
        RecordingsCommand::List(args) => list::list(&session, args, out).await,
        RecordingsCommand::Show { ids } => list::show(&session, &ids, out).await,
        RecordingsCommand::Publish { ids } => change::publish(&session, &ids, true, out).await,
        RecordingsCommand::Unpublish { ids } => change::publish(&session, &ids, false, out).await,
        RecordingsCommand::Delete { ids, yes } => change::delete(&session, &ids, yes, out).await,
        RecordingsCommand::Import(args) => import::import(&session.config, args, out).await,
        RecordingsCommand::Retry { .. } | RecordingsCommand::Spool => Ok(()),
        RecordingsCommand::Verify(args) => verify::verify(&session, args, out).await,
        RecordingsCommand::Retain(args) => retain::retain(&session, args, out).await,
    }
}

fn record_id(text: &str) -> anyhow::Result<RecordId> {
    match RecordId::parse(text) {
        Some(id) => Ok(id),
        None => bail!("{text:?} is not a record id: it may have letters, digits, - and _"),
    }
}

/// `key=value`
fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("must be KEY=VALUE".to_owned()),
    }
}
