//! `sl servers panic`: disables a server, ends and releases its meetings.

use super::super::Session;
use super::super::out::{Out, printable};
use super::done;
use crate::bbb::Params;
use crate::servers::Payload;
use crate::store::{PanicOutcome, ServerRef, ServerState};
use anyhow::bail;
use futures_util::StreamExt;
use serde_json::json;

/// Meetings that an error names.
const MAX_NAMED_MEETINGS: usize = 20;

pub(super) async fn panic(
    session: &Session,
    id: &str,
    keep_state: bool,
    skip_end_calls: bool,
    out: Out,
) -> anyhow::Result<()> {
    let server = session.server(id).await?;
    let id = &server.at.id;
    let PanicOutcome::Panicked(meetings) = session.store.panic(id, keep_state).await? else {
        bail!("server {id} was removed meanwhile");
    };
    let mut report = json!({
        "state": if keep_state { server.state } else { ServerState::Disabled },
        "meetings_released": meetings.len(),
        "meetings_ended": 0,
    });
    let mut not_ended: Vec<(&str, String)> = Vec::new();
    if !skip_end_calls {
        not_ended = futures_util::stream::iter(&meetings)
            .map(|(meeting, password)| async {
                let ended = end(session, &server.at, meeting.as_str(), password).await;
                ended.err().map(|reason| (meeting.as_str(), reason))
            })
            .buffer_unordered(50)
            .filter_map(std::future::ready)
            .collect()
            .await;
        report["meetings_ended"] = (meetings.len() - not_ended.len()).into();
    }
    if not_ended.is_empty() {
        return done(id, "panicked", report, out);
    }
    not_ended.sort_unstable();
    if out.json {
        let left = not_ended.iter().map(|(id, reason)| json!({ "id": id, "reason": reason }));
        report["not_ended"] = left.collect();
    }
    done(id, "panicked", report, out)?;
    let shown = not_ended.iter().take(MAX_NAMED_MEETINGS);
    let mut left: Vec<_> = shown.map(|(id, reason)| format!("{}: {reason}", printable(id))).collect();
    if not_ended.len() > left.len() {
        left.push(format!("and {} more", not_ended.len() - left.len()));
    }
    bail!("{} meetings were released, but may still run on {id}: {}", not_ended.len(), left.join("; "))
}

/// Calls end for a meeting. Succeeds if the server ended it or does not have it; otherwise says why not.
pub(in crate::cli) async fn end(
    session: &Session,
    server: &ServerRef,
    meeting: &str,
    password: &str,
) -> Result<(), String> {
    let mut params = Params::default();
    params.set("meetingID", meeting);
    if !password.is_empty() {
        params.set("password", password);
    }
    match session.servers.call(server, "end", &params, Payload::None).await {
        Ok(reply) if reply.envelope.success || reply.envelope.is_not_found() => Ok(()),
        Ok(reply) => Err(printable(&reply.envelope.message_key)),
        Err(failure) => Err(failure.to_string()),
    }
}
