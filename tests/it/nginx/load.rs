//! Four clients who hold meetings through nginx, and notice every wrong answer.

use super::Site;
use crate::support::client::{Reply, fetch};
use crate::support::{Pool, eventually, sign};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread::JoinHandle;

/// The meeting that all clients join again and again: a join that counted twice would show.
pub const CROWD: &str = "crowd";

const CLIENTS: usize = 4;

/// Meetings that one client holds at most, should nobody tell it to stop.
const MOST: usize = 3000;

/// Running clients.
pub struct Load {
    stop: Arc<AtomicBool>,
    rounds: Arc<[AtomicUsize; CLIENTS]>,
    clients: Vec<JoinHandle<Seen>>,
}

/// What a client saw, or all of them.
#[derive(Debug, Default)]
pub struct Seen {
    /// Meetings that were created and go on.
    pub kept: Vec<String>,
    /// Meetings that were created and ended.
    pub ended: Vec<String>,
    /// Meetings of which it is not known whether they have ended: status 502.
    pub doubtful: Vec<String>,
    /// Creates that said that the meeting was there.
    pub duplicates: usize,
    /// Joins of [`CROWD`] that were answered.
    pub crowd: usize,
    /// Calls answered with status 502.
    pub failed: Vec<String>,
}

/// What the clients do.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Whether they ask for all meetings too, and join [`CROWD`].
    pub all: bool,
    /// Whether calls that must not be sent twice may fail with status 502.
    pub may_fail: bool,
}

impl Load {
    pub fn start(pool: &Pool, site: &Site, plan: Plan) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let rounds = Arc::new(std::array::from_fn(|_| AtomicUsize::new(0)));
        let mut load = Load { stop, rounds, clients: Vec::new() };
        for number in 0..CLIENTS {
            let client = Client { base: site.url(""), secret: pool.secret.clone(), number, plan };
            let (stop, rounds) = (load.stop.clone(), load.rounds.clone());
            load.clients.push(std::thread::spawn(move || {
                let mut seen = Seen::default();
                for round in 0..MOST {
                    client.hold(round, &mut seen);
                    rounds[number].store(round + 1, SeqCst);
                    if stop.load(SeqCst) {
                        break;
                    }
                }
                seen
            }));
        }
        load
    }

    /// Waits until each client has held so many more meetings.
    #[track_caller]
    pub fn goes_on(&self, meetings: usize) {
        let count = || self.rounds.iter().map(|n| n.load(SeqCst)).collect::<Vec<_>>();
        let before = count();
        eventually("the clients go on", || {
            let over = self.clients.iter().any(JoinHandle::is_finished);
            over || count().iter().zip(&before).all(|(now, before)| *now >= before + meetings)
        });
    }

    /// Stops them; what they saw. Fails if one of them saw a wrong answer.
    pub fn finish(self) -> Seen {
        self.stop.store(true, SeqCst);
        let mut all = Seen::default();
        for client in self.clients {
            let seen = client.join().expect("a client saw a wrong answer");
            all.kept.extend(seen.kept);
            all.ended.extend(seen.ended);
            all.doubtful.extend(seen.doubtful);
            all.failed.extend(seen.failed);
            all.duplicates += seen.duplicates;
            all.crowd += seen.crowd;
        }
        all
    }
}

struct Client {
    base: String,
    secret: String,
    number: usize,
    plan: Plan,
}

impl Client {
    fn get(&self, call: &str, query: &str) -> Reply {
        let sum = sign("sha1", call, query, &self.secret);
        fetch("GET", &format!("{}/bigbluebutton/api/{call}?{query}&checksum={sum}", self.base), &[], b"")
    }

    /// A call that is not sent twice: None for status 502, where that is allowed.
    fn once(&self, call: &str, query: &str, seen: &mut Seen) -> Option<Reply> {
        let reply = self.get(call, query);
        if reply.status == 502 && self.plan.may_fail {
            seen.failed.push(format!("{call} {query}"));
            return None;
        }
        Some(reply)
    }

