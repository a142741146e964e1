//! From the create to the callback: which URL is remembered for which recording.

use super::*;
use crate::support::{Pool, parameters};

fn forwarded(pool: &Pool) -> Vec<String> {
    let request = pool.server(1).last_request("create").unwrap();
    parameters(&request).into_iter().map(|(name, _)| name).collect()
}

const ALL_THREE: &str = "meta_canvas-recording-ready-url=https%3A%2F%2Fc.example.org%2F&meta_other-url=o\
    &meta_bbb-recording-ready-url=https%3A%2F%2Fb.example.org%2F\
    &meta_bn-recording-ready-url=https%3A%2F%2Fn.example.org%2F%3Fa%3D1%26b%3D2";

#[test]
fn of_three_names_the_first_counts_and_none_is_forwarded() {
    let library = library(1, &[]);
    let internal = library.pool.get("create", &format!("meetingID=m1&{ALL_THREE}")).success();
    let internal = internal.xml("internalMeetingID").unwrap();
    let names = forwarded(&library.pool);
    assert!(!names.iter().any(|name| name.contains("recording-ready")), "{names:?}");
    assert!(names.iter().any(|name| name == "meta_other-url"), "{names:?}");
    let data = || library.postgres.sql("SELECT meeting_id, callback_attributes FROM callback_data");
    eventually("it is in the index", || !data().is_empty());
    assert_eq!(data(), "m1|---\n:recording_ready_url: https://n.example.org/?a=1&b=2");
    let ours = library.postgres.sql("SELECT internal_meeting_id, url FROM callback_urls");
    assert_eq!(ours, format!("{internal}|https://n.example.org/?a=1&b=2"));
    eventually("nothing waits in Redis", || {
        library.pool.redis.cli(&["EXISTS", "scalelite:sl:outbox"]) == "0"
    });
    // Without a URL nothing is kept anywhere.
    let asked = library.pool.redis.monitor(|| drop(library.pool.get("create", "meetingID=m2").success()));
    assert!(!asked.contains(&"rpush".to_owned()), "{asked:?}");
    assert_eq!(library.postgres.sql("SELECT count(*) FROM callback_data"), "1");
}

#[test]
fn a_pool_without_recordings_announces_none_and_forwards_none() {
    let pool = Pool::start(1);
    pool.get("create", &format!("meetingID=m1&{ALL_THREE}")).success();
    let names = forwarded(&pool);
    assert!(!names.iter().any(|name| name.contains("recording-ready")), "{names:?}");
    assert_eq!(pool.redis.cli(&["EXISTS", "scalelite:sl:outbox"]), "0");
}

#[test]
fn each_recording_has_the_url_of_its_own_meeting() {
    let library = library(1, &[]);
    let receiver = Receiver::start();
    let first = create(&library, "room", &receiver.url("/old"));
    let again = create(&library, "room", &receiver.url("/first"));
    assert_eq!(first, again, "a second create of the same meeting");
    library.pool.server(1).end_meeting("room");
    let second = create(&library, "room", &receiver.url("/second"));
    assert_ne!(first, second);
    eventually("all is in the index", || {
        library.postgres.sql("SELECT string_agg(url, ' ' ORDER BY url) FROM callback_urls")
            == format!("{} {}", receiver.url("/first"), receiver.url("/second"))
    });
    // Scalelite has one row for each meetingID.
    let data = library.postgres.sql("SELECT count(*), max(callback_attributes) FROM callback_data");
    assert_eq!(data, format!("1|---\n:recording_ready_url: {}", receiver.url("/second")));
    import(&library, &recording("room", &second));
    import(&library, &recording("room", &first));
    all_are(&library, "delivered");
    let seen = receiver.got(2);
    for (path, id) in [("/first", &first), ("/second", &second)] {
        let of: Vec<_> = seen.iter().filter(|seen| seen.line == format!("POST {path}")).collect();
        assert_eq!(of.len(), 1, "{seen:?}");
        assert_eq!(of[0].claims(&library.pool.secret), Some(("room".to_owned(), id.clone())));
    }
}

