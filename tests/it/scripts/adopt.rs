//! adopt.lua, and the unrecorded meetings that apply_poll.lua returns.

use super::Lab;
use sl::store::{AdoptOutcome, Fence, Listed, MeetingKey, PollFigures, PollOutcome};

/// A whole poll: applies it and adopts unrecorded meetings. Each meeting: id, participants, voice bridge.
fn poll(lab: &Lab, id: &str, meetings: &[(&str, u64, &str)]) -> Vec<String> {
    let now = lab.run(lab.store.now_ms()).unwrap();
    let listed = meetings
        .iter()
        .map(|(meeting, users, bridge)| {
            let listed = Listed {
                breakout: false,
                users: *users,
                created_ms: now - 5000,
                voice_bridge: (*bridge).to_owned(),
                moderator_pw: format!("pw of {meeting}"),
                tenant: String::new(),
                mark: String::new(),
            };
            (MeetingKey::of(meeting), listed)
        })
        .collect();
    let figures = PollFigures { started_ms: 0, meetings: meetings.len(), listed, ..Default::default() };
    let (config, load) = (&lab.config.poll, &lab.config.load);
    let unrecorded = match lab.run(lab.store.apply_poll(id, &figures, &Fence::None, config, load)).unwrap() {
        PollOutcome::Applied { unrecorded, .. } | PollOutcome::AdoptFirst(unrecorded) => unrecorded,
        other => panic!("{other:?}"),
    };
    let wanted = figures.listed.iter().filter(|(m, _)| unrecorded.iter().any(|u| u == m.as_str()));
    match lab.run(lab.store.adopt(id, 0, &Fence::None, load, wanted.map(|(m, l)| (m, l)))).unwrap() {
        AdoptOutcome::Adopted(meetings) => meetings,
        other => panic!("{other:?}"),
    }
}

#[test]
fn meetings_without_a_record_are_adopted_as_they_run() {
    let lab = Lab::with_servers(2);
    lab.assign_as("known", "", &["70"]);
    let at = lab.hget("scalelite:meeting:known", "server_id");
    let adopted = poll(&lab, &at, &[("known", 2, "70"), ("lost", 3, "71"), ("full", 40, "72")]);
    assert_eq!(adopted, ["lost", "full"]);
    assert_eq!(lab.load(&at), Some(15.0 + 15.0 + 40.0));
    assert_eq!(lab.hget("scalelite:meeting:lost", "server_id"), at);
    assert_eq!(lab.hget("scalelite:meeting:lost", "moderator_pw"), "pw of lost");
    assert_eq!(lab.hget("scalelite:voice_bridges", "71"), "lost");
    let ttl: i64 = lab.redis.cli(&["TTL", "scalelite:meeting:lost"]).parse().unwrap();
    assert!(ttl > 80_000);
    assert!(poll(&lab, &at, &[("known", 2, "70"), ("lost", 3, "71"), ("full", 40, "72")]).is_empty());
    // It counts and ends like any other meeting.
    assert_eq!(lab.redis.eval("join", &["full"])[0], "found");
    assert_eq!(lab.load(&at), Some(71.0));
    for meeting in ["lost", "full", "known"] {
        lab.redis.eval("release", &[meeting]);
    }
    assert_eq!(lab.load(&at), Some(0.0));
    assert!(!lab.exists("scalelite:voice_bridges"));
}

#[test]
fn adopt_leaves_a_voice_bridge_to_the_meeting_that_has_it() {
    let lab = Lab::with_servers(1);
    lab.assign_as("first", "", &["70"]);
    assert_eq!(poll(&lab, "s1", &[("first", 1, "70"), ("second", 1, "70"), ("third", 1, "")]).len(), 2);
    assert_eq!(lab.hget("scalelite:voice_bridges", "70"), "first");
    assert_eq!(lab.hget("scalelite:meeting:second", "voice_bridge"), "70");
    lab.redis.eval("release", &["second"]);
    assert_eq!(lab.hget("scalelite:voice_bridges", "70"), "first");
}

