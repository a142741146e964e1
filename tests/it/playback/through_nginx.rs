//! The files of nginx/, as they are, with a real nginx that sends what `sl` lets through.

use super::{Stage, not_found};
use crate::nginx::Site;
use crate::support::client::{self, Reply};
use std::os::unix::fs::symlink;

struct Front {
    stage: Stage,
    site: Site,
}

impl Front {
    fn start() -> Front {
        let stage = Stage::start();
        let site = Front::site(&stage, "plain");
        Front { stage, site }
    }

    fn site(stage: &Stage, form: &str) -> Site {
        let published = stage.library.published().display().to_string();
        let edit = ("sl/recordings.conf", "/var/bigbluebutton/published", published.as_str());
        Site::edited(form, &[stage.pool().replicas[0].port], &[edit])
    }

    fn get(&self, target: &str) -> Reply {
        self.site.get(target)
    }

    fn with(&self, target: &str, headers: &[(&str, &str)]) -> Reply {
        self.site.fetch("GET", target, headers)
    }
}

#[test]
fn files_ranges_and_what_the_browser_has() {
    let front = Front::start();
    let (stage, id) = (&front.stage, &front.stage.open);
    let digits: Vec<u8> = (0..1_000_003).map(|n| b'0' + (n % 10) as u8).collect();
    stage.add("video", id, "digits.txt", &digits);
    let target = format!("/video/{id}/digits.txt");
    let whole = front.get(&target);
    assert_eq!((whole.status, whole.body.as_bytes() == digits), (200, true));
    assert_eq!(whole.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(whole.header("accept-ranges"), Some("bytes"));
    assert_eq!(whole.header("cache-control"), Some("no-cache"));
    assert_eq!(whole.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(whole.headers.iter().filter(|(name, _)| name == "x-request-id").count(), 1);
    assert_eq!(whole.header("x-accel-redirect"), None);
    let part = front.with(&target, &[("range", "bytes=15-19")]);
    assert_eq!((part.status, part.body.as_str()), (206, "56789"));
    assert_eq!(part.header("content-range"), Some("bytes 15-19/1000003"));
    assert_eq!(front.with(&target, &[("range", "bytes=1000003-")]).status, 416);
    for (name, of) in [("if-none-match", "etag"), ("if-modified-since", "last-modified")] {
        let same = front.with(&target, &[(name, whole.header(of).unwrap())]);
        assert_eq!((same.status, same.body.as_str()), (304, ""));
    }
    let head = front.site.fetch("HEAD", &target, &[]);
    assert_eq!((head.status, head.header("content-length")), (200, Some("1000003")));
    assert!(front.get(&format!("/video/{id}/")).body.contains("<video"));
    assert_eq!(
        front.get(&format!("/podcast/{id}/audio.ogg")).header("content-disposition"),
        Some("attachment")
    );
    assert_eq!(
        front.get(&format!("/notes/{id}/notes.html")).header("content-disposition"),
        Some("attachment")
    );
}

#[test]
fn names_arrive_as_they_are() {
    let front = Front::start();
    let (stage, id) = (&front.stage, &front.stage.open);
    for (name, asked) in [
        ("a b.txt", "a%20b.txt"),
        ("what?.txt", "what%3f.txt"),
        ("50%25.txt", "50%2525.txt"),
        ("100%.txt", "100%25.txt"),
        ("#1;&'+\"\\.txt", "%231;&'+%22%5c.txt"),
        ("grün/日.txt", "gr%c3%bcn/%E6%97%A5.txt"),
    ] {
        stage.add("presentation", id, name, name.as_bytes());
        let reply = front.get(&format!("/presentation/{id}/{asked}"));
        assert_eq!((reply.status, reply.body.as_str()), (200, name), "{asked}");
    }
}

#[test]
fn what_may_not_be_seen_is_not_sent() {
    let front = Front::start();
    let (stage, id) = (&front.stage, &front.stage.open);
    stage.add("video", id, "deep/file", b"inside");
    stage.add("video", id, "bare/file", b"inside");
    let place = stage.library.published().join("video").join(id);
    symlink("/etc", place.join("etc")).unwrap();
    symlink("/etc/hostname", place.join("host")).unwrap();
    symlink(format!("../{}", stage.protected), place.join("other")).unwrap();
    symlink("deep", place.join("short")).unwrap();
    let address = format!("127.0.0.1:{}", front.site.nginx.port);
    for path in [
        "etc/hostname",
        "host",
        "other/video-0.m4v",
        "short/file",
        "none",
        "deep/file/",
        // Directories: without a slash, and without a page.
        "deep",
        "bare/",
        "../../../etc/hostname",
        "%2e%2e/%2e%2e/x",
        "..%2f..%2fx",
        "deep%2ffile",
        "deep/file%00",
        "/deep/file",
        "deep/../deep/file",
        "%zz",
    ] {
        let answer = super::raw_get(&address, &format!("/video/{id}/{path}"));
        let status = answer.split(' ').nth(1).unwrap();
        // nginx itself refuses what is no path at all.
        assert!(matches!(status, "404" | "400"), "{path}: {answer}");
        assert!(
            !answer.contains("inside") && !answer.to_lowercase().contains("location:"),
            "{path}: {answer}"
        );
    }
    for target in [
        format!("/static-resource/video/{id}/deep/file"),
        format!("/static-resource/video/{}/", stage.protected),
        "/static-resource/".into(),
        format!("/video/..%2fstatic-resource/video/{id}/deep/file"),
    ] {
        let reply = front.get(&target);
        assert_eq!(reply.status, 404, "{target}: {reply:?}");
    }
    // A format's directory may be a link to another disk.
    let published = stage.library.published();
    std::fs::rename(published.join("video"), published.join("elsewhere")).unwrap();
    symlink("elsewhere", published.join("video")).unwrap();
    assert_eq!(front.get(&format!("/video/{id}/deep/file")).body, "inside");
    // A directory of a recording, to its page.
    let reply = front.get(&format!("/video/{id}"));
    assert_eq!((reply.status, reply.header("location")), (307, Some(format!("/video/{id}/").as_str())));
}

#[test]
fn a_protected_recording_in_every_form_of_the_site() {
    let stage = Stage::start();
    for form in ["plain", "behind-proxy", "recordings-only"] {
        let site = Front::site(&stage, form);
        let (link, page) = (stage.link("video"), format!("/video/{}/", stage.protected));
        not_found(&site.get(&page));
        let reply = site.get(&link);
        let to = format!("/playback/video/{}/", stage.protected);
        assert_eq!((reply.status, reply.header("location")), (307, Some(to.as_str())), "{form}: {reply:?}");
        let cookie = reply.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
        assert_eq!(site.get(&to).header("location"), Some(page.as_str()));
        let reply = site.fetch("GET", &page, &[("cookie", &cookie)]);
        assert_eq!((reply.status, reply.header("cache-control")), (200, Some("private, no-cache")), "{form}");
        let film = format!("{page}video-0.m4v");
        let reply = site.fetch("GET", &film, &[("cookie", &cookie), ("range", "bytes=4-7")]);
        assert_eq!((reply.status, reply.body.as_str()), (206, "ftyp"), "{form}: {reply:?}");
        not_found(&site.fetch("GET", &film, &[("range", "bytes=4-7")]));
        not_found(&site.get(&link));
    }
}

#[test]
fn links_of_old_and_the_player() {
    let front = Front::start();
    let id = &front.stage.open;
    for (asked, to) in [
        (format!("/playback/video/{id}/"), format!("/video/{id}/")),
        (format!("/recording/screenshare/{id}/"), format!("/screenshare/{id}/")),
    ] {
        let reply = front.get(&asked);
        assert_eq!((reply.status, reply.header("location")), (307, Some(to.as_str())));
        assert_eq!(front.get(&to).status, 200);
    }
    let page = format!("/playback/presentation/2.3/{id}");
    assert_eq!(front.get(&page).status, 404, "no player is installed");
    let player = front.site.nginx.directory().join("playback/presentation/2.3");
    std::fs::create_dir_all(player.join("static")).unwrap();
    std::fs::write(player.join("index.html"), "the player").unwrap();
    std::fs::write(player.join("static/main.js"), "its script").unwrap();
    for asked in
        [page.clone(), format!("{page}?t=10"), format!("{page}/"), "/playback/presentation/2.3/".into()]
    {
        let reply = front.get(&asked);
        assert_eq!((reply.status, reply.body.as_str()), (200, "the player"), "{asked}");
    }
    assert_eq!(front.get("/playback/presentation/2.3/static/main.js").body, "its script");
}

#[test]
fn no_token_is_in_a_log() {
    let front = Front::start();
    let link = front.stage.link("video");
    let cookie = front.get(&link).header("set-cookie").unwrap().to_owned();
    let pair = cookie.split(';').next().unwrap();
    front.with(&format!("/video/{}/none", front.stage.protected), &[("cookie", pair)]);
    crate::support::eventually("it is in the log", || {
        front.site.nginx.file("sl.access.log").contains("/none")
    });
    let token = link.split_once("token=").unwrap().1;
    let (replica, nginx) = (front.stage.pool().replicas[0].log(), &front.site.nginx);
    for log in [replica, nginx.file("sl.access.log"), nginx.file("sl.error.log"), nginx.file("error.log")] {
        assert!(!log.contains(token) && !log.contains(pair.split_once('=').unwrap().1), "{log}");
    }
}

/// An answer to what a browser sends on: the cookie is the site's to believe, not the client's to choose.
#[test]
fn a_client_cannot_ask_for_files_by_header() {
    let front = Front::start();
    let reply = client::fetch(
        "GET",
        &front.site.url(&format!("/video/{}/", front.stage.protected)),
        &[("x-accel-redirect", &format!("/static-resource/video/{}/", front.stage.protected))],
        b"",
    );
    not_found(&reply);
}
