//! The scripts in `lua/`: the arguments of each by name, and their calls.
//!
//! A script that timed out may have run. All of them may be repeated; the contract of each says what a
//! repeat does.

use super::connection::{Request, Store, StoreError, StoreResult};
use super::keys::MeetingKey;
use super::lease::Fence;
use super::lua;
use redis::{RedisError, RedisWrite, ScriptInvocation, ToRedisArgs, Value};
use std::str::FromStr;
use std::sync::LazyLock;
use std::vec;

/// Of each script its name, and the call with its ARGV in the order of the contract. The last field may be a
/// list, for the contract's `N…`.
macro_rules! scripts {
    ($($name:ident: $call:ident $(<$life:lifetime>)? { $($argument:ident: $type:ty),* $(,)? })+) => {
        $(
            #[doc = concat!("`lua/", stringify!($name), ".lua`.")]
            pub(super) struct $call $(<$life>)? { $(pub(super) $argument: $type),* }

            impl $(<$life>)? ScriptCall for $call $(<$life>)? {
                fn script() -> &'static Script {
                    &SCRIPTS.$name
                }

                fn add_arguments<'b, 'i>(
                    &self,
                    invocation: &'b mut ScriptInvocation<'i>,
                ) -> &'b mut ScriptInvocation<'i> {
                    invocation$(.arg(&self.$argument))*
                }
            }
        )+

        struct Scripts { $($name: Script),+ }

        static SCRIPTS: LazyLock<Scripts> = LazyLock::new(|| Scripts { $($name: Script::new(
            stringify!($name),
            include_str!(concat!("../../lua/", stringify!($name), ".lua")),
        )),+ });

        /// The name of every script.
        pub const NAMES: &[&str] = &[$(stringify!($name)),+];

        /// The names of the ARGV of each script, in the order of [`NAMES`].
        pub const ARGUMENTS: &[&[&str]] = &[$(&[$(stringify!($argument)),*]),+];

        /// A script as Redis runs it, with its includes expanded.
        pub fn text(name: &str) -> Option<&'static str> {
            [$(&SCRIPTS.$name),+].into_iter().find(|script| script.name == name).map(|s| s.text.as_str())
        }
    };
}

scripts! {
    abandon: Abandon<'a> { server: &'a str, grace_ms: u128, fence: &'a Fence }
    add_server: AddServer<'a> {
        server: &'a str, url: &'a str, secret: &'a str, load_multiplier: &'a str, tag: &'a str
    }
    adopt: Adopt<'a> {
        server: &'a str, started_ms: u64, fence: &'a Fence, reserve: u32, young_ms: u128, ttl_seconds: u64,
        meetings: &'a [(&'a MeetingKey, u64, u64, &'a str, &'a str, &'a str)],
    }
    apply_poll: ApplyPoll<'a> {
        server: &'a str, started_ms: u64, healthy_threshold: u32, reserve: u32, young_ms: u128,
        ttl_seconds: u64, version: &'a str, meetings: usize, users: u64, largest: u64, videos: u64,
        fence: &'a Fence, increment: bool, part: &'a str, adopted: &'a str,
        listed: Vec<(&'a MeetingKey, u64, CreatedAt)>,
    }
    assign: Assign<'a> {
        meeting: &'a MeetingKey, tag: &'a str, reserve: u32, ttl_seconds: u64, moderator_pw: &'a str,
        tenant: &'a str, any_if_no_untagged: bool, asked: bool, voice_bridges: &'a [String],
    }
    assign_breakout: AssignBreakout<'a> {
        meeting: &'a MeetingKey, parent: &'a MeetingKey, reserve: u32, ttl_seconds: u64, moderator_pw: &'a str,
        tenant: &'a str, voice_bridges: &'a [String],
    }
    brake: Brake<'a> { failed: usize, expected: usize, fence: &'a Fence }
    find: Find<'a> { meeting: &'a MeetingKey, with_generation: bool }
    health: Health {}
    join: Join<'a> { meeting: &'a MeetingKey, refuse_disabled: bool, participants: i32, increment: bool }
    lease: Lease<'a> { replica: &'a str, lasts_ms: u128, round_begins: bool }
    mark_key: MarkKeyCall<'a> { offered: &'a str, had_pool: bool }
    online: Online {}
    panic: Panic<'a> { server: &'a str, keep_state: bool }
    poll_failed: PollFailed<'a> {
        server: &'a str, unhealthy_threshold: u32, started_ms: u64, fence: &'a Fence
    }
    poll_unreadable: PollUnreadable<'a> {
        server: &'a str, started_ms: u64, ttl_seconds: u64, fence: &'a Fence
    }
    reassign: Reassign<'a> {
        meeting: &'a MeetingKey, from: &'a str, tag: &'a str, reserve: u32, ttl_seconds: u64,
        any_if_no_untagged: bool, reason: &'a str, tries_left: usize, excluded: &'a [String],
    }
    recreated: Recreated<'a> {
        meeting: &'a MeetingKey, server: &'a str, moderator_pw: &'a str, reserve: u32
    }
    reindex: Reindex {}
    release: Release<'a> {
        meeting: &'a MeetingKey, only_server: &'a str, only_generation: &'a str, create_failed: bool,
        failed_on: &'a [String],
    }
    remove_server: RemoveServer<'a> { server: &'a str, force: bool }
    set_state: SetState<'a> { server: &'a str, state: &'a str }
    suspect: Suspect<'a> { server: &'a str, unhealthy_threshold: u32, probe_ms: u128 }
    sweep: Sweep<'a> { cursor: &'a str, count: u32, drop_orphans: bool }
    sweep_index: SweepIndex<'a> { index: &'a str, cursor: &'a str, count: u32 }
    update_server: UpdateServer<'a> { server: &'a str, fields: &'a [(&'a str, String)] }
}