#[test]
fn what_scalelite_has_noted_is_called_and_what_else_it_keeps_stays() {
    let library = library(1, &[]);
    let receiver = Receiver::start();
    // Scalelite may let a meetingID stand there once.
    library.postgres.sql("CREATE UNIQUE INDEX once ON callback_data (meeting_id)");
    library.postgres.sql(&format!(
        "INSERT INTO callback_data (meeting_id, callback_attributes, created_at, updated_at) VALUES \
         ('room', E'---\\n:recording_ready_url: {}\\n:analytics_callback_url: https://e.org/a\\n', '2026-01-01', '2026-01-01')",
        receiver.url("/scalelite")
    ));
    let recorded = Recording {
        meeting_id: "room".into(),
        formats: vec![RecordingFormat::Notes],
        ..Recording::default()
    };
    import(&library, &recorded);
    assert_eq!(receiver.got(1)[0].line, "POST /scalelite");
    create(&library, "room", &receiver.url("/ours"));
    create(&library, "m2", &receiver.url("/ours2"));
    let data =
        || library.postgres.sql("SELECT string_agg(callback_attributes, '' ORDER BY id) FROM callback_data");
    let expected = format!(
        "---\n:analytics_callback_url: https://e.org/a\n:recording_ready_url: {}\n---\n:recording_ready_url: {}",
        receiver.url("/ours"),
        receiver.url("/ours2")
    );
    eventually("both are noted", || data() == expected);
}

#[test]
fn a_recording_is_announced_once_and_again_only_if_it_was_deleted() {
    let library = library(1, &[("RECORDING_IMPORT_UNPUBLISHED", "true")]);
    let receiver = Receiver::start();
    let id = create(&library, "room", &receiver.url("/"));
    let recorded = recording("room", &id);
    import(&library, &recorded);
    all_are(&library, "delivered");
    // Processed once more, with a format that is new.
    import(
        &library,
        &Recording { formats: vec![RecordingFormat::Notes, RecordingFormat::Podcast], ..recorded.clone() },
    );
    assert_eq!(library.postgres.sql("SELECT count(*) FROM playback_formats"), "2");
    assert_eq!(library.postgres.sql("SELECT count(*) FROM callbacks WHERE state = 'pending'"), "0");
    library.pool.get("deleteRecordings", &format!("recordID={id}")).success();
    let archive = recorded.write_archive(&library.spool(), Compression::None).unwrap();
    std::fs::File::options()
        .write(true)
        .open(&archive)
        .map(|file| {
            file.set_modified(std::time::SystemTime::now() + std::time::Duration::from_secs(5)).unwrap()
        })
        .ok();
    receiver.got(2);
    all_are(&library, "delivered");
    assert_eq!(receiver.seen().len(), 2);
}

#[test]
fn what_is_deleted_is_not_announced_any_more() {
    let library = library(1, &[]);
    let mut receiver = Receiver::start();
    receiver.down();
    let id = create(&library, "room", &receiver.url("/"));
    import(&library, &recording("room", &id));
    eventually("it has been tried", || callbacks(&library).contains("|pending|1|"));
    library.pool.get("deleteRecordings", &format!("recordID={id}")).success();
    assert_eq!(callbacks(&library), "");
}

#[test]
fn urls_that_are_none_are_ignored() {
    let library = library(1, &[]);
    let long = format!("https://e.org/{}", "x".repeat(4096));
    for (n, url) in ["", "   ", "https://e.org/a\nb", &long].into_iter().enumerate() {
        create(&library, &format!("m{n}"), url);
    }
    // What comes after them has arrived.
    create(&library, "last", "https://e.org/");
    eventually("the good one is noted", || {
        library.postgres.sql("SELECT meeting_id FROM callback_data") == "last"
    });
    eventually("Redis keeps none", || library.pool.redis.cli(&["EXISTS", "scalelite:sl:outbox"]) == "0");
}
