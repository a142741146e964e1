//! Recording-ready callbacks: from a create, over an import, to a receiver of the test's own.

mod commands;
mod delivery;
mod faults;
mod receiver;
mod remembering;
mod targets;

use crate::support::{Library, eventually};
use receiver::{Receiver, Seen, status, with_header};
use sl_sim::{Compression, Recording, RecordingFormat};

/// Importers that do not wait, and receivers on this host.
const HERE: [(&str, &str); 3] = [
    ("CALLBACK_ALLOW_PRIVATE", "true"),
    ("RECORDING_IMPORT_SETTLE", "0.1"),
    ("RECORDING_IMPORT_POLL_INTERVAL", "0.5"),
];

/// A migrated index, a BBB server, and so many replicas that import as well.
fn library(replicas: usize, variables: &[(&str, &str)]) -> Library {
    let all: Vec<_> = HERE.iter().chain(variables).copied().collect();
    let mut library = Library::with(0, &all);
    library.pool.add(1, &[]);
    library.pool.enable(1);
    for _ in 0..replicas {
        library.pool.serve(&["--no-poller", "--importer"]);
    }
    library
}

/// One without a BBB server, for callbacks that are put up by [`put_up`].
fn index(replicas: usize, variables: &[(&str, &str)]) -> Library {
    let all: Vec<_> = HERE.iter().chain(variables).copied().collect();
    Library::with(replicas, &all)
}

/// A meeting, created with this URL; its internal id.
#[track_caller]
fn create(library: &Library, meeting: &str, url: &str) -> String {
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let query = format!("meetingID={}&meta_bn-recording-ready-url={}", encoded(meeting), encoded(url));
    library.pool.get("create", &query).success().xml("internalMeetingID").unwrap().to_owned()
}

/// The meeting's recording, as its server makes it.
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

/// Its archive arrives in the spool and is imported.
#[track_caller]
fn import(library: &Library, recording: &Recording) {
    let archive = recording.write_archive(&library.spool(), Compression::None).unwrap();
    eventually("the recording is imported", || !archive.exists());
}

/// A callback, without a create or an import.
fn put_up(library: &Library, record_id: &str, url: &str) {
    library.postgres.sql(&format!(
        "INSERT INTO callbacks (kind, record_id, meeting_id, url) VALUES ('recording-ready', '{record_id}', \
         'm-{record_id}', '{url}')"
    ));
}

/// State, tries and outcome of each callback.
fn callbacks(library: &Library) -> String {
    library.postgres.sql("SELECT record_id, state, tries, outcome FROM callbacks ORDER BY record_id")
}

/// All callbacks are in this state.
#[track_caller]
fn all_are(library: &Library, state: &str) {
    eventually(&format!("all callbacks are {state}"), || {
        library.postgres.sql("SELECT string_agg(DISTINCT state, ',') FROM callbacks") == state
    });
}

/// The record ids in the tokens that a receiver got, sorted.
fn told(seen: &[Seen], secret: &str) -> Vec<String> {
    let mut ids: Vec<_> = seen.iter().map(|s| s.claims(secret).expect("a good token").1).collect();
    ids.sort();
    ids
}
