//! Links with tokens: good once, for one format of one recording, for a while.

use super::{Stage, not_found};
use crate::support::client::{Reply, fetch};
use crate::support::{Library, eventually};
use std::sync::Barrier;

fn key(link: &str) -> String {
    format!("scalelite:protector_token_{}", link.split_once("token=").unwrap().1)
}

#[track_caller]
fn leads_to(reply: &Reply, to: &str) {
    assert_eq!((reply.status, reply.header("location")), (307, Some(to)), "{reply:?}");
}

#[test]
fn the_link_of_an_open_recording_leads_on_without_ado() {
    let stage = Stage::start();
    let id = &stage.open;
    let mut replies = Vec::new();
    let asked = stage.pool().redis.monitor(|| {
        for query in
            ["", "?token=", "?token=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"]
        {
            replies.push(stage.get(&format!("/recording/{id}/video{query}")));
        }
    });
    assert_eq!(asked, [""; 0], "Redis has nothing to do with it");
    for reply in &replies {
        leads_to(reply, &format!("/playback/video/{id}/"));
        assert_eq!(reply.header("set-cookie"), None);
    }
    leads_to(
        &stage.get(&format!("/recording/{id}/presentation")),
        &format!("/playback/presentation/2.3/{id}"),
    );
    leads_to(&stage.get(&format!("/recording/{id}/screenshare")), &format!("/recording/screenshare/{id}/"));
    leads_to(&stage.get(&format!("/recording/{id}/podcast/")), &format!("/podcast/{id}/audio.ogg"));
}

#[test]
fn that_of_a_protected_one_works_once_and_leaves_a_cookie() {
    let stage = Stage::start();
    let (id, link) = (&stage.protected, stage.link("video"));
    let mut reply = None;
    let asked = stage.pool().redis.monitor(|| reply = Some(stage.get(&link)));
    assert_eq!(asked, ["multi", "get", "del", "exec"], "one round trip");
    let reply = reply.unwrap();
    leads_to(&reply, &format!("/playback/video/{id}/"));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    let cookie = reply.header("set-cookie").unwrap();
    let (pair, attributes) = cookie.split_once("; ").unwrap();
    assert_eq!(attributes, format!("Path=/video/{id}; Secure; HttpOnly; SameSite=None"));
    assert!(pair.starts_with(&format!("recording_video_{id}=")), "{pair}");

    not_found(&stage.get(&link));
    let page = format!("/video/{id}/");
    not_found(&stage.get(&page));
    assert_eq!(stage.get_with(&page, &[("cookie", pair)]).status, 200);
    // Neither other formats nor the same once more.
    not_found(&stage.get_with(&format!("/presentation/{id}/metadata.xml"), &[("cookie", pair)]));
    not_found(&stage.get_with(&link, &[("cookie", pair)]));
    leads_to(&stage.get(&stage.link("video")), &format!("/playback/video/{id}/"));
}

