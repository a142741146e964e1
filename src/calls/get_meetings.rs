//! getMeetings: the meetings of all servers as one list.

use super::forward::log_store_failure;
use super::{CallResponse, CallResult, TruncatedStream};
use crate::app::App;
use crate::bbb::{ApiError, Params};
use crate::servers::Payload;
use crate::servers::fan_out::{FanOutFailed, FanOutReader, FanOutWriter};
use crate::telemetry::permit_log;
use bytes::Bytes;
use futures_util::StreamExt;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::warn;

/// Servers queried at the same time.
const MAX_PARALLEL_SERVERS: usize = 256;

const HEAD: &str = "<response><returncode>SUCCESS</returncode><meetings>";
const TAIL: &str = "</meetings></response>";
const NONE: &str = "<response><returncode>SUCCESS</returncode><messageKey>noMeetings</messageKey>\
    <message>no meetings were found on this server</message><meetings/></response>";

/// A client must take its response within this time.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// Takes nothing. Queries all online servers in parallel, for all requests that have come before it began. The
/// response begins with the first server that has meetings; each server's meetings follow as they arrive, byte
/// for byte unless they had to be repaired. A server that fails is left out, and named in the log.
pub(super) async fn get_meetings(app: &App) -> CallResult {
    let no_meetings = || CallResponse::Xml(Bytes::from_static(NONE.as_bytes()));
    if app.config.api.get_meetings_disabled {
        return Ok(no_meetings());
    }
    let shared = app.clone();
    let mut meetings = app.fan_outs.join(move |writer| query_servers(shared, writer));
    match meetings.next().await {
        Some(Ok(first)) => {
            let first_chunks = vec![Bytes::from_static(HEAD.as_bytes()), first];
            let (sender, rest) = mpsc::channel(1);
            tokio::spawn(send_meetings(meetings, sender));
            Ok(CallResponse::XmlStream { first_chunks, rest })
        }
        Some(Err(FanOutFailed)) => Err(ApiError::ServerAccessFailed),
        None => Ok(no_meetings()),
    }
}

/// Sends the meetings to one client as they arrive, then the tail.
async fn send_meetings(mut meetings: FanOutReader, sender: mpsc::Sender<Result<Bytes, TruncatedStream>>) {
    let send = async {
        while let Some(chunk) = meetings.next().await {
            let failed = chunk.is_err();
            if sender.send(chunk.map_err(|_| TruncatedStream)).await.is_err() || failed {
                return;
            }
        }
        let _ = sender.send(Ok(Bytes::from_static(TAIL.as_bytes()))).await;
    };
    if timeout(READ_TIMEOUT, send).await.is_err() {
        let _ = sender.try_send(Err(TruncatedStream));
    }
}

/// Passes on the meetings of each server as its response arrives. Stops when all clients are gone.
async fn query_servers(app: App, writer: FanOutWriter) -> Result<(), FanOutFailed> {
    let servers = app.store.online_servers().await.map_err(|failure| {
        log_store_failure(&failure);
        FanOutFailed
    })?;
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
        let max = app.config.poll.max_meetings;
        let listed = memchr::memmem::find_iter(&reply.body, b"<meetingID>").count();
        if listed > max {
            if let Some(permit) = permit_log("getMeetings: too many meetings", &server.id) {
                let suppressed = permit.suppressed;
                warn!(
                    server = server.id,
                    listed, max, suppressed, "getMeetings omits a server: MAX_MEETINGS_PER_SERVER"
                );
            }
            continue;
        }
        if let Some(range) = reply.envelope.meetings
            && !writer.push(reply.body.slice(range))
        {
            break;
        }
    }
    Ok(())
}
