//! The config variants: each serves what it should and nothing else.

use super::fake_replica::Reaction;
use super::site::HOST;
use super::{FakeReplica, Site, scalelite};
use crate::support::client::{connect, fetch, send_raw};
use crate::support::{Pool, ROOT, free_port};
use std::io::{Read, Write};

const VARIANTS: [&str; 4] = ["plain", "tls", "behind-proxy", "recordings-only"];

/// A site whose replica permits this file for every request.
fn site_with_file(nginx: impl FnOnce(&FakeReplica) -> Site) -> Site {
    let fake = FakeReplica::start(|_| {
        Reaction::Raw(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 0\r\nX-Accel-Redirect: \
             /static-resource/notes/id-1/notes.txt\r\nContent-Disposition: attachment\r\n\r\n"
                .to_owned(),
        )
    });
    let site = nginx(&fake);
    let directory = site.nginx.directory().join("published/notes/id-1");
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("notes.txt"), "what was said").unwrap();
    site
}

/// Status and body, over the variant's own protocol.
fn get(site: &Site, target: &str) -> (u16, String) {
    let scheme = if site.authority.is_some() { "https" } else { "http" };
    let output = site.curl(&format!("{scheme}://{HOST}:{}{target}", site.nginx.port), &[]);
    let (head, body) = output.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{target}: {output:?}"));
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[test]
fn all_configs_except_recordings_only_serve_meetings() {
    let pool = Pool::start(1);
    for variant in VARIANTS {
        let site = Site::start(variant, &[pool.replicas[0].port]);
        let (status, body) =
            get(&site, &pool.target("create", &format!("meetingID={variant}&name=M&moderatorPW=p")));
        let index = get(&site, "/bigbluebutton/api");
        if variant == "recordings-only" {
            assert_eq!((status, index.0), (404, 404));
            assert_eq!(get(&site, &pool.target("getMeetings", "")).0, 404);
            assert_eq!(get(&site, "/whatever").0, 404);
            assert_eq!(pool.holder(variant), None);
        } else {
            assert!(status == 200 && body.contains("SUCCESS"), "{variant}: {status} {body}");
            assert!(index.0 == 200 && index.1.contains("<version>2.0</version>"), "{variant}: {index:?}");
            assert!(get(&site, "/whatever").1.contains("unsupportedRequest"));
            assert_eq!(pool.holder(variant), Some(1));
        }
        assert_eq!(get(&site, "/health_check"), (200, "success".to_owned()), "{variant}");
    }
}

#[test]
fn operator_paths_are_closed() {
    let fake = FakeReplica::start(|_| Reaction::Respond("open"));
    for variant in VARIANTS {
        let site = Site::start(variant, &[fake.port]);
        for target in ["/sl/", "/sl", "/sl/api/v1/servers", "/scalelite/api/getServers", "//sl//x", "/%73l/x"]
        {
            let status = get(&site, target).0;
            assert_eq!(status, if variant == "recordings-only" { 404 } else { 403 }, "{variant} {target}");
        }
        for target in ["/metrics", "/metrics/", "/static-resource/notes/id-1/notes.txt"] {
            assert_eq!(get(&site, target).0, 404, "{variant} {target}");
        }
    }
    assert_eq!(fake.received().len(), 0);
    // An operator can open them.
    let edit = ("sl/api.conf", "# allow 10.0.0.0/8;", "allow 127.0.0.1;");
    let site = Site::edited("plain", &[fake.port], &[edit]);
    assert_eq!(get(&site, "/sl/api/v1/servers"), (200, "open".to_owned()));
}

#[test]
fn recordings_are_served_from_disk_on_x_accel_redirect() {
    for variant in VARIANTS {
        let site = site_with_file(|fake| Site::start(variant, &[fake.port]));
        for target in ["/notes/id-1/notes.txt", "/presentation/id-1/x", "/recording/id-1/notes?token=secret"]
        {
            assert_eq!(get(&site, target), (200, "what was said".to_owned()), "{variant} {target}");
        }
        assert_eq!(get(&site, "/static-resource/notes/id-1/notes.txt").0, 404, "{variant}: only through sl");
    }
}

#[test]
fn plain_http_redirects_to_tls_except_acme_challenges() {
    let pool = Pool::start(1);
    let site = Site::start("tls", &[pool.replicas[0].port]);
    let plain = format!("http://127.0.0.1:{}", site.plain_port);
    let reply = fetch("GET", &format!("{plain}/bigbluebutton/api/x?a=1&b=%20"), &[("host", HOST)], b"");
    let location = format!("https://{HOST}/bigbluebutton/api/x?a=1&b=%20");
    assert_eq!((reply.status, reply.header("location")), (301, Some(location.as_str())));
    let challenge = site.nginx.directory().join("acme/.well-known/acme-challenge");
    std::fs::create_dir_all(&challenge).unwrap();
    std::fs::write(challenge.join("abc"), "proof").unwrap();
    let reply = fetch("GET", &format!("{plain}/.well-known/acme-challenge/abc"), &[("host", HOST)], b"");
    assert_eq!((reply.status, reply.body.as_str()), (200, "proof"));
}

#[test]
fn nginx_limits_match_request_limits_of_sl() {
    let pool = Pool::start(1);
    let site = Site::start("plain", &[pool.replicas[0].port]);
    let address = format!("127.0.0.1:{}", site.nginx.port);
    assert!(site.get(&pool.target("create", "meetingID=m1&name=M&moderatorPW=p")).body.contains("SUCCESS"));
    // A request line of nearly 64 KB, which returns as a Location header.
    let name = "n".repeat(64_000);
    let target = pool.target("join", &format!("meetingID=m1&fullName={name}&password=p"));
    let request = format!("GET {target} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
    let second = Site::start("plain", &[free_port(), pool.replicas[0].port]);
    for port in [site.nginx.port, second.nginx.port] {
        let output = send_raw(&format!("127.0.0.1:{port}"), request.as_bytes());
        assert!(output.starts_with("HTTP/1.1 302 "), "{}", &output[..output.len().min(300)]);
        assert!(output.contains(&name));
    }
    // A body of many megabytes passes; one above the limit does not.
    let url = site.url(&pool.target("insertDocument", "meetingID=m1"));
    let slides = format!("<modules><!--{}--></modules>", " ".repeat(20_000_000));
    fetch("POST", &url, &[("content-type", "text/xml")], slides.as_bytes()).success();
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: text/xml\r\nContent-Length: 40000000\r\n\r\n",
        pool.target("insertDocument", "meetingID=m1")
    );
    let mut stream = connect(&address);
    stream.write_all(head.as_bytes()).unwrap();
    let mut status = [0; 13];
    stream.read_exact(&mut status).unwrap();
    assert_eq!(String::from_utf8_lossy(&status), "HTTP/1.1 413 ");
}

#[test]
fn lists_are_compressed_on_request() {
    let pool = Pool::start(1);
    let site = Site::start("plain", &[pool.replicas[0].port]);
    for n in 0..20 {
        site.get(&pool.target("create", &format!("meetingID=m{n}&name=M"))).success();
    }
    let url = site.url(&pool.target("getMeetings", ""));
    let plain = site.curl(&url, &[]);
    assert_eq!(plain.matches("<meetingID>").count(), 20, "{plain}");
    assert!(!plain.to_lowercase().contains("content-encoding"));
    let compressed = site.curl(&url, &["--compressed"]);
    assert!(compressed.to_lowercase().contains("content-encoding: gzip"), "{compressed}");
    let body = |output: &str| output.split_once("\r\n\r\n").unwrap().1.to_owned();
    assert_eq!(body(&compressed), body(&plain));
}

#[test]
fn other_hosts_are_refused() {
    let replica = FakeReplica::start(|_| Reaction::Respond("here"));
    for variant in ["plain", "tls", "recordings-only"] {
        let site = Site::start(variant, &[replica.port]);
        let scheme = if site.authority.is_some() { "https" } else { "http" };
        let status = |path: &str, host: &str| {
            let host = format!("Host: {host}");
            let url = format!("{scheme}://127.0.0.1:{}{path}", site.nginx.port);
            let output = site.curl(&url, &["-k", "-H", &host]);
            output.split(' ').nth(1).map(str::to_owned).unwrap_or(output)
        };
        let before = replica.received().len();
        for host in ["evil.example.net", "evilsl.example.org", "sl.example.org.evil.net", "10.0.0.1"] {
            for path in [
                "/bigbluebutton/api/getRecordings?checksum=x",
                "/presentation/r/x",
                "/recording/r/video",
                "/",
            ] {
                assert_eq!(status(path, host), "403", "{variant} {host} {path}");
            }
        }
        assert_eq!(replica.received().len(), before);
        assert_eq!(status("/health_check", "10.0.0.1"), "200", "{variant}");
        assert_eq!(status("/presentation/r/x", &format!("math.{HOST}")), "200", "{variant}");
        if variant == "tls" {
            let plain = format!("http://127.0.0.1:{}/x", site.plain_port);
            assert_eq!(fetch("GET", &plain, &[("host", "evil.example.net")], b"").status, 403);
        }
    }
}

#[test]
fn scalelite_variables_choose_config() {
    let file = |variant: &str| std::fs::read_to_string(format!("{ROOT}/nginx/{variant}.conf")).unwrap();
    assert_eq!(scalelite(&[]).unwrap(), file("plain"));
    assert_eq!(scalelite(&[("NGINX_SSL", "true"), ("NGINX_BEHIND_PROXY", "false")]).unwrap(), file("tls"));
    assert_eq!(scalelite(&[("NGINX_BEHIND_PROXY", "true")]).unwrap(), file("behind-proxy"));
    assert_eq!(scalelite(&[("NGINX_RECORDINGS_ONLY", "true")]).unwrap(), file("recordings-only"));
    let named = scalelite(&[("NGINX_SSL", "true"), ("URL_HOST", "bbb.school.org")]).unwrap();
    assert_eq!(named, file("tls").replace(HOST, "bbb.school.org"));
    for (name, value) in [("NGINX_SSL", "yes"), ("URL_HOST", "a/b"), ("URL_HOST", "a;b")] {
        let refused = scalelite(&[(name, value)]).unwrap_err();
        assert!(refused.contains(name) && refused.lines().count() == 1, "{refused}");
    }
}

#[test]
fn every_combination_of_scalelite_variables_works() {
    let fake = FakeReplica::start(|_| Reaction::Respond("here"));
    let outer = [("x-forwarded-for", "203.0.113.7"), ("x-forwarded-proto", "https")];
    for n in 0..8 {
        let on = |bit: usize| if n & bit == 0 { "false" } else { "true" };
        let (ssl, proxy, recordings) = (on(1), on(2), on(4));
        let variables =
            [("NGINX_SSL", ssl), ("NGINX_BEHIND_PROXY", proxy), ("NGINX_RECORDINGS_ONLY", recordings)];
        let site = Site::of(&scalelite(&variables).unwrap(), &[fake.port], &[]);
        assert_eq!(site.authority.is_some(), ssl == "true");
        let status = if recordings == "true" { 404 } else { 200 };
        assert_eq!(get(&site, "/bigbluebutton/api/create").0, status, "{variables:?}");
        assert_eq!(get(&site, "/health_check").0, 200, "{variables:?}");
        if ssl == "false" {
            site.fetch("GET", "/health_check", &outer);
            let expected = if proxy == "true" { "203.0.113.7" } else { "127.0.0.1" };
            assert_eq!(fake.header("x-forwarded-for").as_deref(), Some(expected), "{variables:?}");
        }
    }
}
