//! The files of nginx/, unmodified, with a real nginx that sends what `sl` permits.

use super::{PlaybackFixture, assert_not_found};
use crate::nginx::Site;
use crate::support::client::{self, Reply};
use std::os::unix::fs::symlink;

struct NginxFixture {
    playback: PlaybackFixture,
    site: Site,
}

impl NginxFixture {
    fn start() -> NginxFixture {
        let playback = PlaybackFixture::start();
        let site = NginxFixture::site(&playback, "plain");
        NginxFixture { playback, site }
    }

    fn site(playback: &PlaybackFixture, variant: &str) -> Site {
        let published = playback.env.published().display().to_string();
        let edit = ("sl/recordings.conf", "/var/bigbluebutton/published", published.as_str());
        Site::edited(variant, &[playback.pool().replicas[0].port], &[edit])
    }

    fn get(&self, target: &str) -> Reply {
        self.site.get(target)
    }

    fn with(&self, target: &str, headers: &[(&str, &str)]) -> Reply {
        self.site.fetch("GET", target, headers)
    }
}

#[test]
fn nginx_serves_files_ranges_and_conditional_requests() {
    let nginx = NginxFixture::start();
    let (playback, id) = (&nginx.playback, &nginx.playback.open);
    let digits: Vec<u8> = (0..1_000_003).map(|n| b'0' + (n % 10) as u8).collect();
    playback.add("video", id, "digits.txt", &digits);
    let target = format!("/video/{id}/digits.txt");
    let whole = nginx.get(&target);
    assert_eq!((whole.status, whole.body.as_bytes() == digits), (200, true));
    assert_eq!(whole.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(whole.header("accept-ranges"), Some("bytes"));
    assert_eq!(whole.header("cache-control"), Some("no-cache"));
    assert_eq!(whole.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(whole.headers.iter().filter(|(name, _)| name == "x-request-id").count(), 1);
    assert_eq!(whole.header("x-accel-redirect"), None);
    let part = nginx.with(&target, &[("range", "bytes=15-19")]);
    assert_eq!((part.status, part.body.as_str()), (206, "56789"));
    assert_eq!(part.header("content-range"), Some("bytes 15-19/1000003"));
    assert_eq!(nginx.with(&target, &[("range", "bytes=1000003-")]).status, 416);
    for (name, of) in [("if-none-match", "etag"), ("if-modified-since", "last-modified")] {
        let same = nginx.with(&target, &[(name, whole.header(of).unwrap())]);
        assert_eq!((same.status, same.body.as_str()), (304, ""));
    }
    let head = nginx.site.fetch("HEAD", &target, &[]);
    assert_eq!((head.status, head.header("content-length")), (200, Some("1000003")));
    assert!(nginx.get(&format!("/video/{id}/")).body.contains("<video"));
    assert_eq!(
        nginx.get(&format!("/podcast/{id}/audio.ogg")).header("content-disposition"),
        Some("attachment")
    );
    assert_eq!(
        nginx.get(&format!("/notes/{id}/notes.html")).header("content-disposition"),
        Some("attachment")
    );
}

#[test]
fn nginx_finds_files_with_unusual_names() {
    let nginx = NginxFixture::start();
    let (playback, id) = (&nginx.playback, &nginx.playback.open);
    for (name, requested) in [
        ("a b.txt", "a%20b.txt"),
        ("what?.txt", "what%3f.txt"),
        ("50%25.txt", "50%2525.txt"),
        ("100%.txt", "100%25.txt"),
        ("#1;&'+\"\\.txt", "%231;&'+%22%5c.txt"),
        ("grün/日.txt", "gr%c3%bcn/%E6%97%A5.txt"),
    ] {
        playback.add("presentation", id, name, name.as_bytes());
        let reply = nginx.get(&format!("/presentation/{id}/{requested}"));
        assert_eq!((reply.status, reply.body.as_str()), (200, name), "{requested}");
    }
}

#[test]
fn nginx_sends_nothing_inaccessible() {
    let nginx = NginxFixture::start();
    let (playback, id) = (&nginx.playback, &nginx.playback.open);
    playback.add("video", id, "deep/file", b"inside");
    playback.add("video", id, "bare/file", b"inside");
    let place = playback.env.published().join("video").join(id);
    symlink("/etc", place.join("etc")).unwrap();
    symlink("/etc/hostname", place.join("host")).unwrap();
    symlink(format!("../{}", playback.protected), place.join("other")).unwrap();
    symlink("deep", place.join("short")).unwrap();
    let address = format!("127.0.0.1:{}", nginx.site.nginx.port);
    for path in [
        "etc/hostname",
        "host",
        "other/video-0.m4v",
        "short/file",
        "none",
        "deep/file/",
        // Directories: without a slash, and without an index page.
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
        let response = super::raw_get(&address, &format!("/video/{id}/{path}"));
        let status = response.split(' ').nth(1).unwrap();
        // nginx itself rejects invalid paths.
        assert!(matches!(status, "404" | "400"), "{path}: {response}");
        assert!(
            !response.contains("inside") && !response.to_lowercase().contains("location:"),
            "{path}: {response}"
        );
    }
    for target in [
        format!("/static-resource/video/{id}/deep/file"),
        format!("/static-resource/video/{}/", playback.protected),
        "/static-resource/".into(),
        format!("/video/..%2fstatic-resource/video/{id}/deep/file"),
    ] {
        let reply = nginx.get(&target);
        assert_eq!(reply.status, 404, "{target}: {reply:?}");
    }
    // A format's directory may be a link to another disk.
    let published = playback.env.published();
    std::fs::rename(published.join("video"), published.join("elsewhere")).unwrap();
    symlink("elsewhere", published.join("video")).unwrap();
    assert_eq!(nginx.get(&format!("/video/{id}/deep/file")).body, "inside");
    // The directory of a recording redirects to its page.
    let reply = nginx.get(&format!("/video/{id}"));
    assert_eq!((reply.status, reply.header("location")), (307, Some(format!("/video/{id}/").as_str())));
}

#[test]
fn protected_recording_plays_with_every_nginx_config() {
    let playback = PlaybackFixture::start();
    for variant in ["plain", "behind-proxy", "recordings-only"] {
        let site = NginxFixture::site(&playback, variant);
        let (link, page) = (playback.link("video"), format!("/video/{}/", playback.protected));
        assert_not_found(&site.get(&page));
        let reply = site.get(&link);
        let to = format!("/playback/video/{}/", playback.protected);
        assert_eq!(
            (reply.status, reply.header("location")),
            (307, Some(to.as_str())),
            "{variant}: {reply:?}"
        );
        let cookie = reply.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
        assert_eq!(site.get(&to).header("location"), Some(page.as_str()));
        let reply = site.fetch("GET", &page, &[("cookie", &cookie)]);
        assert_eq!(
            (reply.status, reply.header("cache-control")),
            (200, Some("private, no-cache")),
            "{variant}"
        );
        let video = format!("{page}video-0.m4v");
        let reply = site.fetch("GET", &video, &[("cookie", &cookie), ("range", "bytes=4-7")]);
        assert_eq!((reply.status, reply.body.as_str()), (206, "ftyp"), "{variant}: {reply:?}");
        assert_not_found(&site.fetch("GET", &video, &[("range", "bytes=4-7")]));
        assert_not_found(&site.get(&link));
    }
}

#[test]
fn nginx_redirects_old_links_and_serves_player() {
    let nginx = NginxFixture::start();
    let id = &nginx.playback.open;
    for (requested, to) in [
        (format!("/playback/video/{id}/"), format!("/video/{id}/")),
        (format!("/recording/screenshare/{id}/"), format!("/screenshare/{id}/")),
    ] {
        let reply = nginx.get(&requested);
        assert_eq!((reply.status, reply.header("location")), (307, Some(to.as_str())));
        assert_eq!(nginx.get(&to).status, 200);
    }
    let page = format!("/playback/presentation/2.3/{id}");
    for version in ["2.0/", "0.9.0/", ""] {
        let old = format!("/playback/presentation/{version}playback.html?meetingId={id}&t=5");
        for site in [&nginx.site, &NginxFixture::site(&nginx.playback, "recordings-only")] {
            let reply = site.get(&old);
            let to = format!("{page}?t=5");
            assert_eq!((reply.status, reply.header("location")), (307, Some(to.as_str())), "{old}");
        }
    }
    assert_eq!(nginx.get(&page).status, 404, "no player is installed yet");
    let player = nginx.site.nginx.directory().join("playback/presentation/2.3");
    std::fs::create_dir_all(player.join("static")).unwrap();
    std::fs::write(player.join("index.html"), "the player").unwrap();
    std::fs::write(player.join("static/main.js"), "its script").unwrap();
    for requested in
        [page.clone(), format!("{page}?t=10"), format!("{page}/"), "/playback/presentation/2.3/".into()]
    {
        let reply = nginx.get(&requested);
        assert_eq!((reply.status, reply.body.as_str()), (200, "the player"), "{requested}");
    }
    assert_eq!(nginx.get("/playback/presentation/2.3/static/main.js").body, "its script");
}

#[test]
fn tokens_and_cookies_are_not_logged() {
    let nginx = NginxFixture::start();
    let link = nginx.playback.link("video");
    let cookie = nginx.get(&link).header("set-cookie").unwrap().to_owned();
    let pair = cookie.split(';').next().unwrap();
    nginx.with(&format!("/video/{}/none", nginx.playback.protected), &[("cookie", pair)]);
    crate::support::eventually("it is in the log", || {
        nginx.site.nginx.file("sl.access.log").contains("/none")
    });
    let token = link.split_once("token=").unwrap().1;
    let (replica, nginx) = (nginx.playback.pool().replicas[0].log(), &nginx.site.nginx);
    for log in [replica, nginx.file("sl.access.log"), nginx.file("error.log")] {
        assert!(!log.contains(token) && !log.contains(pair.split_once('=').unwrap().1), "{log}");
    }
}

/// X-Accel-Redirect counts only in responses of sl; in a request it has no effect.
#[test]
fn client_cannot_request_files_with_x_accel_redirect() {
    let nginx = NginxFixture::start();
    let reply = client::fetch(
        "GET",
        &nginx.site.url(&format!("/video/{}/", nginx.playback.protected)),
        &[("x-accel-redirect", &format!("/static-resource/video/{}/", nginx.playback.protected))],
        b"",
    );
    assert_not_found(&reply);
}
