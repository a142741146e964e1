//! suspect.lua, brake.lua and abandon.lua

use super::Lab;
use sl::store::{
    AbandonOutcome, BrakeOutcome, Fence, MeetingKey, PollOutcome, ServerAvailability, SuspectOutcome,
};
use std::time::Duration;

fn suspect(lab: &Lab, id: &str) -> bool {
    matches!(lab.run(lab.store.suspect(id, &lab.config.poll)).unwrap(), SuspectOutcome::Probe(_))
}

fn poll_fails(lab: &Lab, id: &str) -> bool {
    match lab.run(lab.store.poll_failed(id, 0, &Fence::None, &lab.config.poll)).unwrap() {
        PollOutcome::Applied { online, .. } => online,
        other => panic!("{other:?}"),
    }
}

#[test]
fn failed_requests_count_but_only_a_poll_takes_a_server_offline() {
    let lab = Lab::with_servers(1);
    assert!(suspect(&lab, "s1"), "the first caller polls it");
    for _ in 0..20 {
        assert!(!suspect(&lab, "s1"), "the other callers do not");
    }
    assert_eq!(lab.load("s1"), Some(0.0), "still a candidate");
    assert!(!poll_fails(&lab, "s1"), "one failed request and one failed poll are two failures");
    assert_eq!(lab.load("s1"), None);
    assert_eq!(lab.redis.eval("suspect", &["s9"]), ["unknown"]);
}

#[test]
fn an_answered_poll_resets_the_failures_of_requests() {
    let lab = Lab::with_servers(1);
    suspect(&lab, "s1");
    lab.poll("s1", &[]);
    assert!(poll_fails(&lab, "s1"), "the first failure in a row");
    let outcome = lab.run(lab.store.suspect("s1", &lab.config.poll)).unwrap();
    let SuspectOutcome::Probe(wait) = outcome else { panic!("{outcome:?}") };
    assert!((1..=1000).contains(&wait.as_millis()), "polled within the last second: {wait:?}");
}

#[test]
fn with_a_threshold_of_one_failed_requests_are_not_counted() {
    let lab = Lab::with_servers(1);
    assert_eq!(lab.redis.eval("suspect", &["s1", "1"])[..2], ["probe", "0"]);
    assert_eq!(lab.redis.eval("poll_failed", &["s1", "1"])[0], "offline");
}

#[test]
fn the_brake_holds_when_more_than_half_do_not_answer() {
    let lab = Lab::new();
    let brake = |failed, expected| lab.run(lab.store.update_brake(failed, expected, &Fence::None)).unwrap();
    assert_eq!(brake(0, 0), BrakeOutcome::None);
    assert_eq!(brake(2, 4), BrakeOutcome::None, "half is not more than half");
    assert_eq!(brake(3, 4), BrakeOutcome::On);
    assert_eq!(brake(4, 4), BrakeOutcome::Holding);
    let held = lab.run(lab.store.brake()).unwrap().unwrap();
    assert_eq!((held.failed, held.expected), (4, 4));
    assert_eq!(brake(1, 4), BrakeOutcome::Off);
    assert_eq!(lab.run(lab.store.brake()).unwrap(), None);
}

fn abandon(lab: &Lab, grace: Duration) -> AbandonOutcome {
    lab.run(lab.store.abandon("s1", grace, &Fence::None)).unwrap()
}

#[test]
fn an_offline_server_is_abandoned_after_its_grace_unless_the_brake_holds() {
    let lab = Lab::with_servers(2);
    lab.redis.eval("set_state", &["s2", "disabled"]);
    lab.assign_as("a", "", &["71"]);
    assert_eq!(abandon(&lab, Duration::ZERO), AbandonOutcome::Kept, "it is online");
    poll_fails(&lab, "s1");
    assert!(!poll_fails(&lab, "s1"));
    assert_eq!(abandon(&lab, Duration::from_secs(60)), AbandonOutcome::Kept, "within its grace");
    lab.run(lab.store.update_brake(2, 2, &Fence::None)).unwrap();
    assert_eq!(abandon(&lab, Duration::ZERO), AbandonOutcome::Kept, "the brake holds");
    assert!(lab.exists("scalelite:meeting:a"));
    lab.run(lab.store.update_brake(0, 2, &Fence::None)).unwrap();
    assert_eq!(abandon(&lab, Duration::from_secs(60)), AbandonOutcome::Kept, "the grace restarts");
    assert_eq!(abandon(&lab, Duration::ZERO), AbandonOutcome::Abandoned(vec!["a".into()]));
    for key in ["meeting:a", "sl:meeting:a", "meetings", "voice_bridges", "sl:server_meetings:s1"] {
        assert!(!lab.exists(&format!("scalelite:{key}")), "{key}");
    }
    assert_eq!(abandon(&lab, Duration::ZERO), AbandonOutcome::Abandoned(vec![]), "and again");
    poll_fails(&lab, "s1");
    assert!(lab.run(lab.store.suspects()).unwrap().is_empty(), "it is not polled between rounds");

    // It returns with its meeting, which is adopted with the same voice bridge.
    lab.poll("s1", &[("a", 3, 100)]);
    assert_eq!(lab.hget("scalelite:sl:server:s1", "lost"), "");
    assert_eq!(abandon(&lab, Duration::ZERO), AbandonOutcome::Kept);
}

