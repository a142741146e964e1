//! create: the request that the meeting's server receives.

use crate::support::{Pool, parameter, parameters, sign};
use sl_sim::RecordedRequest;

fn create_and_get_forwarded(pool: &Pool, query: &str) -> RecordedRequest {
    pool.get("create", query).success();
    pool.server(1).last_request("create").unwrap()
}

#[test]
fn voice_bridge_of_client_is_replaced() {
    let pool = Pool::start(1);
    for query in ["meetingID=m1&voiceBridge=70123", "meetingID=m1&voiceBridge=", "meetingID=m1"] {
        let request = create_and_get_forwarded(&pool, query);
        assert_eq!(parameter(&request, "voiceBridge").as_deref(), Some("979198380"), "{query}");
    }
    assert_eq!(pool.redis.cli(&["HGETALL", "scalelite:voice_bridges"]), "979198380\nm1");
}

#[test]
fn voice_bridge_of_client_is_used_if_enabled_and_free() {
    let pool = Pool::with(1, 1, &[("USE_EXTERNAL_VOICE_BRIDGE", "true")]);
    for (query, number) in [
        ("meetingID=m1&voiceBridge=70123", "70123"),
        ("meetingID=m1&voiceBridge=70999", "70123"),
        ("meetingID=m2&voiceBridge=&name=none-given", "any"),
        ("meetingID=m3&voiceBridge=7a", "any"),
        ("meetingID=m4&voiceBridge=70123", "any"),
    ] {
        let sent = parameter(&create_and_get_forwarded(&pool, query), "voiceBridge").unwrap();
        match number {
            "any" => assert!(sent.len() == 9 && sent != "70123", "{query}: {sent}"),
            number => assert_eq!(sent, number, "{query}"),
        }
    }
}

#[test]
fn moderator_password_is_generated_once_for_new_meeting() {
    let pool = Pool::start(1);
    let generated = parameter(&create_and_get_forwarded(&pool, "meetingID=m1"), "moderatorPW").unwrap();
    assert!(generated.len() == 8 && generated.bytes().all(|b| b.is_ascii_alphanumeric()), "{generated}");
    assert_eq!(pool.redis.cli(&["HGET", "scalelite:meeting:m1", "moderator_pw"]), generated);
    assert_eq!(parameter(&create_and_get_forwarded(&pool, "meetingID=m1"), "moderatorPW"), None);
    let another =
        parameter(&create_and_get_forwarded(&pool, "meetingID=m2&moderatorPW="), "moderatorPW").unwrap();
    assert!(another.len() == 8 && another != generated, "{another}");
    let given = create_and_get_forwarded(&pool, "meetingID=m3&moderatorPW=s+e%26c");
    assert_eq!(parameter(&given, "moderatorPW").as_deref(), Some("s e&c"));
    assert_eq!(pool.redis.cli(&["HGET", "scalelite:meeting:m3", "moderator_pw"]), "s e&c");
}

#[test]
fn duration_is_capped_at_max_meeting_duration() {
    let pool = Pool::with(1, 1, &[("MAX_MEETING_DURATION", "60")]);
    for (n, (given, sent)) in [
        ("", "60"),
        ("&duration=0", "60"),
        ("&duration=", "60"),
        ("&duration", "60"),
        ("&duration=61", "60"),
        ("&duration=99999999999999999999", "60"),
        ("&duration=-5", "60"),
        ("&duration=x", "60"),
        ("&duration=60", "60"),
        ("&duration=59", "59"),
    ]
    .into_iter()
    .enumerate()
    {
        let request = create_and_get_forwarded(&pool, &format!("meetingID=d{n}{given}"));
        assert_eq!(parameter(&request, "duration").as_deref(), Some(sent), "{given}");
    }
}

#[test]
fn duration_is_forwarded_unchanged_without_cap() {
    let pool = Pool::start(1);
    assert_eq!(
        parameter(&create_and_get_forwarded(&pool, "meetingID=m1&duration=500"), "duration").as_deref(),
        Some("500")
    );
    assert_eq!(parameter(&create_and_get_forwarded(&pool, "meetingID=m2"), "duration"), None);
}

#[test]
fn forwarded_server_tag_is_that_of_the_server() {
    let mut pool = Pool::empty(1, &[]);
    pool.add(1, &["--tag", "gpu"]);
    pool.enable(1);
    pool.serve(&["--no-poller"]);
    let request = create_and_get_forwarded(&pool, "meetingID=m1&meta_server-tag=big%3Bgpu!");
    assert_eq!(parameter(&request, "meta_server-tag").as_deref(), Some("gpu"));
}

#[test]
fn untagged_server_receives_no_server_tag() {
    let pool = Pool::start(1);
    let request = create_and_get_forwarded(&pool, "meetingID=m1&meta_server-tag=gpu&meta_other=1");
    assert_eq!(parameter(&request, "meta_server-tag"), None);
    assert_eq!(parameter(&request, "meta_other").as_deref(), Some("1"));
}

