//! Files that we send ourselves: PLAYBACK_SERVE.

use super::{Stage, not_found};
use crate::support::{Library, eventually};
use std::io::{Read, Write};

/// `0123456789` over and over.
fn digits(length: usize) -> Vec<u8> {
    (0..length).map(|n| b'0' + (n % 10) as u8).collect()
}

#[test]
fn whole_in_parts_or_not_again() {
    let stage = Stage::serving();
    let id = &stage.open;
    stage.add("video", id, "digits.txt", &digits(1_000_003));
    let target = format!("/video/{id}/digits.txt");
    let whole = stage.get(&target);
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
        let part = stage.get_with(&target, &[("range", range)]);
        assert_eq!((part.status, part.header("content-range")), (206, Some(content_range)), "{part:?}");
        assert_eq!((part.body.as_str(), part.header("etag")), (body, Some(etag)), "{range}");
        assert_eq!(part.header("content-length"), Some(body.len().to_string().as_str()));
    }
    // Over the borders of what is read at once.
    let part = stage.get_with(&target, &[("range", "bytes=262139-524293")]);
    assert_eq!(part.body.as_bytes(), &digits(1_000_003)[262_139..524_294]);
    let none = stage.get_with(&target, &[("range", "bytes=1000003-")]);
    assert_eq!((none.status, none.header("content-range")), (416, Some("bytes */1000003")));
    assert_eq!(stage.get_with(&target, &[("range", "bytes=0-1,5-6")]).body.len(), 1_000_003);

    for condition in [("if-none-match", etag), ("if-modified-since", modified)] {
        let same = stage.get_with(&target, &[condition]);
        assert_eq!((same.status, same.body.as_str(), same.header("etag")), (304, "", Some(etag)), "{same:?}");
    }
    assert_eq!(stage.get_with(&target, &[("if-match", "\"other\"")]).status, 412);
    let part = |of: &str| stage.get_with(&target, &[("range", "bytes=0-0"), ("if-range", of)]).status;
    assert_eq!((part(etag), part(modified), part("\"other\"")), (206, 206, 200));

    let head = stage.pool().fetch("HEAD", &target, &[("range", "bytes=0-0")], b"");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!((head.header("content-length"), head.header("etag")), (Some("1000003"), Some(etag)));
}

#[test]
fn every_format_with_its_type() {
    let stage = Stage::serving();
    let id = &stage.open;
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
        let reply = stage.get(&format!("/{}", path.replace("ID", id)));
        assert_eq!((reply.status, reply.header("content-type")), (200, Some(kind)), "{path}");
        let disposition = saved.then_some("attachment");
        assert_eq!(reply.header("content-disposition"), disposition, "{path}");
        assert!(!reply.body.is_empty(), "{path}");
    }
    stage.add("notes", id, "notes.pdf", b"%PDF");
    let reply = stage.get(&format!("/notes/{id}/notes.pdf"));
    assert_eq!((reply.body.as_str(), reply.header("content-type")), ("%PDF", Some("application/pdf")));
    stage.add("video", id, "empty", b"");
    let reply = stage.get_with(&format!("/video/{id}/empty"), &[("range", "bytes=0-")]);
    assert_eq!((reply.status, reply.header("content-range")), (416, Some("bytes */0")), "{reply:?}");
    let reply = stage.get(&format!("/video/{id}/empty"));
    assert_eq!((reply.status, reply.header("content-length")), (200, Some("0")), "{reply:?}");
    not_found(&stage.get(&format!("/video/{id}/none")));
}

#[test]
fn a_protected_file_is_kept_by_nobody_on_the_way() {
    let stage = Stage::serving();
    let cookie = stage.cookie("video");
    let target = format!("/video/{}/video-0.m4v", stage.protected);
    not_found(&stage.get(&target));
    let reply = stage.get_with(&target, &[("cookie", &cookie)]);
    assert_eq!((reply.status, reply.header("cache-control")), (200, Some("private, no-cache")));
    // What the browser has kept is asked for again each time.
    let etag = reply.header("etag").unwrap().to_owned();
    let again = |cookie: &str| stage.get_with(&target, &[("cookie", cookie), ("if-none-match", &etag)]);
    assert_eq!(again(&cookie).status, 304);
    not_found(&again("none=1"));
    let query = format!("recordID={}&publish=false", stage.protected);
    stage.pool().get("publishRecordings", &query).success();
    not_found(&again(&cookie));
}

