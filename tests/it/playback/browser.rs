//! In a real browser: links are followed, cookies kept, films played.

use super::Stage;
use crate::nginx::Site;
use crate::support::chromium::{Chromium, Tab};
use serde_json::json;
use sl_sim::RecordingFormat;

/// Too much to be fetched all at once: who seeks asks for a part.
const FILM: u64 = 30_000_000;

fn stage(variables: &[(&str, &str)]) -> Stage {
    Stage::of(1, variables, &[RecordingFormat::Presentation, RecordingFormat::Video], FILM)
}

const GONE: &str = "document.title === 'Recording Not Found'";

/// A film of ten seconds that the page shows: it has a picture, seeks forward and back, and plays on.
fn plays(chromium: &mut Chromium, tab: &Tab) {
    chromium.until(tab, "document.querySelector('video')?.readyState >= 1");
    chromium.eval(tab, "window.film = document.querySelector('video'); film.muted = true; null");
    for so in ["film.duration === 10", "film.videoWidth > 0", "film.seekable.end(0) === 10"] {
        assert_eq!(chromium.eval(tab, so), json!(true), "{so}");
    }
    for to in [7.5, 2.5] {
        chromium.eval(
            tab,
            &format!(
                "new Promise(done => {{ film.onseeked = done; film.currentTime = {to}; }}).then(() => null)"
            ),
        );
        assert_eq!(chromium.eval(tab, "film.currentTime"), json!(to));
    }
    // All that came of the film came in answer to ranges.
    let came = "performance.getEntriesByName(film.currentSrc).filter(entry => entry.initiatorType === 'video')\
                .map(entry => entry.responseStatus)";
    chromium.until(tab, &format!("{came}.includes(206)"));
    assert_eq!(chromium.eval(tab, &format!("{came}.includes(200)")), json!(false));
    chromium.eval(tab, "film.play().then(() => null)");
    chromium.until(tab, "film.currentTime > 2.7");
    chromium.eval(tab, "film.pause(); null");
    assert_eq!(chromium.eval(tab, "film.error"), json!(null));
}

/// From the link of getRecordings on: it plays once from the link, on from the cookie, and nowhere else.
fn a_protected_recording_plays(stage: &Stage, origin: &str) {
    let mut chromium = Chromium::start();
    let (mine, other) = (chromium.tab(), chromium.tab());
    let link = stage.link("video");
    let page = format!("{origin}/video/{}/", stage.protected);
    chromium.go(&mine, &format!("{origin}{link}"));
    assert_eq!(chromium.eval(&mine, "location.href"), json!(page));
    plays(&mut chromium, &mine);
    assert_eq!(chromium.eval(&mine, "document.cookie"), json!(""), "scripts do not see it");
    // The page again, and in another tab of the same browser.
    chromium.go(&mine, &page);
    plays(&mut chromium, &mine);
    let beside = chromium.tab_beside(&mine);
    chromium.go(&beside, &page);
    plays(&mut chromium, &beside);
    // The link again: it has been used, wherever.
    for tab in [&mine, &other] {
        chromium.go(tab, &format!("{origin}{link}"));
        chromium.until(tab, GONE);
    }
    // Another browser has no cookie, and this one has none for another format.
    chromium.go(&other, &page);
    chromium.until(&other, GONE);
    chromium.go(&mine, &format!("{origin}/presentation/{}/metadata.xml", stage.protected));
    chromium.until(&mine, GONE);
    // Unpublished, it is gone for who has the cookie too.
    let query = format!("recordID={}&publish=", stage.protected);
    stage.pool().get("publishRecordings", &format!("{query}false")).success();
    chromium.go(&mine, &page);
    chromium.until(&mine, GONE);
    stage.pool().get("publishRecordings", &format!("{query}true")).success();
}

#[test]
fn a_protected_recording_plays_without_nginx() {
    let stage = stage(&[("PLAYBACK_SERVE", "true")]);
    let origin = format!("http://{}", stage.pool().address(0));
    a_protected_recording_plays(&stage, &origin);
}

#[test]
fn a_protected_recording_plays_through_nginx() {
    let stage = stage(&[]);
    let published = stage.library.published().display().to_string();
    let edit = ("sl/recordings.conf", "/var/bigbluebutton/published", published.as_str());
    let site = Site::edited("plain", &[stage.pool().replicas[0].port], &[edit]);
    a_protected_recording_plays(&stage, site.url("").trim_end_matches('/'));
}

#[test]
fn a_presentation_shows_the_slides_that_belong_to_its_film() {
    let stage = stage(&[("PLAYBACK_SERVE", "true")]);
    let origin = format!("http://{}", stage.pool().address(0));
    let mut chromium = Chromium::start();
    let (tab, other) = (chromium.tab(), chromium.tab());
    let page = format!("{origin}/playback/presentation/2.3/{}", stage.protected);
    chromium.go(&other, &page);
    chromium.until(&other, "document.querySelector('#state').textContent === 'Recording Not Found'");
    chromium.go(&tab, &format!("{origin}{}", stage.link("presentation")));
    assert_eq!(chromium.eval(&tab, "location.href"), json!(page));
    chromium.until(&tab, "document.querySelector('#name').textContent === 'The <protected> one'");
    plays(&mut chromium, &tab);
    // Three slides in ten seconds, and a line of chat in the fourth.
    for (at, slide, line) in [(1.0, 1, false), (5.0, 2, true), (9.0, 3, true), (2.0, 1, false)] {
        chromium.eval(&tab, &format!("film.currentTime = {at}; null"));
        let shown = format!(
            "(image => image.naturalWidth === 400 && image.src.endsWith('/slide-{slide}.png') && !image.hidden)\
             (document.querySelector('#slide')) && document.querySelector('#chat li').hidden === {}",
            !line
        );
        chromium.until(&tab, &shown);
    }
    assert_eq!(
        chromium.eval(&tab, "document.querySelector('#chat').innerText.includes('Hello')"),
        json!(false)
    );
    // One that everybody may see needs no token.
    chromium.go(&other, &format!("{origin}/recording/{}/presentation", stage.open));
    chromium.until(&other, "document.title === 'The <open> one'");
    plays(&mut chromium, &other);
}
