//! Removes or finishes what importers and uploads left behind when they were killed, where no retry will:
//! each piece under the claim or lock of its owner, which proves that the owner is dead.

use super::Importer;
use crate::recordings::Recordings;
use crate::recordings::spool::receive;
use std::time::Duration;
use tokio::time::timeout;
use tracing::{debug, warn};

/// A recording whose lock is held for longer is being changed right now: that change cleans up itself.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) async fn recover_leftovers(importer: &Importer) {
    if let Err(error) = importer.work_dirs.remove_abandoned(&importer.claims).await {
        debug!(%error, "cannot look for abandoned work directories");
    }
    let spool = importer.spool.directory().to_owned();
    if let Ok(Err(error)) = tokio::task::spawn_blocking(move || receive::remove_abandoned(&spool)).await {
        debug!(%error, "cannot look for abandoned uploads");
    }
    let recordings = Recordings { index: importer.index.clone(), storage: importer.storage.clone() };
    let Ok(ids) = importer.storage.leftovers().await else { return };
    for id in ids {
        if let Ok(Ok(locked)) = timeout(LOCK_TIMEOUT, importer.index.lock(&id)).await
            && let Err(error) = recordings.recover(locked).await
        {
            warn!(%error, record_id = %id, "cannot recover an interrupted change; it is tried again");
        }
    }
}
