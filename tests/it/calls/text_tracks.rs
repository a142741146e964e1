//! getRecordingTextTracks, putRecordingTextTrack: the same from directories and from S3.

use crate::assert_answer;
use crate::support::s3::Bucket;
use crate::support::{Library, Reply, eventually};
use sl_sim::{Compression, Recording};
use std::collections::BTreeSet;

const SRT: &str = "1\r\n00:00:01,000 --> 00:00:02,500\r\nGrüße\r\n";

fn library(replicas: usize, bucket: Option<&Bucket>) -> Library {
    let variables = bucket.map_or(vec![("PLAYBACK_SERVE", "true".to_owned())], Bucket::variables);
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let library = Library::with(replicas, &variables);
    library.add("r1", "m", 1);
    if let Some(bucket) = bucket {
        bucket.lay("published/presentation/r1/index.html", b"r1");
        bucket.lay("published/video/r1/index.html", b"r1");
    }
    library
}

/// A form with one file.
fn form(name: &str, file_name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut body = format!(
        "--b0undary\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{file_name}\"\r\n\
         Content-Type: text/plain\r\n\r\n"
    )
    .into_bytes();
    body.extend_from_slice(bytes);
    body.extend_from_slice(b"\r\n--b0undary--\r\n");
    body
}

fn put(library: &Library, query: &str, bytes: &[u8]) -> Reply {
    let kind = "multipart/form-data; boundary=b0undary";
    library.pool.post("putRecordingTextTrack", query, kind, &form("file", "x.srt", bytes))
}

#[track_caller]
fn key(reply: &Reply) -> String {
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json; charset=utf-8")));
    let value: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
    value["response"]["messageKey"].as_str().unwrap_or("").to_owned()
}

const GOOD: &str = "recordID=r1&kind=subtitles&lang=en-us&label=English";

fn a_track_is_put_listed_replaced_and_played_on(bucket: Option<&Bucket>) -> Vec<Reply> {
    let library = library(1, bucket);
    let mut seen =
        vec![library.pool.get("getRecordingTextTracks", "recordID=r1"), put(&library, GOOD, SRT.as_bytes())];
    seen.push(put(
        &library,
        "recordID=r1&kind=captions&lang=de",
        b"WEBVTT\n\n00:01.000 --> 00:02.000\nHallo\n",
    ));
    seen.push(library.pool.get("getRecordingTextTracks", "recordID=r1"));
    for path in ["caption_en-US.vtt", "caption_de.vtt", "captions.json"] {
        seen.push(library.pool.fetch("GET", &format!("/presentation/r1/{path}"), &[], b""));
    }
    // Of an unpublished one, in the place of the first.
    library.pool.get("publishRecordings", "recordID=r1&publish=false").success();
    seen.push(put(&library, "recordID=r1&kind=captions&lang=EN-US&label=A%3Cb%3E%0A", b"WEBVTT\n"));
    seen.push(library.pool.get("getRecordingTextTracks", "recordID=r1"));
    library.pool.get("publishRecordings", "recordID=r1&publish=true").success();
    seen.push(library.pool.fetch("GET", "/presentation/r1/caption_en-US.vtt", &[], b""));
    library.pool.get("deleteRecordings", "recordID=r1").success();
    seen.push(library.pool.get("getRecordingTextTracks", "recordID=r1"));
    seen.push(put(&library, GOOD, SRT.as_bytes()));
    seen
}

#[test]
fn the_life_of_text_tracks() {
    let bucket = Bucket::start();
    let (seen, in_s3) = (
        a_track_is_put_listed_replaced_and_played_on(None),
        a_track_is_put_listed_replaced_and_played_on(Some(&bucket)),
    );
    let shown = |reply: &Reply| {
        let text = crate::support::snapshot::shown(reply);
        let address = text.find("127.0.0.1:").map(|at| text[at..].split('/').next().unwrap().to_owned());
        address.map_or(text.clone(), |address| text.replace(&address, "[server]"))
    };
    for (one, other) in seen.iter().zip(&in_s3) {
        assert_eq!(shown(one), shown(other));
    }
    for reply in seen {
        assert_answer!(reply);
    }
    assert_eq!(bucket.keys(), [""; 0]);
}

