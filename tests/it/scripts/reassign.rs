//! reassign.lua

use super::{Lab, assigned, existing};
use sl::store::{
    Assignment, MeetingKey, Placement, PollOutcome, ReassignOutcome, ReassignReason, ReleaseOutcome,
    ServerAvailability,
};

fn reassign(
    lab: &Lab,
    meeting: &str,
    tag: &str,
    from: &str,
    reason: ReassignReason,
    tried: &[&str],
) -> ReassignOutcome {
    let meeting = MeetingKey::of(meeting);
    let wanted = Assignment {
        meeting: &meeting,
        tag,
        reserve: 15,
        moderator_pw: "",
        tenant: "",
        any_if_no_untagged: false,
        asked: true,
        ttl_seconds: 86_400,
        voice_bridges: &[],
    };
    let tried: Vec<String> = tried.iter().map(|id| (*id).to_owned()).collect();
    lab.run(lab.store.reassign(&wanted, from, reason, &tried)).unwrap()
}

#[track_caller]
fn moved(outcome: ReassignOutcome) -> Placement {
    match outcome {
        ReassignOutcome::Moved(placement) => placement,
        other => panic!("{other:?}"),
    }
}

#[test]
fn reassign_moves_record_voice_bridge_and_load() {
    let lab = Lab::with_servers(0);
    lab.server("s1", 2.0, "");
    lab.server("s2", 1.0, "");
    lab.server("s3", 1.0, "");
    lab.poll("s2", &[("x", 20, 0)]);
    lab.poll("s3", &[("y", 30, 0)]);
    let first = assigned(lab.assign_as("a", "", &["71"]));
    assert_eq!((first.server.id.as_str(), lab.load("s1")), ("s1", Some(30.0)));
    let second = moved(reassign(&lab, "a", "", "s1", ReassignReason::Failed { tries_left: 1 }, &["s1"]));
    assert_eq!(second.server.id, "s2");
    assert_eq!((second.voice_bridge.as_str(), second.moderator_pw.as_str()), ("71", "mp"));
    assert_eq!(lab.load("s1"), Some(0.0), "its load is subtracted");
    assert_eq!(lab.load("s2"), Some(35.0));
    assert_eq!(lab.hget("scalelite:meeting:a", "server_id"), "s2");
    assert_eq!(lab.hget("scalelite:voice_bridges", "71"), "a");
    assert!(!lab.exists("scalelite:sl:server_meetings:s1"));
    lab.assert_index_matches();

    // A repeat, and another create of this meeting that failed there too.
    match reassign(&lab, "a", "", "s1", ReassignReason::Failed { tries_left: 1 }, &["s1"]) {
        ReassignOutcome::Existing(at) => assert_eq!(at.server.id, "s2"),
        other => panic!("{other:?}"),
    }
    assert_eq!(
        moved(reassign(&lab, "a", "", "s2", ReassignReason::Failed { tries_left: 1 }, &["s1", "s2"]))
            .server
            .id,
        "s3"
    );
    assert!(matches!(
        reassign(&lab, "a", "", "s3", ReassignReason::Failed { tries_left: 1 }, &["s1", "s2", "s3"]),
        ReassignOutcome::NoServer
    ));
    assert_eq!(lab.hget("scalelite:meeting:a", "server_id"), "s3", "it stays where it is");
    assert_eq!([lab.load("s1"), lab.load("s2"), lab.load("s3")], [Some(0.0), Some(20.0), Some(45.0)]);
    assert!(matches!(
        reassign(&lab, "b", "", "s3", ReassignReason::Failed { tries_left: 1 }, &[]),
        ReassignOutcome::Unknown
    ));
}

