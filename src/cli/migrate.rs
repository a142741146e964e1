//! `sl migrate`: creates the tables of the index, or upgrades them.

use super::out::Out;
use crate::config::Config;
use crate::recordings::Index;
use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

pub async fn migrate(config: &Config, out: Out) -> anyhow::Result<()> {
    let index = Index::for_background(&config.recordings)
        .context("DATABASE_URL must be set, and DB_DISABLED must not")?;
    let db = index.db();
    db.wait_until_ready(config.recordings.database_attempts.max(1))
        .await
        .context("cannot reach Postgres (DATABASE_URL)")?;
    let mut steps = Vec::new();
    db.migrate(|step| {
        if !out.json {
            // Shows the progress of long work; a closed standard output is no error.
            let _ = out.text(format!("{step}\n"));
        }
        steps.push(step.to_owned());
    })
    .await?;
    let progress = ProgressBar::new_spinner().with_style(ProgressStyle::with_template("{spinner} {msg}")?);
    let written = index
        .write_documents(|n| {
            progress.set_message(format!("{n} recordings prepared"));
            progress.tick();
        })
        .await?;
    progress.finish_and_clear();
    if written > 0 {
        steps.push(format!("{written} recordings prepared for fast reads"));
        if !out.json {
            out.text(format!("{written} recordings prepared for fast reads\n"))?;
        }
    }
    if out.json {
        return out.value(&json!({ "steps": steps }));
    }
    out.text("The database is ready.\n")
}
