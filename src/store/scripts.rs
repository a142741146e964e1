//! Each file in `lua/` as one typed function. The files say what they do; their outcomes are the
//! enums in `outcomes.rs`.
//!
//! A script that timed out may have run. All of them may be repeated; what a repeat does stands in
//! each file.

use super::connection::{Question, Store, StoreError, StoreResult};
use super::keys::MeetingKey;
use super::lookups::tracking;
use super::outcomes::{
    AssignOutcome, Assignment, FindOutcome, JoinOutcome, Placement, PollFigures, PollOutcome, ReleaseOutcome,
    RemoveOutcome,
};
use super::servers::{ServerRef, ServerState};
use crate::bbb::Secret;
use crate::config::{LoadConfig, PollConfig};
use redis::{FromRedisValue, Script, ToRedisArgs};
use std::sync::LazyLock;

macro_rules! scripts {
    ($($name:ident),+ $(,)?) => {
        struct Scripts { $($name: Lua),+ }

        static SCRIPTS: LazyLock<Scripts> = LazyLock::new(|| Scripts { $($name: Lua {
            name: stringify!($name),
            script: Script::new(include_str!(concat!("../../lua/", stringify!($name), ".lua"))),
        }),+ });

        /// The name and the text of every script.
        pub const SOURCES: &[(&str, &str)] =
            &[$((stringify!($name), include_str!(concat!("../../lua/", stringify!($name), ".lua")))),+];
    };
}

scripts!(
    add_server,
    apply_poll,
    assign,
    find,
    join,
    online,
    panic,
    poll_failed,
    reindex,
    release,
    remove_server,
    set_password,
    set_state,
    sweep,
    update_server,
);

struct Lua {
    name: &'static str,
    script: Script,
}

impl Store {
    /// The server for a create: see `lua/assign.lua`.
    pub async fn assign(&self, wanted: &Assignment<'_>) -> StoreResult<AssignOutcome> {
        let mut args: Vec<&[u8]> = Vec::with_capacity(8 + wanted.voice_bridges.len());
        let (reserve, ttl) = (wanted.reserve.to_string(), wanted.ttl_seconds.to_string());
        args.push(wanted.meeting.as_str().as_bytes());
        args.push(wanted.tag.as_bytes());
        args.push(reserve.as_bytes());
        args.push(ttl.as_bytes());
        args.push(wanted.moderator_pw.as_bytes());
        args.push(wanted.tenant.as_bytes());
        args.push(if wanted.any_if_no_untagged { b"1" } else { b"" });
        args.extend(wanted.voice_bridges.iter().map(String::as_bytes));
        let script = &SCRIPTS.assign;
        let mut reply = self.run::<Vec<String>>(script, &args).await?.into_iter();
        match reply.next().as_deref() {
            Some("assigned") => Ok(AssignOutcome::Assigned(placement(script, reply)?)),
            Some("existing") => Ok(AssignOutcome::Existing(placement(script, reply)?)),
            Some("none") => Ok(AssignOutcome::NoServer),
            Some("tag_unavailable") => Ok(AssignOutcome::TagUnavailable(reply.next().unwrap_or_default())),
            Some("no_voice_bridge") => Ok(AssignOutcome::NoVoiceBridge),
            _ => Err(script.unexpected()),
        }
    }

    /// Where a meeting runs: see `lua/find.lua`. Its generation is told only to who will release it.
    pub async fn find(&self, meeting: &MeetingKey, to_release: bool) -> StoreResult<FindOutcome> {
        let script = &SCRIPTS.find;
        let args = [meeting.as_str(), if to_release { "1" } else { "" }];
        found(script, self.run(script, &args).await?)
    }

    /// [`Store::find`] with Redis asked to tell when what the script has read is written: one round
    /// trip. Fails with NOSCRIPT where the script was never loaded.
    pub(super) async fn find_tracked(&self, meeting: &MeetingKey) -> StoreResult<FindOutcome> {
        let script = &SCRIPTS.find;
        let mut pipeline = tracking();
        pipeline.cmd("EVALSHA").arg(script.script.get_hash()).arg(2);
        pipeline.arg(self.keys.prefix()).arg(self.keys.meeting(meeting)).arg(meeting.as_str());
        let (reply,): (Vec<String>,) = self.pipeline(&pipeline).await?;
        found(script, reply)
    }

    /// Where a meeting runs, for one person more: see `lua/join.lua`.
    pub async fn join(&self, meeting: &MeetingKey, refuse_disabled: bool) -> StoreResult<JoinOutcome> {
        self.join_people(meeting, refuse_disabled, "1").await
    }

    /// Takes a person back whom the server refused after all.
    pub async fn unjoin(&self, meeting: &MeetingKey) -> StoreResult<()> {
        self.join_people(meeting, false, "-1").await.map(|_| ())
    }

    /// Notes the moderator password that a meeting really has: see `lua/set_password.lua`.
    pub async fn set_password(&self, meeting: &MeetingKey, server: &str, password: &str) -> StoreResult<()> {
        let _: String = self.run(&SCRIPTS.set_password, &[meeting.as_str(), server, password]).await?;
        Ok(())
    }

