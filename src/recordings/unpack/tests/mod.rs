//! Archives as BBB servers make them, and as other tars make them.

mod hostile;
mod limits;

use super::*;
use std::collections::BTreeMap;
use std::fs;
use std::io::{Seek, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;
use tar::{EntryType, Header};
use tempfile::TempDir;

const LIMITS: UnpackLimits = UnpackLimits { max_members: 1000, max_bytes: 256 << 20, max_ratio: 100 };

/// Writes a tar member by member, without checks.
#[derive(Default)]
struct Tar(Vec<u8>);

impl Tar {
    fn member(mut self, kind: EntryType, path: &str, link: &str, data: &[u8]) -> Tar {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_size(data.len() as u64);
        header.set_mode(0o7777);
        header.set_mtime(1_767_225_600);
        header.set_cksum();
        self.0.extend(header.as_bytes());
        self.0.extend(data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn file(self, path: &str, data: &[u8]) -> Tar {
        self.member(EntryType::Regular, path, "", data)
    }

    /// With the blocks that end it.
    fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

fn file_of(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    file
}

fn unpack_with(bytes: &[u8], limits: &UnpackLimits) -> (TempDir, Result<ArchiveContents, UnpackError>) {
    let into = TempDir::new().unwrap();
    let result = unpack(&file_of(bytes), into.path(), limits, &UnpackControl::default());
    (into, result)
}

fn unpack_ok(bytes: &[u8]) -> (TempDir, ArchiveContents) {
    let (into, result) = unpack_with(bytes, &LIMITS);
    (into, result.unwrap())
}

/// The archive is bad for this reason, and nothing was unpacked outside of the directory.
#[track_caller]
fn assert_bad(bytes: &[u8], reason: &str) -> BadArchive {
    let outer = TempDir::new().unwrap();
    fs::create_dir(outer.path().join("into")).unwrap();
    let result = unpack(&file_of(bytes), &outer.path().join("into"), &LIMITS, &UnpackControl::default());
    let UnpackError::Bad(bad) = result.expect_err(reason) else { panic!("not reported as a bad archive") };
    assert!(bad.to_string().contains(reason), "{bad} has no {reason}");
    assert_eq!(fs::read_dir(outer.path()).unwrap().count(), 1, "{reason}");
    for (path, kind) in list_tree(outer.path()) {
        assert_ne!(kind, 'l', "{path} is a link");
    }
    bad
}

/// Everything below a directory: path, and d, f, l or ?.
fn list_tree(root: &Path) -> BTreeMap<String, char> {
    let mut found = BTreeMap::new();
    let mut todo = vec![root.to_owned()];
    while let Some(directory) = todo.pop() {
        for entry in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap()) {
            let kind = entry.file_type().unwrap();
            let letter = match kind {
                _ if kind.is_dir() => 'd',
                _ if kind.is_file() => 'f',
                _ if kind.is_symlink() => 'l',
                _ => '?',
            };
            if letter == 'd' {
                todo.push(entry.path());
            }
            found.insert(entry.path().strip_prefix(root).unwrap().to_string_lossy().into_owned(), letter);
        }
    }
    found
}

#[test]
fn unpack_writes_formats_with_fixed_modes() {
    let tar = Tar::default()
        .member(EntryType::Directory, "./", "", b"")
        .member(EntryType::Directory, "./presentation/", "", b"")
        .member(EntryType::Directory, "./presentation/r1/", "", b"")
        .file("./presentation/r1/metadata.xml", b"<recording/>")
        .file("presentation/r1/deep/er/still/slide.png", &[7; 100_000])
        .file("video//r1/./metadata.xml", b"")
        .end();
    let (into, contents) = unpack_ok(&tar);
    let formats: Vec<_> = contents.formats.iter().map(|f| format!("{}/{}", f.format, f.record_id)).collect();
    assert_eq!(formats, ["presentation/r1", "video/r1"]);
    assert_eq!((contents.files, contents.bytes), (3, 100_012));
    assert!(contents.rejected.is_empty());
    let slide = contents.formats[0].path.join("deep/er/still/slide.png");
    assert_eq!(fs::read(&slide).unwrap(), [7; 100_000]);
    let about = fs::metadata(&slide).unwrap();
    assert_eq!(about.permissions().mode() & 0o7777, 0o644);
    assert_eq!(about.mtime(), 1_767_225_600);
    let about = fs::metadata(slide.parent().unwrap()).unwrap();
    assert_eq!(about.permissions().mode() & 0o7777, 0o755);
    assert_eq!(list_tree(into.path()).values().filter(|kind| **kind == 'f').count(), 3);
}

#[test]
fn unpack_detects_and_verifies_every_compression() {
    let plain =
        Tar::default().file("video/r1/metadata.xml", b"<recording/>").file("video/r1/x", &[1; 9999]).end();
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(&plain).unwrap();
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
    xz.write_all(&plain).unwrap();
    for (name, packed) in [
        ("gz", gz.finish().unwrap()),
        ("xz", xz.finish().unwrap()),
        ("zst", {
            let mut zstd = zstd::Encoder::new(Vec::new(), 1).unwrap();
            zstd.include_checksum(true).unwrap();
            zstd.write_all(&plain).unwrap();
            zstd.finish().unwrap()
        }),
    ] {
        assert_eq!(unpack_ok(&packed).1.files, 2, "{name}");
        let half = assert_bad(&packed[..packed.len() / 2], "truncated");
        assert!(matches!(half, BadArchive::Truncated(_)), "{name}");
        assert_bad(&packed[..packed.len() - 2], "truncated");
        let mut flipped = packed.clone();
        let at = flipped.len() - 6;
        flipped[at] ^= 0xff;
        assert!(unpack_with(&flipped, &LIMITS).1.is_err(), "{name}: a flipped bit");
    }
}

#[test]
fn archive_cut_off_anywhere_is_truncated() {
    let tar =
        Tar::default().file("video/r1/metadata.xml", b"<recording/>").file("video/r1/x", &[1; 600]).end();
    for length in [0, 1, 511, 512, 520, 1023, 1024, 1100, 1536, 1600, 2135, 2136, 2200, 2560] {
        let bad = assert_bad(&tar[..length], "truncated");
        assert!(matches!(bad, BadArchive::Truncated(_)), "{length}: {bad}");
    }
    // One block of zeros is an end, as for tar.
    unpack_ok(&tar[..3072]);
}

#[test]
fn other_content_is_damaged() {
    assert_bad(&[b'x'; 10_000], "unreadable");
    assert_bad(&[&[0x1f, 0x8b], &[9; 100][..]].concat(), "unreadable");
    let mut tar = Tar::default().file("video/r1/metadata.xml", b"<recording/>").end();
    tar.extend(Tar::default().file("video/r1/more", b"").end());
    assert_bad(&tar, "data follows");
}

#[test]
fn links_within_a_format_become_copies() {
    let tar = Tar::default()
        .member(EntryType::Symlink, "video/r1/deep/first", "./second", b"")
        .member(EntryType::Symlink, "video/r1/deep/second", "../x", b"")
        .file("video/r1/x", b"content")
        .member(EntryType::Link, "notes/r1/hard", "video/r1/x", b"")
        .end();
    let (into, contents) = unpack_ok(&tar);
    for name in ["video/r1/deep/first", "video/r1/deep/second", "notes/r1/hard"] {
        let path = into.path().join(name);
        assert!(fs::symlink_metadata(&path).unwrap().is_file(), "{name}");
        assert_eq!(fs::read(&path).unwrap(), b"content");
        assert_eq!(fs::metadata(&path).unwrap().nlink(), 1);
    }
    assert_eq!((contents.files, contents.bytes), (4, 28));
}

#[test]
fn later_of_two_members_with_one_name_wins() {
    let tar = Tar::default()
        .file("video/r1/x", b"first")
        .file("video/r1/x", b"second")
        .file("video/r1/y", b"a file")
        .member(EntryType::Symlink, "video/r1/y", "x", b"")
        .member(EntryType::Symlink, "video/r1/z", "/etc/passwd2".split_at(11).1, b"")
        .file("video/r1/z", b"third")
        .end();
    let (into, _) = unpack_ok(&tar);
    let read = |name: &str| fs::read_to_string(into.path().join("video/r1").join(name)).unwrap();
    assert_eq!([read("x"), read("y"), read("z")], ["second", "second", "third"]);
}

#[test]
fn members_outside_recordings_are_skipped_and_reported() {
    let tar = Tar::default()
        .file("README", b"x")
        .file("video/README", b"x")
        .file("pre sentation/r1/x", b"x")
        .file("video/r 1/x", b"x")
        .file(".git/config/x", b"x")
        .member(EntryType::Directory, "empty/", "", b"")
        .file("video/r1/metadata.xml", b"x")
        .end();
    let (into, contents) = unpack_ok(&tar);
    assert_eq!(contents.formats.len(), 1);
    assert_eq!(contents.rejected.len(), 3, "{:?}", contents.rejected);
    assert_eq!(contents.ignored.len(), 2, "{:?}", contents.ignored);
    let files: Vec<_> = list_tree(into.path()).into_iter().filter(|(_, kind)| *kind == 'f').collect();
    assert_eq!(files, [("video/r1/metadata.xml".to_owned(), 'f')]);
}

#[test]
fn stop_ends_the_unpacking() {
    let control = UnpackControl::default();
    control.stop();
    let into = TempDir::new().unwrap();
    let tar = file_of(&Tar::default().file("video/r1/x", &[1; 1_000_000]).end());
    assert!(matches!(unpack(&tar, into.path(), &LIMITS, &control), Err(UnpackError::Stopped)));
}

#[test]
fn disk_failure_is_not_a_bad_archive() {
    let tar = file_of(&Tar::default().file("video/r1/x", b"x").end());
    let missing = Path::new("/nonexistent/directory");
    let error = unpack(&tar, missing, &LIMITS, &UnpackControl::default()).unwrap_err();
    assert!(matches!(error, UnpackError::Io { .. }), "{error}");
    // Reading a directory fails as a file on a broken disk does.
    let into = TempDir::new().unwrap();
    let error =
        unpack(&File::open("/").unwrap(), into.path(), &LIMITS, &UnpackControl::default()).unwrap_err();
    assert!(matches!(error, UnpackError::Io { what: "read", .. }), "{error}");
}

/// With long names, holes, hard links, directories first.
#[test]
fn archives_of_gnu_tar_in_each_format_unpack() {
    let from = TempDir::new().unwrap();
    let long = format!("{}/{}", "directory-with-a-long-name".repeat(6), "file".repeat(40));
    let format = from.path().join("presentation/r1");
    fs::create_dir_all(format.join(&long).parent().unwrap()).unwrap();
    fs::write(format.join("metadata.xml"), "<recording/>").unwrap();
    fs::write(format.join(&long), "long").unwrap();
    fs::write(format.join("nämé with spaces"), "name").unwrap();
    fs::hard_link(format.join(&long), format.join("hard")).unwrap();
    std::os::unix::fs::symlink("metadata.xml", format.join("soft")).unwrap();
    let mut holes = File::create(format.join("holes")).unwrap();
    holes.write_all(b"begin").unwrap();
    holes.seek(io::SeekFrom::Start(3_000_000)).unwrap();
    holes.write_all(b"end").unwrap();
    for form in
        [&["--format=gnu"][..], &["--format=pax"], &["--format=gnu", "--sparse"], &["--format=posix", "-z"]]
    {
        let file = from.path().join("out.tar");
        let status = Command::new("tar")
            .args(form)
            .arg("-cf")
            .arg(&file)
            .args(["-C", from.path().to_str().unwrap(), "presentation"])
            .status()
            .unwrap();
        assert!(status.success());
        let (into, contents) = unpack_ok(&fs::read(&file).unwrap());
        assert_eq!(contents.files, 6, "{form:?}");
        let unpacked = into.path().join("presentation/r1");
        for name in ["metadata.xml", &long, "nämé with spaces", "hard", "soft", "holes"] {
            assert_eq!(
                fs::read(unpacked.join(name)).unwrap(),
                fs::read(format.join(name)).unwrap(),
                "{form:?} {name}"
            );
        }
    }
    // Holes in a format that would be unpacked wrong are rejected.
    let file = from.path().join("out.tar");
    let made = Command::new("tar")
        .args(["--format=pax", "--sparse", "-cf"])
        .arg(&file)
        .args(["-C", from.path().to_str().unwrap(), "presentation"])
        .status();
    assert!(made.unwrap().success());
    assert_bad(&fs::read(&file).unwrap(), "holes");
}
