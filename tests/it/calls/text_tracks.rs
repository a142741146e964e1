//! getRecordingTextTracks, putRecordingTextTrack: same results with directories and with S3.

use crate::assert_response;
use crate::support::s3::Bucket;
use crate::support::{RecordingEnv, Reply, eventually};
use sl_sim::{Compression, Recording};
use std::collections::BTreeSet;

const SRT: &str = "1\r\n00:00:01,000 --> 00:00:02,500\r\nGrüße\r\n";

fn start_env(replicas: usize, bucket: Option<&Bucket>) -> RecordingEnv {
    let variables = bucket.map_or(vec![("PLAYBACK_SERVE", "true".to_owned())], Bucket::variables);
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let env = RecordingEnv::with(replicas, &variables);
    env.add("r1", "m", 1);
    if let Some(bucket) = bucket {
        bucket.put("published/presentation/r1/index.html", b"r1");
        bucket.put("published/video/r1/index.html", b"r1");
    }
    env
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

fn put(env: &RecordingEnv, query: &str, bytes: &[u8]) -> Reply {
    let kind = "multipart/form-data; boundary=b0undary";
    env.pool.post("putRecordingTextTrack", query, kind, &form("file", "x.srt", bytes))
}

#[track_caller]
fn message_key(reply: &Reply) -> String {
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json; charset=utf-8")));
    let value: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
    value["response"]["messageKey"].as_str().unwrap_or("").to_owned()
}

const VALID_QUERY: &str = "recordID=r1&kind=subtitles&lang=en-us&label=English";

fn exercise_text_tracks(bucket: Option<&Bucket>) -> Vec<Reply> {
    let env = start_env(1, bucket);
    let mut replies =
        vec![env.pool.get("getRecordingTextTracks", "recordID=r1"), put(&env, VALID_QUERY, SRT.as_bytes())];
    replies.push(put(
        &env,
        "recordID=r1&kind=captions&lang=de",
        b"WEBVTT\n\n00:01.000 --> 00:02.000\nHallo\n",
    ));
    replies.push(env.pool.get("getRecordingTextTracks", "recordID=r1"));
    for path in ["caption_en-US.vtt", "caption_de.vtt", "captions.json"] {
        replies.push(env.pool.fetch("GET", &format!("/presentation/r1/{path}"), &[], b""));
    }
    // Replaces the first track while the recording is unpublished.
    env.pool.get("publishRecordings", "recordID=r1&publish=false").success();
    replies.push(put(&env, "recordID=r1&kind=captions&lang=EN-US&label=A%3Cb%3E%0A", b"WEBVTT\n"));
    replies.push(env.pool.get("getRecordingTextTracks", "recordID=r1"));
    env.pool.get("publishRecordings", "recordID=r1&publish=true").success();
    replies.push(env.pool.fetch("GET", "/presentation/r1/caption_en-US.vtt", &[], b""));
    env.pool.get("deleteRecordings", "recordID=r1").success();
    replies.push(env.pool.get("getRecordingTextTracks", "recordID=r1"));
    replies.push(put(&env, VALID_QUERY, SRT.as_bytes()));
    replies
}

#[test]
fn text_tracks_are_put_listed_replaced_and_played() {
    let bucket = Bucket::start();
    let (replies, s3_replies) = (exercise_text_tracks(None), exercise_text_tracks(Some(&bucket)));
    let normalized = |reply: &Reply| {
        let text = crate::support::snapshot::render(reply);
        let address = text.find("127.0.0.1:").map(|at| text[at..].split('/').next().unwrap().to_owned());
        address.map_or(text.clone(), |address| text.replace(&address, "[server]"))
    };
    for (one, other) in replies.iter().zip(&s3_replies) {
        assert_eq!(normalized(one), normalized(other));
    }
    for reply in replies {
        assert_response!(reply);
    }
    assert_eq!(bucket.keys(), [""; 0]);
}

#[test]
fn text_track_errors_are_json() {
    let env = start_env(1, None);
    assert_response!(
        put(&env, "recordID=r1&kind=subtitles", SRT.as_bytes()),
        json @"{\"response\":{\"message\":\"Missing parameter lang.\",\"messageKey\":\"paramError\",\
               \"returncode\":\"FAILED\"}}"
    );
    assert_response!(
        put(&env, "recordID=r1&kind=chapters&lang=en", SRT.as_bytes()),
        json @"{\"response\":{\"message\":\"Invalid kind parameter, expected='subtitles|captions' \
               actual=chapters\",\"messageKey\":\"invalidKind\",\"returncode\":\"FAILED\"}}"
    );
    assert_response!(
        put(&env, "recordID=r1&kind=captions&lang=en_US", SRT.as_bytes()),
        json @"{\"response\":{\"message\":\"Malformed lang parameter, received=en_US\",\
               \"messageKey\":\"invalidLang\",\"returncode\":\"FAILED\"}}"
    );
    assert_response!(
        put(&env, VALID_QUERY, b" \r\n"),
        json @"{\"response\":{\"message\":\"Empty uploaded text track.\",\
               \"messageKey\":\"empty_uploaded_text_track\",\"returncode\":\"FAILED\"}}"
    );
    assert_response!(
        put(&env, VALID_QUERY, b"1\n00:00:01,000 --> 00:00:02,000\n\xff\n"),
        json @"{\"response\":{\"message\":\"Text track upload failed: it is not UTF-8.\",\
               \"messageKey\":\"upload_text_track_failed\",\"returncode\":\"FAILED\"}}"
    );
    assert_response!(
        put(&env, VALID_QUERY, b"<html>"),
        json @"{\"response\":{\"message\":\"Text track upload failed: it is neither WebVTT nor SRT.\",\
               \"messageKey\":\"upload_text_track_failed\",\"returncode\":\"FAILED\"}}"
    );
    assert_response!(
        env.pool.get("getRecordingTextTracks", ""),
        json @"{\"response\":{\"message\":\"Missing parameter recordID.\",\"messageKey\":\"paramError\",\
               \"returncode\":\"FAILED\"}}"
    );
    assert_response!(
        env.pool.get("getRecordingTextTracks", "recordID=%3Cb%3E"),
        json @"{\"response\":{\"message\":\"No recording found for <b>\",\"messageKey\":\"noRecordings\",\
               \"returncode\":\"FAILED\"}}"
    );
    let kind = "multipart/form-data; boundary=b0undary";
    for (name, body) in [("other", SRT.as_bytes()), ("file", b"")] {
        let reply = env.pool.post("putRecordingTextTrack", VALID_QUERY, kind, &form(name, "x", body));
        assert_eq!(message_key(&reply), "empty_uploaded_text_track");
    }
    // A body above the size limit of a track is not read.
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: sl\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        env.pool.target("putRecordingTextTrack", VALID_QUERY),
        11 << 20
    );
    let response = crate::support::client::send_raw(&env.pool.address(0), head.as_bytes());
    assert!(response.contains("application/json") && response.contains("requestTooLarge"), "{response}");
    let unsigned =
        format!("/bigbluebutton/api/putRecordingTextTrack?{VALID_QUERY}&checksum={}", "0".repeat(40));
    for (method, target) in
        [("POST", unsigned.as_str()), ("GET", "/bigbluebutton/api/getRecordingTextTracks?recordID=r1")]
    {
        assert_eq!(message_key(&env.pool.fetch(method, target, &[], b"")), "checksumError");
    }
    // There is no GET for this call.
    assert_eq!(message_key(&env.pool.get("putRecordingTextTrack", VALID_QUERY)), "unsupportedRequest");
    assert!(!env.published().join("presentation/r1/captions.json").exists());
}