#[test]
fn of_many_who_come_with_one_at_once_one_gets_in() {
    let stage = Stage::with(2, &[]);
    for _ in 0..5 {
        let (link, start) = (stage.link("video"), Barrier::new(12));
        let statuses: Vec<u16> = std::thread::scope(|scope| {
            let begun: Vec<_> = (0..12)
                .map(|n| {
                    let url = format!("http://{}{link}", stage.pool().address(n % 2));
                    let start = &start;
                    scope.spawn(move || {
                        start.wait();
                        fetch("GET", &url, &[], b"").status
                    })
                })
                .collect();
            begun.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(statuses.iter().filter(|status| **status == 307).count(), 1, "{statuses:?}");
        assert_eq!(statuses.iter().filter(|status| **status == 404).count(), 11, "{statuses:?}");
    }
}

#[test]
fn one_of_another_recording_or_format_is_used_up_for_nothing() {
    let stage = Stage::start();
    let id = &stage.protected;
    stage.library.add("r2", "m", 1);
    stage.pool().get("updateRecordings", "recordID=r2&protect=true").success();
    for other in [format!("/recording/{id}/presentation"), "/recording/r2/video".to_owned()] {
        let link = stage.link("video");
        let query = link.split_once('?').unwrap().1;
        not_found(&stage.get(&format!("{other}?{query}")));
        assert_eq!(stage.pool().redis.cli(&["EXISTS", &key(&link)]), "0");
        not_found(&stage.get(&link));
    }
}

#[test]
fn one_that_is_over_is_none() {
    let stage = Stage::start();
    let link = stage.link("video");
    assert_eq!(stage.pool().redis.cli(&["PEXPIRE", &key(&link), "1"]), "1");
    eventually("it is over", || stage.pool().redis.cli(&["EXISTS", &key(&link)]) == "0");
    not_found(&stage.get(&link));
}

#[test]
fn what_is_no_token_never_reaches_redis() {
    let stage = Stage::start();
    let link = stage.link("video");
    let (path, query) = link.split_once('?').unwrap();
    let token = query.strip_prefix("token=").unwrap();
    let mut targets = vec![path.to_owned()];
    for query in [
        "".to_owned(),
        "token".to_owned(),
        "token=".to_owned(),
        "token=*".to_owned(),
        format!("token={}", &token[1..]),
        format!("token={token}0"),
        format!("token={token}%00"),
        format!("token={}", token.to_uppercase()),
        format!("token={token}&token={token}"),
        format!("Token={token}"),
        format!("token={}/../", &token[4..]),
    ] {
        targets.push(format!("{path}?{query}"));
    }
    // All digits are there in a token, mostly.
    targets.retain(|target| *target != link);
    let asked =
        stage.pool().redis.monitor(|| targets.iter().for_each(|target| not_found(&stage.get(target))));
    assert_eq!(asked, [""; 0]);
    // A guess does, and gets nothing.
    for guess in ["0".repeat(64), token.replace(&token[..4], "ffff").chars().rev().collect()] {
        not_found(&stage.get(&format!("{path}?token={guess}")));
    }
    assert_eq!(stage.get(&link).status, 307, "none of them has used it up");
}

#[test]
fn scalelites_tokens_are_as_good() {
    let stage = Stage::start();
    let id = &stage.protected;
    let token = "5ca1e".repeat(13)[..64].to_owned();
    let access = format!("{{\"record_id\": \"{id}\", \"format\": \"notes\", \"more\": 1}}");
    stage.pool().redis.cli(&["SETEX", &format!("scalelite:protector_token_{token}"), "60", &access]);
    leads_to(&stage.get(&format!("/recording/{id}/notes?token={token}")), &format!("/notes/{id}/notes.html"));
    // What is no JSON is no token.
    stage.pool().redis.cli(&["SETEX", &format!("scalelite:protector_token_{token}"), "60", "{"]);
    not_found(&stage.get(&format!("/recording/{id}/notes?token={token}")));
}

#[test]
fn head_is_as_get() {
    let stage = Stage::start();
    let link = stage.link("video");
    let reply = stage.pool().fetch("HEAD", &link, &[], b"");
    assert!(reply.status == 307 && reply.header("set-cookie").is_some(), "{reply:?}");
    not_found(&stage.get(&link));
}

#[test]
fn what_is_unpublished_deleted_or_unknown_is_not_there() {
    let stage = Stage::serving();
    let (open, protected) = (stage.open.clone(), stage.protected.clone());
    let (cookie, spare) = (stage.cookie("video"), [stage.link("video"), stage.link("video")]);
    let none_is_there = |link: &str| {
        for id in [&open, &protected] {
            for target in [format!("/recording/{id}/video"), format!("/video/{id}/"), format!("/video/{id}")]
            {
                not_found(&stage.get_with(&target, &[("cookie", &cookie)]));
                not_found(&stage.pool().fetch("GET", &target, &[("range", "bytes=0-1")], b""));
            }
        }
        not_found(&stage.get(link));
    };
    let both = format!("recordID={open}%2C{protected}");
    assert_eq!(stage.get_with(&format!("/video/{protected}/"), &[("cookie", &cookie)]).status, 200);
    stage.pool().get("publishRecordings", &format!("{both}&publish=false")).success();
    none_is_there(&spare[0]);
    stage.pool().get("publishRecordings", &format!("{both}&publish=true")).success();
    assert_eq!(stage.get_with(&format!("/video/{protected}/"), &[("cookie", &cookie)]).status, 200);
    assert_eq!(stage.get(&format!("/video/{open}/")).status, 200);
    stage.pool().get("deleteRecordings", &both).success();
    none_is_there(&spare[1]);
    // Files that the index does not know, and files of what it says is unpublished.
    stage.add("video", "stray", "index.html", b"stray");
    not_found(&stage.get("/video/stray/"));
    not_found(&stage.get("/recording/stray/video"));
    stage.library.add("hidden", "m", 1);
    stage.library.postgres.sql("UPDATE recordings SET published = false WHERE record_id = 'hidden'");
    not_found(&stage.get("/video/hidden/index.html"));
    stage.library.postgres.sql("UPDATE recordings SET published = NULL WHERE record_id = 'hidden'");
    not_found(&stage.get("/video/hidden/index.html"));
    stage
        .library
        .postgres
        .sql("UPDATE recordings SET published = true, state = 'deleted' WHERE record_id = 'hidden'");
    not_found(&stage.get("/video/hidden/index.html"));
    not_found(&stage.get("/recording/hidden/video"));
}

#[test]
fn a_format_that_is_not_served_is_not_there() {
    let stage = Stage::with(1, &[("RECORDING_PLAYBACK_FORMATS", "video: presentation")]);
    let id = &stage.open;
    for format in ["notes", "capture", "none", "Video", "statistics"] {
        not_found(&stage.get(&format!("/recording/{id}/{format}")));
        not_found(&stage.get(&format!("/{format}/{id}/metadata.xml")));
    }
    // One that is served, and that this recording does not have.
    stage.library.add("r2", "m", 1);
    stage.library.postgres.sql("DELETE FROM playback_formats WHERE format = 'video' AND url LIKE '%/r2/'");
    not_found(&stage.get("/recording/r2/video"));
    assert_eq!(stage.get(&format!("/presentation/{id}/metadata.xml")).status, 200);
}

#[test]
fn without_the_index_or_redis_nobody_is_let_in_and_nothing_is_used_up() {
    let mut stage = Stage::start();
    let (open, link) = (format!("/video/{}/", stage.open), stage.link("video"));
    let unavailable = |reply: Reply| {
        assert_eq!(reply.status, 503, "{reply:?}");
        assert!(reply.body.contains("<title>Recording Not Available</title>"), "{reply:?}");
    };
    stage.library.postgres.down();
    unavailable(stage.get(&open));
    unavailable(stage.get(&link));
    stage.library.postgres.up();
    eventually("the index is found again", || stage.get(&open).status == 200);
    stage.library.pool.redis.freeze();
    unavailable(stage.get(&link));
    assert_eq!(stage.get(&open).status, 200, "files need no Redis");
    stage.library.pool.redis.thaw();
}

#[test]
fn without_protection_everybody_may_see_everything() {
    let mut stage = Stage::with(0, &[]);
    stage.library.pool.set("PROTECTED_RECORDINGS_ENABLED", "false");
    stage.library.pool.set("SECRET_KEY_BASE", "");
    stage.library.pool.serve(&["--no-poller"]);
    let id = &stage.protected;
    leads_to(&stage.get(&format!("/recording/{id}/video")), &format!("/playback/video/{id}/"));
    assert_eq!(stage.get(&format!("/video/{id}/")).status, 200);
}

#[test]
fn a_pool_without_recordings_has_none_to_play() {
    let pool = crate::support::Pool::with(1, 1, &[]);
    for target in
        ["/recording/r1/video", "/video/r1/", "/playback/video/r1/", "/playback/presentation/2.3/r1"]
    {
        not_found(&pool.fetch("GET", target, &[], b""));
    }
}

#[test]
fn only_get_and_head_play() {
    let stage = Stage::start();
    let link = stage.link("video");
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let reply = stage.pool().fetch(method, &link, &[], b"");
        assert_eq!(reply.failed(), "unsupportedRequest", "{method}");
    }
    assert_eq!(stage.get(&link).status, 307);
}

/// Bytes that somebody has sent to a port of ours, and that nobody there has read.
fn unread(port: u16) -> u64 {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let local = format!("0100007F:{port:04X}");
    let of = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let queues = fields.get(4).filter(|_| fields[1] == local && fields[3] == "01")?;
        u64::from_str_radix(queues.split_once(':')?.1, 16).ok()
    };
    table.lines().skip(1).filter_map(of).sum()
}

