//! What a recording brings cannot act on the balancer's origin: policies of its files, and PLAYBACK_HOST.

use super::{PlaybackFixture, assert_not_found};
use crate::nginx::Site;
use crate::nginx::site::scalelite;
use crate::support::chromium::Chromium;
use crate::support::client::{Reply, fetch};
use serde_json::json;

const SCRIPT: &str = "document.documentElement.setAttribute('data-ran', 'yes');";

/// Documents of a recording that run a script, if they may: name, content.
fn hostile_documents() -> [(&'static str, String); 4] {
    let xhtml =
        format!("<html xmlns='http://www.w3.org/1999/xhtml'><body><script>{SCRIPT}</script></body></html>");
    [
        ("page.html", format!("<html><body><p>Page</p><script>{SCRIPT}</script></body></html>")),
        ("drawing.svg", format!("<svg xmlns='http://www.w3.org/2000/svg'><script>{SCRIPT}</script></svg>")),
        ("page.xml", xhtml.clone()),
        ("page.xhtml", xhtml),
    ]
}

fn policy(reply: &Reply) -> &str {
    assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{reply:?}");
    reply.header("content-security-policy").unwrap_or_default()
}

fn nginx_site(fixture: &PlaybackFixture) -> Site {
    let published = fixture.env.published().display().to_string();
    let edit = ("sl/recordings.conf", "/var/bigbluebutton/published", published.as_str());
    Site::edited("plain", &[fixture.pool().replicas[0].port], &[edit])
}

#[test]
fn files_of_recordings_have_a_sandbox_policy_with_and_without_nginx() {
    let (with_nginx, serving) = (PlaybackFixture::start(), PlaybackFixture::serving());
    let site = nginx_site(&with_nginx);
    for fixture in [&with_nginx, &serving] {
        let (id, is_served) = (&fixture.open, std::ptr::eq(fixture, &serving));
        let get = |target: &str| if is_served { fixture.get(target) } else { site.get(target) };
        for format in ["presentation", "video", "notes", "capture"] {
            for (name, content) in hostile_documents() {
                fixture.add(format, id, name, content.as_bytes());
                let reply = get(&format!("/{format}/{id}/{name}"));
                assert_eq!((reply.status, reply.body.as_str()), (200, content.as_str()), "{reply:?}");
                let policy = policy(&reply);
                assert!(policy.starts_with("sandbox ") && !policy.contains("allow-scripts"), "{policy:?}");
            }
        }
        fixture.add("presentation", id, "slides.PDF", b"%PDF");
        let reply = get(&format!("/presentation/{id}/slides.PDF"));
        assert_eq!(policy(&reply), "", "browsers show no PDF in a sandbox");
        assert_eq!(
            reply.headers.iter().filter(|(name, _)| name == "referrer-policy").count(),
            1,
            "{reply:?}"
        );
    }
    let player = serving.get(&format!("/playback/presentation/2.3/{}", serving.open));
    assert!(!policy(&player).contains("sandbox"), "the player's own page");
}

#[test]
fn documents_of_recordings_run_no_scripts_in_browser() {
    let fixture = PlaybackFixture::serving();
    let site_fixture = PlaybackFixture::start();
    let site = nginx_site(&site_fixture);
    let mut chromium = Chromium::start();
    let tab = chromium.tab();
    let ran = "document.documentElement.getAttribute('data-ran')";
    for (fixture, origin) in [
        (&fixture, format!("http://{}", fixture.pool().address(0))),
        (&site_fixture, site.url("").trim_end_matches('/').to_owned()),
    ] {
        for (name, content) in hostile_documents() {
            fixture.add("presentation", &fixture.open, name, content.as_bytes());
            chromium.navigate(&tab, &format!("{origin}/presentation/{}/{name}", fixture.open));
            assert_eq!(chromium.eval(&tab, "document.readyState"), json!("complete"), "{name}");
            assert_eq!(chromium.eval(&tab, ran), json!(null), "{name}");
        }
    }
}

#[test]
fn recordings_have_their_own_host_with_playback_host() {
    let host = ("PLAYBACK_HOST", "play.example.org:8443");
    let fixture = PlaybackFixture::with(1, &[("PLAYBACK_SERVE", "true"), ("URL_HOST", "127.0.0.1"), host]);
    let (open, own) = (&fixture.open, [("host", "Play.example.org:8443")]);
    let body = fixture.pool().get("getRecordings", "").success().body;
    assert!(
        body.contains(&format!("<url>http://play.example.org:8443/playback/video/{open}/</url>")),
        "{body}"
    );
    assert!(!body.contains("://127.0.0.1"), "{body}");
    // On the balancer's host: redirected there, no token is used up and no cookie set.
    let link = fixture.link_to("http://play.example.org:8443", "video");
    for target in [
        format!("/video/{open}/index.html?a=%20b"),
        format!("/playback/presentation/2.3/{open}"),
        "/playback/presentation/2.3/player.js".to_owned(),
        link.clone(),
    ] {
        let reply = fixture.get(&target);
        let to = format!("http://play.example.org:8443{target}");
        assert_eq!((reply.status, reply.header("location")), (307, Some(to.as_str())), "{reply:?}");
        assert_eq!(reply.header("set-cookie"), None);
        let reply = fixture.get_with(&target, &[("x-forwarded-proto", "https")]);
        assert!(reply.header("location").unwrap().starts_with("https://play.example.org:8443/"), "{reply:?}");
    }
    let reply = fixture.get_with(&link, &own);
    assert_eq!(reply.header("location"), Some(format!("/playback/video/{}/", fixture.protected).as_str()));
    assert!(reply.header("set-cookie").is_some());
    let page = fixture.get_with(&format!("/video/{open}/"), &own);
    assert_eq!(page.status, 200);
    assert!(policy(&page).contains("allow-scripts"), "BBB's own pages may run there");
    // Nothing else is there.
    assert_not_found(&fixture.get_with("/video/none/", &own));
    for target in ["/bigbluebutton/api", &fixture.pool().target("getMeetings", ""), "/sl/", "/nothing"] {
        assert_eq!(fixture.get_with(target, &own).status, 403, "{target}");
    }
    let put = fetch("PUT", &format!("http://{}/sl/recordings/x.tar", fixture.pool().address(0)), &own, b"x");
    assert_eq!(put.status, 403);
    assert_eq!(fixture.get_with("/health_check", &own).status, 200);
    assert_eq!(fixture.get_with("/video/x/", &[("host", "evil.example.org")]).status, 403);
}

#[test]
fn nginx_redirects_the_player_to_playback_host() {
    let fixture = PlaybackFixture::with(1, &[("PLAYBACK_HOST", "play.school.org")]);
    let published = fixture.env.published().display().to_string();
    let edit = ("sl/recordings.conf", "/var/bigbluebutton/published", published.as_str());
    let port = fixture.pool().replicas[0].port;
    let open = &fixture.open;
    for (url_host, in_server_name) in [("sl.school.org", true), ("school.org", false)] {
        let variables = [("URL_HOST", url_host), ("PLAYBACK_HOST", "play.school.org")];
        let text = scalelite(&variables).unwrap();
        assert_eq!(
            text.contains(&format!("server_name .{url_host} play.school.org;")),
            in_server_name,
            "{text}"
        );
        let site = Site::of(&text, &[port], &[edit]);
        let player = site.nginx.directory().join("playback/presentation/2.3");
        std::fs::create_dir_all(&player).unwrap();
        std::fs::write(player.join("index.html"), "the player").unwrap();
        for target in [
            format!("/playback/presentation/2.3/{open}?t=1"),
            format!("/video/{open}/"),
            format!("/recording/{open}/video"),
        ] {
            let reply = site.fetch("GET", &target, &[("host", url_host)]);
            let to = format!("http://play.school.org{target}");
            assert_eq!((reply.status, reply.header("location")), (307, Some(to.as_str())), "{reply:?}");
        }
        let own = [("host", "play.school.org")];
        let page = format!("/playback/presentation/2.3/{open}");
        assert_eq!(site.fetch("GET", &page, &own).body, "the player");
        assert_eq!(site.fetch("GET", &format!("/video/{open}/"), &own).status, 200);
        let old = format!("/playback/presentation/2.0/playback.html?meetingId={open}");
        assert_eq!(site.fetch("GET", &old, &own).header("location"), Some(page.as_str()));
    }
    assert!(scalelite(&[("PLAYBACK_HOST", "a b")]).unwrap_err().contains("PLAYBACK_HOST"));
}
