//! Archives that are no good: each ends in failed/ with its reason, and holds up nobody.

use super::*;
use RecordingFormat::{Notes, Podcast, Video};
use std::io::Write;
use tar::{EntryType, Header};

/// A tar of members that nobody has checked.
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

fn whole(recording: &Recording) -> Vec<u8> {
    let mut bytes = Vec::new();
    recording.write_tar(&mut bytes).unwrap();
    bytes
}

/// The same with something else in place of a text of the same length.
fn changed(recording: &Recording, from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = whole(recording);
    let mut any = false;
    for at in 0..bytes.len() - from.len() {
        if bytes[at..].starts_with(from.as_bytes()) {
            bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
            any = true;
        }
    }
    assert!(any, "{from} is nowhere");
    bytes
}

fn failed(import: &Import) -> Vec<String> {
    let mut names: Vec<_> = entries(&import.path("spool/failed"))
        .iter()
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .filter(|name| name.ends_with(".error"))
        .collect();
    names.sort();
    names
}

#[test]
fn every_kind_of_bad_archive_is_put_aside_with_its_reason() {
    let import = Import::start();
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
        ("truncated.tar", whole(&notes(1))[..3000].to_vec(), "truncated"),
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
        ("bad-metadata.tar", changed(&notes(2), "<recording>", "<recordin|>"), "metadata.xml is"),
        ("wrong-format.tar", changed(&notes(3), "<format>notes", "<format>nodes"), "another format, nodes"),
        (
            "other-id.tar",
            changed(&notes(4), &format!("<id>{}", &notes(4).record_id()[..4]), "<id>ffff"),
            "another recording",
        ),
        (
            "slashes.tar",
            changed(&notes(5), &format!("<id>{}", &notes(5).record_id()[..4]), "<id>a/b/"),
            "<id> is invalid: a/b/",
        ),
        ("bad-id.tar", tar(&[(file, "video/r 1/metadata.xml", "", b"x")]), "video/r 1: not a record id"),
        ("no-tar.tar", vec![b'x'; 5000], "unreadable"),
        ("zero.tar", vec![], "truncated"),
        (
            "zero-byte.tar",
            changed(&recording(6, &[Notes]), "<meetingName>Meeting", "<meetingName>&#0;ing"),
            "metadata.xml is",
        ),
    ];
    for (name, bytes, _) in &cases {
        import.arrives_as(name, bytes);
    }
    // One that is good, last in the queue.
    let good = notes(9);
    import.arrives(&good);
    let importer = import.importer();
    import.imported(&good);
    eventually("all are put aside", || failed(&import).len() == cases.len());
    for (name, bytes, reason) in &cases {
        let told = fs::read_to_string(import.path("spool/failed").join(format!("{name}.error"))).unwrap();
        assert!(told.contains(reason), "{name}: {told} has no {reason}");
        assert_eq!(
            &fs::read(import.path("spool/failed").join(name)).unwrap(),
            bytes,
            "{name} is kept as it was"
        );
    }
    eventually("the spool is empty", || entries(&import.path("spool")).len() == 1);
    assert_eq!(import.postgres.sql("SELECT record_id FROM recordings"), id);
    eventually("no work directory is left", || entries(&import.path("work")).is_empty());
    assert_eq!(files(&import.path("published")).len(), 2, "{:?}", files(&import.path("published")));
    assert!(!Path::new("/tmp/sl-escaped").exists());
    // They are not tried again, not even by another importer.
    importer.kill();
    let again = import.importer();
    let other = notes(10);
    import.arrives(&other);
    import.imported(&other);
    assert_eq!(again.logged("bad archive"), 0, "{}", again.log());
}

#[test]
fn of_two_formats_one_bad_the_other_is_imported_and_the_archive_kept() {
    let import = Import::start();
    let both = recording(1, &[Podcast, Video]);
    let bytes = changed(&both, "<format>podcast", "<format>podcas/");
    import.arrives_as("both.tar", &bytes);
    let _importer = import.importer();
    eventually("the good one is there", || import.indexed(&both) == ["video"]);
    eventually("the archive is kept", || failed(&import) == ["both.tar.error"]);
    let told = fs::read_to_string(import.path("spool/failed/both.tar.error")).unwrap();
    assert!(told.contains("podcast/") && told.contains("The other formats were imported."), "{told}");
    assert!(import.path("published/video").join(both.record_id()).exists());
    assert!(!import.path("published/podcast").exists());
    assert!(entries(&import.path("work")).is_empty());
}

#[test]
fn a_retry_takes_one_or_all_of_them_back() {
    let import = Import::start();
    let _importer = import.importer();
    for name in ["a.tar", "b.tar"] {
        import.arrives_as(name, b"no archive");
    }
    eventually("both are put aside", || failed(&import).len() == 2);
    // Whoever had forgotten to copy the rest.
    let good = recording(1, &[Notes]);
    fs::write(import.path("spool/failed/a.tar"), whole(&good)).unwrap();
    assert_eq!(import.sl_ok(&["recordings", "retry", "a.tar"]), "OK a.tar\n");
    import.imported(&good);
    assert_eq!(failed(&import), ["b.tar.error"]);
    assert_eq!(import.sl_ok(&["recordings", "retry"]), "OK b.tar\n");
    eventually("it is put aside again", || failed(&import) == ["b.tar.error"]);
    let output = import.sl(&["recordings", "retry", "c.tar"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("c.tar"));
}
