//! Archives as BBB servers make them, as other tars make them, and as somebody hostile would.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs;
use std::io::{Seek, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;
use tar::{EntryType, Header};
use tempfile::TempDir;

const LIMITS: Limits = Limits { members: 1000, bytes: 256 << 20, ratio: 100 };

/// A tar, member by member, that checks nothing.
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

fn unpack_with(bytes: &[u8], limits: &Limits) -> (TempDir, Result<ArchiveContents, UnpackError>) {
    let into = TempDir::new().unwrap();
    let result = unpack(&file_of(bytes), into.path(), limits, &UnpackControl::default());
    (into, result)
}

fn good(bytes: &[u8]) -> (TempDir, ArchiveContents) {
    let (into, result) = unpack_with(bytes, &LIMITS);
    (into, result.unwrap())
}

/// It is refused for this reason, and nothing came out but below the directory.
#[track_caller]
fn refused(bytes: &[u8], reason: &str) -> BadArchive {
    let outer = TempDir::new().unwrap();
    fs::create_dir(outer.path().join("into")).unwrap();
    let result = unpack(&file_of(bytes), &outer.path().join("into"), &LIMITS, &UnpackControl::default());
    let UnpackError::Bad(bad) = result.expect_err(reason) else { panic!("the archive is to blame") };
    assert!(bad.to_string().contains(reason), "{bad} has no {reason}");
    assert_eq!(fs::read_dir(outer.path()).unwrap().count(), 1, "{reason}");
    for (path, kind) in all(outer.path()) {
        assert_ne!(kind, 'l', "{path} is a link");
    }
    bad
}

/// Everything below a directory: path, and d, f, l or ?.
fn all(root: &Path) -> BTreeMap<String, char> {
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
fn formats_of_a_recording_come_out_with_modes_of_ours() {
    let tar = Tar::default()
        .member(EntryType::Directory, "./", "", b"")
        .member(EntryType::Directory, "./presentation/", "", b"")
        .member(EntryType::Directory, "./presentation/r1/", "", b"")
        .file("./presentation/r1/metadata.xml", b"<recording/>")
        .file("presentation/r1/deep/er/still/slide.png", &[7; 100_000])
        .file("video//r1/./metadata.xml", b"")
        .end();
    let (into, contents) = good(&tar);
    let formats: Vec<_> = contents.formats.iter().map(|f| format!("{}/{}", f.format, f.record_id)).collect();
    assert_eq!(formats, ["presentation/r1", "video/r1"]);
    assert_eq!((contents.files, contents.bytes), (3, 100_012));
    assert!(contents.refused.is_empty());
    let slide = contents.formats[0].path.join("deep/er/still/slide.png");
    assert_eq!(fs::read(&slide).unwrap(), [7; 100_000]);
    let about = fs::metadata(&slide).unwrap();
    assert_eq!(about.permissions().mode() & 0o7777, 0o644);
    assert_eq!(about.mtime(), 1_767_225_600);
    let about = fs::metadata(slide.parent().unwrap()).unwrap();
    assert_eq!(about.permissions().mode() & 0o7777, 0o755);
    assert_eq!(all(into.path()).values().filter(|kind| **kind == 'f').count(), 3);
}

#[test]
fn every_compression_is_told_by_its_content_and_checked_to_its_end() {
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
        assert_eq!(good(&packed).1.files, 2, "{name}");
        let half = refused(&packed[..packed.len() / 2], "broken off");
        assert!(matches!(half, BadArchive::Truncated(_)), "{name}");
        refused(&packed[..packed.len() - 2], "broken off");
        let mut flipped = packed.clone();
        let at = flipped.len() - 6;
        flipped[at] ^= 0xff;
        assert!(unpack_with(&flipped, &LIMITS).1.is_err(), "{name}: a flipped bit");
    }
}

#[test]
fn an_archive_that_breaks_off_anywhere_is_not_whole() {
    let tar =
        Tar::default().file("video/r1/metadata.xml", b"<recording/>").file("video/r1/x", &[1; 600]).end();
    for length in [0, 1, 511, 512, 520, 1023, 1024, 1100, 1536, 1600, 2135, 2136, 2200, 2560] {
        let bad = refused(&tar[..length], "broken off");
        assert!(matches!(bad, BadArchive::Truncated(_)), "{length}: {bad}");
    }
    // One block of zeros is an end, for tar too.
    good(&tar[..3072]);
}

#[test]
fn what_is_no_archive_is_damaged() {
    refused(&[b'x'; 10_000], "not readable");
    refused(&[&[0x1f, 0x8b], &[9; 100][..]].concat(), "not readable");
    let mut tar = Tar::default().file("video/r1/metadata.xml", b"<recording/>").end();
    tar.extend(Tar::default().file("video/r1/more", b"").end());
    refused(&tar, "something follows");
}

#[test]
fn paths_out_of_the_directory_are_refused() {
    for path in [
        "/etc/passwd",
        "//video/r1/x",
        "../video/r1/x",
        "video/../../x",
        "video/r1/../../../x",
        "video/r1/..",
        "video/r1/a/../b",
    ] {
        refused(&Tar::default().file(path, b"x").end(), "unsafe member");
        refused(&Tar::default().member(EntryType::Directory, path, "", b"").end(), "unsafe member");
    }
    refused(&Tar::default().file("./", b"x").end().replace_kind(), "no name");
    let long = format!("video/r1/{}", "x".repeat(80));
    good(&Tar::default().file(&long, b"x").end());
}

trait ReplaceKind {
    fn replace_kind(self) -> Self;
}

impl ReplaceKind for Vec<u8> {
    /// A file, though its name says that it is a directory.
    fn replace_kind(mut self) -> Vec<u8> {
        let mut header = Header::new_gnu();
        header.as_mut_bytes().copy_from_slice(&self[..512]);
        header.as_old_mut().name[1] = 0;
        header.set_cksum();
        self[..512].copy_from_slice(header.as_bytes());
        self
    }
}

#[test]
fn devices_pipes_and_the_unknown_are_refused() {
    for kind in
        [EntryType::Char, EntryType::Block, EntryType::Fifo, EntryType::new(b'M'), EntryType::new(b'Z')]
    {
        refused(&Tar::default().member(kind, "video/r1/x", "", b"").end(), "neither file");
    }
}

#[test]
fn links_that_lead_elsewhere_are_refused() {
    for target in [
        "/etc/passwd",
        "../../../etc/passwd",
        "../../notes/r1/x",
        "../r2/x",
        "a/../../../../../etc/passwd",
        "a/../b",
        "",
        "nothing",
        "deep",
        "loop",
    ] {
        let tar = Tar::default()
            .file("notes/r1/x", b"x")
            .file("video/r1/deep/x", b"x")
            .member(EntryType::Symlink, "video/r1/loop", "loop", b"")
            .member(EntryType::Symlink, "video/r1/link", target, b"");
        refused(&tar.end(), "unsafe member");
    }
    for target in ["/etc/passwd", "../../etc/passwd", "video/r1/nothing", "video/r1", ""] {
        let tar =
            Tar::default().file("video/r1/x", b"x").member(EntryType::Link, "video/r1/link", target, b"");
        refused(&tar.end(), "unsafe member");
    }
}

#[test]
fn nothing_passes_through_a_link() {
    for target in ["deep", "/tmp", "../../.."] {
        let tar = Tar::default()
            .file("video/r1/deep/x", b"x")
            .member(EntryType::Symlink, "video/r1/link", target, b"")
            .file("video/r1/link/y", b"y");
        refused(&tar.end(), "unsafe member");
    }
    let tar = Tar::default().file("video/r1/x", b"x").file("video/r1/x/y", b"y");
    refused(&tar.end(), "passes through a file");
    let tar = Tar::default().file("video/r1/x/y", b"y").file("video/r1/x", b"x");
    refused(&tar.end(), "a directory too");
    let tar = Tar::default().member(EntryType::Symlink, "video/r1", "/tmp", b"").file("video/r1/x", b"x");
    let (into, contents) = good(&tar.end());
    assert_eq!(contents.refused.len(), 1, "what takes a recording's place is left out");
    assert_eq!(all(into.path())["video/r1/x"], 'f');
}

#[test]
fn links_within_become_copies() {
    let tar = Tar::default()
        .member(EntryType::Symlink, "video/r1/deep/first", "./second", b"")
        .member(EntryType::Symlink, "video/r1/deep/second", "../x", b"")
        .file("video/r1/x", b"content")
        .member(EntryType::Link, "notes/r1/hard", "video/r1/x", b"")
        .end();
    let (into, contents) = good(&tar);
    for name in ["video/r1/deep/first", "video/r1/deep/second", "notes/r1/hard"] {
        let path = into.path().join(name);
        assert!(fs::symlink_metadata(&path).unwrap().is_file(), "{name}");
        assert_eq!(fs::read(&path).unwrap(), b"content");
        assert_eq!(fs::metadata(&path).unwrap().nlink(), 1);
    }
    assert_eq!((contents.files, contents.bytes), (4, 28));
}

#[test]
fn the_later_of_two_members_with_one_name_counts() {
    let tar = Tar::default()
        .file("video/r1/x", b"first")
        .file("video/r1/x", b"second")
        .file("video/r1/y", b"a file")
        .member(EntryType::Symlink, "video/r1/y", "x", b"")
        .member(EntryType::Symlink, "video/r1/z", "/etc/passwd2".split_at(11).1, b"")
        .file("video/r1/z", b"third")
        .end();
    let (into, _) = good(&tar);
    let read = |name: &str| fs::read_to_string(into.path().join("video/r1").join(name)).unwrap();
    assert_eq!([read("x"), read("y"), read("z")], ["second", "second", "third"]);
}

#[test]
fn what_is_no_format_of_a_recording_is_left_out_and_named() {
    let tar = Tar::default()
        .file("README", b"x")
        .file("video/README", b"x")
        .file("pre sentation/r1/x", b"x")
        .file("video/r 1/x", b"x")
        .file(".git/config/x", b"x")
        .member(EntryType::Directory, "empty/", "", b"")
        .file("video/r1/metadata.xml", b"x")
        .end();
    let (into, contents) = good(&tar);
    assert_eq!(contents.formats.len(), 1);
    assert_eq!(contents.refused.len(), 3, "{:?}", contents.refused);
    assert_eq!(contents.ignored.len(), 2, "{:?}", contents.ignored);
    let files: Vec<_> = all(into.path()).into_iter().filter(|(_, kind)| *kind == 'f').collect();
    assert_eq!(files, [("video/r1/metadata.xml".to_owned(), 'f')]);
}

#[test]
fn limits_hold_while_unpacking() {
    let mut many = Tar::default();
    for n in 0..100_000 {
        many = many.file(&format!("video/r1/{n}"), b"");
    }
    let (into, result) = unpack_with(&many.end(), &LIMITS);
    assert_eq!(result.unwrap_err().to_string(), "more than 1000 members");
    assert_eq!(all(into.path()).len(), 1001, "nothing after the limit was unpacked");

    let large = Tar::default().file("video/r1/x", &[1; 1_000_000]).end();
    let limits = Limits { bytes: 999_999, ..LIMITS };
    let (_into, result) = unpack_with(&large, &limits);
    assert_eq!(result.unwrap_err().to_string(), "more than 999999 bytes");

    // Copies count, or a file and a thousand links to it would fill the disk.
    let mut links = Tar::default().file("video/r1/x", &[1; 1_000_000]);
    for n in 0..300 {
        links = links.member(EntryType::Link, &format!("video/r1/{n}"), "video/r1/x", b"");
    }
    let (into, result) = unpack_with(&links.end(), &LIMITS);
    assert!(result.unwrap_err().to_string().contains("for each byte of the archive"));
    let size: u64 = all(into.path()).keys().map(|n| fs::metadata(into.path().join(n)).unwrap().len()).sum();
    assert!(size < 130 << 20, "{size}");
}

#[test]
fn directories_that_no_member_names_count_too() {
    let deep = |n: usize| format!("presentation/r1/{n}/{}f", "d/".repeat(20));
    let tar = (0..10).fold(Tar::default(), |tar, n| tar.file(&deep(n), b"x")).end();
    let limits = Limits { members: 100, ..LIMITS };
    let (_directory, result) = unpack_with(&tar, &limits);
    assert!(result.unwrap_err().to_string().contains("members"));
    let limits = Limits { members: 1000, ..LIMITS };
    unpack_with(&tar, &limits).1.unwrap();
    let deeper = Tar::default().file(&format!("presentation/r1/{}f", "d/".repeat(31)), b"x").end();
    refused(&deeper, "too deep");
}

#[test]
fn bombs_do_not_go_off() {
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut header = Tar::default().file("video/r1/bomb", b"").0;
    let mut bomb = Header::new_gnu();
    bomb.as_mut_bytes().copy_from_slice(&header);
    bomb.set_size(10 << 30);
    bomb.set_cksum();
    header.copy_from_slice(bomb.as_bytes());
    gz.write_all(&header).unwrap();
    for _ in 0..100 {
        gz.write_all(&vec![0; 1 << 20]).unwrap();
    }
    let (into, result) = unpack_with(&gz.finish().unwrap(), &Limits { bytes: 1 << 40, ..LIMITS });
    assert_eq!(result.unwrap_err().to_string(), "more than 100 bytes for each byte of the archive");
    assert!(fs::metadata(into.path().join("video/r1/bomb")).unwrap().len() < 70 << 20);

    // A name of gigabytes: the crate would read it into memory.
    for kind in [EntryType::GNULongName, EntryType::GNULongLink, EntryType::XHeader] {
        let name = Tar::default().member(kind, "name", "", &vec![b'x'; 1 << 20]).file("video/r1/x", b"");
        refused(&name.end(), "a header of more than");
    }
    // Holes of a terabyte.
    let mut sparse = Header::new_gnu();
    sparse.as_old_mut().name[..10].copy_from_slice(b"video/r1/x");
    sparse.set_entry_type(EntryType::GNUSparse);
    let gnu = sparse.as_gnu_mut().unwrap();
    gnu.sparse[0].offset.copy_from_slice(b"20000000000\0");
    gnu.sparse[0].numbytes.copy_from_slice(b"00000000000\0");
    gnu.realsize.copy_from_slice(b"20000000000\0");
    sparse.set_size(0);
    sparse.set_cksum();
    let (into, result) = unpack_with(&[&sparse.as_bytes()[..], &[0; 1024]].concat(), &LIMITS);
    assert!(result.unwrap_err().to_string().contains("more than 100 bytes for each"));
    assert!(fs::metadata(into.path().join("video/r1/x")).unwrap().len() < 70 << 20);
}

#[test]
fn a_stop_is_heeded() {
    let control = UnpackControl::default();
    control.stop();
    let into = TempDir::new().unwrap();
    let tar = file_of(&Tar::default().file("video/r1/x", &[1; 1_000_000]).end());
    assert!(matches!(unpack(&tar, into.path(), &LIMITS, &control), Err(UnpackError::Stopped)));
}

#[test]
fn a_disk_that_fails_is_not_the_archives_fault() {
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

/// What the system's tar makes: long names, holes, hard links, directories first.
#[test]
fn archives_of_gnu_tar_in_each_of_its_forms() {
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
        let (into, contents) = good(&fs::read(&file).unwrap());
        assert_eq!(contents.files, 6, "{form:?}");
        let came = into.path().join("presentation/r1");
        for name in ["metadata.xml", &long, "nämé with spaces", "hard", "soft", "holes"] {
            assert_eq!(
                fs::read(came.join(name)).unwrap(),
                fs::read(format.join(name)).unwrap(),
                "{form:?} {name}"
            );
        }
    }
    // Holes in a form that would come out wrong are refused.
    let file = from.path().join("out.tar");
    let made = Command::new("tar")
        .args(["--format=pax", "--sparse", "-cf"])
        .arg(&file)
        .args(["-C", from.path().to_str().unwrap(), "presentation"])
        .status();
    assert!(made.unwrap().success());
    refused(&fs::read(&file).unwrap(), "holes");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever the names are, nothing comes out but below the directory, and nothing that is a link.
    #[test]
    fn nothing_escapes(members in prop::collection::vec(("[a-z./]{1,12}", "[a-z./]{0,12}", 0..4u8), 1..12)) {
        let outer = TempDir::new().unwrap();
        let into = outer.path().join("deep/er/into");
        fs::create_dir_all(&into).unwrap();
        let mut tar = Tar::default();
        for (path, link, kind) in members {
            let path = if kind == 0 { path } else { format!("video/r1/{path}") };
            let kind = [EntryType::Regular, EntryType::Symlink, EntryType::Link, EntryType::Regular][kind as usize];
            let data: &[u8] = if kind == EntryType::Regular { b"data" } else { b"" };
            tar = tar.member(kind, &path, &link, data);
        }
        let _ = unpack(&file_of(&tar.end()), &into, &LIMITS, &UnpackControl::default());
        for (path, kind) in all(outer.path()) {
            prop_assert!(path.starts_with("deep/er/into") || "deep/er/into".starts_with(&path), "{}", path);
            prop_assert!(matches!(kind, 'f' | 'd'), "{} is a {}", path, kind);
        }
    }

    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..2000), at in 0..2000usize) {
        let mut tar = Tar::default().file("video/r1/metadata.xml", &[b'x'; 700]).end();
        let at = at.min(tar.len());
        let end = (at + bytes.len()).min(tar.len());
        tar[at..end].copy_from_slice(&bytes[..end - at]);
        let _ = unpack_with(&tar, &LIMITS);
    }
}
