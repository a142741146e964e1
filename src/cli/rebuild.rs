//! `sl rebuild`: rebuilds the meeting records in Redis from what the servers run.

use super::Session;
use super::out::Out;
use super::poll::{Failure, round_with_progress};
use serde_json::json;

/// Deletes the records of meetings whose server has left the pool, polls every server, adopts meetings
/// without a record, recomputes every load, and rebuilds the indexes.
pub async fn rebuild(session: &Session, out: Out) -> anyhow::Result<()> {
    let swept = session.store.sweep().await?;
    let (servers, round, failures) = round_with_progress(session, session.poller().adopt_all()).await?;
    session.store.reindex().await?;
    let recorded = session.store.meetings().await?.len();
    if out.json {
        let failed: Vec<_> = failures.iter().map(Failure::json).collect();
        return out.value(&json!({
            "servers": servers,
            "answered": round.answered,
            "failed": failed,
            "meetings_recorded": recorded,
            "meetings_adopted": round.adopted,
            "meetings_released": round.released,
            "meetings_abandoned": round.abandoned,
            "records_dropped": swept.dropped,
            "names_forgotten": swept.expired,
        }));
    }
    let mut text: String = failures.iter().map(Failure::line).collect();
    text += &format!("{} of {servers} servers answered\n", round.answered);
    text += &format!("{recorded} meetings are recorded now\n");
    text += &format!("  {} ran without a record and were adopted\n", round.adopted);
    text += &format!("  {} had ended and were released\n", round.released + round.abandoned);
    text +=
        &format!("  {} were on servers that have left the pool; their records were deleted\n", swept.dropped);
    out.text(text)
}
