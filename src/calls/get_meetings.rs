//! getMeetings: the meetings of all servers as one list.

use super::{CallResponse, CallResult, TruncatedStream};
use crate::app::App;
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::mpsc;
use tracing::warn;

/// Servers asked at once.
const MAX_PARALLEL_SERVERS: usize = 256;

const HEAD: &str = "<response><returncode>SUCCESS</returncode><meetings>";
const TAIL: &str = "</meetings></response>";
const NONE: &str = "<response><returncode>SUCCESS</returncode><messageKey>noMeetings</messageKey>\
    <message>no meetings were found on this server</message><meetings/></response>";

/// Takes nothing. Asks all servers that are online, at once; the answer begins with the first that
/// has meetings, and each server's meetings follow as they come, byte for byte. A server that does
/// not answer is left out, and named in the log.
pub(super) async fn get_meetings(app: &App) -> CallResult {
    if app.config.api.get_meetings_disabled {
        return Ok(CallResponse::Xml(Bytes::from_static(NONE.as_bytes())));
    }
    let servers = app.store.online_servers().await?;
    let (send, mut pieces) = mpsc::channel::<Result<Bytes, TruncatedStream>>(4);
    let app = app.clone();
    tokio::spawn(async move {
        let mut answers = futures_util::stream::iter(servers)
            .map(|server| {
                let client = app.servers.clone();
                async move {
                    let reply = client
                        .call(&server, "getMeetings", &Default::default(), crate::servers::Payload::None)
                        .await;
                    (server, reply)
                }
            })
            .buffer_unordered(MAX_PARALLEL_SERVERS);
        while let Some((server, reply)) = answers.next().await {
            let reply = match reply {
                Ok(reply) if reply.envelope.success => reply,
                Ok(reply) => {
                    let key = reply.envelope.message_key;
                    warn!(server = server.id, key, "a server is left out of getMeetings");
                    continue;
                }
                Err(failure) => {
                    warn!(server = server.id, %failure, "a server is left out of getMeetings");
                    app.suspects.report(&server, &failure);
                    continue;
                }
            };
            if let Some(range) = reply.envelope.meetings
                && send.send(Ok(reply.body.slice(range))).await.is_err()
            {
                return;
            }
        }
        let _ = send.send(Ok(Bytes::from_static(TAIL.as_bytes()))).await;
    });
    // The tail alone: no server had a meeting.
    match pieces.recv().await {
        Some(Ok(first)) if first != TAIL.as_bytes() => {
            let first_chunks = vec![Bytes::from_static(HEAD.as_bytes()), first];
            Ok(CallResponse::XmlStream { first_chunks, rest: pieces })
        }
        _ => Ok(CallResponse::Xml(Bytes::from_static(NONE.as_bytes()))),
    }
}
