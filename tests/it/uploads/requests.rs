//! What is taken, and what is refused.

use super::*;
use std::io::Write;

#[test]
fn an_archive_that_is_sent_becomes_a_recording() {
    let library = pool(&["--no-poller", "--importer"], &[]);
    let recording = recording(1, &[Presentation, Video]);
    let (id, bytes) = (recording.record_id(), archive(&recording));
    let token = library.token_for(&id, &bytes);
    let before = library.send("HEAD", &id, &token, None, b"");
    assert_eq!((before.status, before.header("recording-state")), (200, Some("none")));
    let reply = library.send("PUT", &id, &token, None, &bytes);
    assert_eq!(reply.status, 201, "{}", reply.body);
    eventually("it is imported", || library.listed("") == [id.as_str()]);
    eventually("its archive is gone", || library.in_spool().is_empty());
    // Also beside a newer one whose id begins with its.
    library.postgres.sql(&format!(
        "INSERT INTO recordings (record_id, meeting_id, state, published, starttime) \
         VALUES ('{id}0', 'm', 'unpublished', false, now())"
    ));
    let after = library.send("HEAD", &id, &token, None, b"");
    assert_eq!(after.header("recording-state"), Some("published"));
    let log = library.pool.replicas[0].log();
    assert!(log.contains("archive uploaded"), "{log}");
    assert!(!log.contains(&token), "{log}");
}

#[test]
fn what_broke_off_goes_on_where_it_did_on_any_replica() {
    let mut library = pool(&["--no-poller"], &[]);
    let recording = recording(1, &[Presentation]);
    let (id, bytes) = (recording.record_id(), archive(&recording));
    let token = library.token_for(&id, &bytes);
    let mut stream = client::connect(&library.pool.address(0));
    write!(
        stream,
        "PUT /sl/recordings/{id}.tar HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: {}\r\n\r\n",
        bytes.len()
    )
    .unwrap();
    stream.write_all(&bytes[..10_000]).unwrap();
    let offset = |library: &Library| {
        let reply = library.send("HEAD", &id, &token, None, b"");
        reply.header("upload-offset").unwrap().parse::<usize>().unwrap()
    };
    eventually("it has come", || offset(&library) == 10_000);
    // Somebody else who sends the same must wait.
    let busy = library.send("PUT", &id, &token, None, &bytes);
    assert_eq!((busy.status, busy.header("retry-after")), (423, Some("10")));
    // Nobody is told that it is there.
    assert_eq!(library.in_spool().len(), 1);
    assert!(library.in_spool()[0].starts_with('.'), "{:?}", library.in_spool());
    // The replica is killed in the middle.
    let port = library.pool.replicas[0].port;
    library.pool.replicas.clear();
    drop(stream);
    library.pool.serve_at(port, &["--no-poller"]);
    assert_eq!(offset(&library), 10_000);
    let (total, last) = (bytes.len(), bytes.len() - 1);
    let wrong = library.send("PUT", &id, &token, Some(&format!("bytes 9999-{last}/{total}")), &bytes[9999..]);
    assert_eq!((wrong.status, wrong.header("upload-offset")), (409, Some("10000")));
    // A piece, and then the rest.
    let piece =
        library.send("PUT", &id, &token, Some(&format!("bytes 10000-14999/{total}")), &bytes[10_000..15_000]);
    assert_eq!((piece.status, piece.header("upload-offset")), (202, Some("15000")));
    let rest =
        library.send("PUT", &id, &token, Some(&format!("bytes 15000-{last}/{total}")), &bytes[15_000..]);
    assert_eq!(rest.status, 201, "{}", rest.body);
    assert_eq!(library.in_spool(), [format!("{id}.tar")]);
    assert!(std::fs::read(library.spool().join(format!("{id}.tar"))).unwrap() == bytes);
    assert_eq!(library.send("HEAD", &id, &token, None, b"").header("recording-state"), Some("spool"));
}

