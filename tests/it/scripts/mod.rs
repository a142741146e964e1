//! Each Lua script against a real Redis: its cases, a repeat, a race, and by hand with redis-cli.

mod adopt;
mod assign;
mod breakouts;
mod by_hand;
mod details;
mod holds;
mod lease;
mod lua_files;
mod meetings;
mod offline;
mod parts;
mod polls;
mod reassign;
mod servers;

use crate::support::Redis;
use sl::config::Config;
use sl::store::{
    AddOutcome, AssignOutcome, Assignment, Fence, Listed, MeetingKey, Placement, PollFigures,
    SetStateOutcome, Store,
};
use std::future::Future;
use tokio::runtime::Runtime;

/// A Redis, and the store of `sl` on it.
struct Lab {
    redis: Redis,
    store: Store,
    config: Config,
    runtime: Runtime,
}

impl Lab {
    fn new() -> Lab {
        let redis = Redis::start();
        let url = redis.url();
        let config = Config::read(&|name| (name == "REDIS_URL").then(|| url.clone())).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let store = runtime.block_on(async { Store::new(&config.redis).unwrap() });
        Lab { redis, store, config, runtime }
    }

    /// With servers s1, s2, … enabled and online, and one with a tag that no meeting uses, so that there is
    /// an index by tag.
    fn with_servers(n: usize) -> Lab {
        let lab = Lab::new();
        lab.redis.eval("add_server", &["tagged", "http://tagged/bigbluebutton/api", "x", "1.0", "unused"]);
        // It is never polled: creates of unknown ids would ask first.
        lab.redis.cli(&["DEL", "scalelite:sl:unpolled"]);
        for n in 1..=n {
            lab.server(&format!("s{n}"), 1.0, "");
        }
        lab
    }

    fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Adds a server, enabled and online.
    fn server(&self, id: &str, multiplier: f64, tag: &str) {
        let url = format!("http://{id}/bigbluebutton/api");
        let secret = sl::bbb::Secret::from("secret");
        let tag = (!tag.is_empty()).then_some(tag);
        let added = self.run(self.store.add_server(id, &url, &secret, Some(multiplier), tag)).unwrap();
        assert_eq!(added, AddOutcome::Added);
        let set = self.run(self.store.set_state(id, sl::store::ServerState::Enabled)).unwrap();
        assert_eq!(set, SetStateOutcome::Set { meetings: 0 });
        self.poll(id, &[]);
    }

    /// Waits for the next millisecond of Redis' clock; returns it.
    fn tick(&self) -> u64 {
        let before = self.run(self.store.now_ms()).unwrap();
        let mut now = before;
        crate::support::eventually("the next millisecond", || {
            now = self.run(self.store.now_ms()).unwrap();
            now > before
        });
        now
    }

    /// Applies a poll with these meetings: id, participants, seconds since it was created.
    fn poll(&self, id: &str, meetings: &[(&str, u64, u64)]) -> sl::store::PollOutcome {
        self.poll_sent_at(id, meetings, 0)
    }

    /// The same for a poll that was sent at `started_ms`.
    fn poll_sent_at(
        &self,
        id: &str,
        meetings: &[(&str, u64, u64)],
        started_ms: u64,
    ) -> sl::store::PollOutcome {
        let now = self.run(self.store.now_ms()).unwrap();
        let figures = PollFigures {
            started_ms,
            version: "3.0.9".to_owned(),
            meetings: meetings.len(),
            users: meetings.iter().map(|m| m.1).sum(),
            largest: meetings.iter().map(|m| m.1).max().unwrap_or(0),
            videos: 0,
            adopted: true,
            listed: meetings.iter().map(|m| (MeetingKey::of(m.0), listed(m.1, now - m.2 * 1000))).collect(),
        };
        self.run(self.store.apply_poll(id, &figures, &Fence::None, &self.config.poll, &self.config.load))
            .unwrap()
    }