/// When a listed meeting was created, for `apply_poll.lua`.
#[derive(Debug, Clone, Copy)]
pub(super) enum CreatedAt {
    /// ms since 1970.
    Ms(u64),
    /// Of a breakout room it does not matter.
    Breakout,
}

impl ToRedisArgs for CreatedAt {
    fn write_redis_args<W: ?Sized + RedisWrite>(&self, out: &mut W) {
        match self {
            CreatedAt::Ms(ms) => ms.write_redis_args(out),
            CreatedAt::Breakout => out.write_arg(b"breakout"),
        }
    }
}

/// What a script does, from the first line of its contract.
pub fn summary(name: &str) -> Option<&'static str> {
    text(name)?.lines().next()?.strip_prefix("-- ")?.split_once(": ").map(|(_, summary)| summary)
}

/// A script, expanded once for all threads.
pub(super) struct Script {
    name: &'static str,
    text: String,
    redis: redis::Script,
}

impl Script {
    fn new(name: &'static str, file: &str) -> Script {
        let text = lua::expand(file);
        Script { name, redis: redis::Script::new(&text), text }
    }

    /// Its SHA-1, for EVALSHA.
    pub(super) fn hash(&self) -> &str {
        self.redis.get_hash()
    }
}

/// A script with its arguments.
pub(super) trait ScriptCall {
    fn script() -> &'static Script;

    fn add_arguments<'b, 'i>(&self, invocation: &'b mut ScriptInvocation<'i>)
    -> &'b mut ScriptInvocation<'i>;
}

/// What a script returned, read from its beginning.
pub(super) struct Reply {
    script: &'static str,
    parts: vec::IntoIter<String>,
}

impl Reply {
    pub(super) fn new(script: &Script, value: Value) -> StoreResult<Reply> {
        let parts: Vec<String> = match value {
            Value::Int(number) => vec![number.to_string()],
            value => redis::from_redis_value(value).map_err(RedisError::from)?,
        };
        Ok(Reply { script: script.name, parts: parts.into_iter() })
    }

    /// The next part, which must be there.
    pub(super) fn text(&mut self) -> StoreResult<String> {
        self.parts.next().ok_or(self.unexpected())
    }

    /// The next part, which must be a number.
    pub(super) fn number<T: FromStr>(&mut self) -> StoreResult<T> {
        self.text()?.parse().map_err(|_| self.unexpected())
    }

    /// The next `count` parts, which must be there.
    pub(super) fn texts(&mut self, count: usize) -> StoreResult<Vec<String>> {
        if count > self.parts.len() {
            return Err(self.unexpected());
        }
        Ok(self.parts.by_ref().take(count).collect())
    }

    /// Whether no part is left.
    pub(super) fn is_empty(&self) -> bool {
        self.parts.len() == 0
    }

    /// All parts that are left.
    pub(super) fn rest(self) -> Vec<String> {
        self.parts.collect()
    }

    /// The error of a reply that the contract does not have.
    pub(super) fn unexpected(&self) -> StoreError {
        StoreError::UnexpectedReply(self.script)
    }
}

impl Store {
    /// Runs a script: one round trip.
    pub(super) async fn run<C: ScriptCall>(&self, call: &C) -> StoreResult<Reply> {
        let script = C::script();
        let mut invocation = script.redis.prepare_invoke();
        if !self.keys.prefix().is_empty() {
            invocation.key(self.keys.prefix());
        }
        call.add_arguments(&mut invocation);
        Reply::new(script, self.send(Request::Script(&invocation)).await?)
    }
}
