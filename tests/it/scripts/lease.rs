//! lease.lua, and the fence that it gives to the writes of polls.

use super::Lab;
use sl::store::{
    AbandonOutcome, AdoptOutcome, BrakeOutcome, Fence, LeaseOutcome, Listed, MeetingKey, PollFigures,
    PollOutcome,
};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(60);

fn take(lab: &Lab, replica: &str, lasts: Duration) -> Option<(Fence, Option<Duration>)> {
    match lab.run(lab.store.lease(replica, lasts, false)).unwrap() {
        LeaseOutcome::Held { fence, since_round } => Some((fence, since_round)),
        LeaseOutcome::Other | LeaseOutcome::Free => None,
    }
}

fn number(fence: &Fence) -> u64 {
    match fence {
        Fence::Held(fence) => fence.parse().unwrap(),
        Fence::None => panic!("no fence"),
    }
}

#[test]
fn one_replica_holds_the_lease_until_it_gives_it_up() {
    let lab = Lab::new();
    let (first, round) = take(&lab, "a", LONG).unwrap();
    assert_eq!(round, None, "no replica has polled yet");
    assert_eq!(take(&lab, "b", LONG), None);
    assert_eq!(take(&lab, "a", LONG).unwrap().0, first, "renewed under the same fence");
    lab.run(lab.store.give_up_lease("b")).unwrap();
    assert_eq!(take(&lab, "b", LONG), None, "only its holder gives it up");
    lab.run(lab.store.give_up_lease("a")).unwrap();
    let second = take(&lab, "b", LONG).unwrap().0;
    assert_ne!(second, first);
    assert!(number(&second) > number(&first));
}

#[test]
fn the_next_holder_learns_when_the_last_round_began() {
    let lab = Lab::new();
    lab.run(lab.store.lease("a", Duration::from_millis(30), true)).unwrap();
    crate::support::eventually("the lease expires", || take(&lab, "b", LONG).is_some());
    let (_, round) = take(&lab, "b", LONG).unwrap();
    assert!(round.is_some_and(|ago| ago >= Duration::from_millis(30)), "{round:?}");
}

#[test]
fn a_fence_is_unique_even_after_redis_has_lost_its_data() {
    let lab = Lab::new();
    let before = take(&lab, "a", LONG).unwrap().0;
    lab.redis.cli(&["FLUSHALL"]);
    let after = take(&lab, "b", LONG).unwrap().0;
    assert_ne!(after, before);
}

#[test]
fn one_of_two_simultaneous_requests_gets_the_lease() {
    let lab = Lab::new();
    let (a, b) =
        lab.run(async { tokio::join!(lab.store.lease("a", LONG, false), lab.store.lease("b", LONG, false)) });
    let held = [a.unwrap(), b.unwrap()].iter().filter(|o| matches!(o, LeaseOutcome::Held { .. })).count();
    assert_eq!(held, 1);
}

#[test]
fn a_poller_with_an_old_fence_writes_nothing() {
    let lab = Lab::with_servers(2);
    let paused = take(&lab, "a", LONG).unwrap().0;
    lab.run(lab.store.give_up_lease("a")).unwrap();
    let mine = take(&lab, "b", LONG).unwrap().0;
    let (poll, load) = (&lab.config.poll, &lab.config.load);
    let figures = PollFigures { started_ms: lab.tick(), ..Default::default() };
    let apply = |fence: &Fence| lab.run(lab.store.apply_poll("s1", &figures, fence, poll, load)).unwrap();
    let fail = |fence: &Fence| lab.run(lab.store.poll_failed("s2", figures.started_ms, fence, poll)).unwrap();
    let (before, unhealthy) = (lab.load("s1"), lab.hget("scalelite:sl:server:s2", "unhealthy"));
    assert_eq!(apply(&paused), PollOutcome::Fenced);
    assert_eq!(fail(&paused), PollOutcome::Fenced);
    assert_eq!(lab.run(lab.store.update_brake(9, 9, &paused)).unwrap(), BrakeOutcome::Fenced);
    let abandoned = lab.run(lab.store.abandon("s1", Duration::ZERO, &paused)).unwrap();
    assert_eq!(abandoned, AbandonOutcome::Fenced);
    let (key, listed) = (MeetingKey::of("stray"), Listed::default());
    let stray = std::iter::once((&key, &listed));
    let adopted = lab.run(lab.store.adopt("s1", figures.started_ms, &paused, load, stray)).unwrap();
    assert_eq!(adopted, AdoptOutcome::Fenced);
    assert_eq!(lab.load("s1"), before);
    assert_eq!(lab.hget("scalelite:sl:server:s2", "unhealthy"), unhealthy);
    assert!(!lab.exists("scalelite:sl:brake"));
    assert!(matches!(apply(&mine), PollOutcome::Applied { .. }));
    assert!(matches!(fail(&mine), PollOutcome::Applied { .. }));
}

#[test]
fn a_poll_older_than_the_last_written_one_is_not_written() {
    let lab = Lab::with_servers(1);
    let now = lab.tick();
    assert!(matches!(lab.poll_sent_at("s1", &[("a", 30, 0)], now), PollOutcome::Applied { .. }));
    assert_eq!(lab.poll_sent_at("s1", &[], now - 1), PollOutcome::Stale);
    assert_eq!(lab.load("s1"), Some(30.0));
    let failed = lab.run(lab.store.poll_failed("s1", now - 1, &Fence::None, &lab.config.poll)).unwrap();
    assert_eq!(failed, PollOutcome::Stale);
    assert_eq!(lab.hget("scalelite:sl:server:s1", "unhealthy"), "0");
}
