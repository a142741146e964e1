//! Server records, as Scalelite has them.

use super::connection::{Store, StoreResult};
use super::location_cache::tracking;
use crate::bbb::Secret;
use redis::RedisError;
use serde::Serialize;
use std::collections::HashMap;

/// What an operator has decided about a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ServerState {
    /// Takes new meetings while it is online.
    Enabled,
    /// No new meetings; becomes disabled by itself when its last one has ended.
    Cordoned,
    /// No new meetings; those it has run on and can be joined.
    Disabled,
}

impl ServerState {
    /// As it stands in Redis.
    pub fn as_str(self) -> &'static str {
        match self {
            ServerState::Enabled => "enabled",
            ServerState::Cordoned => "cordoned",
            ServerState::Disabled => "disabled",
        }
    }

    /// From Redis.
    pub fn parse(text: &str) -> Option<ServerState> {
        match text {
            "enabled" => Some(ServerState::Enabled),
            "cordoned" => Some(ServerState::Cordoned),
            "disabled" => Some(ServerState::Disabled),
            _ => None,
        }
    }
}

/// A server as far as a request needs it.
#[derive(Debug, Clone)]
pub struct ServerRef {
    /// Its id in the pool.
    pub id: String,
    /// Its API endpoint, `https://host/bigbluebutton/api`.
    pub url: String,
    /// What we sign with towards it.
    pub secret: Secret,
}

impl ServerRef {
    /// The host of its URL, with the port where it is not the usual one.
    pub fn hostname(&self) -> String {
        match url::Url::parse(&self.url) {
            Ok(url) => match (url.host_str(), url.port()) {
                (Some(host), Some(port)) => format!("{host}:{port}"),
                (Some(host), None) => host.to_owned(),
                _ => self.url.clone(),
            },
            Err(_) => self.url.clone(),
        }
    }
}

/// A server with its figures.
#[derive(Debug, Clone)]
pub struct Server {
    /// What requests need.
    pub at: ServerRef,
    /// Its tag; empty without one.
    pub tag: String,
    /// Enabled, cordoned or disabled.
    pub state: ServerState,
    /// It answered the last polls.
    pub online: bool,
    /// Its people weigh so much; above 0.
    pub load_multiplier: f64,
    /// Its load, where it is a candidate or cordoned, and online.
    pub load: Option<f64>,
    /// Meetings at the last poll, breakout rooms included.
    pub meetings: u64,
    /// People at the last poll.
    pub users: u64,
    /// People in the largest meeting at the last poll.
    pub largest_meeting: u64,
    /// Cameras at the last poll.
    pub videos: u64,
    /// BBB version, where it is known.
    pub bbb_version: Option<String>,
}

impl Server {
    /// See [`ServerRef::hostname`].
    pub fn hostname(&self) -> String {
        self.at.hostname()
    }
}

type Record = HashMap<String, String>;

impl Store {
    /// All servers, in the order of their hosts: two round trips, whatever their number.
    pub async fn servers(&self) -> StoreResult<Vec<Server>> {
        let (mut ids, enabled): (Vec<String>, Vec<String>) = self
            .pipeline(redis::pipe().smembers(self.keys.servers()).smembers(self.keys.server_enabled()))
            .await?;
        ids.sort_unstable();
        let enabled: std::collections::HashSet<String> = enabled.into_iter().collect();
        let mut servers = Vec::with_capacity(ids.len());
        for page in ids.chunks(500) {
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
        servers.sort_by_cached_key(|s| (s.hostname(), s.at.id.clone()));
        Ok(servers)
    }

    /// A server as far as a request needs it, with Redis asked to tell when it changes.
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
}

/// A record that has no url is none.
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