#[test]
fn what_lacks_only_its_last_answer_is_finished_without_sending_it_again() {
    let library = pool(&["--no-poller"], &[]);
    let recording = recording(1, &[Notes]);
    let (id, bytes) = (recording.record_id(), archive(&recording));
    let token = library.token_for(&id, &bytes);
    let total = bytes.len();
    let first = library.send(
        "PUT",
        &id,
        &token,
        Some(&format!("bytes 0-{}/{total}", total - 2)),
        &bytes[..total - 1],
    );
    assert_eq!(first.status, 202);
    let finish = format!("bytes */{total}");
    let early = library.send("PUT", &id, &token, Some(&finish), b"");
    let missing = (total - 1).to_string();
    assert_eq!((early.status, early.header("upload-offset")), (409, Some(missing.as_str())));
    // A replica was killed between the last byte and its answer.
    let part = library.in_spool();
    let mut file = std::fs::File::options().append(true).open(library.spool().join(&part[0])).unwrap();
    file.write_all(&bytes[total - 1..]).unwrap();
    let asked = library.send("HEAD", &id, &token, None, b"");
    let all = total.to_string();
    assert_eq!((asked.header("upload-offset"), asked.header("upload-complete")), (Some(all.as_str()), None));
    assert_eq!(library.send("PUT", &id, &token, Some(&finish), b"").status, 201);
    assert_eq!(library.in_spool(), [format!("{id}.tar")]);
    let asked = library.send("HEAD", &id, &token, None, b"");
    assert_eq!((asked.header("upload-offset"), asked.header("upload-complete")), (Some("0"), Some("yes")));
    let other = library.token_for(&id, b"another archive");
    assert_eq!(library.send("HEAD", &id, &other, None, b"").header("upload-complete"), None);
}

#[test]
fn a_recording_that_was_deleted_after_its_archive_was_packed_stays_deleted() {
    let library = pool(&["--no-poller", "--importer"], &[]);
    let recording = recording(1, &[Notes]);
    let (id, bytes) = (recording.record_id(), archive(&recording));
    let packed = now() - 3600;
    let token = |packed: u64| library.token(json!({ "sub": id, "exp": now() + 60, "packed": packed }));
    assert_eq!(library.send("PUT", &id, &token(packed), None, &bytes).status, 201);
    eventually("it is imported", || library.listed("") == [id.as_str()]);
    library.pool.get("deleteRecordings", &format!("recordID={id}")).success();
    assert_eq!(library.send("PUT", &id, &token(packed), None, &bytes).status, 201);
    eventually("it was looked at", || library.pool.replicas[0].log().contains("stays deleted"));
    assert_eq!(library.listed("state=any"), [id.as_str()]);
    assert_eq!(library.listed(""), [""; 0]);
    eventually("its archive is gone", || library.in_spool().is_empty());
    assert_eq!(
        library.send("HEAD", &id, &token(packed), None, b"").header("recording-state"),
        Some("deleted")
    );
    // Packed anew, it comes back.
    assert_eq!(library.send("PUT", &id, &token(now() + 1000), None, &bytes).status, 201);
    eventually("it is back", || library.listed("") == [id.as_str()]);
}

