//! Recording-ready callbacks: from a create through an import to a receiver in the test.

mod callback_urls;
mod commands;
mod delivery;
mod faults;
mod receiver;
mod targets;

use crate::support::{RecordingEnv, eventually};
use receiver::{ReceivedRequest, Receiver, status, with_header};
use sl_sim::{Compression, Recording, RecordingFormat};

/// Importers without delay, and receivers allowed on this host.
const LOCAL_SETTINGS: [(&str, &str); 3] = [
    ("CALLBACK_ALLOW_PRIVATE", "true"),
    ("RECORDING_IMPORT_SETTLE", "0.1"),
    ("RECORDING_IMPORT_POLL_INTERVAL", "0.5"),
];

/// A migrated database, a BBB server, and replicas with an importer.
fn start_env(replicas: usize, variables: &[(&str, &str)]) -> RecordingEnv {
    let all: Vec<_> = LOCAL_SETTINGS.iter().chain(variables).copied().collect();
    let mut env = RecordingEnv::with(0, &all);
    env.pool.add(1, &[]);
    env.pool.enable(1);
    for _ in 0..replicas {
        env.pool.serve(&["--no-poller", "--importer"]);
    }
    env
}

/// The same without a BBB server, for callbacks inserted by [`insert_callback`].
fn start_env_without_server(replicas: usize, variables: &[(&str, &str)]) -> RecordingEnv {
    let all: Vec<_> = LOCAL_SETTINGS.iter().chain(variables).copied().collect();
    RecordingEnv::with(replicas, &all)
}

/// Creates a meeting with this callback URL. Returns its internal id.
#[track_caller]
fn create(env: &RecordingEnv, meeting: &str, url: &str) -> String {
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let query = format!("meetingID={}&meta_bn-recording-ready-url={}", encoded(meeting), encoded(url));
    env.pool.get("create", &query).success().xml("internalMeetingID").unwrap().to_owned()
}

/// The meeting's recording, as its server produces it.
fn recording(meeting: &str, internal_id: &str) -> Recording {
    let start_ms = internal_id.split_once('-').unwrap().1.parse().unwrap();
    let recording = Recording {
        meeting_id: meeting.to_owned(),
        start_ms,
        formats: vec![RecordingFormat::Notes],
        ..Recording::default()
    };
    assert_eq!(recording.record_id(), internal_id);
    recording
}

/// Puts its archive into the spool and waits for the import.
#[track_caller]
fn import(env: &RecordingEnv, recording: &Recording) {
    let archive = recording.write_archive(&env.spool(), Compression::None).unwrap();
    eventually("the recording is imported", || !archive.exists());
}

/// Inserts a callback without a create or an import.
fn insert_callback(env: &RecordingEnv, record_id: &str, url: &str) {
    env.postgres.sql(&format!(
        "INSERT INTO callbacks (kind, record_id, meeting_id, url) VALUES ('recording-ready', '{record_id}', \
         'm-{record_id}', '{url}')"
    ));
}

/// Record id, state, tries and outcome of each callback.
fn callbacks(env: &RecordingEnv) -> String {
    env.postgres.sql("SELECT record_id, state, tries, outcome FROM callbacks ORDER BY record_id")
}

/// Waits until all callbacks are in this state.
#[track_caller]
fn wait_for_state(env: &RecordingEnv, state: &str) {
    eventually(&format!("all callbacks are {state}"), || {
        env.postgres.sql("SELECT string_agg(DISTINCT state, ',') FROM callbacks") == state
    });
}

/// The record ids in the tokens that a receiver got, sorted.
fn record_ids(received: &[ReceivedRequest], secret: &str) -> Vec<String> {
    let mut ids: Vec<_> = received.iter().map(|r| r.claims(secret).expect("a good token").1).collect();
    ids.sort();
    ids
}