    /// One meeting, from its create to what comes after its end.
    fn hold(&self, round: usize, seen: &mut Seen) {
        let id = format!("m{}-{round}", self.number);
        let meeting = format!("meetingID={id}");
        let created = self.get("create", &format!("{meeting}&name=M&moderatorPW=mp")).success();
        assert_eq!(created.xml("meetingID"), Some(id.as_str()));
        match created.xml("messageKey") {
            Some("") => {}
            Some("duplicateWarning") if self.plan.may_fail => seen.duplicates += 1,
            other => panic!("{other:?}: {created:?}"),
        }
        assert!(self.get("isMeetingRunning", &meeting).success().xml("running").is_some());
        let info = self.get("getMeetingInfo", &meeting).success();
        assert_eq!(info.xml("internalMeetingID"), created.xml("internalMeetingID"));
        assert_eq!(info.xml("voiceBridge"), created.xml("voiceBridge"));
        if let Some(joined) = self.once("join", &format!("{meeting}&fullName=A&password=mp"), seen) {
            assert!(leads_to(&joined, &id), "{joined:?}");
        }
        if self.plan.all {
            let list = self.get("getMeetings", "").success();
            assert!(list.body.contains(&format!("<meetingID>{id}</meetingID>")), "{id} is not listed");
            let joined = self.get("join", &format!("meetingID={CROWD}&fullName=A&password=mp"));
            assert!(leads_to(&joined, CROWD), "{joined:?}");
            seen.crowd += 1;
        }
        if round.is_multiple_of(3) {
            seen.kept.push(id);
            return;
        }
        let Some(ended) = self.once("end", &format!("{meeting}&password=mp"), seen) else {
            seen.doubtful.push(id);
            return;
        };
        assert_eq!(ended.success().xml("messageKey"), Some("sentEndMeetingRequest"));
        assert_eq!(self.get("isMeetingRunning", &meeting).success().xml("running"), Some("false"));
        assert_eq!(self.get("getMeetingInfo", &meeting).failed(), "notFound");
        seen.ended.push(id);
    }
}

/// Whether a join sends the browser to a server's join of this meeting.
fn leads_to(joined: &Reply, id: &str) -> bool {
    joined.status == 302
        && joined.header("location").is_some_and(|to| {
            to.contains("/bigbluebutton/api/join?") && to.contains(&format!("meetingID={id}&"))
        })
}

/// Whether all that the clients saw is so: each meeting that goes on is on one server, the one that is
/// recorded; nothing else is anywhere; and the loads are what a recount gives. At once, unless replicas
/// poll: a poll that was under way while a meeting ended counts it, until the next one.
#[track_caller]
pub fn all_is_true(pool: &Pool, seen: &Seen, polled: bool) {
    let mut running: BTreeMap<String, String> = BTreeMap::new();
    for (n, server) in pool.sim.servers().iter().enumerate() {
        for meeting in server.meetings() {
            let other = running.insert(meeting.id.clone(), format!("bbb{}", n + 1));
            assert_eq!(other, None, "{} is on two servers", meeting.id);
        }
    }
    let mut expected: Vec<&str> = seen.kept.iter().map(String::as_str).collect();
    expected.extend((seen.crowd > 0).then_some(CROWD));
    expected.sort_unstable();
    assert_eq!(running.keys().map(String::as_str).collect::<Vec<_>>(), expected);
    let listed = pool.sl_ok(&["meetings", "list", "--json"]);
    let listed: Vec<serde_json::Value> = serde_json::from_str(&listed).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let recorded: BTreeMap<_, _> = listed.iter().map(|m| (text(&m["id"]), text(&m["server_id"]))).collect();
    assert_eq!(recorded, running);

    let load = |crowd: f64| {
        let mut loads: BTreeMap<String, f64> =
            (1..=pool.sim.servers().len()).map(|n| (format!("bbb{n}"), 0.0)).collect();
        for (id, server) in &running {
            *loads.get_mut(server).unwrap() += if id == CROWD { crowd } else { 15.0 };
        }
        loads
    };
    let noted = || pool.redis.loads().into_iter().collect::<BTreeMap<_, _>>();
    let expected = load((seen.crowd as f64).max(15.0));
    if polled {
        eventually("a poll has counted what is there", || noted() == expected);
    }
    assert_eq!(noted(), expected);
    // Nobody followed the links to join: the servers know of no people.
    pool.sl_ok(&["poll"]);
    assert_eq!(noted(), load(15.0));
}