#[test]
fn what_is_wrong_is_told_as_json() {
    let library = library(1, None);
    assert_answer!(put(&library, "recordID=r1&kind=subtitles", SRT.as_bytes()));
    assert_answer!(put(&library, "recordID=r1&kind=chapters&lang=en", SRT.as_bytes()));
    assert_answer!(put(&library, "recordID=r1&kind=captions&lang=en_US", SRT.as_bytes()));
    assert_answer!(put(&library, GOOD, b" \r\n"));
    assert_answer!(put(&library, GOOD, b"1\n00:00:01,000 --> 00:00:02,000\n\xff\n"));
    assert_answer!(put(&library, GOOD, b"<html>"));
    assert_answer!(library.pool.get("getRecordingTextTracks", ""));
    assert_answer!(library.pool.get("getRecordingTextTracks", "recordID=%3Cb%3E"));
    let kind = "multipart/form-data; boundary=b0undary";
    for (name, body) in [("other", SRT.as_bytes()), ("file", b"")] {
        let reply = library.pool.post("putRecordingTextTrack", GOOD, kind, &form(name, "x", body));
        assert_eq!(key(&reply), "empty_uploaded_text_track");
    }
    // More than such a file may have is not even read.
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: sl\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        library.pool.target("putRecordingTextTrack", GOOD),
        11 << 20
    );
    let answer = crate::support::client::raw(&library.pool.address(0), head.as_bytes());
    assert!(answer.contains("application/json") && answer.contains("requestTooLarge"), "{answer}");
    let unsigned = format!("/bigbluebutton/api/putRecordingTextTrack?{GOOD}&checksum={}", "0".repeat(40));
    for (method, target) in
        [("POST", unsigned.as_str()), ("GET", "/bigbluebutton/api/getRecordingTextTracks?recordID=r1")]
    {
        assert_eq!(key(&library.pool.fetch(method, target, &[], b"")), "checksumError");
    }
    // It has no GET.
    assert_eq!(library.pool.get("putRecordingTextTrack", GOOD).failed(), "unsupportedRequest");
    assert!(!library.published().join("presentation/r1/captions.json").exists());
}

