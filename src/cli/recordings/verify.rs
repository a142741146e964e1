//! `sl recordings verify`: checks that the index and the storage match.

use super::super::out::Out;
use super::Session;
use crate::recordings::Shelf;
use crate::recordings::verify::{Finding, Problem, VerifyOptions};
use anyhow::bail;
use clap::Args;
use indicatif::ProgressBar;
use serde_json::json;

#[derive(Args)]
pub struct VerifyArgs {
    /// Repair what can be repaired: move files to the shelf in the index, add missing recordings to the index
    #[arg(long)]
    repair: bool,
}

pub(super) async fn verify(session: &Session, args: VerifyArgs, out: Out) -> anyhow::Result<()> {
    let protected = session.config.recordings.protected_enabled;
    let bar = ProgressBar::new_spinner();
    let mut findings = Vec::new();
    let count = session
        .recordings
        .verify(
            VerifyOptions { repair: args.repair, protected },
            |finding| {
                if !out.json {
                    bar.suspend(|| {
                        let _ = out.text(format!("{}\n", line(&finding)));
                    });
                }
                findings.push(finding);
            },
            |progress| {
                bar.set_message(format!(
                    "{} recordings, {} formats on the shelves",
                    progress.indexed, progress.stored
                ));
                bar.tick();
            },
        )
        .await;
    bar.finish_and_clear();
    let count = count?;
    let left = findings.iter().filter(|finding| !matches!(finding.repaired, Some(Ok(())))).count();
    if out.json {
        let list: Vec<_> = findings.iter().map(as_json).collect();
        out.value(&json!({
            "recordings": count.indexed, "formats": count.stored, "findings": list, "left": left,
        }))?;
    } else {
        out.text(format!(
            "{} recordings in the index, {} formats on the shelves, {} problems{}.\n",
            count.indexed,
            count.stored,
            findings.len(),
            if args.repair { format!(", {} repaired", findings.len() - left) } else { String::new() }
        ))?;
    }
    match left {
        0 => Ok(()),
        _ if args.repair => bail!("{left} problems could not be repaired"),
        _ => bail!("{left} problems: --repair repairs what can be"),
    }
}

fn shelf(shelf: Shelf) -> &'static str {
    match shelf {
        Shelf::Published => "published",
        Shelf::Unpublished => "unpublished",
    }
}

fn what(problem: &Problem) -> (&'static str, String) {
    match problem {
        Problem::Missing => ("missing", "in the index, but on no shelf".into()),
        Problem::WrongShelf(at) => {
            ("wrong_shelf", format!("on the shelf {}, which is not the one in the index", shelf(*at)))
        }
        Problem::NotIndexed(at) => {
            ("not_indexed", format!("on the shelf {}, but not in the index", shelf(*at)))
        }
        Problem::Deleted(at) => ("deleted", format!("on the shelf {}, but deleted in the index", shelf(*at))),
        Problem::Leftover => ("leftover", "files left behind by an interrupted operation".into()),
    }
}

fn line(finding: &Finding) -> String {
    let format = finding.format.as_ref().map_or(String::new(), |format| format!(" {format}"));
    let repaired = match &finding.repaired {
        None => String::new(),
        Some(Ok(())) => " (repaired)".into(),
        Some(Err(why)) => format!(" (not repaired: {why})"),
    };
    format!("{}{format}: {}{repaired}", finding.record_id, what(&finding.problem).1)
}

fn as_json(finding: &Finding) -> serde_json::Value {
    let (kind, text) = what(&finding.problem);
    json!({
        "record_id": finding.record_id.as_str(),
        "format": finding.format.as_ref().map(|format| format.as_str()),
        "problem": kind,
        "text": text,
        "repaired": finding.repaired.as_ref().map(Result::is_ok),
        "why_not": finding.repaired.as_ref().and_then(|repaired| repaired.as_ref().err()),
    })
}
