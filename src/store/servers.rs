//! The servers of the pool: listed, added, changed, removed.

use super::connection::{Store, StoreResult};
use super::keys::MeetingKey;
use super::location_cache::tracking;
use super::model::{Server, ServerRef, ServerState};
use super::scripts::{AddServer, Online, Panic, RemoveServer, SetState, UpdateServer};
use crate::bbb::Secret;
use redis::RedisError;
use std::collections::{HashMap, HashSet};

/// Servers read in one pipeline.
const PAGE_SERVERS: usize = 500;

/// Outcomes of `add_server.lua`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddOutcome {
    /// Added.
    Added,
    /// It is there already, with the same values.
    Same,
    /// The id is there already, with other values; nothing changed.
    Exists,
    /// Another server has this URL; nothing changed.
    UrlTaken {
        /// Its id.
        id: String,
        /// Secret, load multiplier and tag are the same.
        same: bool,
    },
}

/// Outcomes of `update_server.lua`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpdateOutcome {
    /// Changed.
    Updated,
    /// Another server has this URL, its id; nothing changed.
    UrlTaken(String),
    /// No such server.
    Unknown,
}

/// Outcomes of `set_state.lua`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetStateOutcome {
    /// It has this state now.
    Set {
        /// Meetings recorded there.
        meetings: usize,
    },
    /// No such server.
    Unknown,
}

/// Outcomes of `remove_server.lua`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemoveOutcome {
    /// Removed; the number of meetings released.
    Removed(usize),
    /// Meetings are recorded there, their number; nothing changed.
    Busy(usize),
    /// No such server.
    Unknown,
}

/// Outcomes of `panic.lua`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PanicOutcome {
    /// Its meetings are released; each with its moderator password.
    Panicked(Vec<(MeetingKey, String)>),
    /// No such server.
    Unknown,
}

type Record = HashMap<String, String>;

impl Store {
    /// All servers, sorted by host: two round trips in a pool of up to 500.
    pub async fn servers(&self) -> StoreResult<Vec<Server>> {
        let (mut ids, enabled): (Vec<String>, Vec<String>) = self
            .pipeline(redis::pipe().smembers(self.keys.servers()).smembers(self.keys.server_enabled()))
            .await?;
        ids.sort_unstable();
        let enabled: HashSet<String> = enabled.into_iter().collect();
        let mut servers = Vec::with_capacity(ids.len());
        for page in ids.chunks(PAGE_SERVERS) {
            let mut pipeline = redis::pipe();
            for id in page {
                pipeline
                    .hgetall(self.keys.server(id))
                    .zscore(self.keys.server_load(), id)
                    .zscore(self.keys.cordoned_server_load(), id);
            }
            let mut replies = self.pipeline::<Vec<redis::Value>>(&pipeline).await?.into_iter();
            for id in page {
                let (Some(record), Some(load), Some(cordoned)) =
                    (replies.next(), replies.next(), replies.next())
                else {
                    break;
                };
                let record: Record = redis::from_redis_value(record).map_err(RedisError::from)?;
                let load: Option<f64> = redis::from_redis_value(load).map_err(RedisError::from)?;
                let cordoned: Option<f64> = redis::from_redis_value(cordoned).map_err(RedisError::from)?;
                servers.extend(server(id, record, enabled.contains(id), load.or(cordoned)));
            }
        }
        // bbb2 before bbb10.
        let mut by_host: Vec<(String, Server)> = servers.into_iter().map(|s| (s.hostname(), s)).collect();
        by_host.sort_by(|(a_host, a), (b_host, b)| {
            natord::compare(a_host, b_host).then_with(|| a.at.id.cmp(&b.at.id))
        });
        Ok(by_host.into_iter().map(|(_, server)| server).collect())
    }

    /// What a request needs to know of a server, with client tracking: Redis reports when it changes.
    pub(super) async fn server_tracked(&self, id: &str) -> StoreResult<Option<ServerRef>> {
        let mut pipeline = tracking();
        pipeline.cmd("HMGET").arg(self.keys.server(id)).arg("url").arg("secret");
        let ((url, secret),): ((Option<String>, Option<String>),) = self.pipeline(&pipeline).await?;
        let secret = Secret::from(secret.unwrap_or_default());
        Ok(url.map(|url| ServerRef { id: id.to_owned(), url, secret }))
    }

    /// One server.
    pub async fn server(&self, id: &str) -> StoreResult<Option<Server>> {
        let mut pipeline = redis::pipe();
        pipeline
            .hgetall(self.keys.server(id))
            .sismember(self.keys.server_enabled(), id)
            .zscore(self.keys.server_load(), id)
            .zscore(self.keys.cordoned_server_load(), id);
        let (record, enabled, load, cordoned): (Record, bool, Option<f64>, Option<f64>) =
            self.pipeline(&pipeline).await?;
        Ok(server(id, record, enabled, load.or(cordoned)))
    }

    /// Number of candidates.
    pub async fn candidates(&self) -> StoreResult<u64> {
        self.command(redis::cmd("ZCARD").arg(self.keys.server_load())).await
    }

