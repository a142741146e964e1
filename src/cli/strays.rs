//! `sl meetings --strays` and `sl meetings adopt`: meetings that run on a server without a record, or although
//! their record names another server.

use super::Session;
use super::out::{Out, printable, table};
use super::time::utc;
use crate::bbb::xml_reader::MeetingStats;
use crate::servers::poll::server::listed;
use crate::store::{AdoptOutcome, Fence, MeetingKey, Server};
use anyhow::{Context, bail};
use futures_util::StreamExt;
use serde_json::json;
use std::collections::HashMap;

/// Servers queried at the same time.
const MAX_PARALLEL_QUERIES: usize = 32;

/// The meetings that a server lists, without breakout rooms and those that have ended.
async fn query_meetings(session: &Session, server: &Server) -> anyhow::Result<Vec<MeetingStats>> {
    let mut meetings = session
        .servers
        .meetings(&server.at, session.config.poll.max_meetings)
        .await
        .with_context(|| format!("{} did not answer", server.hostname()))?
        .meetings;
    meetings.retain(|meeting| !meeting.breakout && !meeting.ended);
    Ok(meetings)
}

/// Queries all servers, and prints the meetings that are not where their record says. Servers that do not
/// answer are named on standard error.
pub async fn list(session: &Session, out: Out) -> anyhow::Result<()> {
    let servers = session.store.servers().await?;
    let found: Vec<_> = futures_util::stream::iter(&servers)
        .map(|server| async move { (server, query_meetings(session, server).await) })
        .buffered(MAX_PARALLEL_QUERIES)
        .collect()
        .await;
    let records: HashMap<MeetingKey, String> =
        session.store.meetings().await?.into_iter().map(|m| (m.key, m.server_id)).collect();
    let mut strays = Vec::new();
    for (server, meetings) in found {
        match meetings {
            Ok(meetings) => {
                for meeting in meetings {
                    let recorded_on = records.get(&MeetingKey::of(&meeting.id));
                    if recorded_on != Some(&server.at.id) {
                        strays.push((server, meeting, recorded_on));
                    }
                }
            }
            Err(failure) => eprintln!("sl: {failure:#}"),
        }
    }
    if out.json {
        let rows: Vec<_> = strays
            .iter()
            .map(|(server, meeting, recorded_on)| {
                json!({
                    "id": meeting.id,
                    "server_id": server.at.id,
                    "hostname": server.hostname(),
                    "users": meeting.participants,
                    "since": meeting.create_time,
                    "recorded_on": recorded_on,
                })
            })
            .collect();
        return out.value(&rows);
    }
    if strays.is_empty() {
        return out.text("No strays.\n");
    }
    let rows = strays.iter().map(|(server, meeting, recorded_on)| {
        vec![
            meeting.id.clone(),
            server.at.id.clone(),
            server.hostname(),
            meeting.participants.to_string(),
            utc(i64::try_from(meeting.create_time).unwrap_or(0)),
            recorded_on.cloned().unwrap_or_default(),
        ]
    });
    out.text(table(&["MEETING", "SERVER ID", "HOSTNAME", "USERS", "SINCE", "RECORDED ON"], rows))
}

/// Records meetings of a server that have no record.
pub async fn adopt(session: &Session, server: &str, ids: &[String], out: Out) -> anyhow::Result<()> {
    let server = session.server(server).await?;
    let load = &session.config.load;
    let meetings: Vec<_> = query_meetings(session, &server)
        .await?
        .into_iter()
        .filter(|meeting| ids.contains(&meeting.id))
        .map(|meeting| (MeetingKey::of(&meeting.id), listed(meeting, load)))
        .collect();
    for id in ids {
        if !meetings.iter().any(|(meeting, _)| meeting.as_str() == id) {
            bail!("{} does not run the meeting {}", server.hostname(), printable(id));
        }
    }
    let wanted = meetings.iter().map(|(meeting, listed)| (meeting, listed));
    let adopted = match session.store.adopt(&server.at.id, 0, &Fence::None, load, wanted).await? {
        AdoptOutcome::Adopted(adopted) => adopted,
        AdoptOutcome::Unknown => bail!("server {} was removed meanwhile", server.at.id),
        AdoptOutcome::Fenced | AdoptOutcome::Stale => Vec::new(),
    };
    for id in ids {
        if !adopted.contains(id) {
            bail!("{} has a record already, or was just released: see `sl meetings`", printable(id));
        }
    }
    // Its load follows with the next poll.
    if out.json {
        let adopted: Vec<_> = ids.iter().map(|id| json!({ "id": id, "server_id": server.at.id })).collect();
        return out.value(&adopted);
    }
    out.text(ids.iter().map(|id| format!("OK {}\n", printable(id))).collect::<String>())
}