    async fn join_people(
        &self,
        meeting: &MeetingKey,
        refuse_disabled: bool,
        people: &str,
    ) -> StoreResult<JoinOutcome> {
        let script = &SCRIPTS.join;
        let args = [meeting.as_str(), if refuse_disabled { "1" } else { "" }, people];
        let mut reply = self.run::<Vec<String>>(script, &args).await?.into_iter();
        match reply.next().as_deref() {
            Some("found") => Ok(JoinOutcome::Found(server(script, &mut reply)?)),
            Some("unavailable") => Ok(JoinOutcome::Unavailable),
            Some("unknown") => Ok(JoinOutcome::Unknown),
            _ => Err(script.unexpected()),
        }
    }

    /// A meeting has ended, or never came to be: see `lua/release.lua`. With a server and a
    /// generation, only if it is still recorded there and was not created again.
    pub async fn release(
        &self,
        meeting: &MeetingKey,
        only_on: Option<(&str, &str)>,
    ) -> StoreResult<ReleaseOutcome> {
        let script = &SCRIPTS.release;
        let (server, generation) = only_on.unwrap_or_default();
        let reply: String = self.run(script, &[meeting.as_str(), server, generation]).await?;
        match reply.as_str() {
            "released" => Ok(ReleaseOutcome::Released),
            "unknown" => Ok(ReleaseOutcome::Unknown),
            "kept" => Ok(ReleaseOutcome::Kept),
            _ => Err(script.unexpected()),
        }
    }

    /// Every server that is online: see `lua/online.lua`.
    pub async fn online_servers(&self) -> StoreResult<Vec<ServerRef>> {
        let script = &SCRIPTS.online;
        let reply: Vec<String> = self.run(script, &[""; 0]).await?;
        let (servers, rest) = reply.as_chunks::<3>();
        if !rest.is_empty() {
            return Err(script.unexpected());
        }
        let server = |[id, url, secret]: &[String; 3]| ServerRef {
            id: id.clone(),
            url: url.clone(),
            secret: Secret::from(secret.as_str()),
        };
        Ok(servers.iter().map(server).collect())
    }

    /// A new server, disabled; false if the id is taken.
    pub async fn add_server(
        &self,
        id: &str,
        url: &str,
        secret: &Secret,
        multiplier: Option<f64>,
        tag: Option<&str>,
    ) -> StoreResult<bool> {
        let multiplier = multiplier.map(multiplier_text).unwrap_or_default();
        let args = [id, url, secret.expose(), &multiplier, tag.unwrap_or_default()];
        let reply: String = self.run(&SCRIPTS.add_server, &args).await?;
        Ok(reply == "added")
    }

    /// Changes fields of a server: `url`, `secret`, `load_multiplier`, `tag`; false if there is none.
    pub async fn update_server(&self, id: &str, fields: &[(&str, String)]) -> StoreResult<bool> {
        let mut args = vec![id];
        for (field, value) in fields {
            args.extend([*field, value.as_str()]);
        }
        let reply: String = self.run(&SCRIPTS.update_server, &args).await?;
        Ok(reply == "updated")
    }

    /// Enables, cordons or disables; returns the meetings that are recorded there, or None without
    /// such a server.
    pub async fn set_state(&self, id: &str, state: ServerState) -> StoreResult<Option<usize>> {
        let script = &SCRIPTS.set_state;
        let reply: Vec<String> = self.run(script, &[id, state.as_str()]).await?;
        match reply.as_slice() {
            [outcome, _, meetings] if outcome != "unknown" => {
                Ok(Some(meetings.parse().map_err(|_| script.unexpected())?))
            }
            [outcome] if outcome == "unknown" => Ok(None),
            _ => Err(script.unexpected()),
        }
    }

    /// Takes a server out of the pool.
    pub async fn remove_server(&self, id: &str, force: bool) -> StoreResult<RemoveOutcome> {
        let script = &SCRIPTS.remove_server;
        let reply: Vec<String> = self.run(script, &[id, if force { "1" } else { "" }]).await?;
        let count = || reply.get(1).and_then(|n| n.parse().ok()).ok_or(script.unexpected());
        match reply.first().map(String::as_str) {
            Some("removed") => Ok(RemoveOutcome::Removed(count()?)),
            Some("busy") => Ok(RemoveOutcome::Busy(count()?)),
            Some("unknown") => Ok(RemoveOutcome::Unknown),
            _ => Err(script.unexpected()),
        }
    }

    /// Disables a server and releases its meetings; returns each with its moderator password, or
    /// None without such a server.
    pub async fn panic(&self, id: &str, keep_state: bool) -> StoreResult<Option<Vec<(MeetingKey, String)>>> {
        let script = &SCRIPTS.panic;
        let reply: Vec<String> = self.run(script, &[id, if keep_state { "1" } else { "" }]).await?;
        match reply.first().map(String::as_str) {
            Some("panicked") if reply.len() >= 3 => Ok(Some(
                reply[3..].chunks_exact(2).map(|pair| (MeetingKey::of(&pair[0]), pair[1].clone())).collect(),
            )),
            Some("unknown") => Ok(None),
            _ => Err(script.unexpected()),
        }
    }

