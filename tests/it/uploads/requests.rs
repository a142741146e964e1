//! Upload requests: accepted and rejected ones.

use super::*;
use std::io::Write;

#[test]
fn uploaded_archive_becomes_a_recording() {
    let env = start_env(&["--no-poller", "--importer"], &[]);
    let recording = recording(1, &[Presentation, Video]);
    let (id, bytes) = (recording.record_id(), archive(&recording));
    let token = env.token_for(&id, &bytes);
    let before = env.send("HEAD", &id, &token, None, b"");
    assert_eq!((before.status, before.header("recording-state")), (200, Some("none")));
    let reply = env.send("PUT", &id, &token, None, &bytes);
    assert_eq!(reply.status, 201, "{}", reply.body);
    eventually("it is imported", || env.record_ids("") == [id.as_str()]);
    eventually("its archive is gone", || env.spool_names().is_empty());
    // Also beside a newer recording whose id has this id as prefix.
    env.postgres.sql(&format!(
        "INSERT INTO recordings (record_id, meeting_id, state, published, starttime) \
         VALUES ('{id}0', 'm', 'unpublished', false, now())"
    ));
    let after = env.send("HEAD", &id, &token, None, b"");
    assert_eq!(after.header("recording-state"), Some("published"));
    let log = env.pool.replicas[0].log();
    assert!(log.contains("archive uploaded"), "{log}");
    assert!(!log.contains(&token), "{log}");
}

#[test]
fn interrupted_upload_resumes_at_offset_on_any_replica() {
    let mut env = start_env(&["--no-poller"], &[]);
    let recording = recording(1, &[Presentation]);
    let (id, bytes) = (recording.record_id(), archive(&recording));
    let token = env.token_for(&id, &bytes);
    let mut stream = client::connect(&env.pool.address(0));
    write!(
        stream,
        "PUT /sl/recordings/{id}.tar HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: {}\r\n\r\n",
        bytes.len()
    )
    .unwrap();
    stream.write_all(&bytes[..10_000]).unwrap();
    let offset = |env: &RecordingEnv| {
        let reply = env.send("HEAD", &id, &token, None, b"");
        reply.header("upload-offset").unwrap().parse::<usize>().unwrap()
    };
    eventually("the part has arrived", || offset(&env) == 10_000);
    // A concurrent upload of the same recording must wait.
    let busy = env.send("PUT", &id, &token, None, &bytes);
    assert_eq!((busy.status, busy.header("retry-after")), (423, Some("10")));
    // The partial file is hidden from the importer.
    assert_eq!(env.spool_names().len(), 1);
    assert!(env.spool_names()[0].starts_with('.'), "{:?}", env.spool_names());
    // The replica is killed in the middle of the upload.
    let port = env.pool.replicas[0].port;
    env.pool.replicas.clear();
    drop(stream);
    env.pool.serve_at(port, &["--no-poller"]);
    assert_eq!(offset(&env), 10_000);
    let (total, last) = (bytes.len(), bytes.len() - 1);
    let wrong = env.send("PUT", &id, &token, Some(&format!("bytes 9999-{last}/{total}")), &bytes[9999..]);
    assert_eq!((wrong.status, wrong.header("upload-offset")), (409, Some("10000")));
    // One part, then the rest.
    let part =
        env.send("PUT", &id, &token, Some(&format!("bytes 10000-14999/{total}")), &bytes[10_000..15_000]);
    assert_eq!((part.status, part.header("upload-offset")), (202, Some("15000")));
    let rest = env.send("PUT", &id, &token, Some(&format!("bytes 15000-{last}/{total}")), &bytes[15_000..]);
    assert_eq!(rest.status, 201, "{}", rest.body);
    assert_eq!(env.spool_names(), [format!("{id}.upload.bbb1.tar")]);
    assert!(std::fs::read(env.spool().join(format!("{id}.upload.bbb1.tar"))).unwrap() == bytes);
    assert_eq!(env.send("HEAD", &id, &token, None, b"").header("recording-state"), Some("spool"));
}