#[test]
fn client_input_never_becomes_a_path() {
    let env = start_env(1, None);
    for lang in ["..%2F..%2Fx", "%2Fetc", "en%2F..", "en%00", "."] {
        let query = format!("recordID=r1&kind=captions&lang={lang}");
        assert_eq!(message_key(&put(&env, &query, SRT.as_bytes())), "invalidLang", "{lang}");
    }
    for id in ["..", "r1%2F..", "r", "%2Fr1"] {
        let query = format!("recordID={id}&kind=captions&lang=en");
        assert_eq!(message_key(&put(&env, &query, SRT.as_bytes())), "noRecordings", "{id}");
    }
    let body = form("file", "../../../evil.srt", SRT.as_bytes());
    let kind = "multipart/form-data; boundary=b0undary";
    let reply = env.pool.post("putRecordingTextTrack", VALID_QUERY, kind, &body);
    assert_eq!(message_key(&reply), "upload_text_track_success");
    let mut files: Vec<_> = std::fs::read_dir(env.published().join("presentation/r1"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    assert_eq!(files, ["caption_en-US.vtt", "captions.json", "index.html"]);
    assert!(!env.published().join("presentation/.sl-work").exists());
    // A list that another program wrote: invalid entries are ignored.
    let list = env.published().join("presentation/r1/captions.json");
    std::fs::write(
        &list,
        r#"[{"localeName":"x","locale":"../../x"},{"localeName":"Deutsch","locale":"de"},7]"#,
    )
    .unwrap();
    let body = env.pool.get("getRecordingTextTracks", "recordID=r1").body;
    assert!(body.contains("Deutsch") && body.contains("\"live\"") && !body.contains(".."), "{body}");
}

/// A front end signs the query; the browser controls the form.
#[test]
fn form_fields_cannot_change_signed_parameters() {
    let env = start_env(1, None);
    env.add("r2", "m2", 2);
    let text = "--x\r\nContent-Disposition: form-data; name=\"recordID\"\r\n\r\nr2\r\n\
        --x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.srt\"\r\n\r\n";
    let body = [text.as_bytes(), SRT.as_bytes(), b"\r\n--x--\r\n"].concat();
    let reply = env.pool.post("putRecordingTextTrack", VALID_QUERY, "multipart/form-data; boundary=x", &body);
    assert!(reply.body.contains("\"recordId\":\"r1\""), "{}", reply.body);
    assert!(env.pool.get("getRecordingTextTracks", "recordID=r2").body.contains("noCaptionsFound"));
    // A form with too many fields is not parsed.
    let field = "--x\r\nContent-Disposition: form-data; name=\"NAME\"\r\n\r\n\r\n";
    let many: String = (0..1100).map(|n| field.replace("NAME", &n.to_string())).collect();
    let body = format!("{many}--x--\r\n");
    let reply = env.pool.post(
        "putRecordingTextTrack",
        VALID_QUERY,
        "multipart/form-data; boundary=x",
        body.as_bytes(),
    );
    assert!(reply.body.contains("too many fields"), "{}", reply.body);
}

#[test]
fn text_track_is_rejected_without_presentation_format() {
    let env = start_env(1, None);
    std::fs::remove_dir_all(env.published().join("presentation/r1")).unwrap();
    assert_response!(
        put(&env, VALID_QUERY, SRT.as_bytes()),
        json @"{\"response\":{\"message\":\"Text track upload failed: the recording has no presentation to \
               show it with.\",\"messageKey\":\"upload_text_track_failed\",\"returncode\":\"FAILED\"}}"
    );
    assert!(!env.published().join("presentation/r1").exists());
}

#[test]
fn concurrent_text_tracks_are_all_kept() {
    let bucket = Bucket::start();
    for bucket in [None, Some(&bucket)] {
        let env = start_env(2, bucket);
        let langs = ["aa", "bb", "cc", "dd", "ee", "ff", "gg", "hh"];
        std::thread::scope(|scope| {
            for (n, lang) in langs.into_iter().enumerate() {
                let env = &env;
                scope.spawn(move || {
                    let query = format!("recordID=r1&kind=captions&lang={lang}");
                    let url = env.pool.url_at(n % 2, "putRecordingTextTrack", &query);
                    let kind = [("content-type", "multipart/form-data; boundary=b0undary")];
                    // A request that waits too long for the lock fails and is retried.
                    eventually("the track is accepted", || {
                        let body = form("file", "x", SRT.as_bytes());
                        let reply = crate::support::client::fetch("POST", &url, &kind, &body);
                        message_key(&reply) == "upload_text_track_success"
                    });
                });
            }
        });
        let body = env.pool.get("getRecordingTextTracks", "recordID=r1").body;
        let listed: serde_json::Value = serde_json::from_str(&body).unwrap();
        let tracks = listed["response"]["tracks"].as_array().unwrap().clone();
        let found: BTreeSet<_> =
            tracks.iter().map(|track| track["lang"].as_str().unwrap().to_owned()).collect();
        assert_eq!(found, langs.into_iter().map(str::to_owned).collect());
        assert_eq!(tracks.len(), langs.len());
    }
}

#[test]
fn reprocessed_recording_keeps_uploaded_text_tracks() {
    let bucket = Bucket::start();
    for bucket in [None, Some(&bucket)] {
        let env = start_env(1, bucket);
        let first = Recording::default();
        let import = |recording: &Recording| {
            let archive = recording.write_archive(&env.spool(), Compression::None).unwrap();
            env.pool.sl_ok(&["recordings", "import", "--remove", archive.to_str().unwrap()]);
        };
        import(&first);
        let id = first.record_id();
        let query = format!("recordID={id}&kind=subtitles&lang=en-US&label=English");
        assert_eq!(message_key(&put(&env, &query, SRT.as_bytes())), "upload_text_track_success");
        let before = env.pool.get("getRecordingTextTracks", &format!("recordID={id}")).body;
        let file = format!("/presentation/{id}/caption_en-US.vtt");
        let played = env.pool.fetch("GET", &file, &[], b"").body;
        import(&Recording { slides: 7, seed: 3, ..first });
        assert_eq!(env.pool.get("getRecordingTextTracks", &format!("recordID={id}")).body, before);
        assert_eq!(env.pool.fetch("GET", &file, &[], b"").body, played);
        assert!(played.starts_with("WEBVTT"), "{played}");
    }
}
