//! Callback URLs: which URL of a create is stored for which recording.

use super::*;
use crate::support::{Pool, parameters};

fn forwarded_names(pool: &Pool) -> Vec<String> {
    let request = pool.server(1).last_request("create").unwrap();
    parameters(&request).into_iter().map(|(name, _)| name).collect()
}

const ALL_THREE: &str = "meta_canvas-recording-ready-url=https%3A%2F%2Fc.example.org%2F&meta_other-url=o\
    &meta_bbb-recording-ready-url=https%3A%2F%2Fb.example.org%2F\
    &meta_bn-recording-ready-url=https%3A%2F%2Fn.example.org%2F%3Fa%3D1%26b%3D2";

#[test]
fn first_of_three_callback_parameters_wins_and_none_is_forwarded() {
    let env = start_env(1, &[]);
    let internal = env.pool.get("create", &format!("meetingID=m1&{ALL_THREE}")).success();
    let internal = internal.xml("internalMeetingID").unwrap();
    let names = forwarded_names(&env.pool);
    assert!(!names.iter().any(|name| name.contains("recording-ready")), "{names:?}");
    assert!(names.iter().any(|name| name == "meta_other-url"), "{names:?}");
    let data = || env.postgres.sql("SELECT meeting_id, callback_attributes FROM callback_data");
    eventually("it is in the index", || !data().is_empty());
    assert_eq!(data(), "m1|---\n:recording_ready_url: https://n.example.org/?a=1&b=2");
    let stored = env.postgres.sql("SELECT internal_meeting_id, url FROM callback_urls");
    assert_eq!(stored, format!("{internal}|https://n.example.org/?a=1&b=2"));
    eventually("nothing waits in Redis", || env.pool.redis.cli(&["EXISTS", "scalelite:sl:outbox"]) == "0");
    // Without a URL nothing is stored.
    let commands = env.pool.redis.monitor(|| drop(env.pool.get("create", "meetingID=m2").success()));
    assert!(!commands.contains(&"rpush".to_owned()), "{commands:?}");
    assert_eq!(env.postgres.sql("SELECT count(*) FROM callback_data"), "1");
}

#[test]
fn callback_parameters_are_dropped_without_database() {
    let pool = Pool::start(1);
    pool.get("create", &format!("meetingID=m1&{ALL_THREE}")).success();
    let names = forwarded_names(&pool);
    assert!(!names.iter().any(|name| name.contains("recording-ready")), "{names:?}");
    assert_eq!(pool.redis.cli(&["EXISTS", "scalelite:sl:outbox"]), "0");
}

#[test]
fn recording_uses_callback_url_of_its_own_meeting() {
    let env = start_env(1, &[]);
    let receiver = Receiver::start();
    let first = create(&env, "room", &receiver.url("/old"));
    let again = create(&env, "room", &receiver.url("/first"));
    assert_eq!(first, again, "a second create of the same meeting");
    env.pool.server(1).end_meeting("room");
    let second = create(&env, "room", &receiver.url("/second"));
    assert_ne!(first, second);
    eventually("all is in the index", || {
        env.postgres.sql("SELECT string_agg(url, ' ' ORDER BY url) FROM callback_urls")
            == format!("{} {}", receiver.url("/first"), receiver.url("/second"))
    });
    // Scalelite has one row for each meetingID.
    let data = env.postgres.sql("SELECT count(*), max(callback_attributes) FROM callback_data");
    assert_eq!(data, format!("1|---\n:recording_ready_url: {}", receiver.url("/second")));
    import(&env, &recording("room", &second));
    import(&env, &recording("room", &first));
    wait_for_state(&env, "delivered");
    let received = receiver.wait_for_requests(2);
    for (path, id) in [("/first", &first), ("/second", &second)] {
        let of: Vec<_> = received.iter().filter(|received| received.line == format!("POST {path}")).collect();
        assert_eq!(of.len(), 1, "{received:?}");
        assert_eq!(of[0].claims(&env.pool.secret), Some(("room".to_owned(), id.clone())));
    }
}

