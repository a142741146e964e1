//! A stop finishes what is in hand, or lets go of it cleanly.

use super::*;
use RecordingFormat::{Notes, Presentation, Video};
use std::time::{Duration, Instant};

fn ends_within(importer: &mut Importer, time: Duration) {
    let deadline = Instant::now() + time;
    loop {
        if let Some(status) = importer.child.try_wait().unwrap() {
            return assert!(status.success(), "{status}: {}", importer.log());
        }
        assert!(Instant::now() < deadline, "it has not ended within {time:?}\n{}", importer.log());
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn what_is_in_hand_is_finished() {
    let import = Import::start();
    let recording = Recording { size: 20_000_000, ..recording(1, &[Presentation, Video]) };
    let mut importer = import.importer();
    eventually("it runs", || importer.logged("importer started") == 1);
    import.arrives(&recording);
    eventually("it is being imported", || !files(&import.path("work")).is_empty());
    importer.signal("-TERM");
    ends_within(&mut importer, Duration::from_secs(30));
    import.only_this_is_there(&recording, "published");
}

#[test]
fn what_takes_too_long_is_let_go_of_and_finished_by_the_next() {
    let import = Import::with(&[("SHUTDOWN_GRACE", "0.2")]);
    // Unpacking this much and making it safe takes longer than the grace.
    let recording = Recording { slides: 3, size: 80_000_000, ..recording(1, &[Presentation]) };
    let archive = import.arrives(&recording);
    let mut importer = import.importer();
    eventually("it is being imported", || !files(&import.path("work")).is_empty());
    importer.signal("-TERM");
    ends_within(&mut importer, Duration::from_secs(10));
    if importer.logged("stopping unfinished imports") > 0 && archive.exists() {
        assert!(entries(&import.path("work")).is_empty(), "{:?}", entries(&import.path("work")));
        import.nothing_is_visible();
    } else {
        // It was too far on to be let go of.
        import.only_this_is_there(&recording, "published");
    }
    let _next = import.importer();
    crate::support::within(Duration::from_secs(120), "the next one imports it", || {
        !import.indexed(&recording).is_empty()
    });
    import.only_this_is_there(&recording, "published");
}

#[test]
fn one_that_has_nothing_to_do_ends_at_once() {
    let import = Import::start();
    let mut importer = import.importer();
    let recording = recording(1, &[Notes]);
    import.arrives(&recording);
    import.imported(&recording);
    importer.signal("-TERM");
    ends_within(&mut importer, Duration::from_secs(5));
}

#[test]
fn without_a_database_it_says_what_it_needs() {
    let output = Command::new(env!("CARGO_BIN_EXE_sl")).arg("importer").env_clear().output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("DATABASE_URL"));
}
