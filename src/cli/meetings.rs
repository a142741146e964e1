//! `sl meetings …`

use super::out::{Out, confirm, printable, table};
use super::{Session, servers, strays};
use crate::bbb::{Params, xml_reader};
use crate::servers::Payload;
use crate::store::{MeetingKey, Server};
use anyhow::{Context, bail};
use clap::Subcommand;
use serde_json::{Value, json};
use std::collections::HashMap;

#[derive(Subcommand)]
pub enum MeetingsCommand {
    /// Print all meeting records
    List {
        /// Only meetings on these servers
        servers: Vec<String>,
    },
    /// End meetings
    End {
        /// Meeting ids
        #[arg(required = true)]
        ids: Vec<String>,
        /// Do not ask for confirmation
        #[arg(long, short)]
        yes: bool,
    },
    /// Record meetings that run on a server without a record: see `sl meetings --strays`
    Adopt {
        /// Server id
        server: String,
        /// Meeting ids
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Print what the server of a meeting reports about it
    Info {
        /// Meeting id
        id: String,
    },
    /// Print the server of a meeting
    Where {
        /// Meeting id
        id: String,
    },
}

pub async fn run(session: &Session, command: Option<MeetingsCommand>, out: Out) -> anyhow::Result<()> {
    match command.unwrap_or(MeetingsCommand::List { servers: Vec::new() }) {
        MeetingsCommand::List { servers } => list(session, &servers, out).await,
        MeetingsCommand::End { ids, yes } => end(session, &ids, yes, out).await,
        MeetingsCommand::Adopt { server, ids } => strays::adopt(session, &server, &ids, out).await,
        MeetingsCommand::Info { id } => info(session, &id, out).await,
        MeetingsCommand::Where { id } => locate(session, &id, out).await,
    }
}

async fn list(session: &Session, only: &[String], out: Out) -> anyhow::Result<()> {
    let mut wanted = Vec::new();
    for id in only {
        wanted.push(session.server(id).await?.at.id);
    }
    let hosts: HashMap<String, String> =
        session.store.servers().await?.into_iter().map(|s| (s.at.id.clone(), s.hostname())).collect();
    let mut meetings = session.store.meetings().await?;
    meetings.retain(|m| wanted.is_empty() || wanted.contains(&m.server_id));
    let host = |id: &str| hosts.get(id).cloned().unwrap_or_else(|| "(gone)".to_owned());
    if out.json {
        let rows: Vec<_> = meetings
            .iter()
            .map(|m| {
                json!({
                    "id": m.key.as_str(),
                    "server_id": m.server_id,
                    "hostname": host(&m.server_id),
                    "voice_bridge": m.voice_bridge,
                })
            })
            .collect();
        return out.value(&rows);
    }
    if meetings.is_empty() {
        return out.text("No meetings.\n");
    }
    let rows = meetings.iter().map(|m| {
        vec![m.key.as_str().to_owned(), m.voice_bridge.clone(), host(&m.server_id), m.server_id.clone()]
    });
    out.text(table(&["MEETING ID", "VOICE BRIDGE", "HOSTNAME", "SERVER ID"], rows))
}

async fn end(session: &Session, ids: &[String], yes: bool, out: Out) -> anyhow::Result<()> {
    let mut found = Vec::new();
    for id in ids {
        found.push(find(session, id).await?);
    }
    if !yes {
        let what = if ids.len() == 1 { printable(&ids[0]) } else { format!("{} meetings", ids.len()) };
        confirm(&format!("End {what} for all participants?"), "--yes")?;
    }
    let mut report = Vec::new();
    for (meeting, server) in found {
        let id = meeting.key.as_str();
        if let Err(reason) = servers::end(session, &server.at, id, &meeting.moderator_pw).await {
            let host = server.hostname();
            bail!("{host} did not end the meeting {} ({reason}): its record stays", printable(id));
        }
        session.store.release(&meeting.key, Some((&server.at.id, ""))).await?;
        report.push(json!({ "id": id, "ended": true }));
        if !out.json {
            out.text(format!("OK {}\n", printable(id)))?;
        }
    }
    if out.json { out.value(&report) } else { Ok(()) }
}

async fn info(session: &Session, id: &str, out: Out) -> anyhow::Result<()> {
    let (meeting, server) = find(session, id).await?;
    let mut params = Params::default();
    params.set("meetingID", id);
    let reply = session
        .servers
        .call(&server.at, "getMeetingInfo", &params, Payload::None)
        .await
        .with_context(|| format!("{} did not answer", server.hostname()))?;
    if !reply.envelope.success {
        bail!(
            "{} does not have the meeting ({}): the next polls release its record",
            server.hostname(),
            printable(&reply.envelope.message_key)
        );
    }
    let fields: Vec<_> = xml_reader::read_fields(&reply.body)
        .into_iter()
        .filter(|(name, _)| out.show_secrets || !name.ends_with("PW"))
        .collect();
    if out.json {
        let info: serde_json::Map<String, Value> =
            fields.into_iter().map(|(name, value)| (name, Value::String(value))).collect();
        return out.value(&json!({
            "id": id,
            "server_id": server.at.id,
            "hostname": server.hostname(),
            "voice_bridge": meeting.voice_bridge,
            "server_says": info,
        }));
    }
    let mut text = format!("server: {} ({})\n", server.hostname(), server.at.id);
    for (name, value) in fields {
        text += &format!("{name}: {}\n", printable(&value));
    }
    out.text(text)
}

async fn locate(session: &Session, id: &str, out: Out) -> anyhow::Result<()> {
    let (_, server) = find(session, id).await?;
    if out.json {
        return out.value(&json!({
            "id": id, "server_id": server.at.id, "hostname": server.hostname(), "online": server.online,
        }));
    }
    out.text(format!("{}\t{}\n", server.at.id, server.hostname()))
}

async fn find(session: &Session, id: &str) -> anyhow::Result<(crate::store::Meeting, Server)> {
    let Some(meeting) = session.store.meeting(&MeetingKey::of(id)).await? else {
        bail!("there is no record of meeting {}: see `sl meetings`", printable(id));
    };
    let server = session
        .store
        .server(&meeting.server_id)
        .await?
        .with_context(|| format!("its server {} has left the pool", meeting.server_id))?;
    Ok((meeting, server))
}
