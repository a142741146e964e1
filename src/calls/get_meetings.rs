//! getMeetings: the meetings of all servers as one list.

use super::{CallResponse, CallResult, TruncatedStream};
use crate::app::App;
use crate::bbb::Params;
use crate::servers::Payload;
use crate::store::ServerRef;
use crate::telemetry::permit_log;
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::mpsc;
use tracing::warn;

/// Servers queried at the same time.
const MAX_PARALLEL_SERVERS: usize = 256;

const HEAD: &str = "<response><returncode>SUCCESS</returncode><meetings>";
const TAIL: &str = "</meetings></response>";
const NONE: &str = "<response><returncode>SUCCESS</returncode><messageKey>noMeetings</messageKey>\
    <message>no meetings were found on this server</message><meetings/></response>";

/// Takes nothing. Queries all online servers in parallel. The response begins with the first server that
/// has meetings; each server's meetings follow as they arrive, byte for byte unless they had to be repaired. A
/// server that fails is left out, and named in the log.
pub(super) async fn get_meetings(app: &App) -> CallResult {
    let no_meetings = || CallResponse::Xml(Bytes::from_static(NONE.as_bytes()));
    if app.config.api.get_meetings_disabled {
        return Ok(no_meetings());
    }
    let servers = app.store.online_servers().await?;
    let (sender, mut chunks) = mpsc::channel(4);
    tokio::spawn(stream_meetings(app.clone(), servers, sender));
    match chunks.recv().await {
        Some(Ok(first)) if first != TAIL.as_bytes() => {
            let first_chunks = vec![Bytes::from_static(HEAD.as_bytes()), first];
            Ok(CallResponse::XmlStream { first_chunks, rest: chunks })
        }
        // The tail alone: no server has a meeting.
        _ => Ok(no_meetings()),
    }
}

/// Sends the meetings of each server as its response arrives, then the tail. Stops when the client is gone.
async fn stream_meetings(
    app: App,
    servers: Vec<ServerRef>,
    sender: mpsc::Sender<Result<Bytes, TruncatedStream>>,
) {
    let mut replies = futures_util::stream::iter(servers)
        .map(|server| {
            let servers = app.servers.clone();
            async move {
                let reply = servers.call(&server, "getMeetings", &Params::default(), Payload::None).await;
                (server, reply)
            }
        })
        .buffer_unordered(MAX_PARALLEL_SERVERS);
    while let Some((server, reply)) = replies.next().await {
        let reply = match reply {
            Ok(reply) if reply.envelope.success => reply,
            Ok(reply) => {
                let key = reply.envelope.message_key;
                if let Some(permit) = permit_log("getMeetings: FAILED", &server.id) {
                    let suppressed = permit.suppressed;
                    warn!(
                        server = server.id,
                        key, suppressed, "getMeetings omits a server: it returned FAILED"
                    );
                }
                continue;
            }
            Err(failure) => {
                if let Some(permit) = permit_log(failure.kind(), &server.id) {
                    let suppressed = permit.suppressed;
                    warn!(
                        server = server.id, %failure, suppressed,
                        "getMeetings omits a server: its request failed"
                    );
                }
                app.suspects.report(&server, &failure);
                continue;
            }
        };
        if let Some(range) = reply.envelope.meetings
            && sender.send(Ok(reply.body.slice(range))).await.is_err()
        {
            return;
        }
    }
    let _ = sender.send(Ok(Bytes::from_static(TAIL.as_bytes()))).await;
}