#[test]
fn complete_upload_is_finished_without_resending() {
    let env = start_env(&["--no-poller"], &[]);
    let recording = recording(1, &[Notes]);
    let (id, bytes) = (recording.record_id(), archive(&recording));
    let token = env.token_for(&id, &bytes);
    let total = bytes.len();
    let first =
        env.send("PUT", &id, &token, Some(&format!("bytes 0-{}/{total}", total - 2)), &bytes[..total - 1]);
    assert_eq!(first.status, 202);
    let finish = format!("bytes */{total}");
    let early = env.send("PUT", &id, &token, Some(&finish), b"");
    let missing = (total - 1).to_string();
    assert_eq!((early.status, early.header("upload-offset")), (409, Some(missing.as_str())));
    // As if a replica was killed between the last byte and the response.
    let part = env.spool_names();
    let mut file = std::fs::File::options().append(true).open(env.spool().join(&part[0])).unwrap();
    file.write_all(&bytes[total - 1..]).unwrap();
    let head = env.send("HEAD", &id, &token, None, b"");
    let all = total.to_string();
    assert_eq!((head.header("upload-offset"), head.header("upload-complete")), (Some(all.as_str()), None));
    assert_eq!(env.send("PUT", &id, &token, Some(&finish), b"").status, 201);
    assert_eq!(env.spool_names(), [format!("{id}.upload.bbb1.tar")]);
    let head = env.send("HEAD", &id, &token, None, b"");
    assert_eq!((head.header("upload-offset"), head.header("upload-complete")), (Some("0"), Some("yes")));
    let other = env.token_for(&id, b"another archive");
    assert_eq!(env.send("HEAD", &id, &other, None, b"").header("upload-complete"), None);
}

#[test]
fn recording_deleted_after_packing_stays_deleted() {
    let env = start_env(&["--no-poller", "--importer"], &[]);
    let recording = recording(1, &[Notes]);
    let (id, bytes) = (recording.record_id(), archive(&recording));
    let packed = now() - 3600;
    let sum = hex::encode(Sha256::digest(&bytes));
    let token =
        |packed: u64| env.token(json!({ "sub": id, "exp": now() + 60, "packed": packed, "sha256": sum }));
    assert_eq!(env.send("PUT", &id, &token(packed), None, &bytes).status, 201);
    eventually("it is imported", || env.record_ids("") == [id.as_str()]);
    env.pool.get("deleteRecordings", &format!("recordID={id}")).success();
    assert_eq!(env.send("PUT", &id, &token(packed), None, &bytes).status, 201);
    eventually("the importer has handled it", || env.pool.replicas[0].log().contains("stays deleted"));
    assert_eq!(env.record_ids("state=any"), [id.as_str()]);
    assert_eq!(env.record_ids(""), [""; 0]);
    eventually("its archive is gone", || env.spool_names().is_empty());
    assert_eq!(env.send("HEAD", &id, &token(packed), None, b"").header("recording-state"), Some("deleted"));
    // Packed again later, it comes back.
    assert_eq!(env.send("PUT", &id, &token(now() + 1000), None, &bytes).status, 201);
    eventually("it is back", || env.record_ids("") == [id.as_str()]);
}

#[test]
fn upload_requires_token_of_pool_server_for_that_recording() {
    let env = start_env(&["--no-poller"], &[]);
    let recording = recording(1, &[Notes]);
    let (id, bytes) = (recording.record_id(), archive(&recording));
    let sum = hex::encode(Sha256::digest(&bytes));
    let claims = |sub: &str, exp: u64| json!({ "sub": sub, "exp": exp, "sha256": sum });
    let valid = claims(&id, now() + 60);
    let secret = env.pool.secret.clone();
    let none = {
        let parts = env.token(valid.clone());
        let claims = parts.split('.').nth(1).unwrap().to_owned();
        // {"alg":"none"}
        format!("eyJhbGciOiJub25lIn0.{claims}.")
    };
    for (what, token) in [
        ("the balancer's own secret", sign(Algorithm::Hs256, secret.as_bytes(), &valid)),
        ("no secret", sign(Algorithm::Hs256, b"", &valid)),
        ("no signature", none),
        ("another recording", env.token(claims("another-1", now() + 60))),
        ("expired", env.token(claims(&id, now() - 1))),
        ("for ever", env.token(claims(&id, now() + 30 * 24 * 3600))),
        ("without an end", env.token(json!({ "sub": id }))),
        ("nothing", String::new()),
        ("garbage", "a.b.c".into()),
    ] {
        let reply = env.send("PUT", &id, &token, None, &bytes);
        assert_eq!(reply.status, 401, "{what}: {}", reply.body);
        assert_eq!(env.send("HEAD", &id, &token, None, b"").status, 401, "{what}");
        assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
        assert!(reply.body.contains("JWT"), "{}", reply.body);
    }
    assert_eq!(env.spool_names(), [""; 0]);
    let valid_for_hs512 = valid.clone();
    let token = env.token(valid);
    for path in ["x.zip", "..%2Fx.tar", "a%00.tar", "a/b.tar", ".tar", ".x.tar", "x.tar.gz"] {
        let url = format!("http://{}/sl/recordings/{path}", env.pool.address(0));
        let authorization = format!("Bearer {token}");
        let reply = client::fetch("PUT", &url, &[("Authorization", &authorization)], &bytes);
        assert!([400, 404].contains(&reply.status), "{path}: {} {}", reply.status, reply.body);
    }
    assert_eq!(env.spool_names(), [""; 0]);
    // Other methods are unsupported as before.
    let url = format!("http://{}/sl/recordings/{id}.tar", env.pool.address(0));
    assert_eq!(client::fetch("GET", &url, &[], b"").failed(), "unsupportedRequest");
    // HS512 is accepted as well.
    let hs512 = sign(Algorithm::Hs512, env.pool.server(1).secret().as_bytes(), &valid_for_hs512);
    assert_eq!(env.send("PUT", &id, &hs512, None, &bytes).status, 201);
}

