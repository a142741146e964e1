//! Files that the replica sends itself: PLAYBACK_SERVE.

use super::{PlaybackFixture, assert_not_found};
use crate::support::{RecordingEnv, eventually};
use std::io::{Read, Write};

/// `0123456789` repeated.
fn digits(length: usize) -> Vec<u8> {
    (0..length).map(|n| b'0' + (n % 10) as u8).collect()
}

#[test]
fn files_support_ranges_and_conditional_requests() {
    let fixture = PlaybackFixture::serving();
    let id = &fixture.open;
    fixture.add("video", id, "digits.txt", &digits(1_000_003));
    let target = format!("/video/{id}/digits.txt");
    let whole = fixture.get(&target);
    assert_eq!((whole.status, whole.body.len()), (200, 1_000_003));
    assert_eq!(whole.body.as_bytes(), digits(1_000_003));
    assert_eq!(whole.header("content-length"), Some("1000003"));
    assert_eq!(whole.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(whole.header("accept-ranges"), Some("bytes"));
    assert_eq!(whole.header("cache-control"), Some("no-cache"));
    assert_eq!(whole.header("content-disposition"), None);
    assert_eq!(whole.header("x-content-type-options"), Some("nosniff"));
    let etag = whole.header("etag").unwrap();
    let modified = whole.header("last-modified").unwrap();

    for (range, content_range, body) in [
        ("bytes=0-0", "bytes 0-0/1000003", "0"),
        ("bytes=15-19", "bytes 15-19/1000003", "56789"),
        ("bytes=1000000-", "bytes 1000000-1000002/1000003", "012"),
        ("bytes=-2", "bytes 1000001-1000002/1000003", "12"),
        ("bytes=1000001-9999999", "bytes 1000001-1000002/1000003", "12"),
    ] {
        let part = fixture.get_with(&target, &[("range", range)]);
        assert_eq!((part.status, part.header("content-range")), (206, Some(content_range)), "{part:?}");
        assert_eq!((part.body.as_str(), part.header("etag")), (body, Some(etag)), "{range}");
        assert_eq!(part.header("content-length"), Some(body.len().to_string().as_str()));
    }
    // Across the boundaries of read chunks.
    let part = fixture.get_with(&target, &[("range", "bytes=262139-524293")]);
    assert_eq!(part.body.as_bytes(), &digits(1_000_003)[262_139..524_294]);
    let none = fixture.get_with(&target, &[("range", "bytes=1000003-")]);
    assert_eq!((none.status, none.header("content-range")), (416, Some("bytes */1000003")));
    assert_eq!(fixture.get_with(&target, &[("range", "bytes=0-1,5-6")]).body.len(), 1_000_003);

    for condition in [("if-none-match", etag), ("if-modified-since", modified)] {
        let same = fixture.get_with(&target, &[condition]);
        assert_eq!((same.status, same.body.as_str(), same.header("etag")), (304, "", Some(etag)), "{same:?}");
    }
    assert_eq!(fixture.get_with(&target, &[("if-match", "\"other\"")]).status, 412);
    let part = |of: &str| fixture.get_with(&target, &[("range", "bytes=0-0"), ("if-range", of)]).status;
    assert_eq!((part(etag), part(modified), part("\"other\"")), (206, 206, 200));

    let head = fixture.pool().fetch("HEAD", &target, &[("range", "bytes=0-0")], b"");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!((head.header("content-length"), head.header("etag")), (Some("1000003"), Some(etag)));
}

#[test]
fn every_format_is_served_with_its_content_type() {
    let fixture = PlaybackFixture::serving();
    let id = &fixture.open;
    for (path, kind, saved) in [
        ("presentation/ID/metadata.xml", "text/xml", false),
        ("presentation/ID/shapes.svg", "image/svg+xml", false),
        ("presentation/ID/video/webcams.mp4", "video/mp4", false),
        ("video/ID/", "text/html; charset=utf-8", false),
        ("video/ID/video-0.m4v", "video/x-m4v", false),
        ("screenshare/ID/screenshare-0.mp4", "video/mp4", false),
        ("podcast/ID/audio.ogg", "audio/ogg", true),
        ("notes/ID/notes.html", "text/html; charset=utf-8", true),
    ] {
        let reply = fixture.get(&format!("/{}", path.replace("ID", id)));
        assert_eq!((reply.status, reply.header("content-type")), (200, Some(kind)), "{path}");
        let disposition = saved.then_some("attachment");
        assert_eq!(reply.header("content-disposition"), disposition, "{path}");
        assert!(!reply.body.is_empty(), "{path}");
    }
    fixture.add("notes", id, "notes.pdf", b"%PDF");
    let reply = fixture.get(&format!("/notes/{id}/notes.pdf"));
    assert_eq!((reply.body.as_str(), reply.header("content-type")), ("%PDF", Some("application/pdf")));
    fixture.add("video", id, "empty", b"");
    let reply = fixture.get_with(&format!("/video/{id}/empty"), &[("range", "bytes=0-")]);
    assert_eq!((reply.status, reply.header("content-range")), (416, Some("bytes */0")), "{reply:?}");
    let reply = fixture.get(&format!("/video/{id}/empty"));
    assert_eq!((reply.status, reply.header("content-length")), (200, Some("0")), "{reply:?}");
    assert_not_found(&fixture.get(&format!("/video/{id}/none")));
}

#[test]
fn protected_file_is_never_cached_by_proxies() {
    let fixture = PlaybackFixture::serving();
    let cookie = fixture.cookie("video");
    let target = format!("/video/{}/video-0.m4v", fixture.protected);
    assert_not_found(&fixture.get(&target));
    let reply = fixture.get_with(&target, &[("cookie", &cookie)]);
    assert_eq!((reply.status, reply.header("cache-control")), (200, Some("private, no-cache")));
    // The browser must revalidate its copy each time.
    let etag = reply.header("etag").unwrap().to_owned();
    let again = |cookie: &str| fixture.get_with(&target, &[("cookie", cookie), ("if-none-match", &etag)]);
    assert_eq!(again(&cookie).status, 304);
    assert_not_found(&again("none=1"));
    let query = format!("recordID={}&publish=false", fixture.protected);
    fixture.pool().get("publishRecordings", &query).success();
    assert_not_found(&again(&cookie));
}

/// 400 MB to clients that first read nothing, then everything.
#[test]
fn large_file_is_streamed_in_constant_memory() {
    const SIZE: u64 = 400_000_000;
    let fixture = PlaybackFixture::serving();
    let id = &fixture.open;
    let path = fixture.add("video", id, "large.webm", b"");
    std::fs::File::options().write(true).open(path).unwrap().set_len(SIZE).unwrap();
    assert_eq!(fixture.get(&format!("/video/{id}/")).status, 200, "warm");
    let before = fixture.pool().replicas[0].memory();
    let mut clients: Vec<_> = (0..4)
        .map(|_| {
            let mut client = crate::support::client::connect(&fixture.pool().address(0));
            let request =
                format!("GET /video/{id}/large.webm HTTP/1.1\r\nHost: sl\r\nConnection: close\r\n\r\n");
            client.write_all(request.as_bytes()).unwrap();
            let mut first = [0; 15];
            client.read_exact(&mut first).unwrap();
            assert_eq!(&first, b"HTTP/1.1 200 OK");
            client
        })
        .collect();
    let (mut chunk, mut peak) = (vec![0; 1 << 20], 0);
    let mut received = vec![0; clients.len()];
    for _ in 0.. {
        let mut finished = 0;
        for (client, received) in clients.iter_mut().zip(&mut received) {
            let n = client.read(&mut chunk).unwrap();
            *received += n as u64;
            finished += usize::from(n == 0);
        }
        peak = peak.max(fixture.pool().replicas[0].memory());
        if finished == clients.len() {
            break;
        }
    }
    assert!(received.iter().all(|n| (SIZE..SIZE + 2000).contains(n)), "{received:?}");
    assert!(peak < before + 16 * 1024, "{before} KiB became {peak} KiB");
}

#[test]
fn truncated_file_closes_connection() {
    let fixture = PlaybackFixture::serving();
    let id = &fixture.open;
    let path = fixture.add("video", id, "shrinks", &vec![b'x'; 40_000_000]);
    let mut client = crate::support::client::connect(&fixture.pool().address(0));
    let request = format!("GET /video/{id}/shrinks HTTP/1.1\r\nHost: sl\r\n\r\n");
    client.write_all(request.as_bytes()).unwrap();
    let mut some = [0; 1000];
    client.read_exact(&mut some).unwrap();
    std::fs::File::options().write(true).open(path).unwrap().set_len(1000).unwrap();
    let mut rest = Vec::new();
    // The connection would be kept after a complete response; here it ends.
    let _ = client.read_to_end(&mut rest);
    assert!(rest.len() < 39_000_000, "{}", rest.len());
    eventually("the replica keeps working", || fixture.get(&format!("/video/{id}/")).status == 200);
}

#[test]
fn built_in_player_is_served_by_default() {
    let fixture = PlaybackFixture::serving();
    let base = "/playback/presentation/2.3";
    let page = fixture.get(&format!("{base}/{}", fixture.open));
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(page.header("content-security-policy").unwrap().starts_with("default-src 'self';"));
    for name in ["player.js", "player.css"] {
        assert!(page.body.contains(&format!("{base}/{name}")), "{}", page.body);
        assert_eq!(fixture.get(&format!("{base}/{name}")).status, 200);
    }
    for nothing in [base, &format!("{base}/"), &format!("{base}/x.js"), &format!("{base}/a/b")] {
        assert_not_found(&fixture.get(nothing));
    }
    // Where nginx serves files, it has the player.
    assert_not_found(&PlaybackFixture::start().get(&format!("{base}/{}", fixture.open)));
}

#[test]
fn player_is_served_from_configured_directory() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("static")).unwrap();
    std::fs::write(directory.path().join("index.html"), "the player").unwrap();
    std::fs::write(directory.path().join("static/main.js"), "its script").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", directory.path().join("static/link")).unwrap();
    let path = directory.path().to_str().unwrap();
    let env = RecordingEnv::with(1, &[("PLAYBACK_SERVE", "true"), ("PLAYBACK_PLAYER_DIR", path)]);
    let get = |rest: &str| env.pool.fetch("GET", &format!("/playback/presentation/2.3{rest}"), &[], b"");
    for page in ["/r1", "/r1/", "", "/", "/static", "/static/none.js", "/static/link"] {
        let reply = get(page);
        assert_eq!((reply.status, reply.body.as_str()), (200, "the player"), "{page}");
    }
    let script = get("/static/main.js");
    assert_eq!(script.body, "its script");
    assert_eq!(script.header("content-type"), Some("text/javascript; charset=utf-8"));
    assert_not_found(&get("/../../etc/passwd"));
    assert_not_found(&get("/%2e%2e/x"));
}