#[test]
fn a_meeting_recorded_on_an_abandoned_server_is_assigned_again() {
    let lab = Lab::with_servers(2);
    let at = lab.assign("a");
    for _ in 0..2 {
        lab.run(lab.store.poll_failed(&at, 0, &Fence::None, &lab.config.poll)).unwrap();
    }
    let placement = super::existing(lab.assign_as("a", "", &[]));
    assert_eq!(
        (placement.server.id.as_str(), placement.availability),
        (at.as_str(), ServerAvailability::Offline)
    );
    // Abandoned, but another program has written this record later.
    lab.redis.cli(&["HSET", &format!("scalelite:sl:server:{at}"), "lost", "1"]);
    let placement = super::assigned(lab.assign_as("a", "", &[]));
    assert_ne!(placement.server.id, at);
    assert_eq!(placement.generation, "3", "the generation grows: an earlier create does not release it");
    let meeting = MeetingKey::of("a");
    let released = lab.run(lab.store.release(&meeting, Some((&placement.server.id, "1")))).unwrap();
    assert_eq!(released, sl::store::ReleaseOutcome::Kept);
}

#[test]
fn the_grace_of_an_offline_server_restarts_when_the_brake_is_released() {
    let lab = Lab::with_servers(1);
    lab.assign("a");
    poll_fails(&lab, "s1");
    poll_fails(&lab, "s1");
    lab.run(lab.store.update_brake(1, 1, &Fence::None)).unwrap();
    // The outage is an hour old.
    let long_ago = lab.run(lab.store.now_ms()).unwrap() - 3_600_000;
    lab.redis.cli(&["HSET", "scalelite:sl:server:s1", "offline_since", &long_ago.to_string()]);
    assert_eq!(lab.run(lab.store.update_brake(0, 1, &Fence::None)).unwrap(), BrakeOutcome::Off);
    assert_eq!(abandon(&lab, Duration::from_secs(60)), AbandonOutcome::Kept);
    assert!(lab.exists("scalelite:meeting:a"));
}

#[test]
fn while_a_poller_holds_the_lease_only_its_polls_take_servers_offline() {
    let lab = Lab::with_servers(1);
    lab.run(lab.store.lease("poller", Duration::from_secs(60), false)).unwrap();
    for _ in 0..5 {
        assert!(poll_fails(&lab, "s1"), "a poll without the lease, whose own network may be at fault");
    }
    assert_eq!(lab.run(lab.store.suspects()).unwrap(), ["s1"], "the poller must poll it");
    let fence = lab.redis.cli(&["GET", "scalelite:sl:poll_fence"]);
    let outcome = lab.run(lab.store.poll_failed("s1", 0, &Fence::Held(fence), &lab.config.poll)).unwrap();
    assert!(matches!(outcome, PollOutcome::Applied { online: false, changed: true, .. }), "{outcome:?}");
    lab.poll("s1", &[]);
    assert!(lab.run(lab.store.suspects()).unwrap().is_empty());
}

#[test]
fn polls_are_written_after_a_clock_went_back() {
    let lab = Lab::with_servers(1);
    lab.redis.cli(&["HSET", "scalelite:sl:server:s1", "asked", "99999999999999"]);
    let now = lab.tick();
    assert!(matches!(lab.poll_sent_at("s1", &[("a", 20, 0)], now), PollOutcome::Applied { .. }));
    assert_eq!(lab.load("s1"), Some(20.0));
    assert_eq!(lab.poll_sent_at("s1", &[], now), PollOutcome::Stale, "the same poll a second time");
}
