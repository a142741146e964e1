//! Cookies that somebody else has made.

use super::{Stage, not_found};
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

/// A token put together by hand.
fn token(header: Value, claims: Value, sign: impl Fn(&str) -> Vec<u8>) -> String {
    let signed = format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()));
    format!("{signed}.{}", BASE64.encode(sign(&signed)))
}

fn in_seconds(seconds: i64) -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64 + seconds
}

#[test]
fn only_one_of_ours_that_is_of_this_recording_and_format_is_taken() {
    let stage = Stage::start();
    let id = &stage.protected;
    let page = format!("/video/{id}/video-0.m4v");
    let sees = |cookie: &str| {
        let reply = stage.get_with(&page, &[("cookie", cookie)]);
        match reply.status {
            200 => true,
            _ => {
                not_found(&reply);
                false
            }
        }
    };
    let named = |token: &str| format!("recording_video_{id}={token}");
    let header = || json!({ "alg": "HS256" });
    let claims = || json!({ "sub": format!("/video/{id}"), "exp": in_seconds(600) });
    let ours = |text: &str| hs256(SECRET_KEY_BASE, text);
    let good = token(header(), claims(), ours);
    assert!(sees(&named(&good)), "made by hand as it should be: Scalelite's are so");
    assert!(sees(&format!("other=1; {}; more=2", named(&good))));

    let (real, presentation) = (stage.cookie("video"), stage.cookie("presentation"));
    assert!(sees(&real));
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
        ("another format's under this name", named(&value(&presentation))),
        ("changed", named(&flipped)),
        ("its signature cut off", named(good.rsplit_once('.').unwrap().0)),
        ("another key's", named(&token(header(), claims(), |text| hs256("another key", text)))),
        ("no key's", named(&token(header(), claims(), |text| hs256("", text)))),
        ("alg none", named(&token(json!({ "alg": "none" }), claims(), |_| Vec::new()))),
        ("alg none, signed", named(&token(json!({ "alg": "none" }), claims(), ours))),
        (
            "alg HS512",
            named(&token(json!({ "alg": "HS512" }), claims(), |text| hs512(SECRET_KEY_BASE, text))),
        ),
        (
            "over",
            named(&token(header(), json!({ "sub": format!("/video/{id}"), "exp": in_seconds(-1) }), ours)),
        ),
        ("without an end", named(&token(header(), json!({ "sub": format!("/video/{id}") }), ours))),
        (
            "of another recording",
            named(&token(
                header(),
                json!({ "sub": format!("/video/{}", stage.open), "exp": in_seconds(600) }),
                ours,
            )),
        ),
        (
            "of all recordings",
            named(&token(header(), json!({ "sub": "/video", "exp": in_seconds(600) }), ours)),
        ),
        ("of nobody", named(&token(header(), json!({ "exp": in_seconds(600) }), ours))),
        ("another name", format!("recording_video_{}={good}", stage.open)),
        ("nonsense", named("a.b.c")),
        ("a token for links", named(stage.link("video").split_once("token=").unwrap().1)),
    ] {
        assert!(!sees(&cookie), "{what}");
    }
}

#[test]
fn it_lasts_as_long_as_it_is_set_to() {
    let stage = Stage::with(1, &[("PROTECTED_RECORDINGS_TIMEOUT", "7")]);
    let before = in_seconds(7 * 60);
    let cookie = stage.cookie("video");
    let claims = cookie.split('.').nth(1).unwrap();
    let claims: Value = serde_json::from_slice(&BASE64.decode(claims).unwrap()).unwrap();
    assert_eq!(claims["sub"], format!("/video/{}", stage.protected));
    let end = claims["exp"].as_i64().unwrap();
    assert!((before..=in_seconds(7 * 60)).contains(&end), "{end}");
}

#[test]
fn replicas_with_another_secret_do_not_take_it() {
    let mut stage = Stage::start();
    let cookie = stage.cookie("video");
    stage.library.pool.set("SECRET_KEY_BASE", "another");
    let other = stage.library.pool.serve(&["--no-poller"]);
    let url = format!("http://{}/video/{}/", stage.pool().address(other), stage.protected);
    not_found(&crate::support::client::fetch("GET", &url, &[("cookie", &cookie)], b""));
}

#[test]
fn protection_without_a_secret_does_not_start() {
    let mut pool = crate::support::Pool::empty(1, &[("PROTECTED_RECORDINGS_ENABLED", "true")]);
    pool.set("SECRET_KEY_BASE", "");
    let line = pool.sl_fails(&["serve"]);
    assert!(line.starts_with("sl: SECRET_KEY_BASE must be set with PROTECTED_RECORDINGS_ENABLED"), "{line}");
}
