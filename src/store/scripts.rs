//! Each file in `lua/` as one typed function. The files say what they do; their outcomes are the
//! enums in `outcomes.rs`.
//!
//! A script that timed out may have run. All of them may be repeated; what a repeat does stands in
//! each file.

use super::connection::{Question, Store, StoreError, StoreResult};
use super::keys::MeetingKey;
use super::location_cache::tracking;
use super::lua;
use super::outcomes::{
    AssignOutcome, Assignment, FindOutcome, JoinOutcome, Placement, ReassignOutcome, ReleaseOutcome,
    RemoveOutcome, Standing, Why,
};
use super::servers::{ServerRef, ServerState};
use crate::bbb::Secret;
use crate::config::Accounting;
use redis::{FromRedisValue, Script, ToRedisArgs};
use std::sync::LazyLock;

macro_rules! scripts {
    ($($name:ident),+ $(,)?) => {
        pub(super) struct Scripts { $(pub(super) $name: Lua),+ }

        pub(super) static SCRIPTS: LazyLock<Scripts> = LazyLock::new(|| Scripts { $($name: Lua::new(
            stringify!($name),
            include_str!(concat!("../../lua/", stringify!($name), ".lua")),
        )),+ });

        /// The name of every script.
        pub const NAMES: &[&str] = &[$(stringify!($name)),+];

        /// A script as Redis runs it, with its includes expanded.
        pub fn text(name: &str) -> Option<&'static str> {
            [$(&SCRIPTS.$name),+].into_iter().find(|lua| lua.name == name).map(|lua| lua.text.as_str())
        }
    };
}

/// What a script does, from the first line of its contract.
pub fn summary(name: &str) -> Option<&'static str> {
    text(name)?.lines().next()?.strip_prefix("-- ")?.split_once(": ").map(|(_, about)| about)
}

scripts!(
    abandon,
    add_server,
    adopt,
    apply_poll,
    assign,
    brake,
    find,
    join,
    lease,
    online,
    panic,
    poll_failed,
    reassign,
    recreated,
    reindex,
    release,
    remove_server,
    set_state,
    suspect,
    sweep,
    sweep_bridges,
    update_server,
);

/// Pages of 500 records that a round of polls sweeps: the whole of a large pool takes some rounds.
const SWEPT_PAGES: usize = 10;

pub(super) struct Lua {
    name: &'static str,
    text: String,
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

