//! The index: the call without a name.

use crate::assert_response;
use crate::support::Pool;

#[test]
fn index_returns_version_without_checksum() {
    let pool = Pool::with(0, 1, &[]);
    let reply = pool.fetch("GET", "/bigbluebutton/api", &[], b"");
    for (method, target) in [
        ("GET", "/bigbluebutton/api/"),
        ("POST", "/bigbluebutton/api"),
        ("POST", "/bigbluebutton/api/"),
        ("GET", "/bigbluebutton/api?checksum=x&a=1"),
        ("GET", "/bigbluebutton"),
        ("GET", "/bigbluebutton/"),
    ] {
        assert_eq!(pool.fetch(method, target, &[], b"").body, reply.body, "{method} {target}");
    }
    assert_response!(
        reply,
        xml @"<response><returncode>SUCCESS</returncode><version>2.0</version><apiVersion>2.0</apiVersion>\
              </response>"
    );
}

#[test]
fn index_returns_build_number_if_set() {
    let pool = Pool::with(0, 1, &[("BUILD_NUMBER", "1.2 <beta> & more")]);
    assert_response!(
        pool.fetch("GET", "/bigbluebutton/api/", &[], b""),
        xml @"<response><returncode>SUCCESS</returncode><version>2.0</version><apiVersion>2.0</apiVersion>\
              <build>1.2 &lt;beta&gt; &amp; more</build></response>"
    );
}

#[test]
fn index_reports_the_version_that_all_online_servers_have() {
    let mut pool = Pool::empty(3, &[]);
    for (n, version) in [(1, "3.0.10"), (2, "3.0.9"), (3, "2.7.1")] {
        pool.server(n).set_version(version.parse().unwrap());
        pool.add(n, &[]);
        pool.enable(n);
    }
    pool.redis.cli(&["HSET", "scalelite:server:bbb3", "online", "false"]);
    pool.serve(&["--no-poller"]);
    assert_response!(
        pool.fetch("GET", "/bigbluebutton/api", &[], b""),
        xml @"<response><returncode>SUCCESS</returncode><version>2.0</version><apiVersion>2.0</apiVersion>\
              <bbbVersion>3.0.9</bbbVersion></response>"
    );
    // One that hides it.
    pool.redis.cli(&["HSET", "scalelite:server:bbb1", "bbb_version", ""]);
    let port = pool.serve(&["--no-poller"]);
    let url = format!("http://{}/bigbluebutton/api", pool.address(port));
    assert_eq!(crate::support::client::fetch("GET", &url, &[], b"").xml("bbbVersion"), None);
}

#[test]
fn index_is_json_if_the_request_is() {
    let pool = Pool::with(1, 1, &[("BUILD_NUMBER", "7")]);
    let expected = serde_json::json!({ "response": {
        "returncode": "SUCCESS", "version": "2.0", "apiVersion": "2.0", "bbbVersion": "3.0.9", "build": "7",
    } });
    for (method, target, content_type) in [
        ("GET", "/bigbluebutton/api", "application/json"),
        ("GET", "/bigbluebutton/", "Application/JSON; charset=utf-8"),
        ("POST", "/bigbluebutton/api/", "application/json"),
    ] {
        let reply = pool.fetch(method, target, &[("content-type", content_type)], b"");
        assert_eq!(reply.header("content-type"), Some("application/json; charset=utf-8"), "{method}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&reply.body).unwrap(), expected, "{method}");
    }
    // BBB does not look at Accept.
    let reply = pool.fetch("GET", "/bigbluebutton/api", &[("accept", "application/json")], b"");
    assert_eq!(reply.xml("bbbVersion"), Some("3.0.9"));
}
