//! Asks the servers for a meeting that has no record, while there are servers whose meetings are unknown: after
//! Redis has lost its data, or when a server was just added. Otherwise the meeting would run twice.

use crate::app::App;
use crate::bbb::ApiError;
use crate::bbb::xml_reader::MeetingStats;
use crate::servers::ServerCallError;
use crate::servers::poll::server::listed;
use crate::store::{Fence, MeetingKey, ServerRef};
use crate::telemetry::permit_log;
use futures_util::StreamExt;
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{info, warn};

/// Servers asked at the same time.
const MAX_PARALLEL_QUERIES: usize = 64;

/// Timeout of one query. A server that does not respond is not asked again for a while.
const QUERY_TIMEOUT: Duration = Duration::from_secs(2);

/// A server whose calls in flight are at their limit is queried again after this.
const BUSY_PAUSE: Duration = Duration::from_millis(20);

/// Timeout of all queries together: the client waits.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// Finds a meeting on the servers and records it where it runs. Does nothing if no server that responds has it.
///
/// # Errors
/// It runs on a server that is not added to the pool again yet: then it must not be created elsewhere.
pub(super) async fn adopt_from_servers(app: &App, meeting: &MeetingKey) -> Result<(), ApiError> {
    let servers = app.store.servers_to_ask().await?;
    let adopts_all = app.store.is_rebuilding().await?;
    let key = app.store.mark_key().await?;
    let deadline = Instant::now() + ASK_TIMEOUT;
    let mut queries = futures_util::stream::iter(servers)
        .map(|server| {
            let (app, meeting) = (app.clone(), meeting.clone());
            async move {
                let found = query_meeting(&app, &server, &meeting).await;
                (server, found)
            }
        })
        .buffer_unordered(MAX_PARALLEL_QUERIES);
    while let Ok(Some((server, found))) = timeout_at(deadline, queries.next()).await {
        let Some(found) = found else { continue };
        if !adopts_all && !key.verify(meeting, &server.id, &found.mark) {
            if let Some(permit) = permit_log("a meeting that is not the pool's", &server.id) {
                warn!(
                    meeting = meeting.as_str(),
                    server = server.id,
                    suppressed = permit.suppressed,
                    "a server has a meeting that is not the pool's"
                );
            }
            continue;
        }
        return adopt(app, &server, meeting, found).await;
    }
    Ok(())
}

/// None if the server does not have the meeting, or does not respond.
async fn query_meeting(app: &App, server: &ServerRef, meeting: &MeetingKey) -> Option<MeetingStats> {
    let mut is_busy = false;
    let query = async {
        loop {
            match app.servers.meeting(server, meeting).await {
                // Nothing was sent: many creates ask at the same time.
                Err(ServerCallError::Busy) => is_busy = true,
                found => return found,
            }
            tokio::time::sleep(BUSY_PAUSE).await;
            is_busy = false;
        }
    };
    match timeout(QUERY_TIMEOUT, query).await {
        Ok(Ok(found)) => found.filter(|found| !found.breakout && !found.ended),
        Err(_) if is_busy => None,
        Ok(Err(_)) | Err(_) => {
            app.store.note_silent(server);
            None
        }
    }
}

async fn adopt(
    app: &App,
    server: &ServerRef,
    meeting: &MeetingKey,
    found: MeetingStats,
) -> Result<(), ApiError> {
    let is_in_pool = app.store.server(&server.id).await?.is_some_and(|known| known.at.url == server.url);
    if !is_in_pool {
        if let Some(permit) = permit_log("a server that is not added again", &server.id) {
            let (meeting, server, suppressed) = (meeting.as_str(), server.url.as_str(), permit.suppressed);
            warn!(
                meeting,
                server,
                suppressed,
                "refused a create: it runs on a server that is not added to the pool again yet"
            );
        }
        return Err(ApiError::NoServers);
    }
    let listed = listed(found, &app.config.load);
    let meetings = std::iter::once((meeting, &listed));
    app.store.adopt(&server.id, 0, &Fence::None, &app.config.load, meetings).await?;
    info!(meeting = meeting.as_str(), server = server.id, "adopted a meeting that a create asked for");
    Ok(())
}
