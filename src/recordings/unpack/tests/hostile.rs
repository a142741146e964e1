//! Archives that a hostile sender makes.

use super::*;
use proptest::prelude::*;

#[test]
fn paths_out_of_the_directory_are_rejected() {
    for path in [
        "/etc/passwd",
        "//video/r1/x",
        "../video/r1/x",
        "video/../../x",
        "video/r1/../../../x",
        "video/r1/..",
        "video/r1/a/../b",
    ] {
        assert_bad(&Tar::default().file(path, b"x").end(), "unsafe member");
        assert_bad(&Tar::default().member(EntryType::Directory, path, "", b"").end(), "unsafe member");
    }
    assert_bad(&into_file_named_as_directory(Tar::default().file("./", b"x").end()), "no name");
    let long = format!("video/r1/{}", "x".repeat(80));
    unpack_ok(&Tar::default().file(&long, b"x").end());
}

/// A file whose name says that it is a directory.
fn into_file_named_as_directory(mut tar: Vec<u8>) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.as_mut_bytes().copy_from_slice(&tar[..512]);
    header.as_old_mut().name[1] = 0;
    header.set_cksum();
    tar[..512].copy_from_slice(header.as_bytes());
    tar
}

#[test]
fn devices_pipes_and_unknown_types_are_rejected() {
    for kind in
        [EntryType::Char, EntryType::Block, EntryType::Fifo, EntryType::new(b'M'), EntryType::new(b'Z')]
    {
        assert_bad(&Tar::default().member(kind, "video/r1/x", "", b"").end(), "neither file");
    }
}

#[test]
fn links_out_of_the_format_are_rejected() {
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
        assert_bad(&tar.end(), "unsafe member");
    }
    for target in ["/etc/passwd", "../../etc/passwd", "video/r1/nothing", "video/r1", ""] {
        let tar =
            Tar::default().file("video/r1/x", b"x").member(EntryType::Link, "video/r1/link", target, b"");
        assert_bad(&tar.end(), "unsafe member");
    }
}

#[test]
fn members_below_a_link_are_rejected() {
    for target in ["deep", "/tmp", "../../.."] {
        let tar = Tar::default()
            .file("video/r1/deep/x", b"x")
            .member(EntryType::Symlink, "video/r1/link", target, b"")
            .file("video/r1/link/y", b"y");
        assert_bad(&tar.end(), "unsafe member");
    }
    let tar = Tar::default().file("video/r1/x", b"x").file("video/r1/x/y", b"y");
    assert_bad(&tar.end(), "passes through a file");
    let tar = Tar::default().file("video/r1/x/y", b"y").file("video/r1/x", b"x");
    assert_bad(&tar.end(), "a directory as well");
    let tar = Tar::default().member(EntryType::Symlink, "video/r1", "/tmp", b"").file("video/r1/x", b"x");
    let (into, contents) = unpack_ok(&tar.end());
    assert_eq!(contents.rejected.len(), 1, "what takes a recording's place is left out");
    assert_eq!(list_tree(into.path())["video/r1/x"], 'f');
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever the names, nothing is unpacked outside of the directory, and nothing is a link.
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
        for (path, kind) in list_tree(outer.path()) {
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
