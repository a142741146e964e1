//! Playback in a real browser: it follows links, keeps cookies and plays videos.

use super::PlaybackFixture;
use crate::nginx::Site;
use crate::support::chromium::{Chromium, Tab};
use serde_json::json;
use sl_sim::RecordingFormat;

/// Too large to be fetched at once: seeking requests a range.
const VIDEO_BYTES: u64 = 30_000_000;

fn fixture(variables: &[(&str, &str)]) -> PlaybackFixture {
    PlaybackFixture::of(1, variables, &[RecordingFormat::Presentation, RecordingFormat::Video], VIDEO_BYTES)
}

const IS_NOT_FOUND: &str = "document.title === 'Recording Not Found'";

/// Asserts that the page's video of ten seconds has a picture, seeks forward and back, and plays on.
fn assert_video_plays(chromium: &mut Chromium, tab: &Tab) {
    chromium.wait_until(tab, "document.querySelector('video')?.readyState >= 1");
    chromium.eval(tab, "window.film = document.querySelector('video'); film.muted = true; null");
    for condition in ["film.duration === 10", "film.videoWidth > 0", "film.seekable.end(0) === 10"] {
        assert_eq!(chromium.eval(tab, condition), json!(true), "{condition}");
    }
    // Without promises and events: the page of a recording runs no scripts.
    for to in [7.5, 2.5] {
        chromium.eval(tab, &format!("film.currentTime = {to}; null"));
        chromium.wait_until(tab, &format!("!film.seeking && film.currentTime === {to}"));
    }
    // The whole video was fetched by range requests.
    let statuses = "performance.getEntriesByName(film.currentSrc).filter(entry => entry.initiatorType === 'video')\
                .map(entry => entry.responseStatus)";
    chromium.wait_until(tab, &format!("{statuses}.includes(206)"));
    assert_eq!(chromium.eval(tab, &format!("{statuses}.includes(200)")), json!(false));
    chromium.eval(tab, "film.play(); null");
    chromium.wait_until(tab, "film.currentTime > 2.7");
    chromium.eval(tab, "film.pause(); null");
    assert_eq!(chromium.eval(tab, "film.error"), json!(null));
}

/// A link of getRecordings plays once; from then on the cookie gives access, in this browser only.
fn assert_protected_recording_plays(fixture: &PlaybackFixture, origin: &str) {
    let mut chromium = Chromium::start();
    let (mine, other) = (chromium.tab(), chromium.tab());
    let link = fixture.link("video");
    let page = format!("{origin}/video/{}/", fixture.protected);
    chromium.navigate(&mine, &format!("{origin}{link}"));
    assert_eq!(chromium.eval(&mine, "location.href"), json!(page));
    assert_video_plays(&mut chromium, &mine);
    assert_eq!(chromium.eval(&mine, "document.cookie"), json!(""), "the cookie must be invisible to scripts");
    // The page again, then in another tab of the same browser.
    chromium.navigate(&mine, &page);
    assert_video_plays(&mut chromium, &mine);
    let second_tab = chromium.tab_sharing_profile(&mine);
    chromium.navigate(&second_tab, &page);
    assert_video_plays(&mut chromium, &second_tab);
    // The link is used up, in every browser.
    for tab in [&mine, &other] {
        chromium.navigate(tab, &format!("{origin}{link}"));
        chromium.wait_until(tab, IS_NOT_FOUND);
    }
    // Another browser has no cookie, and this one has no cookie for another format.
    chromium.navigate(&other, &page);
    chromium.wait_until(&other, IS_NOT_FOUND);
    chromium.navigate(&mine, &format!("{origin}/presentation/{}/metadata.xml", fixture.protected));
    chromium.wait_until(&mine, IS_NOT_FOUND);
    // Once unpublished, it is gone despite the cookie.
    let query = format!("recordID={}&publish=", fixture.protected);
    fixture.pool().get("publishRecordings", &format!("{query}false")).success();
    chromium.navigate(&mine, &page);
    chromium.wait_until(&mine, IS_NOT_FOUND);
    fixture.pool().get("publishRecordings", &format!("{query}true")).success();
}

#[test]
fn protected_recording_plays_in_browser_without_nginx() {
    let fixture = fixture(&[("PLAYBACK_SERVE", "true")]);
    let origin = format!("http://{}", fixture.pool().address(0));
    assert_protected_recording_plays(&fixture, &origin);
}

#[test]
fn protected_recording_plays_in_browser_through_nginx() {
    let fixture = fixture(&[]);
    let published = fixture.env.published().display().to_string();
    let edit = ("sl/recordings.conf", "/var/bigbluebutton/published", published.as_str());
    let site = Site::edited("plain", &[fixture.pool().replicas[0].port], &[edit]);
    assert_protected_recording_plays(&fixture, site.url("").trim_end_matches('/'));
}

#[test]
fn presentation_player_shows_slides_in_sync_with_video() {
    let fixture = fixture(&[("PLAYBACK_SERVE", "true")]);
    let origin = format!("http://{}", fixture.pool().address(0));
    let mut chromium = Chromium::start();
    let (tab, other) = (chromium.tab(), chromium.tab());
    let page = format!("{origin}/playback/presentation/2.3/{}", fixture.protected);
    chromium.navigate(&other, &page);
    chromium.wait_until(&other, "document.querySelector('#state').textContent === 'Recording Not Found'");
    chromium.navigate(&tab, &format!("{origin}{}", fixture.link("presentation")));
    assert_eq!(chromium.eval(&tab, "location.href"), json!(page));
    chromium.wait_until(&tab, "document.querySelector('#name').textContent === 'The <protected> one'");
    assert_video_plays(&mut chromium, &tab);
    // Three slides in ten seconds, and a chat line in the fourth second.
    for (at, slide, line) in [(1.0, 1, false), (5.0, 2, true), (9.0, 3, true), (2.0, 1, false)] {
        chromium.eval(&tab, &format!("film.currentTime = {at}; null"));
        let shown = format!(
            "(image => image.naturalWidth === 400 && image.src.endsWith('/slide-{slide}.png') && !image.hidden)\
             (document.querySelector('#slide')) && document.querySelector('#chat li').hidden === {}",
            !line
        );
        chromium.wait_until(&tab, &shown);
    }
    // A slide shows something, rather than a plain colour: its number, in white.
    let white = "(image => { const canvas = document.createElement('canvas'); \
        canvas.width = image.naturalWidth; canvas.height = image.naturalHeight; \
        const context = canvas.getContext('2d'); context.drawImage(image, 0, 0); \
        const data = context.getImageData(0, 0, canvas.width, canvas.height).data; let white = 0; \
        for (let at = 0; at < data.length; at += 4) white += data[at] + data[at + 1] + data[at + 2] === 765; \
        return white / (canvas.width * canvas.height); })(document.querySelector('#slide'))";
    let white = chromium.eval(&tab, white).as_f64().unwrap();
    assert!((0.03..0.5).contains(&white), "{white}");
    assert_eq!(
        chromium.eval(&tab, "document.querySelector('#chat').innerText.includes('Hello')"),
        json!(false)
    );
    // A public recording needs no token.
    chromium.navigate(&other, &format!("{origin}/recording/{}/presentation", fixture.open));
    chromium.wait_until(&other, "document.title === 'The <open> one'");
    assert_video_plays(&mut chromium, &other);
}
