//! `sl rebuild`: makes what Redis says of the pool's meetings true again, from the servers.

use super::Session;
use super::out::Out;
use super::poll::round_with_progress;
use serde_json::json;

/// Drops the records of meetings whose server has left the pool, asks every server, takes up the
/// meetings that nobody has recorded, counts every load anew, and remakes the indexes.
pub async fn rebuild(session: &Session, out: Out) -> anyhow::Result<()> {
    let swept = session.store.sweep().await?;
    let (servers, round, failures) = round_with_progress(session).await?;
    session.store.reindex().await?;
    let recorded = session.store.meetings().await?.len();
    if out.json {
        let failed: Vec<_> =
            failures.iter().map(|(id, host, why)| json!({ "id": id, "host": host, "error": why })).collect();
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
    let mut text = String::new();
    for (id, host, why) in failures {
        text += &format!("{host} ({id}): {why}\n");
    }
    text += &format!("{} of {servers} servers answered\n", round.answered);
    text += &format!("{recorded} meetings are recorded now\n");
    text += &format!("  {} ran without a record and were taken up\n", round.adopted);
    text += &format!("  {} had ended and were released\n", round.released + round.abandoned);
    text += &format!("  {} were on servers that have left the pool and were dropped\n", swept.dropped);
    out.text(text)
}
