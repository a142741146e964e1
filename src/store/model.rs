//! Servers and meetings as Redis has them.

use super::keys::MeetingKey;
use crate::bbb::Secret;
use serde::Serialize;

/// What an operator has decided about a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ServerState {
    /// Takes new meetings while it is online.
    Enabled,
    /// No new meetings; becomes disabled by itself when its last one has ended.
    Cordoned,
    /// No new meetings; its running meetings continue and can be joined.
    Disabled,
}

impl ServerState {
    /// As Redis has it.
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

/// Whether the server of a recorded meeting can serve it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerAvailability {
    /// Online and enabled.
    Enabled,
    /// Online, but takes no new meetings: cordoned or disabled.
    Closed,
    /// Offline, and not abandoned yet.
    Offline,
}

/// What a request needs to know of a server.
#[derive(Debug, Clone)]
pub struct ServerRef {
    /// Its id in the pool.
    pub id: String,
    /// Its API endpoint, `https://host/bigbluebutton/api`.
    pub url: String,
    /// The secret that signs requests to it.
    pub secret: Secret,
}

impl ServerRef {
    /// The host of its URL, with the port if it is not the scheme's default.
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
    /// Factor between its participants and its load; above 0.
    pub load_multiplier: f64,
    /// Its load, if it is online and enabled or cordoned.
    pub load: Option<f64>,
    /// Meetings at the last poll, breakout rooms included.
    pub meetings: u64,
    /// Participants at the last poll.
    pub users: u64,
    /// Participants in the largest meeting at the last poll.
    pub largest_meeting: u64,
    /// Cameras at the last poll.
    pub videos: u64,
    /// BBB version, if known.
    pub bbb_version: Option<String>,
}

impl Server {
    /// See [`ServerRef::hostname`].
    pub fn hostname(&self) -> String {
        self.at.hostname()
    }
}

/// A meeting's record.
#[derive(Debug, Clone)]
pub struct Meeting {
    /// The meeting.
    pub key: MeetingKey,
    /// The server that it is recorded on.
    pub server_id: String,
    /// Its dial-in number; empty if none is recorded.
    pub voice_bridge: String,
    /// The moderator password recorded when it was created.
    pub moderator_pw: String,
}
