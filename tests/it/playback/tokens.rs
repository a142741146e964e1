//! Links with tokens: valid once, for one format of one recording, for a limited time.

use super::{PlaybackFixture, assert_not_found};
use crate::support::client::{Reply, fetch};
use crate::support::{RecordingEnv, eventually};
use std::sync::Barrier;

fn token_key(link: &str) -> String {
    format!("scalelite:protector_token_{}", link.split_once("token=").unwrap().1)
}

#[track_caller]
pub(super) fn assert_redirects_to(reply: &Reply, to: &str) {
    assert_eq!((reply.status, reply.header("location")), (307, Some(to)), "{reply:?}");
}

#[test]
fn link_of_public_recording_redirects_without_token() {
    let fixture = PlaybackFixture::start();
    let id = &fixture.open;
    let mut replies = Vec::new();
    let commands = fixture.pool().redis.monitor(|| {
        for query in
            ["", "?token=", "?token=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"]
        {
            replies.push(fixture.get(&format!("/recording/{id}/video{query}")));
        }
    });
    assert_eq!(commands, [""; 0], "Redis must not be queried");
    for reply in &replies {
        assert_redirects_to(reply, &format!("/playback/video/{id}/"));
        assert_eq!(reply.header("set-cookie"), None);
    }
    assert_redirects_to(
        &fixture.get(&format!("/recording/{id}/presentation")),
        &format!("/playback/presentation/2.3/{id}"),
    );
    assert_redirects_to(
        &fixture.get(&format!("/recording/{id}/screenshare")),
        &format!("/recording/screenshare/{id}/"),
    );
    assert_redirects_to(
        &fixture.get(&format!("/recording/{id}/podcast/")),
        &format!("/podcast/{id}/audio.ogg"),
    );
}

#[test]
fn link_of_protected_recording_works_once_and_sets_cookie() {
    let fixture = PlaybackFixture::start();
    let (id, link) = (&fixture.protected, fixture.link("video"));
    let mut reply = None;
    let commands = fixture.pool().redis.monitor(|| reply = Some(fixture.get(&link)));
    assert_eq!(commands, ["multi", "get", "del", "exec"], "one round trip");
    let reply = reply.unwrap();
    assert_redirects_to(&reply, &format!("/playback/video/{id}/"));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    let cookie = reply.header("set-cookie").unwrap();
    let (pair, attributes) = cookie.split_once("; ").unwrap();
    assert_eq!(attributes, format!("Path=/video/{id}; Secure; HttpOnly; SameSite=None"));
    assert!(pair.starts_with(&format!("recording_video_{id}=")), "{pair}");

    assert_not_found(&fixture.get(&link));
    let page = format!("/video/{id}/");
    assert_not_found(&fixture.get(&page));
    assert_eq!(fixture.get_with(&page, &[("cookie", pair)]).status, 200);
    // The cookie opens no other format, and the link no second time.
    assert_not_found(&fixture.get_with(&format!("/presentation/{id}/metadata.xml"), &[("cookie", pair)]));
    assert_not_found(&fixture.get_with(&link, &[("cookie", pair)]));
    assert_redirects_to(&fixture.get(&fixture.link("video")), &format!("/playback/video/{id}/"));
}

#[test]
fn head_request_does_not_use_up_a_token() {
    let fixture = PlaybackFixture::start();
    let link = fixture.link("video");
    for _ in 0..2 {
        let reply = fetch("HEAD", &format!("http://{}{link}", fixture.pool().address(0)), &[], b"");
        assert_redirects_to(&reply, &format!("/playback/video/{}/", fixture.protected));
        assert_eq!(reply.header("set-cookie"), None);
    }
    assert!(fixture.get(&link).header("set-cookie").is_some());
    let reply = fetch("HEAD", &format!("http://{}{link}", fixture.pool().address(0)), &[], b"");
    assert_eq!(reply.status, 404, "it is used up now");
}