#[test]
fn oversized_or_mismatching_upload_is_rejected_and_discarded() {
    let env = start_env(&["--no-poller"], &[("RECORDING_UPLOAD_MAX_SIZE", "100000")]);
    let id = "r-1";
    let large = vec![7; 100_001];
    let token = env.token_for(id, &large);
    let reply = env.send("PUT", id, &token, None, &large);
    assert_eq!(reply.status, 413);
    assert!(reply.body.contains("RECORDING_UPLOAD_MAX_SIZE"), "{}", reply.body);
    // The same without Content-Length.
    let mut chunked = format!(
        "PUT /sl/recordings/{id}.tar HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
         Transfer-Encoding: chunked\r\n\r\n{:x}\r\n",
        large.len()
    )
    .into_bytes();
    chunked.extend_from_slice(&large);
    chunked.extend_from_slice(b"\r\n0\r\n\r\n");
    let response = client::send_raw(&env.pool.address(0), &chunked);
    assert!(response.starts_with("HTTP/1.1 413"), "{response}");
    let token = env.token_for(id, b"announced bytes");
    let reply = env.send("PUT", id, &token, None, b"other bytes sent");
    assert_eq!((reply.status, reply.header("upload-offset")), (422, Some("0")));
    for range in ["bytes 0-3/2", "bytes 5-4/9", "bytes x-4/9", "0-4/9", "bytes 0-4/*"] {
        let reply = env.send("PUT", id, &token, Some(range), b"12345");
        assert_eq!(reply.status, 400, "{range}: {}", reply.body);
    }
    let reply = env.send("PUT", id, &token, Some("bytes 0-9/14"), b"what");
    assert_eq!(reply.status, 400, "less than announced: {}", reply.body);
    let sum = env.token(json!({ "sub": id, "exp": now() + 60, "sha256": "../../etc/passwd" }));
    assert_eq!(env.send("PUT", id, &sum, None, b"x").status, 400);
    assert_eq!(env.send("PUT", id, &env.token_for(id, b""), None, b"").status, 400);
    // Only the part of the announced upload is kept.
    assert_eq!(env.spool_names().len(), 1, "{:?}", env.spool_names());
    std::fs::remove_dir_all(env.spool()).unwrap();
    let reply = env.send("PUT", id, &env.token_for(id, b"x"), None, b"x");
    assert_eq!(reply.status, 503);
}

#[test]
fn upload_requires_the_digest_of_its_archive() {
    let env = start_env(&["--no-poller"], &[]);
    let token = env.token(json!({ "sub": "r-1", "exp": now() + 60 }));
    let reply = env.send("PUT", "r-1", &token, None, b"archive");
    assert_eq!((reply.status, reply.body.contains("sha256")), (400, true), "{reply:?}");
    assert_eq!(env.spool_names(), [""; 0]);
    // The state of a recording can be read without one.
    assert_eq!(env.send("HEAD", "r-1", &token, None, b"").header("recording-state"), Some("none"));
    let log = env.pool.replicas[0].log();
    assert!(log.contains("upload was refused") && log.contains("r-1.tar") && !log.contains(&token), "{log}");
}

fn failed(env: &RecordingEnv) -> serde_json::Value {
    let listing = env.pool.sl_ok(&["--json", "recordings", "spool"]);
    serde_json::from_str::<serde_json::Value>(&listing).unwrap()["failed"].clone()
}

/// A server may bring what its token names, and no other server's recording with it.
#[test]
fn uploaded_archive_with_another_recording_is_quarantined() {
    let env = start_env(&["--no-poller", "--importer"], &[]);
    let (mine, other) = (recording(1, &[Notes]), recording(2, &[Video]));
    let mut bytes = archive(&mine);
    while bytes.ends_with(&[0; 512]) {
        bytes.truncate(bytes.len() - 512);
    }
    bytes.extend(archive(&other));
    for bytes in [archive(&other), bytes] {
        let id = mine.record_id();
        assert_eq!(env.send("PUT", &id, &env.token_for(&id, &bytes), None, &bytes).status, 201);
        eventually("it is in failed/", || failed(&env).as_array().unwrap().len() == 1);
        let why = failed(&env)[0]["reasons"][0].as_str().unwrap().to_owned();
        assert!(why.contains(&format!("holds recording {} too", other.record_id())), "{why}");
        std::fs::remove_dir_all(env.spool().join("failed")).unwrap();
        assert_eq!(env.record_ids("state=any"), [""; 0]);
        assert_eq!(env.formats_on(&env.published()), [""; 0]);
    }
}