/// 400 MB to a client that takes none of it, and then all.
#[test]
fn a_large_file_is_never_in_memory() {
    const SIZE: u64 = 400_000_000;
    let stage = Stage::serving();
    let id = &stage.open;
    let path = stage.add("video", id, "large.webm", b"");
    std::fs::File::options().write(true).open(path).unwrap().set_len(SIZE).unwrap();
    assert_eq!(stage.get(&format!("/video/{id}/")).status, 200, "warm");
    let before = stage.pool().replicas[0].memory();
    let mut clients: Vec<_> = (0..4)
        .map(|_| {
            let mut client = crate::support::client::connect(&stage.pool().address(0));
            let request =
                format!("GET /video/{id}/large.webm HTTP/1.1\r\nHost: sl\r\nConnection: close\r\n\r\n");
            client.write_all(request.as_bytes()).unwrap();
            let mut first = [0; 15];
            client.read_exact(&mut first).unwrap();
            assert_eq!(&first, b"HTTP/1.1 200 OK");
            client
        })
        .collect();
    let (mut piece, mut most) = (vec![0; 1 << 20], 0);
    let mut received = vec![0; clients.len()];
    for _ in 0.. {
        let mut over = 0;
        for (client, received) in clients.iter_mut().zip(&mut received) {
            let n = client.read(&mut piece).unwrap();
            *received += n as u64;
            over += usize::from(n == 0);
        }
        most = most.max(stage.pool().replicas[0].memory());
        if over == clients.len() {
            break;
        }
    }
    assert!(received.iter().all(|n| (SIZE..SIZE + 2000).contains(n)), "{received:?}");
    assert!(most < before + 16 * 1024, "{before} KiB became {most} KiB");
}

#[test]
fn one_that_cannot_be_sent_to_its_end_breaks_off() {
    let stage = Stage::serving();
    let id = &stage.open;
    let path = stage.add("video", id, "shrinks", &vec![b'x'; 40_000_000]);
    let mut client = crate::support::client::connect(&stage.pool().address(0));
    let request = format!("GET /video/{id}/shrinks HTTP/1.1\r\nHost: sl\r\n\r\n");
    client.write_all(request.as_bytes()).unwrap();
    let mut some = [0; 1000];
    client.read_exact(&mut some).unwrap();
    std::fs::File::options().write(true).open(path).unwrap().set_len(1000).unwrap();
    let mut rest = Vec::new();
    // The connection is kept after a whole answer; here it ends.
    let _ = client.read_to_end(&mut rest);
    assert!(rest.len() < 39_000_000, "{}", rest.len());
    eventually("the replica goes on", || stage.get(&format!("/video/{id}/")).status == 200);
}

#[test]
fn the_player_is_ours_where_there_is_no_other() {
    let stage = Stage::serving();
    let base = "/playback/presentation/2.3";
    let page = stage.get(&format!("{base}/{}", stage.open));
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(page.header("content-security-policy").unwrap().starts_with("default-src 'self';"));
    for name in ["player.js", "player.css"] {
        assert!(page.body.contains(&format!("{base}/{name}")), "{}", page.body);
        assert_eq!(stage.get(&format!("{base}/{name}")).status, 200);
    }
    for nothing in [base, &format!("{base}/"), &format!("{base}/x.js"), &format!("{base}/a/b")] {
        not_found(&stage.get(nothing));
    }
    // nginx has it, where nginx serves.
    not_found(&Stage::start().get(&format!("{base}/{}", stage.open)));
}

#[test]
fn or_it_is_that_of_a_directory() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("static")).unwrap();
    std::fs::write(directory.path().join("index.html"), "the player").unwrap();
    std::fs::write(directory.path().join("static/main.js"), "its script").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", directory.path().join("static/link")).unwrap();
    let path = directory.path().to_str().unwrap();
    let library = Library::with(1, &[("PLAYBACK_SERVE", "true"), ("PLAYBACK_PLAYER_DIR", path)]);
    let get = |rest: &str| library.pool.fetch("GET", &format!("/playback/presentation/2.3{rest}"), &[], b"");
    for page in ["/r1", "/r1/", "", "/", "/static", "/static/none.js", "/static/link"] {
        let reply = get(page);
        assert_eq!((reply.status, reply.body.as_str()), (200, "the player"), "{page}");
    }
    let script = get("/static/main.js");
    assert_eq!(script.body, "its script");
    assert_eq!(script.header("content-type"), Some("text/javascript; charset=utf-8"));
    not_found(&get("/../../etc/passwd"));
    not_found(&get("/%2e%2e/x"));
}
