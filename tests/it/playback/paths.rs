//! Paths that somebody made up. The same with nginx to send the files, and without.

use super::{Stage, not_found, raw_get, raw_not_found};
use std::os::unix::fs::symlink;

fn both() -> [Stage; 2] {
    [Stage::start(), Stage::serving()]
}

#[test]
fn none_leads_out_of_its_recording() {
    for stage in both() {
        let (id, other) = (&stage.open, &stage.protected);
        stage.add("video", id, "deep/file", b"inside");
        let outside = stage.library.published().join("secret");
        std::fs::write(outside, "outside").unwrap();
        let address = stage.pool().address(0);
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
            // A file with a slash at its end, or that there is none, nginx finds out.
            let sent = raw_get(&address, &path);
            let missing = path.ends_with("deep/file/");
            if missing && sent.contains("x-accel-redirect: /static-resource/") {
                assert!(sent.contains("/deep/file/index.html\r\n"), "{sent}");
                continue;
            }
            raw_not_found(&path, &sent);
            assert!(!sent.contains("inside") && !sent.contains("outside"), "{sent}");
        }
    }
}

#[test]
fn nginx_is_told_the_path_as_it_is_decoded_and_encoded_again() {
    let stage = Stage::start();
    let id = &stage.open;
    for (asked, told) in [
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
        let answer = raw_get(&stage.pool().address(0), &format!("/video/{id}/{asked}"));
        let header = format!("x-accel-redirect: /static-resource/video/{id}/{told}\r\n");
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains(&header), "{asked}: {answer}");
        assert!(answer.contains("content-length: 0\r\n"), "{answer}");
    }
}

#[test]
fn no_link_in_a_recording_is_followed() {
    let stage = Stage::serving();
    let id = &stage.open;
    let place = stage.library.published().join("video").join(id);
    stage.add("video", id, "deep/file", b"inside");
    symlink("/etc", place.join("etc")).unwrap();
    symlink("/etc/hostname", place.join("host")).unwrap();
    symlink(format!("../{}", stage.protected), place.join("other")).unwrap();
    symlink("deep", place.join("short")).unwrap();
    symlink(&place, stage.library.published().join("video/linked")).unwrap();
    for path in ["etc/hostname", "host", "other/video-0.m4v", "short/file"] {
        not_found(&stage.get(&format!("/video/{id}/{path}")));
    }
    stage.library.add("linked", "m", 1);
    std::fs::remove_dir_all(stage.library.published().join("presentation/linked")).unwrap();
    symlink(&place, stage.library.published().join("presentation/linked")).unwrap();
    not_found(&stage.get("/presentation/linked/deep/file"));
    // That of a whole format is the operator's.
    let published = stage.library.published();
    std::fs::rename(published.join("video"), published.join("elsewhere")).unwrap();
    symlink("elsewhere", published.join("video")).unwrap();
    assert_eq!(stage.get(&format!("/video/{id}/deep/file")).body, "inside");
}

#[test]
fn a_directory_is_its_page_or_nothing() {
    let stage = Stage::serving();
    let id = &stage.open;
    stage.add("video", id, "deep/index.html", b"the page");
    stage.add("video", id, "bare/file", b"no page");
    assert!(stage.get(&format!("/video/{id}/")).body.contains("<video"));
    assert_eq!(stage.get(&format!("/video/{id}/deep/")).body, "the page");
    not_found(&stage.get(&format!("/video/{id}/bare/")));
    // Without the slash, what the page refers to would be looked for beside it.
    for (asked, to) in [
        (format!("/video/{id}?t=1"), format!("/video/{id}/?t=1")),
        (format!("/video/{id}/deep"), format!("/video/{id}/deep/")),
        (format!("/video/{id}/deep?t=1"), format!("/video/{id}/deep/?t=1")),
    ] {
        let reply = stage.get(&asked);
        assert_eq!((reply.status, reply.header("location")), (307, Some(to.as_str())), "{reply:?}");
    }
    not_found(&stage.get(&format!("/video/{}", stage.protected)));
    not_found(&stage.get(&format!("/video/{}/deep", stage.protected)));
}

#[test]
fn links_of_old_lead_to_where_it_is_now() {
    for stage in both() {
        let id = &stage.open;
        for (asked, to) in [
            (format!("/playback/video/{id}/"), format!("/video/{id}/")),
            (format!("/playback/video/{id}"), format!("/video/{id}/")),
            (format!("/playback/video/{id}/?t=1m"), format!("/video/{id}/?t=1m")),
            (format!("/playback/video/{id}/video-0.m4v"), format!("/video/{id}/video-0.m4v")),
            (format!("/recording/screenshare/{id}/"), format!("/screenshare/{id}/")),
            (format!("/recording/screenshare/{id}"), format!("/screenshare/{id}/")),
        ] {
            let reply = stage.get(&asked);
            assert_eq!((reply.status, reply.header("location")), (307, Some(to.as_str())), "{reply:?}");
            assert_eq!(stage.get(&to).status, 200, "{to}");
        }
        // Unpublished, they lead to nothing.
        stage.pool().get("publishRecordings", &format!("recordID={id}&publish=false")).success();
        not_found(&stage.get(&format!("/video/{id}/?t=1m")));
        not_found(&stage.get(&format!("/screenshare/{id}/")));
    }
}
