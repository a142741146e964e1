//! `sl migrate`: makes the database of the index, or brings it forward.

use super::out::Out;
use crate::config::Config;
use crate::recordings::Index;
use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

pub async fn migrate(config: &Config, out: Out) -> anyhow::Result<()> {
    let index =
        Index::for_background(&config.recordings).context("DATABASE_URL must be set, and DB_DISABLED not")?;
    let db = index.db();
    db.wait_until_ready(config.recordings.database_attempts.max(1))
        .await
        .context("cannot reach the database (DATABASE_URL)")?;
    let mut steps = Vec::new();
    db.migrate(|step| {
        if !out.json {
            // Long work shows where it is; whoever has closed standard output does not care.
            let _ = out.text(format!("{step}\n"));
        }
        steps.push(step.to_owned());
    })
    .await?;
    let progress = ProgressBar::new_spinner().with_style(ProgressStyle::with_template("{spinner} {msg}")?);
    let written = index
        .write_documents(|n| {
            progress.set_message(format!("{n} recordings made ready"));
            progress.tick();
        })
        .await?;
    progress.finish_and_clear();
    if written > 0 {
        steps.push(format!("{written} recordings made ready to be read at once"));
        if !out.json {
            out.text(format!("{written} recordings made ready to be read at once\n"))?;
        }
    }
    if out.json {
        return out.value(&json!({ "steps": steps }));
    }
    out.text("The database is ready.\n")
}
