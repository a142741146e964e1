//! `sl servers list`, `yaml`.

use super::super::Session;
use super::super::out::Out;
use crate::store::{Server, ServerState};
use serde::Serialize;
use std::collections::BTreeMap;

/// Printed instead of a secret.
const HIDDEN: &str = "(hidden; --show-secrets prints it)";

/// A server as JSON.
#[derive(Serialize)]
struct Row {
    id: String,
    url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    state: ServerState,
    online: bool,
    load: Option<f64>,
    load_multiplier: f64,
    tag: String,
    bbb_version: Option<String>,
    meetings: u64,
    users: u64,
    largest_meeting: u64,
    videos: u64,
}

/// A server as Scalelite's `servers:sync` reads it.
#[derive(Serialize)]
struct Entry {
    url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    enabled: bool,
    load_multiplier: f64,
    #[serde(skip_serializing_if = "String::is_empty")]
    tag: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<ServerState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    online: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    load: Option<f64>,
}

/// Prints what Scalelite prints; the secrets with --show-secrets only.
pub(super) async fn list(session: &Session, out: Out) -> anyhow::Result<()> {
    let servers = session.store.servers().await?;
    if out.json {
        return out.value(&servers.iter().map(|s| row(s, out)).collect::<Vec<_>>());
    }
    let mut text = String::new();
    for server in &servers {
        let load = server.load.map_or("unavailable".to_owned(), |load| format!("{load:?}"));
        let mut lines = vec![
            format!("url: {}", server.at.url),
            format!("secret: {}", out.secret(server.at.secret.expose()).as_deref().unwrap_or(HIDDEN)),
            server.state.as_str().to_owned(),
            format!("load: {load}"),
            format!("load multiplier: {:?}", server.load_multiplier),
            format!("bbb version: {}", server.bbb_version.as_deref().unwrap_or("")),
            format!("tag: {}", server.tag),
        ];
        lines.push(if server.online { "online" } else { "offline" }.to_owned());
        text += &format!("id: {}\n", server.at.id);
        for line in lines {
            text += &format!("\t{line}\n");
        }
    }
    out.text(text)
}

fn row(server: &Server, out: Out) -> Row {
    Row {
        id: server.at.id.clone(),
        url: server.at.url.clone(),
        secret: out.secret(server.at.secret.expose()),
        state: server.state,
        online: server.online,
        load: server.load,
        load_multiplier: server.load_multiplier,
        tag: server.tag.clone(),
        bbb_version: server.bbb_version.clone(),
        meetings: server.meetings,
        users: server.users,
        largest_meeting: server.largest_meeting,
        videos: server.videos,
    }
}

pub(super) async fn yaml(session: &Session, verbose: bool, out: Out) -> anyhow::Result<()> {
    let servers: BTreeMap<String, Entry> = session
        .store
        .servers()
        .await?
        .into_iter()
        .map(|s| {
            let entry = Entry {
                url: s.at.url,
                secret: out.secret(s.at.secret.expose()),
                enabled: s.state == ServerState::Enabled,
                load_multiplier: s.load_multiplier,
                tag: s.tag,
                state: verbose.then_some(s.state),
                online: verbose.then_some(s.online),
                load: s.load.filter(|_| verbose),
            };
            (s.at.id, entry)
        })
        .collect();
    let pool = BTreeMap::from([("servers", servers)]);
    if out.json { out.value(&pool) } else { out.text(yaml_serde::to_string(&pool)?) }
}