#[test]
fn request_wins_over_defaults_but_not_over_overrides_and_exclusions() {
    let pool = Pool::with(
        1,
        1,
        &[
            ("DEFAULT_CREATE_PARAMS", r"record=true,welcome=Hi\, all=1,logo=d"),
            ("OVERRIDE_CREATE_PARAMS", "muteOnStart=true,logo=o,copyright=c"),
            ("CREATE_EXCLUDE_PARAMS", "logo, bannerText"),
        ],
    );
    let request =
        create_and_get_forwarded(&pool, "meetingID=m1&record=false&muteOnStart=false&bannerText=x&logo=r");
    let value = |name| parameter(&request, name);
    assert_eq!(value("record").as_deref(), Some("false"));
    assert_eq!(value("welcome").as_deref(), Some("Hi, all=1"));
    assert_eq!(value("muteOnStart").as_deref(), Some("true"));
    assert_eq!(value("copyright").as_deref(), Some("c"));
    assert_eq!((value("logo"), value("bannerText")), (None, None));
}

#[test]
fn default_server_tag_of_operator_selects_server() {
    let mut pool = Pool::empty(2, &[("DEFAULT_CREATE_PARAMS", "meta_server-tag=gpu")]);
    pool.add(1, &["--tag", "gpu"]);
    pool.add(2, &[]);
    (1..=2).for_each(|n| pool.enable(n));
    pool.serve(&["--no-poller"]);
    pool.get("create", "meetingID=m1").success();
    pool.get("create", "meetingID=m2&meta_server-tag=").success();
    assert_eq!((pool.holder("m1"), pool.holder("m2")), (Some(1), Some(2)));
}

#[test]
fn unknown_parameters_brackets_and_bare_names_are_forwarded() {
    let pool = Pool::start(1);
    let request = create_and_get_forwarded(
        &pool,
        "meetingID=m1&bare&empty=&a%5Bb%5D=1&a[]=2&userdata-bbb_x=%26&meta_x=%C3%A9%F0%9F%98%80&pluginManifests=%5B%7B%7D%5D",
    );
    let pairs: Vec<_> = request.query().split('&').collect();
    assert!(pairs.contains(&"bare") && pairs.contains(&"empty="), "{pairs:?}");
    let sent = parameters(&request);
    for (name, value) in
        [("a[b]", "1"), ("a[]", "2"), ("userdata-bbb_x", "&"), ("meta_x", "é😀"), ("pluginManifests", "[{}]")]
    {
        assert!(sent.contains(&(name.into(), value.into())), "{name}: {sent:?}");
    }
}

#[test]
fn last_value_of_duplicate_parameter_wins() {
    let pool = Pool::start(1);
    let request = create_and_get_forwarded(&pool, "meetingID=other&name=1&name=2&meetingID=m1");
    assert_eq!(parameter(&request, "name").as_deref(), Some("2"));
    assert_eq!(parameter(&request, "meetingID").as_deref(), Some("m1"));
    assert!(pool.server(1).meeting("m1").is_some());
}

#[test]
fn forwarded_create_is_signed_with_strongest_configured_algorithm() {
    for (setting, digits) in [("", 64), ("SHA1", 40), ("SHA1:SHA512", 128), ("SHA384,SHA1", 96)] {
        let pool = Pool::with(1, 1, &[("LOADBALANCER_CHECKSUM_ALGORITHM", setting)]);
        let request = create_and_get_forwarded(&pool, "meetingID=m1");
        let sum = request.query().rsplit_once("checksum=").unwrap().1;
        assert_eq!(sum.len(), digits, "{setting}: {sum}");
        assert_eq!(request.query().matches("checksum=").count(), 1);
    }
}

#[test]
fn query_over_2_kb_is_forwarded_as_form() {
    let pool = Pool::start(1);
    let welcome = "wé".repeat(2000);
    let encoded = "w%C3%A9".repeat(2000);
    let request = create_and_get_forwarded(&pool, &format!("meetingID=m1&welcome={encoded}"));
    assert_eq!(request.method, "POST");
    assert_eq!(request.header("content-type"), Some("application/x-www-form-urlencoded"));
    let sum = sign("sha256", "create", "", pool.server(1).secret());
    assert_eq!(request.query(), format!("checksum={sum}"));
    assert_eq!(parameter(&request, "welcome").as_deref(), Some(welcome.as_str()));
    assert_eq!(parameter(&request, "voiceBridge").as_deref(), Some("979198380"));
}

#[test]
fn request_line_of_64_kb_is_accepted() {
    let pool = Pool::start(1);
    let around = pool.target("create", "meetingID=m1&welcome=").len() + "GET  HTTP/1.1\r\n".len();
    let welcome = "w".repeat(64 * 1024 - around);
    let target = pool.target("create", &format!("meetingID=m1&welcome={welcome}"));
    assert_eq!(format!("GET {target} HTTP/1.1\r\n").len(), 64 * 1024);
    let response = pool.raw_get(&target);
    assert!(
        response.contains("<returncode>SUCCESS</returncode>"),
        "{}",
        &response[..response.len().min(500)]
    );
    let request = pool.server(1).last_request("create").unwrap();
    assert_eq!(parameter(&request, "welcome").as_deref(), Some(welcome.as_str()));
}

#[test]
fn long_parameters_stay_in_query_when_body_holds_slides() {
    let pool = Pool::start(1);
    let welcome = "w".repeat(6000);
    pool.post("create", &format!("meetingID=m1&welcome={welcome}"), "text/xml", b"<modules/>").success();
    let request = pool.server(1).last_request("create").unwrap();
    assert_eq!((request.method.as_str(), request.body.as_str()), ("POST", "<modules/>"));
    assert_eq!(parameter(&request, "welcome").as_deref(), Some(welcome.as_str()));
}