    /// Puts a meeting on another server than `from`, and not on one of `tried`: see
    /// `lua/reassign.lua`. Of `wanted` only the meeting, tag, reserve and expiry count: number,
    /// password and tenant go along.
    pub async fn reassign(
        &self,
        wanted: &Assignment<'_>,
        from: &str,
        why: Why,
        tried: &[String],
    ) -> StoreResult<ReassignOutcome> {
        let (reserve, ttl) = (wanted.reserve.to_string(), wanted.ttl_seconds.to_string());
        let any = if wanted.any_if_no_untagged { "1" } else { "" };
        let why = match why {
            Why::Failed => "failed",
            Why::Stale => "stale",
            Why::Gone => "gone",
        };
        let mut args = vec![wanted.meeting.as_str(), from, wanted.tag, &reserve, &ttl, any, why];
        args.extend(tried.iter().map(String::as_str));
        let script = &SCRIPTS.reassign;
        let mut reply = self.run::<Vec<String>>(script, &args).await?.into_iter();
        match reply.next().as_deref() {
            Some("moved") => Ok(ReassignOutcome::Moved(placement(script, reply)?)),
            Some("existing") => Ok(ReassignOutcome::Existing(placement(script, reply)?)),
            Some("none") => Ok(ReassignOutcome::NoServer),
            Some("tag_unavailable") => Ok(ReassignOutcome::TagUnavailable(reply.next().unwrap_or_default())),
            Some("kept") => Ok(ReassignOutcome::Kept),
            Some("unknown") => Ok(ReassignOutcome::Unknown),
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
    pub async fn join(
        &self,
        meeting: &MeetingKey,
        refuse_disabled: bool,
        accounting: Accounting,
    ) -> StoreResult<JoinOutcome> {
        self.join_people(meeting, refuse_disabled, "1", accounting).await
    }

    /// Takes a person back whom the server refused after all.
    pub async fn unjoin(&self, meeting: &MeetingKey, accounting: Accounting) -> StoreResult<()> {
        self.join_people(meeting, false, "-1", accounting).await.map(|_| ())
    }

    /// A server has made a recorded meeting anew: see `lua/recreated.lua`.
    pub async fn recreated(
        &self,
        meeting: &MeetingKey,
        server: &str,
        password: &str,
        reserve: u32,
    ) -> StoreResult<()> {
        let args = [meeting.as_str(), server, password, &reserve.to_string()];
        let _: String = self.run(&SCRIPTS.recreated, &args).await?;
        Ok(())
    }

    async fn join_people(
        &self,
        meeting: &MeetingKey,
        refuse_disabled: bool,
        people: &str,
        accounting: Accounting,
    ) -> StoreResult<JoinOutcome> {
        let script = &SCRIPTS.join;
        let args = [meeting.as_str(), if refuse_disabled { "1" } else { "" }, people, increment(accounting)];
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
        let (server, generation) = only_on.unwrap_or_default();
        self.release_if(&[meeting.as_str(), server, generation]).await
    }

    /// A create of a meeting has failed on this server: releases it if all of its creates have, and
    /// nobody can be in it.
    pub async fn withdraw(&self, meeting: &MeetingKey, server: &str) -> StoreResult<ReleaseOutcome> {
        self.release_if(&[meeting.as_str(), server, "", "1"]).await
    }

    async fn release_if(&self, args: &[&str]) -> StoreResult<ReleaseOutcome> {
        let script = &SCRIPTS.release;
        let reply: String = self.run(script, args).await?;
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

    /// Walks all meeting records once, a page per script: see `lua/sweep.lua`. Records of servers
    /// that have left the pool are dropped. Returns how many names without a record were forgotten,
    /// and how many records were dropped.
    pub async fn sweep(&self) -> StoreResult<(u64, u64)> {
        let (mut forgotten, mut dropped) = (0, 0);
        let mut cursor = "0".to_owned();
        loop {
            let (next, gone, orphans) = self.sweep_page(&cursor, true).await?;
            forgotten += gone;
            dropped += orphans;
            if next == "0" {
                break;
            }
            cursor = next;
        }
        self.sweep_bridges().await?;
        Ok((forgotten, dropped))
    }

    /// The same for some thousand records, from where the last call has stopped; drops no record.
    pub async fn sweep_on(&self) -> StoreResult<()> {
        let key = self.keys.sweep_cursor();
        let cursor: Option<String> = self.command(redis::cmd("GET").arg(&key)).await?;
        let (mut cursor, mut forgotten) = (cursor.unwrap_or_else(|| "0".to_owned()), 0);
        for _ in 0..SWEPT_PAGES {
            let (next, gone, _) = self.sweep_page(&cursor, false).await?;
            forgotten += gone;
            cursor = next;
            if cursor == "0" {
                break;
            }
        }
        let _: () = self.command(redis::cmd("SET").arg(&key).arg(&cursor)).await?;
        if forgotten > 0 { self.sweep_bridges().await } else { Ok(()) }
    }

    async fn sweep_page(&self, cursor: &str, drop_orphans: bool) -> StoreResult<(String, u64, u64)> {
        let args = [cursor, "500", if drop_orphans { "1" } else { "" }];
        let (next, gone, _noted, orphans): (String, u64, u64, u64) = self.run(&SCRIPTS.sweep, &args).await?;
        Ok((next, gone, orphans))
    }

    async fn sweep_bridges(&self) -> StoreResult<()> {
        let mut cursor = "0".to_owned();
        loop {
            let (next, _back): (String, u64) = self.run(&SCRIPTS.sweep_bridges, &[&cursor, "500"]).await?;
            if next == "0" {
                return Ok(());
            }
            cursor = next;
        }
    }

    /// Makes the index of candidates by tag anew; returns the number of servers.
    pub async fn reindex(&self) -> StoreResult<u64> {
        self.run(&SCRIPTS.reindex, &[""; 0]).await
    }

    pub(super) async fn run<T: FromRedisValue>(
        &self,
        lua: &Lua,
        args: &[impl ToRedisArgs],
    ) -> StoreResult<T> {
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
    fn new(name: &'static str, file: &str) -> Lua {
        let text = lua::expand(file);
        Lua { name, script: Script::new(&text), text }
    }

    pub(super) fn unexpected(&self) -> StoreError {
        StoreError::Unexpected(self.name)
    }
}

/// As scripts are told.
pub(super) fn increment(accounting: Accounting) -> &'static str {
    match accounting {
        Accounting::Reserve => "",
        Accounting::Increment => "1",
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

/// The whole of assign's: and tag, voice bridge, moderator password, generation, standing.
fn placement(lua: &Lua, mut rest: impl Iterator<Item = String>) -> StoreResult<Placement> {
    let server = server(lua, &mut rest)?;
    let mut next = || rest.next().ok_or(lua.unexpected());
    Ok(Placement {
        server,
        tag: next()?,
        voice_bridge: next()?,
        moderator_pw: next()?,
        generation: next()?,
        standing: match next()?.as_str() {
            "enabled" => Standing::Enabled,
            "cordoned" | "disabled" => Standing::Closed,
            "offline" => Standing::Offline,
            _ => return Err(lua.unexpected()),
        },
    })
}
