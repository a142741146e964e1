//! Playback of recordings in S3: the same checks and responses as with directories.

use super::*;
use crate::support::client::fetch;
use crate::support::{RecordingEnv, Reply};
use RecordingFormat::{Notes, Podcast, Presentation, Video};
use sl_sim::{Compression, Recording, RecordingFormat};

struct PlaybackFixture {
    env: RecordingEnv,
    recording: Recording,
    bucket: Option<Bucket>,
}

impl PlaybackFixture {
    fn new(bucket: Option<Bucket>, more: &[(&str, &str)]) -> PlaybackFixture {
        let variables = bucket.as_ref().map_or(Vec::new(), Bucket::variables);
        let mut variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        variables.extend(more);
        let env = RecordingEnv::with(1, &variables);
        let recording = Recording {
            formats: vec![Notes, Podcast, Presentation, Video],
            size: 3_000_000,
            ..Recording::default()
        };
        let archive = recording.write_archive(&env.spool(), Compression::None).unwrap();
        env.pool.sl_ok(&["recordings", "import", "--remove", archive.to_str().unwrap()]);
        PlaybackFixture { env, recording, bucket }
    }

    fn get(&self, target: &str, headers: &[(&str, &str)]) -> Reply {
        self.env.pool.fetch("GET", target, headers, b"")
    }

    fn id(&self) -> String {
        self.recording.record_id()
    }
}

#[test]
fn s3_playback_responses_match_directories() {
    let directories = PlaybackFixture::new(None, &[("PLAYBACK_SERVE", "true")]);
    let bucket = PlaybackFixture::new(Some(Bucket::start()), &[]);
    let id = directories.id();
    let video = format!("/video/{id}/video-0.m4v");
    let cases: [(String, &[(&str, &str)]); 10] = [
        (format!("/video/{id}/"), &[]),
        (format!("/video/{id}"), &[]),
        (video.clone(), &[]),
        (video.clone(), &[("range", "bytes=100-299")]),
        (video.clone(), &[("range", "bytes=-7")]),
        (video.clone(), &[("range", "bytes=99999999-")]),
        (format!("/video/{id}/thumbnails"), &[]),
        (format!("/presentation/{id}/shapes.svg"), &[]),
        (format!("/podcast/{id}/audio.ogg"), &[("range", "bytes=0-99")]),
        (format!("/video/{id}/none"), &[]),
    ];
    for (target, headers) in cases {
        let (one, other) = (directories.get(&target, headers), bucket.get(&target, headers));
        assert_eq!(one.status, other.status, "{target} {headers:?}");
        assert!(one.body == other.body, "{target} {headers:?}");
        for name in [
            "content-type",
            "content-length",
            "content-range",
            "content-disposition",
            "cache-control",
            "location",
        ] {
            assert_eq!(one.header(name), other.header(name), "{name} of {target} {headers:?}");
        }
        assert_eq!(one.header("etag").is_some(), other.header("etag").is_some());
    }
    // A cached file is not sent again.
    let etag = bucket.get(&video, &[]).header("etag").unwrap().to_owned();
    assert_eq!(bucket.get(&video, &[("if-none-match", &etag)]).status, 304);
    // An unpublished recording is never playable, wherever its files are.
    bucket.env.pool.get("publishRecordings", &format!("recordID={id}&publish=false")).success();
    assert_eq!(bucket.get(&video, &[]).status, 404);
}

#[test]
fn s3_redirect_sends_media_to_bucket_and_serves_pages() {
    let playback =
        PlaybackFixture::new(Some(Bucket::start()), &[("S3_REDIRECT", "true"), ("S3_URL_EXPIRES", "60")]);
    let id = playback.id();
    let bucket_url = |target: &str| {
        let reply = playback.get(target, &[]);
        assert_eq!((reply.status, reply.header("cache-control")), (307, Some("no-store")), "{reply:?}");
        reply.header("location").unwrap().to_owned()
    };
    let url = bucket_url(&format!("/video/{id}/video-0.m4v"));
    assert!(url.contains("X-Amz-Expires=60"), "{url}");
    let reply = fetch("GET", &url, &[("range", "bytes=0-9")], b"");
    assert_eq!((reply.status, reply.header("content-type")), (206, Some("video/x-m4v")));
    assert_eq!(reply.header("content-disposition"), None);
    // Players send HEAD to see whether a video exists; a signed URL would reject it.
    let head = playback.env.pool.fetch("HEAD", &format!("/video/{id}/video-0.m4v"), &[], b"");
    assert_eq!((head.status, head.header("location")), (200, None));
    let reply = fetch("GET", &bucket_url(&format!("/podcast/{id}/audio.ogg")), &[], b"");
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("audio/ogg")));
    assert_eq!(reply.header("content-disposition"), Some("attachment"));
    // A URL signed for one object is invalid for another.
    let other = url.replace("video-0.m4v", "index.html");
    assert_eq!(fetch("GET", &other, &[], b"").status, 403);
    for page in [
        "video/{id}/",
        "presentation/{id}/shapes.svg",
        "presentation/{id}/captions.json",
        "notes/{id}/notes.html",
    ] {
        assert_eq!(playback.get(&format!("/{}", page.replace("{id}", &id)), &[]).status, 200, "{page}");
    }
    assert_eq!(playback.get(&format!("/video/{id}/none.mp4"), &[]).status, 404);
    playback.env.pool.get("publishRecordings", &format!("recordID={id}&publish=false")).success();
    assert_eq!(playback.get(&format!("/video/{id}/video-0.m4v"), &[]).status, 404);
    assert!(!playback.env.pool.replicas[0].log().contains("X-Amz-Signature"));
}

#[test]
fn playback_returns_503_while_s3_is_down() {
    let playback = PlaybackFixture::new(Some(Bucket::start()), &[]);
    let video = format!("/video/{}/video-0.m4v", playback.id());
    let network = &playback.bucket.as_ref().unwrap().network;
    network.set_down(true);
    assert_eq!(playback.get(&video, &[]).status, 503);
    network.set_down(false);
    assert_eq!(playback.get(&video, &[]).status, 200);
}