#[test]
fn a_meeting_recorded_on_another_server_is_not_adopted() {
    let lab = Lab::with_servers(2);
    let at = lab.assign("a");
    let other = if at == "s1" { "s2" } else { "s1" };
    assert!(poll(&lab, other, &[("a", 4, "70")]).is_empty());
    assert_eq!(lab.hget("scalelite:meeting:a", "server_id"), at);
    assert_eq!(lab.load(other), Some(15.0), "its participants count where they are");
}

#[test]
fn a_released_meeting_is_not_adopted_while_its_server_still_lists_it() {
    let lab = Lab::with_servers(1);
    lab.assign("ended");
    lab.assign("panicked");
    lab.redis.eval("release", &["ended"]);
    lab.redis.eval("panic", &["s1"]);
    lab.redis.eval("set_state", &["s1", "enabled"]);
    for _ in 0..2 {
        assert!(poll(&lab, "s1", &[("ended", 0, "70"), ("panicked", 9, "71")]).is_empty());
    }
    assert!(poll(&lab, "s1", &[("panicked", 9, "71")]).is_empty());
    // The server stopped listing it and lists it again: it was created again.
    assert_eq!(poll(&lab, "s1", &[("panicked", 9, "71"), ("ended", 1, "70")]), ["ended"]);
}

#[test]
fn a_meeting_released_and_created_again_is_adopted_when_its_record_is_lost() {
    let lab = Lab::with_servers(1);
    lab.assign("a");
    lab.redis.eval("release", &["a"]);
    lab.assign("a");
    assert!(poll(&lab, "s1", &[("a", 2, "70")]).is_empty(), "it is recorded");
    // Its record is lost; it still runs.
    lab.redis.cli(&["DEL", "scalelite:meeting:a", "scalelite:sl:meeting:a"]);
    assert_eq!(poll(&lab, "s1", &[("a", 2, "70")]), ["a"]);
}