#[test]
fn nothing_that_a_client_says_becomes_a_path() {
    let library = library(1, None);
    for lang in ["..%2F..%2Fx", "%2Fetc", "en%2F..", "en%00", "."] {
        let query = format!("recordID=r1&kind=captions&lang={lang}");
        assert_eq!(key(&put(&library, &query, SRT.as_bytes())), "invalidLang", "{lang}");
    }
    for id in ["..", "r1%2F..", "r", "%2Fr1"] {
        let query = format!("recordID={id}&kind=captions&lang=en");
        assert_eq!(key(&put(&library, &query, SRT.as_bytes())), "noRecordings", "{id}");
    }
    let body = form("file", "../../../evil.srt", SRT.as_bytes());
    let kind = "multipart/form-data; boundary=b0undary";
    let reply = library.pool.post("putRecordingTextTrack", GOOD, kind, &body);
    assert_eq!(key(&reply), "upload_text_track_success");
    let mut files: Vec<_> = std::fs::read_dir(library.published().join("presentation/r1"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    assert_eq!(files, ["caption_en-US.vtt", "captions.json", "index.html"]);
    assert!(!library.published().join("presentation/.sl-work").exists());
    // A list that somebody else has written: what is no track in it is none, and does no harm.
    let list = library.published().join("presentation/r1/captions.json");
    std::fs::write(
        &list,
        r#"[{"localeName":"x","locale":"../../x"},{"localeName":"Deutsch","locale":"de"},7]"#,
    )
    .unwrap();
    let body = library.pool.get("getRecordingTextTracks", "recordID=r1").body;
    assert!(body.contains("Deutsch") && body.contains("\"live\"") && !body.contains(".."), "{body}");
}

/// A front end signs, and a browser fills in the form.
#[test]
fn a_field_of_the_form_changes_nothing_of_what_was_signed() {
    let library = library(1, None);
    library.add("r2", "m2", 2);
    let text = "--x\r\nContent-Disposition: form-data; name=\"recordID\"\r\n\r\nr2\r\n\
        --x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.srt\"\r\n\r\n";
    let body = [text.as_bytes(), SRT.as_bytes(), b"\r\n--x--\r\n"].concat();
    let reply = library.pool.post("putRecordingTextTrack", GOOD, "multipart/form-data; boundary=x", &body);
    assert!(reply.body.contains("\"recordId\":\"r1\""), "{}", reply.body);
    assert!(library.pool.get("getRecordingTextTracks", "recordID=r2").body.contains("noCaptionsFound"));
    // As many as nobody needs are not looked at.
    let field = "--x\r\nContent-Disposition: form-data; name=\"NAME\"\r\n\r\n\r\n";
    let many: String = (0..1100).map(|n| field.replace("NAME", &n.to_string())).collect();
    let body = format!("{many}--x--\r\n");
    let reply =
        library.pool.post("putRecordingTextTrack", GOOD, "multipart/form-data; boundary=x", body.as_bytes());
    assert!(reply.body.contains("too many fields"), "{}", reply.body);
}

#[test]
fn a_recording_without_a_presentation_has_no_place_for_them() {
    let library = library(1, None);
    std::fs::remove_dir_all(library.published().join("presentation/r1")).unwrap();
    assert_answer!(put(&library, GOOD, SRT.as_bytes()));
    assert!(!library.published().join("presentation/r1").exists());
}

#[test]
fn tracks_that_come_at_once_lose_nothing() {
    let bucket = Bucket::start();
    for bucket in [None, Some(&bucket)] {
        let library = library(2, bucket);
        let langs = ["aa", "bb", "cc", "dd", "ee", "ff", "gg", "hh"];
        std::thread::scope(|scope| {
            for (n, lang) in langs.into_iter().enumerate() {
                let library = &library;
                scope.spawn(move || {
                    let query = format!("recordID=r1&kind=captions&lang={lang}");
                    let url = library.pool.url_at(n % 2, "putRecordingTextTrack", &query);
                    let kind = [("content-type", "multipart/form-data; boundary=b0undary")];
                    // Whoever waits for the lock for too long is told so, and comes again.
                    eventually("it is taken", || {
                        let body = form("file", "x", SRT.as_bytes());
                        let reply = crate::support::client::fetch("POST", &url, &kind, &body);
                        key(&reply) == "upload_text_track_success"
                    });
                });
            }
        });
        let body = library.pool.get("getRecordingTextTracks", "recordID=r1").body;
        let listed: serde_json::Value = serde_json::from_str(&body).unwrap();
        let tracks = listed["response"]["tracks"].as_array().unwrap().clone();
        let found: BTreeSet<_> =
            tracks.iter().map(|track| track["lang"].as_str().unwrap().to_owned()).collect();
        assert_eq!(found, langs.into_iter().map(str::to_owned).collect());
        assert_eq!(tracks.len(), langs.len());
    }
}

#[test]
fn a_recording_that_is_processed_again_keeps_what_was_uploaded() {
    let bucket = Bucket::start();
    for bucket in [None, Some(&bucket)] {
        let library = library(1, bucket);
        let first = Recording::default();
        let import = |recording: &Recording| {
            let archive = recording.write_archive(&library.spool(), Compression::None).unwrap();
            library.pool.sl_ok(&["recordings", "import", "--remove", archive.to_str().unwrap()]);
        };
        import(&first);
        let id = first.record_id();
        let query = format!("recordID={id}&kind=subtitles&lang=en-US&label=English");
        assert_eq!(key(&put(&library, &query, SRT.as_bytes())), "upload_text_track_success");
        let before = library.pool.get("getRecordingTextTracks", &format!("recordID={id}")).body;
        let file = format!("/presentation/{id}/caption_en-US.vtt");
        let played = library.pool.fetch("GET", &file, &[], b"").body;
        import(&Recording { slides: 7, seed: 3, ..first });
        assert_eq!(library.pool.get("getRecordingTextTracks", &format!("recordID={id}")).body, before);
        assert_eq!(library.pool.fetch("GET", &file, &[], b"").body, played);
        assert!(played.starts_with("WEBVTT"), "{played}");
    }
}
