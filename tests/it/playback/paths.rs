//! Malicious and unusual paths: the same results whether nginx sends the files or the replica.

use super::{PlaybackFixture, assert_not_found, assert_raw_not_found, raw_get};
use std::os::unix::fs::symlink;

fn both() -> [PlaybackFixture; 2] {
    [PlaybackFixture::start(), PlaybackFixture::serving()]
}

#[test]
fn paths_cannot_escape_recording_directory() {
    for fixture in both() {
        let (id, other) = (&fixture.open, &fixture.protected);
        fixture.add("video", id, "deep/file", b"inside");
        let outside = fixture.env.published().join("secret");
        std::fs::write(outside, "outside").unwrap();
        let address = fixture.pool().address(0);
        assert!(raw_get(&address, &format!("/video/{id}/deep/file")).starts_with("HTTP/1.1 200 "));
        for path in [
            format!("/video/{id}/../../secret"),
            format!("/video/{id}/../{other}/video-0.m4v"),
            format!("/video/{id}/deep/../deep/file"),
            format!("/video/{id}/deep/.."),
            format!("/video/{id}/./deep/file"),
            format!("/video/{id}/%2e%2e/%2e%2e/secret"),
            format!("/video/{id}/%2E%2e/{other}/video-0.m4v"),
            format!("/video/{id}/.%2e/.%2e/secret"),
            format!("/video/{id}/..%2f..%2fsecret"),
            format!("/video/{id}/deep%2ffile"),
            format!("/video/{id}/deep%2Ffile"),
            format!("/video/{id}%2fdeep/file"),
            format!("/video/{id}/deep/file%00"),
            format!("/video/{id}/deep/file%00.html"),
            format!("/video/{id}/%00"),
            format!("/video/{id}//deep/file"),
            format!("/video/{id}/deep//file"),
            format!("//video/{id}/deep/file"),
            format!("/video//{id}/deep/file"),
            format!("/video/{id}/deep/file/"),
            format!("/video/{id}/deep/file%0d%0aX-Accel-Redirect:%20/etc/passwd"),
            format!("/video/{id}/deep/file%"),
            format!("/video/{id}/deep/fil%e"),
            format!("/video/{id}/%c0%ae%c0%ae/%c0%ae%c0%ae/secret"),
            format!("/video/%2e%2e/video/{id}/deep/file"),
            format!("/video/../video/{id}/deep/file"),
            "/video/../secret".into(),
            "/video/..%2fsecret".into(),
            "/video/.sl-work/x".into(),
            "/video/".into(),
            "/video".into(),
            format!("/video/{}/x", "a".repeat(200)),
            format!("/video/{id}/{}", "a".repeat(300)),
            format!("/video/{id}/{}", "a/".repeat(3000)),
            format!("/recording/{id}/../video"),
            format!("/recording/{id}%2fvideo"),
            format!("/recording/{id}/video%00"),
            format!("/recording/{id}//video"),
            format!("/recording/..%2f{id}/video"),
            format!("/playback/video/..%2f{id}/"),
            "/playback/video/%0d%0aX-Evil:1/".into(),
            "/playback/".into(),
            "/recording/".into(),
        ] {
            // Whether a file has a trailing slash or is missing is left to nginx.
            let sent = raw_get(&address, &path);
            let missing = path.ends_with("deep/file/");
            if missing && sent.contains("x-accel-redirect: /static-resource/") {
                assert!(sent.contains("/deep/file/index.html\r\n"), "{sent}");
                continue;
            }
            assert_raw_not_found(&path, &sent);
            assert!(!sent.contains("inside") && !sent.contains("outside"), "{sent}");
        }
    }
}

#[test]
fn x_accel_redirect_has_normalized_path_encoding() {
    let fixture = PlaybackFixture::start();
    let id = &fixture.open;
    for (requested, forwarded) in [
        ("video-0.m4v", "video-0.m4v"),
        ("", "index.html"),
        ("thumbnails/", "thumbnails/index.html"),
        ("a%20b%3Fc%23d%25e.txt", "a%20b%3Fc%23d%25e.txt"),
        ("%64eep/%66ile", "deep/file"),
        ("%c3%bc/日", "%C3%BC/%E6%97%A5"),
        ("%252e%252e/x", "%252e%252e/x"),
        ("a;b&c=d'e+f\"", "a%3Bb%26c%3Dd%27e%2Bf%22"),
        ("file?a=b&../../x", "file"),
    ] {
        let response = raw_get(&fixture.pool().address(0), &format!("/video/{id}/{requested}"));
        let header = format!("x-accel-redirect: /static-resource/video/{id}/{forwarded}\r\n");
        assert!(
            response.starts_with("HTTP/1.1 200 ") && response.contains(&header),
            "{requested}: {response}"
        );
        assert!(response.contains("content-length: 0\r\n"), "{response}");
    }
}