#[test]
fn server_becomes_a_candidate_only_once_its_meetings_are_adopted() {
    let lab = Lab::new();
    lab.redis.eval("add_server", &["s1", "http://s1/bigbluebutton/api", "secret"]);
    lab.redis.eval("set_state", &["s1", "enabled"]);
    let now = lab.run(lab.store.now_ms()).unwrap();
    let listed = vec![(MeetingKey::of("m1"), super::listed(3, now - 5000))];
    let mut figures = PollFigures { meetings: 1, listed, ..Default::default() };
    let apply = |figures: &PollFigures| {
        let (config, load) = (&lab.config.poll, &lab.config.load);
        lab.run(lab.store.apply_poll("s1", figures, &Fence::None, config, load)).unwrap()
    };
    assert_eq!(apply(&figures), PollOutcome::AdoptFirst(vec!["m1".to_owned()]));
    assert_eq!(lab.load("s1"), None);
    assert_eq!(lab.hget("scalelite:server:s1", "online"), "false");
    let found = figures.listed.iter().map(|(m, l)| (m, l));
    lab.run(lab.store.adopt("s1", 0, &Fence::None, &lab.config.load, found)).unwrap();
    figures.adopted = true;
    assert!(matches!(apply(&figures), PollOutcome::Applied { online: true, changed: true, .. }));
    assert_eq!(lab.load("s1"), Some(15.0));
    // Strays do not keep it out of the pool, nor are they returned first while it is online.
    let listed = vec![(MeetingKey::of("stray"), super::listed(3, now - 5000))];
    let outcome = apply(&PollFigures { meetings: 1, listed, ..Default::default() });
    let PollOutcome::Applied { unrecorded, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(unrecorded, ["stray"]);
}

#[test]
fn create_of_an_unknown_id_asks_while_a_server_was_never_polled() {
    let lab = Lab::with_servers(1);
    let assign = |meeting: &str, asked: &str| {
        lab.redis.eval("assign", &[meeting, "", "15", "60", "pw", "", "", asked])[0].clone()
    };
    assert_eq!(assign("a", ""), "assigned");
    lab.redis.eval("add_server", &["new", "http://new/bigbluebutton/api", "secret"]);
    assert_eq!(assign("b", ""), "ask");
    assert!(!lab.exists("scalelite:meeting:b"));
    assert_eq!(assign("a", ""), "existing", "a recorded meeting is not asked for");
    assert_eq!(assign("b", "1"), "assigned");
    lab.poll("new", &[]);
    assert_eq!(assign("c", ""), "assigned");
    assert!(!lab.exists("scalelite:sl:unpolled"));
    // Removed without ever having answered.
    lab.redis.eval("add_server", &["gone", "http://gone/bigbluebutton/api", "secret"]);
    lab.redis.eval("remove_server", &["gone"]);
    assert_eq!(assign("d", ""), "assigned");
}

#[test]
fn lost_data_is_noticed_by_a_caller_that_knows_another_key() {
    let lab = Lab::new();
    let (first, second) = ("0b".repeat(32), "0c".repeat(32));
    assert_eq!(lab.redis.eval("mark_key", &[&first, ""])[0], first);
    assert!(lab.exists("scalelite:sl:rebuild"));
    assert!(!lab.exists("scalelite:sl:unpolled"), "a new pool has lost nothing");
    assert_eq!(lab.redis.eval("mark_key", &[&second, ""])[0], first);
    assert_eq!(lab.redis.eval("mark_key", &[&first, "1"])[0], first);
    assert!(!lab.exists("scalelite:sl:unpolled"));
    assert_eq!(lab.redis.eval("mark_key", &[&second, "1"]), [first]);
    assert_eq!(lab.redis.cli(&["ZRANGE", "scalelite:sl:unpolled", "0", "-1"]), "");
    assert_eq!(lab.redis.cli(&["ZCARD", "scalelite:sl:unpolled"]), "1");
    // Ten minutes remain once servers are added again.
    lab.redis.eval("add_server", &["s1", "http://s1/bigbluebutton/api", "secret"]);
    let until = |id: &str| lab.redis.cli(&["ZSCORE", "scalelite:sl:unpolled", id]);
    assert_eq!(until(""), until("s1"));
    assert!(lab.redis.eval("mark_key", &["xyz", ""])[0].contains("64 hex digits"));
}

#[test]
fn server_with_a_long_list_becomes_a_candidate_once_all_parts_are_adopted() {
    let lab = Lab::new();
    lab.server("s2", 1.0, "");
    lab.assign("elsewhere");
    lab.poll("s2", &[("elsewhere", 1, 5)]);
    lab.redis.eval("add_server", &["s1", "http://s1/bigbluebutton/api", "secret"]);
    lab.redis.eval("set_state", &["s1", "enabled"]);
    let now = lab.run(lab.store.now_ms()).unwrap();
    // The last part has none without a record.
    let ids: Vec<String> = (0..1000).map(|n| format!("m{n}")).chain(["elsewhere".to_owned()]).collect();
    let listed = ids.iter().map(|id| (MeetingKey::of(id), super::listed(30, now - 5000))).collect();
    let mut figures =
        PollFigures { started_ms: lab.tick(), meetings: ids.len(), listed, ..Default::default() };
    let apply = |figures: &PollFigures| {
        let (config, load) = (&lab.config.poll, &lab.config.load);
        lab.run(lab.store.apply_poll("s1", figures, &Fence::None, config, load)).unwrap()
    };
    assert_eq!(apply(&figures), PollOutcome::AdoptFirst(ids[..1000].to_vec()));
    assert_eq!(lab.load("s1"), None);
    let found = figures.listed[..1000].iter().map(|(m, l)| (m, l));
    let adopted = lab.run(lab.store.adopt("s1", figures.started_ms, &Fence::None, &lab.config.load, found));
    assert_eq!(adopted.unwrap(), AdoptOutcome::Adopted(ids[..1000].to_vec()));
    figures.adopted = true;
    let outcome = apply(&figures);
    let PollOutcome::Applied { online: true, elsewhere, unrecorded, .. } = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(elsewhere, [(MeetingKey::of("elsewhere"), "s2".to_owned())]);
    assert!(unrecorded.is_empty());
    assert_eq!(lab.load("s1"), Some(30.0 * 1001.0));
    assert_eq!(lab.redis.cli(&["KEYS", "scalelite:sl:poll_part:*"]), "");
}
