//! Links that lead elsewhere: out of their format, and to players of older BBB versions.

use super::tokens::assert_redirects_to;
use super::{PlaybackFixture, assert_not_found};

/// As the video of BBB 2.5.
#[test]
fn protected_link_that_leads_out_of_its_format_plays() {
    let fixture = PlaybackFixture::start();
    let id = &fixture.protected;
    fixture.add("presentation", id, "meeting.mp4", b"film");
    let film = format!("/presentation/{id}/meeting.mp4");
    let set_url = |url: &str| {
        fixture.env.postgres.sql(&format!(
            "UPDATE playback_formats f SET url = '{url}' FROM recordings r \
             WHERE r.id = f.recording_id AND r.record_id = '{id}' AND f.format = 'video'"
        ));
    };
    set_url(&film);
    let reply = fixture.get(&fixture.link("video"));
    assert_redirects_to(&reply, &film);
    let cookies: Vec<&str> = reply
        .headers
        .iter()
        .filter(|(name, _)| name == "set-cookie")
        .map(|(_, value)| value.as_str())
        .collect();
    let paths: Vec<&str> = cookies.iter().map(|cookie| cookie.split("; ").nth(1).unwrap()).collect();
    assert_eq!(paths, [format!("Path=/video/{id}"), format!("Path={film}")]);
    let pair = cookies[1].split(';').next().unwrap();
    assert_eq!(fixture.get_with(&film, &[("cookie", pair)]).status, 200);
    for other in [
        format!("/presentation/{id}/metadata.xml"),
        format!("/presentation/{id}/"),
        format!("/presentation/{id}"),
        format!("/video/{id}/"),
    ] {
        assert_not_found(&fixture.get_with(&other, &[("cookie", pair)]));
    }
    // Never another recording.
    fixture.pool().get("updateRecordings", &format!("recordID={}&protect=true", fixture.open)).success();
    set_url(&format!("/presentation/{}/metadata.xml", fixture.open));
    let reply = fixture.get(&fixture.link("video"));
    assert_eq!(reply.headers.iter().filter(|(name, _)| name == "set-cookie").count(), 1, "{reply:?}");
}

/// The links that BBB 0.9 and 2.0 wrote into metadata.xml.
#[test]
fn links_to_older_players_lead_to_todays() {
    let fixture = PlaybackFixture::start();
    let (open, id) = (&fixture.open, &fixture.protected);
    for version in ["2.0/", "0.9.0/", ""] {
        let page = format!("/playback/presentation/{version}playback.html");
        assert_redirects_to(
            &fixture.get(&format!("{page}?meetingId={open}")),
            &format!("/playback/presentation/2.3/{open}"),
        );
        assert_redirects_to(
            &fixture.get(&format!("{page}?t=1m%2B5&meetingId={open}&layout=video")),
            &format!("/playback/presentation/2.3/{open}?t=1m%2B5&layout=video"),
        );
        for nowhere in ["", "?meetingId=", "?meetingId=..%2Fx", "?recordId=x"] {
            assert_not_found(&fixture.get(&format!("{page}{nowhere}")));
        }
    }
    // A protected one: the token is exchanged on the way, whichever link it is on.
    let page = format!("/playback/presentation/2.0/playback.html?meetingId={id}");
    fixture.env.postgres.sql(&format!(
        "UPDATE playback_formats f SET url = '{page}' FROM recordings r \
         WHERE r.id = f.recording_id AND r.record_id = '{id}' AND f.format = 'presentation'"
    ));
    let link = fixture.link("presentation");
    let reply = fixture.get(&format!("{link}&t=5"));
    assert_redirects_to(&reply, &format!("{page}&t=5"));
    assert!(reply.header("set-cookie").unwrap().contains(&format!("Path=/presentation/{id};")), "{reply:?}");
    let player = format!("/playback/presentation/2.3/{id}?t=5");
    assert_redirects_to(&fixture.get(&format!("{page}&t=5")), &player);
    let query = fixture.link("presentation").split_once('?').unwrap().1.to_owned();
    let to = format!("/recording/{id}/presentation?{query}&t=5");
    assert_redirects_to(&fixture.get(&format!("{page}&{query}&t=5")), &to);
    assert_redirects_to(&fixture.get(&to), &format!("{page}&t=5"));
}