#[test]
fn only_servers_of_the_pool_send_and_only_what_they_say() {
    let library = pool(&["--no-poller"], &[]);
    let recording = recording(1, &[Notes]);
    let (id, bytes) = (recording.record_id(), archive(&recording));
    let sum = hex::encode(Sha256::digest(&bytes));
    let claims = |sub: &str, exp: u64| json!({ "sub": sub, "exp": exp, "sha256": sum });
    let good = claims(&id, now() + 60);
    let secret = library.pool.secret.clone();
    let none = {
        let parts = library.token(good.clone());
        let claims = parts.split('.').nth(1).unwrap().to_owned();
        // {"alg":"none"}
        format!("eyJhbGciOiJub25lIn0.{claims}.")
    };
    for (what, token) in [
        ("the balancer's own secret", sign(Algorithm::Hs256, secret.as_bytes(), &good)),
        ("no secret", sign(Algorithm::Hs256, b"", &good)),
        ("no signature", none),
        ("another recording", library.token(claims("another-1", now() + 60))),
        ("expired", library.token(claims(&id, now() - 1))),
        ("for ever", library.token(claims(&id, now() + 30 * 24 * 3600))),
        ("without an end", library.token(json!({ "sub": id }))),
        ("nothing", String::new()),
        ("garbage", "a.b.c".into()),
    ] {
        let reply = library.send("PUT", &id, &token, None, &bytes);
        assert_eq!(reply.status, 401, "{what}: {}", reply.body);
        assert_eq!(library.send("HEAD", &id, &token, None, b"").status, 401, "{what}");
        assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
        assert!(reply.body.contains("JWT"), "{}", reply.body);
    }
    assert_eq!(library.in_spool(), [""; 0]);
    let token = library.token(good);
    for path in ["x.zip", "..%2Fx.tar", "a%00.tar", "a/b.tar", ".tar", ".x.tar", "x.tar.gz"] {
        let url = format!("http://{}/sl/recordings/{path}", library.pool.address(0));
        let authorization = format!("Bearer {token}");
        let reply = client::fetch("PUT", &url, &[("Authorization", &authorization)], &bytes);
        assert!([400, 404].contains(&reply.status), "{path}: {} {}", reply.status, reply.body);
    }
    assert_eq!(library.in_spool(), [""; 0]);
    // Other methods and paths are what they were.
    let url = format!("http://{}/sl/recordings/{id}.tar", library.pool.address(0));
    assert_eq!(client::fetch("GET", &url, &[], b"").failed(), "unsupportedRequest");
    // HS512 is as good.
    let hs512 = sign(
        Algorithm::Hs512,
        library.pool.server(1).secret().as_bytes(),
        &json!({ "sub": id, "exp": now() + 60 }),
    );
    assert_eq!(library.send("PUT", &id, &hs512, None, &bytes).status, 201);
}

#[test]
fn what_is_too_large_or_not_what_was_said_is_refused_and_not_kept() {
    let library = pool(&["--no-poller"], &[("RECORDING_UPLOAD_MAX_SIZE", "100000")]);
    let id = "r-1";
    let large = vec![7; 100_001];
    let token = library.token_for(id, &large);
    let reply = library.send("PUT", id, &token, None, &large);
    assert_eq!(reply.status, 413);
    assert!(reply.body.contains("RECORDING_UPLOAD_MAX_SIZE"), "{}", reply.body);
    // The same without saying so first.
    let mut chunked = format!(
        "PUT /sl/recordings/{id}.tar HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
         Transfer-Encoding: chunked\r\n\r\n{:x}\r\n",
        large.len()
    )
    .into_bytes();
    chunked.extend_from_slice(&large);
    chunked.extend_from_slice(b"\r\n0\r\n\r\n");
    let answer = client::raw(&library.pool.address(0), &chunked);
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    let token = library.token_for(id, b"what was meant");
    let reply = library.send("PUT", id, &token, None, b"something else");
    assert_eq!((reply.status, reply.header("upload-offset")), (422, Some("0")));
    for range in ["bytes 0-3/2", "bytes 5-4/9", "bytes x-4/9", "0-4/9", "bytes 0-4/*"] {
        let reply = library.send("PUT", id, &token, Some(range), b"12345");
        assert_eq!(reply.status, 400, "{range}: {}", reply.body);
    }
    let reply = library.send("PUT", id, &token, Some("bytes 0-9/14"), b"what");
    assert_eq!(reply.status, 400, "less than announced: {}", reply.body);
    let sum = library.token(json!({ "sub": id, "exp": now() + 60, "sha256": "../../etc/passwd" }));
    assert_eq!(library.send("PUT", id, &sum, None, b"x").status, 400);
    assert_eq!(library.send("PUT", id, &library.token_for(id, b""), None, b"").status, 400);
    // What has come of an announced one is kept; nothing else is.
    assert_eq!(library.in_spool().len(), 1, "{:?}", library.in_spool());
    std::fs::remove_dir_all(library.spool()).unwrap();
    let reply = library.send("PUT", id, &library.token_for(id, b"x"), None, b"x");
    assert_eq!(reply.status, 503);
}
