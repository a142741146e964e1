//! Bad archives: each is quarantined in failed/ with its error and delays no other.

use super::*;
use RecordingFormat::{Notes, Podcast, Video};
use std::io::Write;
use tar::{EntryType, Header};

/// A tar of arbitrary, unchecked members.
fn tar(members: &[(EntryType, &str, &str, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (kind, path, link, data) in members {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(*kind);
        header.set_size(data.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        bytes.extend(header.as_bytes());
        bytes.extend(*data);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

fn archive_bytes(recording: &Recording) -> Vec<u8> {
    let mut bytes = Vec::new();
    recording.write_tar(&mut bytes).unwrap();
    bytes
}

/// The archive with one text replaced by another of the same length.
fn archive_with_replaced_text(recording: &Recording, from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = archive_bytes(recording);
    let mut replaced = false;
    for at in 0..bytes.len() - from.len() {
        if bytes[at..].starts_with(from.as_bytes()) {
            bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
            replaced = true;
        }
    }
    assert!(replaced, "{from} was not found");
    bytes
}

fn error_files(fixture: &ImporterFixture) -> Vec<String> {
    let mut names: Vec<_> = entries(&fixture.path("spool/failed"))
        .iter()
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .filter(|name| name.ends_with(".error"))
        .collect();
    names.sort();
    names
}

#[test]
fn bad_archives_are_quarantined_with_reason() {
    let fixture = ImporterFixture::start();
    let notes = |n| recording(n, &[Notes]);
    let file = EntryType::Regular;
    let bomb = {
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(&tar(&[(file, "video/r1/bomb", "", &vec![0; 100 << 20])])).unwrap();
        gz.finish().unwrap()
    };
    let names: Vec<String> = (0..100_000).map(|n| format!("video/r1/{n}")).collect();
    let members: Vec<_> = names.iter().map(|name| (file, name.as_str(), "", &b""[..])).collect();
    let id = notes(9).record_id();
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("truncated.tar", archive_bytes(&notes(1))[..3000].to_vec(), "truncated"),
        ("bomb.tar.gz", bomb, "more than 100 bytes for each byte of the archive"),
        ("dotdot.tar", tar(&[(file, "video/r1/../../../../escaped", "", b"x")]), "unsafe member"),
        ("absolute.tar", tar(&[(file, "/tmp/sl-escaped", "", b"x")]), "its path is absolute"),
        ("symlink.tar", tar(&[(EntryType::Symlink, "video/r1/link", "/etc/passwd", b"")]), "unsafe member"),
        (
            "through.tar",
            tar(&[
                (EntryType::Symlink, "video/r1/link", "../..", b""),
                (file, "video/r1/link/escaped", "", b"x"),
            ]),
            "unsafe member",
        ),
        (
            "hardlink.tar",
            tar(&[(EntryType::Link, "video/r1/link", "../../etc/passwd", b"")]),
            "unsafe member",
        ),
        (
            "device.tar",
            tar(&[(EntryType::Char, "video/r1/null", "", b"")]),
            "neither file, directory nor link",
        ),
        ("pipe.tar", tar(&[(EntryType::Fifo, "video/r1/pipe", "", b"")]), "neither file, directory nor link"),
        ("members.tar", tar(&members), "more than 50000 members"),
        ("empty.tar", tar(&[]), "it contains no recording"),
        ("no-metadata.tar", tar(&[(file, "video/r1/video.mp4", "", b"x")]), "video/r1: no metadata.xml"),
        (
            "bad-metadata.tar",
            archive_with_replaced_text(&notes(2), "<recording>", "<recordin|>"),
            "metadata.xml is",
        ),
        (
            "wrong-format.tar",
            archive_with_replaced_text(&notes(3), "<format>notes", "<format>nodes"),
            "another format, nodes",
        ),
        (
            "other-id.tar",
            archive_with_replaced_text(&notes(4), &format!("<id>{}", &notes(4).record_id()[..4]), "<id>ffff"),
            "another recording",
        ),
        (
            "slashes.tar",
            archive_with_replaced_text(&notes(5), &format!("<id>{}", &notes(5).record_id()[..4]), "<id>a/b/"),
            "<id> is invalid: a/b/",
        ),
        ("bad-id.tar", tar(&[(file, "video/r 1/metadata.xml", "", b"x")]), "video/r 1: not a record id"),
        ("no-tar.tar", vec![b'x'; 5000], "unreadable"),
        ("zero.tar", vec![], "truncated"),
        (
            "zero-byte.tar",
            archive_with_replaced_text(
                &recording(6, &[Notes]),
                "<meetingName>Meeting",
                "<meetingName>&#0;ing",
            ),
            "metadata.xml is",
        ),
    ];
    for (name, bytes, _) in &cases {
        fixture.add_spool_file(name, bytes);
    }
    // A good archive, last in the queue.
    let good = notes(9);
    fixture.add_archive(&good);
    let importer = fixture.start_importer();
    fixture.wait_until_imported(&good);
    eventually("all are quarantined", || error_files(&fixture).len() == cases.len());
    for (name, bytes, reason) in &cases {
        let error = fs::read_to_string(fixture.path("spool/failed").join(format!("{name}.error"))).unwrap();
        assert!(error.contains(reason), "{name}: {error} does not contain {reason}");
        assert_eq!(
            &fs::read(fixture.path("spool/failed").join(name)).unwrap(),
            bytes,
            "{name} is kept unchanged"
        );
    }
    eventually("the spool is empty", || entries(&fixture.path("spool")).len() == 1);
    assert_eq!(fixture.postgres.sql("SELECT record_id FROM recordings"), id);
    eventually("no work directory is left", || entries(&fixture.path("work")).is_empty());
    assert_eq!(files(&fixture.path("published")).len(), 2, "{:?}", files(&fixture.path("published")));
    assert!(!Path::new("/tmp/sl-escaped").exists());
    // They are not tried again, even by another importer.
    importer.kill();
    let again = fixture.start_importer();
    let other = notes(10);
    fixture.add_archive(&other);
    fixture.wait_until_imported(&other);
    assert_eq!(again.count_logged("bad archive"), 0, "{}", again.log());
}

#[test]
fn valid_format_is_imported_when_other_format_is_bad() {
    let fixture = ImporterFixture::start();
    let both = recording(1, &[Podcast, Video]);
    let bytes = archive_with_replaced_text(&both, "<format>podcast", "<format>podcas/");
    fixture.add_spool_file("both.tar", &bytes);
    let _importer = fixture.start_importer();
    eventually("the valid format is imported", || fixture.indexed_formats(&both) == ["video"]);
    eventually("the archive is kept", || error_files(&fixture) == ["both.tar.error"]);
    let error = fs::read_to_string(fixture.path("spool/failed/both.tar.error")).unwrap();
    assert!(error.contains("podcast/") && error.contains("The other formats were imported."), "{error}");
    assert!(fixture.path("published/video").join(both.record_id()).exists());
    assert!(!fixture.path("published/podcast").exists());
    assert!(entries(&fixture.path("work")).is_empty());
}

#[test]
fn retry_returns_one_or_all_archives_from_quarantine() {
    let fixture = ImporterFixture::start();
    let _importer = fixture.start_importer();
    for name in ["a.tar", "b.tar"] {
        fixture.add_spool_file(name, b"no archive");
    }
    eventually("both are quarantined", || error_files(&fixture).len() == 2);
    // The operator replaces one by a complete archive.
    let good = recording(1, &[Notes]);
    fs::write(fixture.path("spool/failed/a.tar"), archive_bytes(&good)).unwrap();
    assert_eq!(fixture.sl_ok(&["recordings", "retry", "a.tar"]), "OK a.tar\n");
    fixture.wait_until_imported(&good);
    assert_eq!(error_files(&fixture), ["b.tar.error"]);
    assert_eq!(fixture.sl_ok(&["recordings", "retry"]), "OK b.tar\n");
    eventually("it is quarantined again", || error_files(&fixture) == ["b.tar.error"]);
    let output = fixture.sl(&["recordings", "retry", "c.tar"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("c.tar"));
}

/// BBB has other directories beside the formats of a recording, which are not playback.
#[test]
fn directory_without_metadata_beside_valid_formats_is_ignored() {
    let fixture = ImporterFixture::start();
    let recording = recording(1, &[Notes]);
    let id = recording.record_id();
    let with_more = |members: &[(EntryType, &str, &str, &[u8])]| {
        let mut bytes = archive_bytes(&recording);
        while bytes.ends_with(&[0; 512]) {
            bytes.truncate(bytes.len() - 512);
        }
        bytes.extend(tar(members));
        bytes
    };
    let dashboard = format!("learning-dashboard/{id}/data.json");
    fixture.add_spool_file("a.tar", &with_more(&[(EntryType::Regular, &dashboard, "", b"{}")]));
    let importer = fixture.start_importer();
    fixture.wait_until_imported(&recording);
    eventually("the archive is gone", || files(&fixture.path("spool")).is_empty());
    assert_eq!(fixture.indexed_formats(&recording), ["notes"]);
    assert!(importer.log().contains("not imported: learning-dashboard"), "{}", importer.log());
    // A playback format without it is incomplete: the archive is kept.
    let film = format!("video/{id}/video-0.m4v");
    fixture.add_spool_file("b.tar", &with_more(&[(EntryType::Regular, &film, "", b"film")]));
    eventually("it is in failed/", || error_files(&fixture) == ["b.tar.error"]);
}
