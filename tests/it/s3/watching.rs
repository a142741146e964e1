//! Recordings that are in S3, in the browser: the same checks and answers as from directories.

use super::*;
use crate::support::client::fetch;
use crate::support::{Library, Reply};
use RecordingFormat::{Notes, Podcast, Presentation, Video};
use sl_sim::{Compression, Recording, RecordingFormat};

struct Stage {
    library: Library,
    recording: Recording,
    bucket: Option<Bucket>,
}

impl Stage {
    fn new(bucket: Option<Bucket>, more: &[(&str, &str)]) -> Stage {
        let variables = bucket.as_ref().map_or(Vec::new(), Bucket::variables);
        let mut variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        variables.extend(more);
        let library = Library::with(1, &variables);
        let recording = Recording {
            formats: vec![Notes, Podcast, Presentation, Video],
            size: 3_000_000,
            ..Recording::default()
        };
        let archive = recording.write_archive(&library.spool(), Compression::None).unwrap();
        library.pool.sl_ok(&["recordings", "import", "--remove", archive.to_str().unwrap()]);
        Stage { library, recording, bucket }
    }

    fn get(&self, target: &str, headers: &[(&str, &str)]) -> Reply {
        self.library.pool.fetch("GET", target, headers, b"")
    }

    fn id(&self) -> String {
        self.recording.record_id()
    }
}

#[test]
fn the_same_is_seen_as_from_directories() {
    let directories = Stage::new(None, &[("PLAYBACK_SERVE", "true")]);
    let bucket = Stage::new(Some(Bucket::start()), &[]);
    let id = directories.id();
    let film = format!("/video/{id}/video-0.m4v");
    let cases: [(String, &[(&str, &str)]); 10] = [
        (format!("/video/{id}/"), &[]),
        (format!("/video/{id}"), &[]),
        (film.clone(), &[]),
        (film.clone(), &[("range", "bytes=100-299")]),
        (film.clone(), &[("range", "bytes=-7")]),
        (film.clone(), &[("range", "bytes=99999999-")]),
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
    // What the browser has is not sent again.
    let etag = bucket.get(&film, &[]).header("etag").unwrap().to_owned();
    assert_eq!(bucket.get(&film, &[("if-none-match", &etag)]).status, 304);
    // Unpublished is never playable, wherever its files are.
    bucket.library.pool.get("publishRecordings", &format!("recordID={id}&publish=false")).success();
    assert_eq!(bucket.get(&film, &[]).status, 404);
}

#[test]
fn media_come_from_the_bucket_where_that_is_wanted_and_pages_from_us() {
    let stage = Stage::new(Some(Bucket::start()), &[("S3_REDIRECT", "true"), ("S3_URL_EXPIRES", "60")]);
    let id = stage.id();
    let elsewhere = |target: &str| {
        let reply = stage.get(target, &[]);
        assert_eq!((reply.status, reply.header("cache-control")), (307, Some("no-store")), "{reply:?}");
        reply.header("location").unwrap().to_owned()
    };
    let url = elsewhere(&format!("/video/{id}/video-0.m4v"));
    assert!(url.contains("X-Amz-Expires=60"), "{url}");
    let reply = fetch("GET", &url, &[("range", "bytes=0-9")], b"");
    assert_eq!((reply.status, reply.header("content-type")), (206, Some("video/x-m4v")));
    assert_eq!(reply.header("content-disposition"), None);
    // Players ask like this whether there is a film; a signed URL would refuse it.
    let asked = stage.library.pool.fetch("HEAD", &format!("/video/{id}/video-0.m4v"), &[], b"");
    assert_eq!((asked.status, asked.header("location")), (200, None));
    let reply = fetch("GET", &elsewhere(&format!("/podcast/{id}/audio.ogg")), &[], b"");
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("audio/ogg")));
    assert_eq!(reply.header("content-disposition"), Some("attachment"));
    // A URL for one object is none for another.
    let other = url.replace("video-0.m4v", "index.html");
    assert_eq!(fetch("GET", &other, &[], b"").status, 403);
    for page in [
        "video/{id}/",
        "presentation/{id}/shapes.svg",
        "presentation/{id}/captions.json",
        "notes/{id}/notes.html",
    ] {
        assert_eq!(stage.get(&format!("/{}", page.replace("{id}", &id)), &[]).status, 200, "{page}");
    }
    assert_eq!(stage.get(&format!("/video/{id}/none.mp4"), &[]).status, 404);
    stage.library.pool.get("publishRecordings", &format!("recordID={id}&publish=false")).success();
    assert_eq!(stage.get(&format!("/video/{id}/video-0.m4v"), &[]).status, 404);
    assert!(!stage.library.pool.replicas[0].log().contains("X-Amz-Signature"));
}

#[test]
fn while_s3_is_down_recordings_cannot_be_watched_for_a_moment() {
    let stage = Stage::new(Some(Bucket::start()), &[]);
    let film = format!("/video/{}/video-0.m4v", stage.id());
    let network = &stage.bucket.as_ref().unwrap().network;
    network.down(true);
    assert_eq!(stage.get(&film, &[]).status, 503);
    network.down(false);
    assert_eq!(stage.get(&film, &[]).status, 200);
}