#[test]
fn callback_url_stored_by_scalelite_is_called_and_other_attributes_kept() {
    let env = start_env(1, &[]);
    let receiver = Receiver::start();
    // Scalelite may have a unique index on meeting_id.
    env.postgres.sql("CREATE UNIQUE INDEX once ON callback_data (meeting_id)");
    env.postgres.sql(&format!(
        "INSERT INTO callback_data (meeting_id, callback_attributes, created_at, updated_at) VALUES \
         ('room', E'---\\n:recording_ready_url: {}\\n:analytics_callback_url: https://e.org/a\\n', '2026-01-01', '2026-01-01')",
        receiver.url("/scalelite")
    ));
    let recorded = Recording {
        meeting_id: "room".into(),
        formats: vec![RecordingFormat::Notes],
        ..Recording::default()
    };
    import(&env, &recorded);
    assert_eq!(receiver.wait_for_requests(1)[0].line, "POST /scalelite");
    create(&env, "room", &receiver.url("/ours"));
    create(&env, "m2", &receiver.url("/ours2"));
    let data =
        || env.postgres.sql("SELECT string_agg(callback_attributes, '' ORDER BY id) FROM callback_data");
    let expected = format!(
        "---\n:analytics_callback_url: https://e.org/a\n:recording_ready_url: {}\n---\n:recording_ready_url: {}",
        receiver.url("/ours"),
        receiver.url("/ours2")
    );
    eventually("both are stored", || data() == expected);
}

#[test]
fn recording_is_announced_once_and_again_only_after_deletion() {
    let env = start_env(1, &[("RECORDING_IMPORT_UNPUBLISHED", "true")]);
    let receiver = Receiver::start();
    let id = create(&env, "room", &receiver.url("/"));
    let recorded = recording("room", &id);
    import(&env, &recorded);
    wait_for_state(&env, "delivered");
    // Processed again, with a new format.
    import(
        &env,
        &Recording { formats: vec![RecordingFormat::Notes, RecordingFormat::Podcast], ..recorded.clone() },
    );
    assert_eq!(env.postgres.sql("SELECT count(*) FROM playback_formats"), "2");
    assert_eq!(env.postgres.sql("SELECT count(*) FROM callbacks WHERE state = 'pending'"), "0");
    env.pool.get("deleteRecordings", &format!("recordID={id}")).success();
    let archive = recorded.write_archive(&env.spool(), Compression::None).unwrap();
    std::fs::File::options()
        .write(true)
        .open(&archive)
        .map(|file| {
            file.set_modified(std::time::SystemTime::now() + std::time::Duration::from_secs(5)).unwrap()
        })
        .ok();
    receiver.wait_for_requests(2);
    wait_for_state(&env, "delivered");
    assert_eq!(receiver.received().len(), 2);
}

#[test]
fn deleted_recording_is_not_announced() {
    let env = start_env(1, &[]);
    let mut receiver = Receiver::start();
    receiver.down();
    let id = create(&env, "room", &receiver.url("/"));
    import(&env, &recording("room", &id));
    eventually("it has been tried", || callbacks(&env).contains("|pending|1|"));
    env.pool.get("deleteRecordings", &format!("recordID={id}")).success();
    assert_eq!(callbacks(&env), "");
}

#[test]
fn invalid_callback_urls_are_ignored() {
    let env = start_env(1, &[]);
    let long = format!("https://e.org/{}", "x".repeat(4096));
    for (n, url) in ["", "   ", "https://e.org/a\nb", &long].into_iter().enumerate() {
        create(&env, &format!("m{n}"), url);
    }
    // Once a later URL has arrived, the earlier ones have been processed.
    create(&env, "last", "https://e.org/");
    eventually("the valid one is stored", || {
        env.postgres.sql("SELECT meeting_id FROM callback_data") == "last"
    });
    eventually("nothing waits in Redis", || env.pool.redis.cli(&["EXISTS", "scalelite:sl:outbox"]) == "0");
}