#[test]
fn reassign_respects_tags_as_assign_does() {
    let lab = Lab::with_servers(1);
    lab.server("g1", 1.0, "gpu");
    lab.server("g2", 1.0, "gpu");
    for (meeting, tag) in [("a", "gpu!"), ("b", "gpu")] {
        let at = lab.assign_tagged(meeting, tag);
        let next = moved(reassign(&lab, meeting, tag, &at, ReassignReason::Failed { tries_left: 1 }, &[&at]));
        assert_eq!(next.tag, "gpu");
        assert_ne!(next.server.id, at);
        match reassign(
            &lab,
            meeting,
            tag,
            &next.server.id,
            ReassignReason::Failed { tries_left: 1 },
            &["g1", "g2"],
        ) {
            ReassignOutcome::TagUnavailable(list) => assert_eq!((tag, list.as_str()), ("gpu!", "gpu")),
            ReassignOutcome::Moved(at) => assert_eq!((tag, at.server.id.as_str()), ("gpu", "s1")),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_failed_create_moves_no_meeting_that_may_have_participants() {
    let lab = Lab::with_servers(2);
    let at = lab.assign("joined");
    lab.redis.eval("join", &["joined"]);
    assert!(matches!(
        reassign(&lab, "joined", "", &at, ReassignReason::Failed { tries_left: 1 }, &[]),
        ReassignOutcome::Kept
    ));
    let at = lab.assign("polled");
    lab.poll(&at, &[("polled", 0, 1)]);
    assert!(matches!(
        reassign(&lab, "polled", "", &at, ReassignReason::Failed { tries_left: 1 }, &[]),
        ReassignOutcome::Kept
    ));
    let at = lab.assign("old");
    lab.age("old", 121);
    assert!(matches!(
        reassign(&lab, "old", "", &at, ReassignReason::Failed { tries_left: 1 }, &[]),
        ReassignOutcome::Kept
    ));
    // A create that knows that the server does not have the meeting moves it all the same.
    for meeting in ["joined", "polled", "old"] {
        let at = lab.hget(&format!("scalelite:meeting:{meeting}"), "server_id");
        lab.redis.eval("set_state", &[&at, "cordoned"]);
        let placement = existing(lab.assign_as(meeting, "", &[]));
        assert_eq!(placement.availability, ServerAvailability::Closed);
        assert_ne!(moved(reassign(&lab, meeting, "", &at, ReassignReason::Gone, &[])).server.id, at);
        lab.redis.eval("set_state", &[&at, "enabled"]);
    }
}

#[test]
fn of_two_failed_creates_one_moves_the_meeting_and_the_other_follows() {
    let lab = Lab::with_servers(3);
    let at = lab.assign("a");
    existing(lab.assign_as("a", "", &[]));
    let meeting = MeetingKey::of("a");
    let wanted = Assignment {
        meeting: &meeting,
        tag: "",
        reserve: 15,
        moderator_pw: "",
        tenant: "",
        any_if_no_untagged: false,
        asked: true,
        ttl_seconds: 86_400,
        voice_bridges: &[],
    };
    let go = || lab.store.reassign(&wanted, &at, ReassignReason::Failed { tries_left: 1 }, &[]);
    let (one, two) = lab.run(async { tokio::join!(go(), go()) });
    match (one.unwrap(), two.unwrap()) {
        (ReassignOutcome::Moved(a), ReassignOutcome::Existing(b))
        | (ReassignOutcome::Existing(b), ReassignOutcome::Moved(a)) => assert_eq!(a.server.id, b.server.id),
        other => panic!("{other:?}"),
    }
    assert_eq!(lab.redis.loads().iter().map(|(_, load)| load).sum::<f64>(), 15.0);
}

#[test]
fn a_young_meeting_is_not_moved_as_stale() {
    let lab = Lab::with_servers(2);
    let at = lab.assign("young");
    assert!(matches!(reassign(&lab, "young", "", &at, ReassignReason::Stale, &[]), ReassignOutcome::Kept));
    lab.age("young", 16);
    moved(reassign(&lab, "young", "", &at, ReassignReason::Stale, &[]));
}

#[test]
fn withdraw_releases_a_meeting_once_all_of_its_creates_have_failed() {
    let lab = Lab::with_servers(3);
    let meeting = MeetingKey::of("a");
    let withdraw = |at: &str| lab.run(lab.store.withdraw(&meeting, at, &[])).unwrap();
    let at = lab.assign("a");
    existing(lab.assign_as("a", "", &[]));
    assert_eq!(withdraw(&at), ReleaseOutcome::Kept, "the other may succeed");
    assert_eq!(withdraw(&at), ReleaseOutcome::Released);
    // Both creates fail on one server, move to the next, and fail there.
    let at = lab.assign("a");
    existing(lab.assign_as("a", "", &[]));
    let next = moved(reassign(&lab, "a", "", &at, ReassignReason::Failed { tries_left: 1 }, &[])).server.id;
    assert!(matches!(
        reassign(&lab, "a", "", &at, ReassignReason::Failed { tries_left: 1 }, &[]),
        ReassignOutcome::Existing(_)
    ));
    assert_eq!(withdraw(&next), ReleaseOutcome::Kept);
    assert_eq!(withdraw(&next), ReleaseOutcome::Released);
    // One succeeded and another fails; or a participant has joined; or another program recorded it.
    let at = lab.assign("a");
    existing(lab.assign_as("a", "", &[]));
    assert_eq!(withdraw(&at), ReleaseOutcome::Kept);
    let at = lab.assign("b");
    lab.redis.eval("join", &["b"]);
    assert_eq!(lab.run(lab.store.withdraw(&MeetingKey::of("b"), &at, &[])).unwrap(), ReleaseOutcome::Kept);
    lab.redis.cli(&["HSET", "scalelite:meeting:theirs", "server_id", "s1"]);
    existing(lab.assign_as("theirs", "", &[]));
    let theirs = MeetingKey::of("theirs");
    assert_eq!(lab.run(lab.store.withdraw(&theirs, "s1", &[])).unwrap(), ReleaseOutcome::Kept);
}

#[test]
fn a_meeting_created_late_on_the_failed_server_is_not_adopted() {
    let lab = Lab::with_servers(2);
    let at = lab.assign("a");
    moved(reassign(&lab, "a", "", &at, ReassignReason::Failed { tries_left: 1 }, &[]));
    lab.redis.eval("release", &["a"]);
    match lab.poll(&at, &[("a", 0, 1)]) {
        PollOutcome::Applied { unrecorded, .. } => assert!(unrecorded.is_empty(), "{unrecorded:?}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(lab.load(&at), Some(0.0));
}
