//! `sl recordings publish`, `unpublish`, `delete`.

use super::super::out::{Out, confirm};
use super::{Session, record_id};
use anyhow::bail;
use serde_json::json;

pub(super) async fn publish(
    session: &Session,
    ids: &[String],
    publish: bool,
    out: Out,
) -> anyhow::Result<()> {
    let mut report = Vec::new();
    for id in ids {
        let id = record_id(id)?;
        if !session.recordings.publish(&id, publish).await? {
            bail!(
                "there is no recording {id}, or it is still being processed: see `sl recordings list --state any`"
            );
        }
        report.push(json!({ "record_id": id.as_str(), "published": publish }));
        if !out.json {
            out.text(format!("OK {id}\n"))?;
        }
    }
    if out.json { out.value(&report) } else { Ok(()) }
}

pub(super) async fn delete(session: &Session, ids: &[String], yes: bool, out: Out) -> anyhow::Result<()> {
    let ids = ids.iter().map(|id| record_id(id)).collect::<anyhow::Result<Vec<_>>>()?;
    if !yes {
        let what = if ids.len() == 1 { ids[0].to_string() } else { format!("{} recordings", ids.len()) };
        confirm(&format!("Delete {what} with all files?"), "--yes")?;
    }
    let mut report = Vec::new();
    for id in ids {
        if !session.recordings.delete(&id).await? {
            bail!("there is no recording {id}: see `sl recordings list`");
        }
        report.push(json!({ "record_id": id.as_str(), "deleted": true }));
        if !out.json {
            out.text(format!("OK {id}\n"))?;
        }
    }
    if out.json { out.value(&report) } else { Ok(()) }
}