    /// Every server that is online: see `lua/online.lua`.
    pub async fn online_servers(&self) -> StoreResult<Vec<ServerRef>> {
        let mut reply = self.run(&Online {}).await?;
        let mut servers = Vec::new();
        while !reply.is_empty() {
            servers.push(reply.server()?);
        }
        Ok(servers)
    }

    /// Adds a server, disabled: see `lua/add_server.lua`. [`super::server_fields`] checks the values first, and
    /// says what is wrong.
    pub async fn add_server(
        &self,
        id: &str,
        url: &str,
        secret: &Secret,
        multiplier: Option<f64>,
        tag: Option<&str>,
    ) -> StoreResult<AddOutcome> {
        let call = AddServer {
            server: id,
            url,
            secret: secret.expose(),
            load_multiplier: &multiplier.map(multiplier_text).unwrap_or_default(),
            tag: tag.unwrap_or_default(),
        };
        let mut reply = self.run(&call).await?;
        match reply.text()?.as_str() {
            "added" => Ok(AddOutcome::Added),
            "same" => Ok(AddOutcome::Same),
            "url_taken" => Ok(AddOutcome::UrlTaken { id: reply.text()?, same: reply.text()? == "1" }),
            "exists" => Ok(AddOutcome::Exists),
            _ => Err(reply.unexpected()),
        }
    }

    /// Changes fields of a server (`url`, `secret`, `load_multiplier`, `tag`): see
    /// `lua/update_server.lua`. [`super::server_fields`] checks the values first.
    pub async fn update_server(&self, id: &str, fields: &[(&str, String)]) -> StoreResult<UpdateOutcome> {
        let mut reply = self.run(&UpdateServer { server: id, fields }).await?;
        match reply.text()?.as_str() {
            "updated" => Ok(UpdateOutcome::Updated),
            "url_taken" => Ok(UpdateOutcome::UrlTaken(reply.text()?)),
            "unknown" => Ok(UpdateOutcome::Unknown),
            _ => Err(reply.unexpected()),
        }
    }

    /// Enables, cordons or disables a server: see `lua/set_state.lua`.
    pub async fn set_state(&self, id: &str, state: ServerState) -> StoreResult<SetStateOutcome> {
        let mut reply = self.run(&SetState { server: id, state: state.as_str() }).await?;
        match reply.text()?.as_str() {
            "changed" | "same" => {
                let _before = reply.text()?;
                Ok(SetStateOutcome::Set { meetings: reply.number()? })
            }
            "unknown" => Ok(SetStateOutcome::Unknown),
            _ => Err(reply.unexpected()),
        }
    }

    /// Removes a server from the pool: see `lua/remove_server.lua`.
    pub async fn remove_server(&self, id: &str, force: bool) -> StoreResult<RemoveOutcome> {
        let mut reply = self.run(&RemoveServer { server: id, force }).await?;
        match reply.text()?.as_str() {
            "removed" => Ok(RemoveOutcome::Removed(reply.number()?)),
            "busy" => Ok(RemoveOutcome::Busy(reply.number()?)),
            "unknown" => Ok(RemoveOutcome::Unknown),
            _ => Err(reply.unexpected()),
        }
    }

    /// Disables a server and releases its meetings: see `lua/panic.lua`.
    pub async fn panic(&self, id: &str, keep_state: bool) -> StoreResult<PanicOutcome> {
        let mut reply = self.run(&Panic { server: id, keep_state }).await?;
        match reply.text()?.as_str() {
            "panicked" => {
                let (_url, _secret) = (reply.text()?, reply.text()?);
                let mut meetings = Vec::new();
                while !reply.is_empty() {
                    meetings.push((MeetingKey::of(&reply.text()?), reply.text()?));
                }
                Ok(PanicOutcome::Panicked(meetings))
            }
            "unknown" => Ok(PanicOutcome::Unknown),
            _ => Err(reply.unexpected()),
        }
    }
}

/// A load multiplier as Scalelite writes it: `1.0`, not `1`.
pub(super) fn multiplier_text(multiplier: f64) -> String {
    format!("{multiplier:?}")
}

/// None for a record without a URL.
fn server(id: &str, mut record: Record, enabled: bool, load: Option<f64>) -> Option<Server> {
    let figure = |name: &str| record.get(name).and_then(|n| n.parse().ok()).unwrap_or(0);
    let (meetings, users) = (figure("meetings"), figure("users"));
    let (largest_meeting, videos) = (figure("largest_meeting"), figure("videos"));
    let state = match record.get("state").and_then(|s| ServerState::parse(s)) {
        Some(state) => state,
        None if enabled => ServerState::Enabled,
        None => ServerState::Disabled,
    };
    let load_multiplier = record
        .get("load_multiplier")
        .and_then(|n| n.parse().ok())
        .filter(|n: &f64| n.is_finite() && *n > 0.0)
        .unwrap_or(1.0);
    Some(Server {
        at: ServerRef {
            id: id.to_owned(),
            url: record.remove("url")?,
            secret: Secret::from(record.remove("secret").unwrap_or_default()),
        },
        tag: record.remove("tag").unwrap_or_default(),
        state,
        online: record.get("online").is_some_and(|o| o == "true"),
        load_multiplier,
        load,
        meetings,
        users,
        largest_meeting,
        videos,
        bbb_version: record.remove("bbb_version").filter(|v| !v.is_empty()),
    })
}