#[test]
fn symlinks_inside_recordings_are_not_followed() {
    let fixture = PlaybackFixture::serving();
    let id = &fixture.open;
    let place = fixture.env.published().join("video").join(id);
    fixture.add("video", id, "deep/file", b"inside");
    symlink("/etc", place.join("etc")).unwrap();
    symlink("/etc/hostname", place.join("host")).unwrap();
    symlink(format!("../{}", fixture.protected), place.join("other")).unwrap();
    symlink("deep", place.join("short")).unwrap();
    symlink(&place, fixture.env.published().join("video/linked")).unwrap();
    for path in ["etc/hostname", "host", "other/video-0.m4v", "short/file"] {
        assert_not_found(&fixture.get(&format!("/video/{id}/{path}")));
    }
    fixture.env.add("linked", "m", 1);
    std::fs::remove_dir_all(fixture.env.published().join("presentation/linked")).unwrap();
    symlink(&place, fixture.env.published().join("presentation/linked")).unwrap();
    assert_not_found(&fixture.get("/presentation/linked/deep/file"));
    // A link for a whole format is the operator's and is followed.
    let published = fixture.env.published();
    std::fs::rename(published.join("video"), published.join("elsewhere")).unwrap();
    symlink("elsewhere", published.join("video")).unwrap();
    assert_eq!(fixture.get(&format!("/video/{id}/deep/file")).body, "inside");
}

#[test]
fn directory_serves_index_page_or_404() {
    let fixture = PlaybackFixture::serving();
    let id = &fixture.open;
    fixture.add("video", id, "deep/index.html", b"the page");
    fixture.add("video", id, "bare/file", b"no page");
    assert!(fixture.get(&format!("/video/{id}/")).body.contains("<video"));
    assert_eq!(fixture.get(&format!("/video/{id}/deep/")).body, "the page");
    assert_not_found(&fixture.get(&format!("/video/{id}/bare/")));
    // Without the slash, relative references of the page would resolve beside it.
    for (requested, to) in [
        (format!("/video/{id}?t=1"), format!("/video/{id}/?t=1")),
        (format!("/video/{id}/deep"), format!("/video/{id}/deep/")),
        (format!("/video/{id}/deep?t=1"), format!("/video/{id}/deep/?t=1")),
    ] {
        let reply = fixture.get(&requested);
        assert_eq!((reply.status, reply.header("location")), (307, Some(to.as_str())), "{reply:?}");
    }
    assert_not_found(&fixture.get(&format!("/video/{}", fixture.protected)));
    assert_not_found(&fixture.get(&format!("/video/{}/deep", fixture.protected)));
}

#[test]
fn old_links_redirect_to_current_location() {
    for fixture in both() {
        let id = &fixture.open;
        for (requested, to) in [
            (format!("/playback/video/{id}/"), format!("/video/{id}/")),
            (format!("/playback/video/{id}"), format!("/video/{id}/")),
            (format!("/playback/video/{id}/?t=1m"), format!("/video/{id}/?t=1m")),
            (format!("/playback/video/{id}/video-0.m4v"), format!("/video/{id}/video-0.m4v")),
            (format!("/recording/screenshare/{id}/"), format!("/screenshare/{id}/")),
            (format!("/recording/screenshare/{id}"), format!("/screenshare/{id}/")),
        ] {
            let reply = fixture.get(&requested);
            assert_eq!((reply.status, reply.header("location")), (307, Some(to.as_str())), "{reply:?}");
            assert_eq!(fixture.get(&to).status, 200, "{to}");
        }
        // Once unpublished, they lead to nothing.
        fixture.pool().get("publishRecordings", &format!("recordID={id}&publish=false")).success();
        assert_not_found(&fixture.get(&format!("/video/{id}/?t=1m")));
        assert_not_found(&fixture.get(&format!("/screenshare/{id}/")));
    }
}