    fn assign_as(&self, meeting: &str, tag: &str, bridges: &[&str]) -> AssignOutcome {
        let bridges: Vec<String> = bridges.iter().map(|b| (*b).to_owned()).collect();
        let meeting = MeetingKey::of(meeting);
        let wanted = Assignment {
            meeting: &meeting,
            tag,
            reserve: 15,
            moderator_pw: "mp",
            tenant: "",
            any_if_no_untagged: false,
            asked: true,
            ttl_seconds: 86_400,
            voice_bridges: &bridges,
        };
        self.run(self.store.assign(&wanted)).unwrap()
    }

    /// Assigns a new meeting; returns its server.
    #[track_caller]
    fn assign(&self, meeting: &str) -> String {
        self.assign_tagged(meeting, "")
    }

    #[track_caller]
    fn assign_tagged(&self, meeting: &str, tag: &str) -> String {
        match self.assign_as(meeting, tag, &[]) {
            AssignOutcome::Assigned(placement) => placement.server.id,
            other => panic!("{meeting} with tag `{tag}`: {other:?}"),
        }
    }

    fn load(&self, id: &str) -> Option<f64> {
        self.redis.loads().into_iter().find(|(server, _)| server == id).map(|(_, load)| load)
    }

    fn exists(&self, key: &str) -> bool {
        self.redis.cli(&["EXISTS", key]) == "1"
    }

    fn hget(&self, key: &str, field: &str) -> String {
        self.redis.cli(&["HGET", key, field])
    }

    /// Makes a meeting this much older.
    fn age(&self, meeting: &str, seconds: u64) {
        let key = format!("scalelite:sl:meeting:{meeting}");
        let created: u64 = self.hget(&key, "created").parse::<u64>().unwrap() - seconds * 1000;
        self.redis.cli(&["HSET", &key, "created", &created.to_string()]);
        let server = self.hget(&format!("scalelite:meeting:{meeting}"), "server_id");
        let set = format!("scalelite:sl:server_meetings:{server}");
        self.redis.cli(&["ZADD", &set, &created.to_string(), meeting]);
    }

    /// Asserts that the index by tag matches server_load and the hashes; without tags there is none.
    #[track_caller]
    fn assert_index_matches(&self) {
        if self.hget("scalelite:sl:index", "tagged") == "0" {
            return;
        }
        let keys = self.redis.cli(&["KEYS", "scalelite:sl:tag_load:*"]);
        let mut indexed: Vec<(String, String, String)> = Vec::new();
        for key in keys.lines() {
            let tag = key.trim_start_matches("scalelite:sl:tag_load:");
            let text = self.redis.cli(&["ZRANGE", key, "0", "-1", "WITHSCORES"]);
            let lines: Vec<_> = text.lines().collect();
            for pair in lines.chunks_exact(2) {
                indexed.push((pair[0].to_owned(), pair[1].to_owned(), tag.to_owned()));
            }
        }
        let text = self.redis.cli(&["ZRANGE", "scalelite:server_load", "0", "-1", "WITHSCORES"]);
        let lines: Vec<_> = text.lines().collect();
        let mut truth: Vec<(String, String, String)> = lines
            .chunks_exact(2)
            .map(|pair| {
                let tag = self.hget(&format!("scalelite:server:{}", pair[0]), "tag");
                (pair[0].to_owned(), pair[1].to_owned(), tag)
            })
            .collect();
        indexed.sort();
        truth.sort();
        assert_eq!(indexed, truth);
    }
}

fn listed(users: u64, created_ms: u64) -> Listed {
    Listed { users, created_ms, ..Listed::default() }
}

#[track_caller]
fn assigned(outcome: AssignOutcome) -> Placement {
    match outcome {
        AssignOutcome::Assigned(placement) => placement,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn existing(outcome: AssignOutcome) -> Placement {
    match outcome {
        AssignOutcome::Existing(placement) => placement,
        other => panic!("{other:?}"),
    }
}