/// While Redis does not read, all of them are on their way to it: none waits for the answer to another.
#[test]
fn tokens_for_a_page_of_a_hundred_are_one_round_trip() {
    // One thread: its connection to Redis is there after the first question.
    let library = Library::with(
        1,
        &[
            ("PROTECTED_RECORDINGS_ENABLED", "true"),
            ("REDIS_RESPONSE_TIMEOUT", "30"),
            ("WORKER_THREADS", "1"),
        ],
    );
    library.postgres.sql(
        "INSERT INTO recordings (record_id, meeting_id, state, published, protected, starttime) \
             SELECT 'r' || n, 'm', 'published', true, true, now() FROM generate_series(1, 120) n; \
         INSERT INTO playback_formats (recording_id, format, url) \
             SELECT id, f, '/' FROM recordings, unnest(ARRAY['presentation', 'video']) f",
    );
    let ask = || library.pool.get("getRecordings", "limit=100").success().body;
    let count = |body: &str| body.matches("?token=").count();
    let asked = library.pool.redis.monitor(|| assert_eq!(count(&ask()), 200));
    assert_eq!(asked.iter().filter(|command| *command == "setex").count(), 200);
    library.pool.redis.freeze();
    std::thread::scope(|scope| {
        let asking = scope.spawn(ask);
        // Each has a token of 64 bytes, a record id and a format.
        eventually("all are sent before one is answered", || unread(library.pool.redis.port) > 200 * 120);
        library.pool.redis.thaw();
        assert_eq!(count(&asking.join().unwrap()), 200);
    });
}
