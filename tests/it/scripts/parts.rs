//! apply_poll.lua with a list in several parts.

use super::Lab;
use sl::store::{Fence, PollOutcome};

#[test]
fn a_long_list_is_applied_in_parts_as_a_whole_one() {
    let lab = Lab::with_servers(2);
    lab.assign("recorded");
    let at = lab.hget("scalelite:meeting:recorded", "server_id");
    let ids: Vec<String> = (0..1200).map(|n| format!("m{n}")).collect();
    let mut list: Vec<(&str, u64, u64)> = ids.iter().map(|id| (id.as_str(), 2, 3600)).collect();
    list.insert(600, ("recorded", 20, 0));
    match lab.poll_sent_at(&at, &list, lab.tick()) {
        PollOutcome::Applied { unrecorded, released, .. } => {
            assert_eq!((unrecorded, released), (ids.clone(), vec![]));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(lab.load(&at), Some(2420.0));
    assert_eq!(lab.hget(&format!("scalelite:server:{at}"), "meetings"), "1201");
    assert_eq!(lab.hget("scalelite:sl:meeting:recorded", "seen"), "1");
    assert_eq!(lab.redis.cli(&["KEYS", "scalelite:sl:poll_part:*"]), "", "it leaves nothing behind");
    // Missed in two long polls, a meeting is released.
    list.remove(600);
    lab.age("recorded", 100);
    for expected in [vec![], vec!["recorded".to_owned()]] {
        match lab.poll_sent_at(&at, &list, lab.tick()) {
            PollOutcome::Applied { released, .. } => assert_eq!(released, expected),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(lab.load(&at), Some(2400.0));
    // Adopted in parts, too.
    let listed: Vec<_> =
        ids.iter().map(|id| (sl::store::MeetingKey::of(id), super::listed(2, 1_700_000_000_000))).collect();
    let adopted = lab
        .run(lab.store.adopt(&at, 0, &Fence::None, &lab.config.load, listed.iter().map(|(m, l)| (m, l))))
        .unwrap();
    assert_eq!(adopted, sl::store::AdoptOutcome::Adopted(ids));
    assert_eq!(lab.redis.cli(&["SCARD", "scalelite:meetings"]), "1200");
}

fn part(lab: &Lab, started: u64, part: &str, fence: &str, listed: &[&str]) -> Vec<String> {
    let started = started.to_string();
    let mut args =
        vec!["s1", &started, "1", "15", "900000", "86400", "", "2", "9", "9", "0", fence, "", part, ""];
    for id in listed {
        args.extend([id, "30", "1700000000000"]);
    }
    lab.redis.eval("apply_poll", &args)
}

#[test]
fn what_happens_between_two_parts_counts() {
    let lab = Lab::with_servers(1);
    lab.assign("ends");
    lab.assign("stays");
    let started = lab.tick();
    let first = part(&lab, started, "more", "", &["ends", "stays", "stray", "created"]);
    assert_eq!(first, ["more", "0", "stray", "created"]);
    assert_eq!(lab.load("s1"), Some(30.0), "nothing is counted yet");
    lab.redis.eval("release", &["ends"]);
    lab.assign("created");
    lab.assign("new");
    let last = part(&lab, started, "last", "", &["stray2"]);
    assert_eq!(last, ["online", "enabled", "120", "0", "0", "0", "stray2"]);
    // stays 30, stray 30, created 15, new 15, stray2 30.
    assert_eq!(lab.load("s1"), Some(120.0));
    assert_eq!(lab.hget("scalelite:sl:meeting:new", "missed"), "0");
}

#[test]
fn a_poll_that_stops_between_two_parts_leaves_nothing_wrong() {
    let lab = Lab::with_servers(1);
    lab.assign("a");
    let started = lab.tick();
    part(&lab, started, "more", "", &["a", "b"]);
    let key = format!("scalelite:sl:poll_part:s1:{started}");
    let ttl: i64 = lab.redis.cli(&["TTL", &key]).parse().unwrap();
    assert!((50..=60).contains(&ttl), "{ttl}");
    // A later poll has been written meanwhile: the other parts come too late.
    lab.tick();
    let later = lab.tick();
    part(&lab, later, "", "", &["a"]);
    assert_eq!(part(&lab, started, "more", "", &["c"]), ["stale"]);
    assert_eq!(part(&lab, started, "last", "", &["c"]), ["stale"]);
    assert_eq!(lab.load("s1"), Some(30.0));
    // A poller that has lost the lease writes no part.
    assert_eq!(part(&lab, 0, "more", "77", &["d"]), ["fenced"]);
}
