//! Archives that would fill the disk or the memory.

use super::*;

#[test]
fn limits_apply_while_unpacking() {
    let mut many = Tar::default();
    for n in 0..100_000 {
        many = many.file(&format!("video/r1/{n}"), b"");
    }
    let (into, result) = unpack_with(&many.end(), &LIMITS);
    assert_eq!(result.unwrap_err().to_string(), "more than 1000 members");
    assert_eq!(list_tree(into.path()).len(), 1001, "nothing after the limit was unpacked");

    let large = Tar::default().file("video/r1/x", &[1; 1_000_000]).end();
    let limits = UnpackLimits { max_bytes: 999_999, ..LIMITS };
    let (_into, result) = unpack_with(&large, &limits);
    assert_eq!(result.unwrap_err().to_string(), "more than 999999 bytes");

    // Copies count, or a file and a thousand links to it would fill the disk.
    let mut links = Tar::default().file("video/r1/x", &[1; 1_000_000]);
    for n in 0..300 {
        links = links.member(EntryType::Link, &format!("video/r1/{n}"), "video/r1/x", b"");
    }
    let (into, result) = unpack_with(&links.end(), &LIMITS);
    assert!(result.unwrap_err().to_string().contains("for each byte of the archive"));
    let size: u64 =
        list_tree(into.path()).keys().map(|n| fs::metadata(into.path().join(n)).unwrap().len()).sum();
    assert!(size < 130 << 20, "{size}");
}

#[test]
fn implicit_directories_count_as_members() {
    let deep = |n: usize| format!("presentation/r1/{n}/{}f", "d/".repeat(20));
    let tar = (0..10).fold(Tar::default(), |tar, n| tar.file(&deep(n), b"x")).end();
    let limits = UnpackLimits { max_members: 100, ..LIMITS };
    let (_directory, result) = unpack_with(&tar, &limits);
    assert!(result.unwrap_err().to_string().contains("members"));
    let limits = UnpackLimits { max_members: 1000, ..LIMITS };
    unpack_with(&tar, &limits).1.unwrap();
    let deeper = Tar::default().file(&format!("presentation/r1/{}f", "d/".repeat(31)), b"x").end();
    assert_bad(&deeper, "too deep");
}

#[test]
fn bombs_are_stopped_early() {
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
    let (into, result) = unpack_with(&gz.finish().unwrap(), &UnpackLimits { max_bytes: 1 << 40, ..LIMITS });
    assert_eq!(result.unwrap_err().to_string(), "more than 100 bytes for each byte of the archive");
    assert!(fs::metadata(into.path().join("video/r1/bomb")).unwrap().len() < 70 << 20);

    // A name of gigabytes: the crate would read it into memory.
    for kind in [EntryType::GNULongName, EntryType::GNULongLink, EntryType::XHeader] {
        let name = Tar::default().member(kind, "name", "", &vec![b'x'; 1 << 20]).file("video/r1/x", b"");
        assert_bad(&name.end(), "a header of more than");
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