#[test]
fn concurrent_uses_of_one_token_succeed_once() {
    let fixture = PlaybackFixture::with(2, &[]);
    for _ in 0..5 {
        let (link, start) = (fixture.link("video"), Barrier::new(12));
        let statuses: Vec<u16> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..12)
                .map(|n| {
                    let url = format!("http://{}{link}", fixture.pool().address(n % 2));
                    let start = &start;
                    scope.spawn(move || {
                        start.wait();
                        fetch("GET", &url, &[], b"").status
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(statuses.iter().filter(|status| **status == 307).count(), 1, "{statuses:?}");
        assert_eq!(statuses.iter().filter(|status| **status == 404).count(), 11, "{statuses:?}");
    }
}

#[test]
fn token_for_other_recording_or_format_is_consumed_without_access() {
    let fixture = PlaybackFixture::start();
    let id = &fixture.protected;
    fixture.env.add("r2", "m", 1);
    fixture.pool().get("updateRecordings", "recordID=r2&protect=true").success();
    for other in [format!("/recording/{id}/presentation"), "/recording/r2/video".to_owned()] {
        let link = fixture.link("video");
        let query = link.split_once('?').unwrap().1;
        assert_not_found(&fixture.get(&format!("{other}?{query}")));
        assert_eq!(fixture.pool().redis.cli(&["EXISTS", &token_key(&link)]), "0");
        assert_not_found(&fixture.get(&link));
    }
}

#[test]
fn expired_token_is_rejected() {
    let fixture = PlaybackFixture::start();
    let link = fixture.link("video");
    assert_eq!(fixture.pool().redis.cli(&["PEXPIRE", &token_key(&link), "1"]), "1");
    eventually("the token has expired", || fixture.pool().redis.cli(&["EXISTS", &token_key(&link)]) == "0");
    assert_not_found(&fixture.get(&link));
}

#[test]
fn malformed_tokens_never_reach_redis() {
    let fixture = PlaybackFixture::start();
    let link = fixture.link("video");
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
    // Upper case changes nothing if a token happens to have digits only.
    targets.retain(|target| *target != link);
    let commands = fixture
        .pool()
        .redis
        .monitor(|| targets.iter().for_each(|target| assert_not_found(&fixture.get(target))));
    assert_eq!(commands, [""; 0]);
    // A well-formed guess does reach Redis, and gets nothing.
    for guess in ["0".repeat(64), token.replace(&token[..4], "ffff").chars().rev().collect()] {
        assert_not_found(&fixture.get(&format!("{path}?token={guess}")));
    }
    assert_eq!(fixture.get(&link).status, 307, "none of them consumed the token");
}

#[test]
fn tokens_of_scalelite_are_accepted() {
    let fixture = PlaybackFixture::start();
    let id = &fixture.protected;
    let token = "5ca1e".repeat(13)[..64].to_owned();
    let access = format!("{{\"record_id\": \"{id}\", \"format\": \"notes\", \"more\": 1}}");
    fixture.pool().redis.cli(&["SETEX", &format!("scalelite:protector_token_{token}"), "60", &access]);
    assert_redirects_to(
        &fixture.get(&format!("/recording/{id}/notes?token={token}")),
        &format!("/notes/{id}/notes.html"),
    );
    // A value that is not JSON is not a token.
    fixture.pool().redis.cli(&["SETEX", &format!("scalelite:protector_token_{token}"), "60", "{"]);
    assert_not_found(&fixture.get(&format!("/recording/{id}/notes?token={token}")));
}

#[test]
fn unpublished_deleted_and_unknown_recordings_are_not_found() {
    let fixture = PlaybackFixture::serving();
    let (open, protected) = (fixture.open.clone(), fixture.protected.clone());
    let (cookie, spare) = (fixture.cookie("video"), [fixture.link("video"), fixture.link("video")]);
    let assert_all_not_found = |link: &str| {
        for id in [&open, &protected] {
            for target in [format!("/recording/{id}/video"), format!("/video/{id}/"), format!("/video/{id}")]
            {
                assert_not_found(&fixture.get_with(&target, &[("cookie", &cookie)]));
                assert_not_found(&fixture.pool().fetch("GET", &target, &[("range", "bytes=0-1")], b""));
            }
        }
        assert_not_found(&fixture.get(link));
    };
    let both = format!("recordID={open}%2C{protected}");
    assert_eq!(fixture.get_with(&format!("/video/{protected}/"), &[("cookie", &cookie)]).status, 200);
    fixture.pool().get("publishRecordings", &format!("{both}&publish=false")).success();
    assert_all_not_found(&spare[0]);
    fixture.pool().get("publishRecordings", &format!("{both}&publish=true")).success();
    assert_eq!(fixture.get_with(&format!("/video/{protected}/"), &[("cookie", &cookie)]).status, 200);
    assert_eq!(fixture.get(&format!("/video/{open}/")).status, 200);
    fixture.pool().get("deleteRecordings", &both).success();
    assert_all_not_found(&spare[1]);
    // Files missing in the index, and files of recordings that are unpublished there.
    fixture.add("video", "stray", "index.html", b"stray");
    assert_not_found(&fixture.get("/video/stray/"));
    assert_not_found(&fixture.get("/recording/stray/video"));
    fixture.env.add("hidden", "m", 1);
    fixture.env.postgres.sql("UPDATE recordings SET published = false WHERE record_id = 'hidden'");
    assert_not_found(&fixture.get("/video/hidden/index.html"));
    fixture.env.postgres.sql("UPDATE recordings SET published = NULL WHERE record_id = 'hidden'");
    assert_not_found(&fixture.get("/video/hidden/index.html"));
    fixture
        .env
        .postgres
        .sql("UPDATE recordings SET published = true, state = 'deleted' WHERE record_id = 'hidden'");
    assert_not_found(&fixture.get("/video/hidden/index.html"));
    assert_not_found(&fixture.get("/recording/hidden/video"));
}

#[test]
fn formats_not_in_playback_formats_are_not_found() {
    let fixture = PlaybackFixture::with(1, &[("RECORDING_PLAYBACK_FORMATS", "video: presentation")]);
    let id = &fixture.open;
    for format in ["notes", "capture", "none", "Video", "statistics"] {
        assert_not_found(&fixture.get(&format!("/recording/{id}/{format}")));
        assert_not_found(&fixture.get(&format!("/{format}/{id}/metadata.xml")));
    }
    // A served format that this recording does not have.
    fixture.env.add("r2", "m", 1);
    fixture.env.postgres.sql("DELETE FROM playback_formats WHERE format = 'video' AND url LIKE '%/r2/'");
    assert_not_found(&fixture.get("/recording/r2/video"));
    assert_eq!(fixture.get(&format!("/presentation/{id}/metadata.xml")).status, 200);
}

#[test]
fn outage_of_postgres_or_redis_denies_access_and_consumes_no_token() {
    let mut fixture = PlaybackFixture::start();
    let (open, link) = (format!("/video/{}/", fixture.open), fixture.link("video"));
    let unavailable = |reply: Reply| {
        assert_eq!(reply.status, 503, "{reply:?}");
        assert!(reply.body.contains("<title>Recording Not Available</title>"), "{reply:?}");
    };
    fixture.env.postgres.down();
    unavailable(fixture.get(&open));
    unavailable(fixture.get(&link));
    fixture.env.postgres.up();
    eventually("Postgres is connected again", || fixture.get(&open).status == 200);
    fixture.env.pool.redis.freeze();
    unavailable(fixture.get(&link));
    assert_eq!(fixture.get(&open).status, 200, "files need no Redis");
    fixture.env.pool.redis.thaw();
}

/// The setting decides about new recordings, and whether links carry tokens.
#[test]
fn protected_recording_stays_protected_when_setting_is_off() {
    let mut fixture = PlaybackFixture::start();
    let (id, cookie) = (fixture.protected.clone(), fixture.cookie("video"));
    let unused = fixture.link("video");
    fixture.env.pool.replicas.clear();
    fixture.env.pool.set("PROTECTED_RECORDINGS_ENABLED", "false");
    fixture.env.pool.serve(&["--no-poller"]);
    let page = format!("/video/{id}/");
    assert_not_found(&fixture.get(&format!("/recording/{id}/video")));
    assert_not_found(&fixture.get(&page));
    assert_eq!(fixture.get_with(&page, &[("cookie", &cookie)]).status, 200);
    assert_redirects_to(&fixture.get(&unused), &format!("/playback/video/{id}/"));
    let body = fixture.pool().get("getRecordings", &format!("recordID={id}")).success().body;
    assert!(body.contains(&format!("/playback/video/{id}/</url>")), "{body}");
    assert!(!body.contains("token=") && !body.contains("<preview>"), "{body}");
    assert!(!body.contains("<protected>"), "{body}");
    // Without a key for cookies nobody gets in, rather than everybody.
    fixture.env.pool.replicas.clear();
    fixture.env.pool.set("SECRET_KEY_BASE", "");
    fixture.env.pool.serve(&["--no-poller"]);
    assert_not_found(&fixture.get_with(&page, &[("cookie", &cookie)]));
    assert_eq!(fixture.get(&format!("/video/{}/", fixture.open)).status, 200);
}

#[test]
fn playback_without_database_is_not_found() {
    let pool = crate::support::Pool::with(1, 1, &[]);
    for target in
        ["/recording/r1/video", "/video/r1/", "/playback/video/r1/", "/playback/presentation/2.3/r1"]
    {
        assert_not_found(&pool.fetch("GET", target, &[], b""));
    }
}

#[test]
fn only_get_and_head_are_supported() {
    let fixture = PlaybackFixture::start();
    let link = fixture.link("video");
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let reply = fixture.pool().fetch(method, &link, &[], b"");
        assert_eq!(reply.failed(), "unsupportedRequest", "{method}");
    }
    assert_eq!(fixture.get(&link).status, 307);
}

/// Bytes in the receive queues of a local port: sent, and not yet read.
fn unread_bytes(port: u16) -> u64 {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let local = format!("0100007F:{port:04X}");
    let of = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let queues = fields.get(4).filter(|_| fields[1] == local && fields[3] == "01")?;
        u64::from_str_radix(queues.split_once(':')?.1, 16).ok()
    };
    table.lines().skip(1).filter_map(of).sum()
}

/// While Redis is frozen, all commands are in flight: none waits for the reply to another.
#[test]
fn tokens_for_100_recordings_take_one_round_trip() {
    // One worker thread: its connection to Redis is open after the first call.
    let env = RecordingEnv::with(
        1,
        &[
            ("PROTECTED_RECORDINGS_ENABLED", "true"),
            ("REDIS_RESPONSE_TIMEOUT", "30"),
            ("WORKER_THREADS", "1"),
        ],
    );
    env.postgres.sql(
        "INSERT INTO recordings (record_id, meeting_id, state, published, protected, starttime) \
             SELECT 'r' || n, 'm', 'published', true, true, now() FROM generate_series(1, 120) n; \
         INSERT INTO playback_formats (recording_id, format, url) \
             SELECT id, f, '/' FROM recordings, unnest(ARRAY['presentation', 'video']) f",
    );
    let list = || env.pool.get("getRecordings", "limit=100").success().body;
    let count = |body: &str| body.matches("?token=").count();
    let commands = env.pool.redis.monitor(|| assert_eq!(count(&list()), 200));
    assert_eq!(commands.iter().filter(|command| *command == "setex").count(), 200);
    env.pool.redis.freeze();
    std::thread::scope(|scope| {
        let listing = scope.spawn(list);
        // Each command has a token of 64 bytes, a record id and a format.
        eventually("all are sent before one is answered", || unread_bytes(env.pool.redis.port) > 200 * 120);
        env.pool.redis.thaw();
        assert_eq!(count(&listing.join().unwrap()), 200);
    });
}
