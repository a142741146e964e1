//! Shutdown finishes the current archive or releases it cleanly.

use super::*;
use RecordingFormat::{Notes, Presentation, Video};
use std::time::{Duration, Instant};

fn assert_exits_within(importer: &mut Importer, timeout: Duration) {
    let deadline = Instant::now() + timeout;
    loop {
        if let Some(status) = importer.child.try_wait().unwrap() {
            return assert!(status.success(), "{status}: {}", importer.log());
        }
        assert!(
            Instant::now() < deadline,
            "the importer has not exited within {timeout:?}\n{}",
            importer.log()
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn importer_finishes_current_archive_before_exit() {
    let fixture = ImporterFixture::start();
    let recording = Recording { size: 20_000_000, ..recording(1, &[Presentation, Video]) };
    let mut importer = fixture.start_importer();
    eventually("it runs", || importer.count_logged("importer started") == 1);
    fixture.add_archive(&recording);
    eventually("it is being imported", || !files(&fixture.path("work")).is_empty());
    importer.signal("-TERM");
    assert_exits_within(&mut importer, Duration::from_secs(30));
    fixture.assert_only_recording(&recording, "published");
}

#[test]
fn importer_releases_archive_that_exceeds_shutdown_grace() {
    let fixture = ImporterFixture::with(&[("SHUTDOWN_GRACE", "0.2")]);
    // Unpacking and syncing this much takes longer than the grace period.
    let recording = Recording { slides: 3, size: 80_000_000, ..recording(1, &[Presentation]) };
    let archive = fixture.add_archive(&recording);
    let mut importer = fixture.start_importer();
    eventually("it is being imported", || !files(&fixture.path("work")).is_empty());
    importer.signal("-TERM");
    assert_exits_within(&mut importer, Duration::from_secs(10));
    if importer.count_logged("stopping unfinished imports") > 0 && archive.exists() {
        assert!(entries(&fixture.path("work")).is_empty(), "{:?}", entries(&fixture.path("work")));
        fixture.assert_nothing_indexed();
    } else {
        // It was too far along to be released.
        fixture.assert_only_recording(&recording, "published");
    }
    let _next = fixture.start_importer();
    crate::support::within(Duration::from_secs(120), "the next one imports it", || {
        !fixture.indexed_formats(&recording).is_empty()
    });
    fixture.assert_only_recording(&recording, "published");
}

#[test]
fn idle_importer_exits_immediately() {
    let fixture = ImporterFixture::start();
    let mut importer = fixture.start_importer();
    let recording = recording(1, &[Notes]);
    fixture.add_archive(&recording);
    fixture.wait_until_imported(&recording);
    importer.signal("-TERM");
    assert_exits_within(&mut importer, Duration::from_secs(5));
}

#[test]
fn importer_without_database_names_required_setting() {
    let output = Command::new(env!("CARGO_BIN_EXE_sl")).arg("importer").env_clear().output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("DATABASE_URL"));
}
