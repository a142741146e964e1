//! Load: four clients that run meetings through nginx and check every response.

use super::Site;
use crate::support::client::{Reply, fetch};
use crate::support::{Pool, eventually, sign};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread::JoinHandle;

/// The meeting that all clients join repeatedly: a join counted twice would show.
pub const CROWD: &str = "crowd";

const CLIENTS: usize = 4;

/// The most meetings that one client runs if it is never stopped.
const MAX_MEETINGS: usize = 3000;

/// Running clients.
pub struct Load {
    stop: Arc<AtomicBool>,
    rounds: Arc<[AtomicUsize; CLIENTS]>,
    clients: Vec<JoinHandle<Observed>>,
}

/// The observations of a client, or of all of them.
#[derive(Debug, Default)]
pub struct Observed {
    /// Meetings that were created and still run.
    pub kept: Vec<String>,
    /// Meetings that were created and ended.
    pub ended: Vec<String>,
    /// Meetings whose end got status 502: they may have ended or not.
    pub uncertain: Vec<String>,
    /// Creates answered with duplicateWarning.
    pub duplicates: usize,
    /// Successful joins of [`CROWD`].
    pub crowd: usize,
    /// Calls that got status 502.
    pub failed: Vec<String>,
}

/// The behaviour of the clients.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Whether they also call getMeetings and join [`CROWD`].
    pub all: bool,
    /// Whether calls that nginx must not retry may fail with status 502.
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
                let mut observed = Observed::default();
                for round in 0..MAX_MEETINGS {
                    client.run_meeting(round, &mut observed);
                    rounds[number].store(round + 1, SeqCst);
                    if stop.load(SeqCst) {
                        break;
                    }
                }
                observed
            }));
        }
        load
    }

    /// Waits until each client has run `meetings` more meetings.
    #[track_caller]
    pub fn wait_for_meetings(&self, meetings: usize) {
        let count = || self.rounds.iter().map(|n| n.load(SeqCst)).collect::<Vec<_>>();
        let before = count();
        eventually("the clients make progress", || {
            let finished = self.clients.iter().any(JoinHandle::is_finished);
            finished || count().iter().zip(&before).all(|(now, before)| *now >= before + meetings)
        });
    }

    /// Stops the clients and returns their observations. Fails if one of them got a wrong response.
    pub fn finish(self) -> Observed {
        self.stop.store(true, SeqCst);
        let mut all = Observed::default();
        for client in self.clients {
            let observed = client.join().expect("a client got a wrong response");
            all.kept.extend(observed.kept);
            all.ended.extend(observed.ended);
            all.uncertain.extend(observed.uncertain);
            all.failed.extend(observed.failed);
            all.duplicates += observed.duplicates;
            all.crowd += observed.crowd;
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

    /// A call that nginx does not retry: None for status 502, if that is allowed.
    fn call_unretried(&self, call: &str, query: &str, observed: &mut Observed) -> Option<Reply> {
        let reply = self.get(call, query);
        if reply.status == 502 && self.plan.may_fail {
            observed.failed.push(format!("{call} {query}"));
            return None;
        }
        Some(reply)
    }

    /// Runs one meeting from create to after its end.
    fn run_meeting(&self, round: usize, observed: &mut Observed) {
        let id = format!("m{}-{round}", self.number);
        let meeting = format!("meetingID={id}");
        let created = self.get("create", &format!("{meeting}&name=M&moderatorPW=mp")).success();
        assert_eq!(created.xml("meetingID"), Some(id.as_str()));
        match created.xml("messageKey") {
            Some("") => {}
            Some("duplicateWarning") if self.plan.may_fail => observed.duplicates += 1,
            other => panic!("{other:?}: {created:?}"),
        }
        assert!(self.get("isMeetingRunning", &meeting).success().xml("running").is_some());
        let info = self.get("getMeetingInfo", &meeting).success();
        assert_eq!(info.xml("internalMeetingID"), created.xml("internalMeetingID"));
        assert_eq!(info.xml("voiceBridge"), created.xml("voiceBridge"));
        if let Some(joined) =
            self.call_unretried("join", &format!("{meeting}&fullName=A&password=mp"), observed)
        {
            assert!(redirects_to(&joined, &id), "{joined:?}");
        }
        if self.plan.all {
            let list = self.get("getMeetings", "").success();
            assert!(list.body.contains(&format!("<meetingID>{id}</meetingID>")), "{id} is not listed");
            let joined = self.get("join", &format!("meetingID={CROWD}&fullName=A&password=mp"));
            assert!(redirects_to(&joined, CROWD), "{joined:?}");
            observed.crowd += 1;
        }
        if round.is_multiple_of(3) {
            observed.kept.push(id);
            return;
        }
        let Some(ended) = self.call_unretried("end", &format!("{meeting}&password=mp"), observed) else {
            observed.uncertain.push(id);
            return;
        };
        assert_eq!(ended.success().xml("messageKey"), Some("sentEndMeetingRequest"));
        assert_eq!(self.get("isMeetingRunning", &meeting).success().xml("running"), Some("false"));
        assert_eq!(self.get("getMeetingInfo", &meeting).failed(), "notFound");
        observed.ended.push(id);
    }
}

/// Whether a join redirects to the join of this meeting on a server.
fn redirects_to(joined: &Reply, id: &str) -> bool {
    joined.status == 302
        && joined.header("location").is_some_and(|to| {
            to.contains("/bigbluebutton/api/join?") && to.contains(&format!("meetingID={id}&"))
        })
}

/// Asserts that the state matches the observations: each running meeting is on one server, the recorded one;
/// there is nothing else; loads equal a recount. This holds immediately unless replicas poll: a poll that
/// was in progress when a meeting ended counts it until the next poll.
#[track_caller]
pub fn assert_consistent(pool: &Pool, observed: &Observed, polled: bool) {
    let mut running: BTreeMap<String, String> = BTreeMap::new();
    for (n, server) in pool.sim.servers().iter().enumerate() {
        for meeting in server.meetings() {
            let other = running.insert(meeting.id.clone(), format!("bbb{}", n + 1));
            assert_eq!(other, None, "{} is on two servers", meeting.id);
        }
    }
    let mut expected: Vec<&str> = observed.kept.iter().map(String::as_str).collect();
    expected.extend((observed.crowd > 0).then_some(CROWD));
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
    let recorded_loads = || pool.redis.loads().into_iter().collect::<BTreeMap<_, _>>();
    let expected = load((observed.crowd as f64).max(15.0));
    if polled {
        eventually("a poll has corrected the loads", || recorded_loads() == expected);
    }
    assert_eq!(recorded_loads(), expected);
    // No client followed its join redirect: the servers have no participants.
    pool.sl_ok(&["poll"]);
    assert_eq!(recorded_loads(), load(15.0));
}