    /// What a server answered to a poll: see `lua/apply_poll.lua`.
    pub async fn apply_poll(
        &self,
        id: &str,
        figures: &PollFigures,
        poll: &PollConfig,
        load: &LoadConfig,
    ) -> StoreResult<PollOutcome> {
        let mut args = vec![
            id.to_owned(),
            figures.started_ms.to_string(),
            poll.healthy_threshold.to_string(),
            load.min_users.to_string(),
            load.join_buffer.as_millis().to_string(),
            load.meeting_ttl.as_secs().to_string(),
            figures.version.clone(),
            figures.meetings.to_string(),
            figures.users.to_string(),
            figures.largest.to_string(),
            figures.videos.to_string(),
        ];
        for (meeting, users, created) in &figures.listed {
            args.extend([meeting.as_str().to_owned(), users.to_string(), created.to_string()]);
        }
        let script = &SCRIPTS.apply_poll;
        let reply: Vec<String> = self.run(script, &args).await?;
        poll_outcome(script, reply)
    }

    /// A server did not answer a poll: see `lua/poll_failed.lua`.
    pub async fn poll_failed(&self, id: &str, poll: &PollConfig) -> StoreResult<PollOutcome> {
        let script = &SCRIPTS.poll_failed;
        let threshold = poll.unhealthy_threshold.to_string();
        let reply: Vec<String> = self.run(script, &[id, &threshold]).await?;
        poll_outcome(script, reply)
    }

    /// Walks all meeting records once, a page per script: see `lua/sweep.lua`. Returns how many
    /// names without a record were forgotten.
    pub async fn sweep(&self) -> StoreResult<u64> {
        let script = &SCRIPTS.sweep;
        let (mut cursor, mut forgotten) = ("0".to_owned(), 0);
        loop {
            let (next, gone, _noted): (String, u64, u64) = self.run(script, &[&cursor, "500"]).await?;
            forgotten += gone;
            if next == "0" {
                return Ok(forgotten);
            }
            cursor = next;
        }
    }

    /// Makes the index of candidates by tag anew; returns the number of servers.
    pub async fn reindex(&self) -> StoreResult<u64> {
        self.run(&SCRIPTS.reindex, &[""; 0]).await
    }

    async fn run<T: FromRedisValue>(&self, lua: &Lua, args: &[impl ToRedisArgs]) -> StoreResult<T> {
        let mut invocation = lua.script.prepare_invoke();
        if !self.keys.prefix().is_empty() {
            invocation.key(self.keys.prefix());
        }
        for arg in args {
            invocation.arg(arg);
        }
        self.ask(Question::Script(&invocation)).await
    }
}

impl Lua {
    fn unexpected(&self) -> StoreError {
        StoreError::Unexpected(self.name)
    }
}

/// A load multiplier as Scalelite writes it: `1.0`, not `1`.
pub(super) fn multiplier_text(multiplier: f64) -> String {
    format!("{multiplier:?}")
}

fn found(lua: &Lua, reply: Vec<String>) -> StoreResult<FindOutcome> {
    let mut reply = reply.into_iter();
    match reply.next().as_deref() {
        Some("found") => {
            let server = server(lua, &mut reply)?;
            Ok(FindOutcome::Found(server, reply.next().ok_or(lua.unexpected())?))
        }
        Some("unknown") => Ok(FindOutcome::Unknown),
        _ => Err(lua.unexpected()),
    }
}

/// What assign, find and join share: server id, url, secret.
fn server(lua: &Lua, rest: &mut impl Iterator<Item = String>) -> StoreResult<ServerRef> {
    let mut next = || rest.next().ok_or(lua.unexpected());
    Ok(ServerRef { id: next()?, url: next()?, secret: Secret::from(next()?) })
}

/// The whole of assign's: and tag, voice bridge, moderator password, generation.
fn placement(lua: &Lua, mut rest: impl Iterator<Item = String>) -> StoreResult<Placement> {
    let server = server(lua, &mut rest)?;
    let mut next = || rest.next().ok_or(lua.unexpected());
    Ok(Placement { server, tag: next()?, voice_bridge: next()?, moderator_pw: next()?, generation: next()? })
}

fn poll_outcome(lua: &Lua, reply: Vec<String>) -> StoreResult<PollOutcome> {
    match reply.as_slice() {
        [unknown] if unknown == "unknown" => Ok(PollOutcome::Unknown),
        [online, state, _, changed, released @ ..] => Ok(PollOutcome::Applied {
            online: online == "online",
            changed: changed == "1",
            state: ServerState::parse(state).ok_or(lua.unexpected())?,
            released: released.to_vec(),
        }),
        _ => Err(lua.unexpected()),
    }
}
