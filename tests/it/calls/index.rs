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
