//! Forged, altered and expired cookies.

use super::{PlaybackFixture, assert_not_found};
use crate::support::pool::SECRET_KEY_BASE;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

fn hs256(key: &str, text: &str) -> Vec<u8> {
    Hmac::<sha2::Sha256>::new_from_slice(key.as_bytes())
        .unwrap()
        .chain_update(text)
        .finalize()
        .into_bytes()
        .to_vec()
}

fn hs512(key: &str, text: &str) -> Vec<u8> {
    Hmac::<sha2::Sha512>::new_from_slice(key.as_bytes())
        .unwrap()
        .chain_update(text)
        .finalize()
        .into_bytes()
        .to_vec()
}

/// A token built by hand.
fn token(header: Value, claims: Value, sign: impl Fn(&str) -> Vec<u8>) -> String {
    let signed = format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()));
    format!("{signed}.{}", BASE64.encode(sign(&signed)))
}

fn seconds_from_now(seconds: i64) -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64 + seconds
}

#[test]
fn only_valid_cookies_of_recording_and_format_are_accepted() {
    let fixture = PlaybackFixture::start();
    let id = &fixture.protected;
    let page = format!("/video/{id}/video-0.m4v");
    let is_accepted = |cookie: &str| {
        let reply = fixture.get_with(&page, &[("cookie", cookie)]);
        match reply.status {
            200 => true,
            _ => {
                assert_not_found(&reply);
                false
            }
        }
    };
    let cookie_with = |token: &str| format!("recording_video_{id}={token}");
    let header = || json!({ "alg": "HS256" });
    let claims = || json!({ "sub": format!("/video/{id}"), "exp": seconds_from_now(600) });
    let with_secret = |text: &str| hs256(SECRET_KEY_BASE, text);
    let valid = token(header(), claims(), with_secret);
    assert!(is_accepted(&cookie_with(&valid)), "a valid cookie made by hand, as Scalelite makes them");
    assert!(is_accepted(&format!("other=1; {}; more=2", cookie_with(&valid))));

    for exp in [json!(seconds_from_now(600).to_string()), json!(seconds_from_now(600) as f64 + 0.5)] {
        let cookie = token(header(), json!({ "sub": format!("/video/{id}"), "exp": exp }), with_secret);
        assert!(is_accepted(&cookie_with(&cookie)), "Scalelite's own: a string; or a float: {exp}");
    }

    let (real, presentation) = (fixture.cookie("video"), fixture.cookie("presentation"));
    assert!(is_accepted(&real));
    let value = |cookie: &str| cookie.split_once('=').unwrap().1.to_owned();
    let flipped = {
        let mut bytes = value(&real).into_bytes();
        let at = bytes.len() - 10;
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).unwrap()
    };
    for (what, cookie) in [
        ("none", String::new()),
        ("another format's", presentation.clone()),
        ("another format's under this name", cookie_with(&value(&presentation))),
        ("changed", cookie_with(&flipped)),
        ("its signature cut off", cookie_with(valid.rsplit_once('.').unwrap().0)),
        ("another key's", cookie_with(&token(header(), claims(), |text| hs256("another key", text)))),
        ("no key's", cookie_with(&token(header(), claims(), |text| hs256("", text)))),
        ("alg none", cookie_with(&token(json!({ "alg": "none" }), claims(), |_| Vec::new()))),
        ("alg none, signed", cookie_with(&token(json!({ "alg": "none" }), claims(), with_secret))),
        (
            "alg HS512",
            cookie_with(&token(json!({ "alg": "HS512" }), claims(), |text| hs512(SECRET_KEY_BASE, text))),
        ),
        (
            "over",
            cookie_with(&token(
                header(),
                json!({ "sub": format!("/video/{id}"), "exp": seconds_from_now(-1) }),
                with_secret,
            )),
        ),
        (
            "over, as a string",
            cookie_with(&token(
                header(),
                json!({ "sub": format!("/video/{id}"), "exp": seconds_from_now(-1).to_string() }),
                with_secret,
            )),
        ),
        (
            "without an end",
            cookie_with(&token(header(), json!({ "sub": format!("/video/{id}") }), with_secret)),
        ),
        (
            "of another recording",
            cookie_with(&token(
                header(),
                json!({ "sub": format!("/video/{}", fixture.open), "exp": seconds_from_now(600) }),
                with_secret,
            )),
        ),
        (
            "of all recordings",
            cookie_with(&token(
                header(),
                json!({ "sub": "/video", "exp": seconds_from_now(600) }),
                with_secret,
            )),
        ),
        ("of nobody", cookie_with(&token(header(), json!({ "exp": seconds_from_now(600) }), with_secret))),
        ("another name", format!("recording_video_{}={valid}", fixture.open)),
        ("nonsense", cookie_with("a.b.c")),
        ("a token for links", cookie_with(fixture.link("video").split_once("token=").unwrap().1)),
    ] {
        assert!(!is_accepted(&cookie), "{what}");
    }
}

#[test]
fn cookie_expires_after_protected_recordings_timeout() {
    let fixture = PlaybackFixture::with(1, &[("PROTECTED_RECORDINGS_TIMEOUT", "7")]);
    let before = seconds_from_now(7 * 60);
    let cookie = fixture.cookie("video");
    let claims = cookie.split('.').nth(1).unwrap();
    let claims: Value = serde_json::from_slice(&BASE64.decode(claims).unwrap()).unwrap();
    assert_eq!(claims["sub"], format!("/video/{}", fixture.protected));
    let end = claims["exp"].as_i64().unwrap();
    assert!((before..=seconds_from_now(7 * 60)).contains(&end), "{end}");
}

#[test]
fn cookie_is_rejected_by_replica_with_other_secret() {
    let mut fixture = PlaybackFixture::start();
    let cookie = fixture.cookie("video");
    fixture.env.pool.set("SECRET_KEY_BASE", "another-secret-of-the-cookies-of-the-tests");
    let other = fixture.env.pool.serve(&["--no-poller"]);
    let url = format!("http://{}/video/{}/", fixture.pool().address(other), fixture.protected);
    assert_not_found(&crate::support::client::fetch("GET", &url, &[("cookie", &cookie)], b""));
}

#[test]
fn protected_recordings_without_secret_key_base_prevent_start() {
    let mut pool = crate::support::Pool::empty(1, &[("PROTECTED_RECORDINGS_ENABLED", "true")]);
    pool.set("SECRET_KEY_BASE", "");
    let line = pool.sl_fails(&["serve"]);
    assert!(line.starts_with("sl: SECRET_KEY_BASE must be set if PROTECTED_RECORDINGS_ENABLED"), "{line}");
}