#[test]
fn replacement_by_another_server_waits_for_an_operator() {
    let env = start_env_with(2, &["--no-poller", "--importer"], &[]);
    let recording = recording(1, &[Notes]);
    let (id, first) = (recording.record_id(), archive(&recording));
    let (other, mine) = (
        Recording { name: "Other".into(), ..recording.clone() },
        Recording { name: "Mine".into(), ..recording },
    );
    let name = || env.postgres.sql("SELECT name FROM recordings");
    let upload = |server: usize, bytes: &[u8]| {
        let claims = json!({ "sub": id, "exp": now() + 60, "sha256": hex::encode(Sha256::digest(bytes)) });
        let token = sign(Algorithm::Hs256, env.pool.server(server).secret().as_bytes(), &claims);
        assert_eq!(env.send("PUT", &id, &token, None, bytes).status, 201);
        token
    };
    upload(1, &first);
    eventually("it is imported", || env.record_ids("") == [id.as_str()]);
    // The same server may replace it.
    upload(1, &archive(&mine));
    eventually("it is replaced", || name() == "Mine");
    let token = upload(2, &archive(&other));
    eventually("it waits in failed/", || failed(&env).as_array().unwrap().len() == 1);
    let (archive_name, why) = (format!("{id}.upload.bbb2.tar"), failed(&env)[0]["reasons"][0].clone());
    assert_eq!(
        (&failed(&env)[0]["name"], &failed(&env)[0]["server"]),
        (&json!(archive_name), &json!("bbb2"))
    );
    let why = why.as_str().unwrap();
    assert!(why.contains("uploaded by server bbb2, but server bbb1 brought this recording"), "{why}");
    assert!(why.contains(&format!("sl recordings retry --accept-server {archive_name}")), "{why}");
    assert_eq!(name(), "Mine");
    assert_eq!(env.send("HEAD", &id, &token, None, b"").header("recording-state"), Some("failed"));
    assert!(env.pool.sl_ok(&["recordings", "spool"]).contains("server bbb1 brought this recording"));
    // A retry alone changes nothing.
    env.pool.sl_ok(&["recordings", "retry", &archive_name]);
    eventually("it is back in failed/", || failed(&env).as_array().unwrap().len() == 1);
    assert_eq!(name(), "Mine");
    env.pool.sl_ok(&["recordings", "retry", "--accept-server", &archive_name]);
    eventually("it is replaced", || name() == "Other");
    eventually("nothing waits", || env.pool.sl_ok(&["recordings", "spool"]) == "No archives.\n");
    assert_eq!(env.postgres.sql("SELECT first_server FROM recordings"), "bbb2");
    // By the spool, as before: from anywhere.
    std::fs::write(env.spool().join(format!("{id}.tar")), archive(&mine)).unwrap();
    eventually("it is replaced", || name() == "Mine");
    // What came by the spool is nobody's: an upload waits.
    env.postgres.sql("UPDATE recordings SET first_server = NULL");
    upload(1, &archive(&other));
    eventually("it waits in failed/", || failed(&env).as_array().unwrap().len() == 1);
    assert!(failed(&env)[0]["reasons"][0].as_str().unwrap().contains("was not brought by an upload"));
}

#[test]
fn refused_upload_is_logged_with_its_server_and_reason() {
    let env = start_env(&["--no-poller"], &[]);
    let recording = recording(1, &[Presentation]);
    let (id, bytes) = (recording.record_id(), archive(&recording));
    let forged = env.send("PUT", &id, "not-a-token", None, &bytes);
    assert_eq!(forged.status, 401);
    let token = env.token_for(&id, &bytes);
    let other = env.send("PUT", &id, &token, None, &bytes[..bytes.len() - 1]);
    assert_eq!(other.status, 422, "{}", other.body);
    let log = env.pool.replicas[0].log();
    let refused: Vec<&str> = log.lines().filter(|line| line.contains("an upload was refused")).collect();
    assert_eq!(refused.len(), 2, "{log}");
    assert!(refused[0].contains("status=401") && !refused[0].contains("server="), "{log}");
    assert!(refused[1].contains("status=422") && refused[1].contains("server=\"bbb1\""), "{log}");
    assert!(!log.contains(&token) && !log.contains("not-a-token"), "{log}");
}
