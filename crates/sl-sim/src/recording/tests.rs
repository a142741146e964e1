//! The archives are readable by the system's tar, and reproducible.

use super::*;
use std::process::Command;

#[test]
fn system_tar_lists_every_compression() {
    let directory = tempfile::TempDir::new().unwrap();
    let recording = Recording { formats: RecordingFormat::ALL.to_vec(), ..Recording::default() };
    for compression in [Compression::None, Compression::Gz, Compression::Zst, Compression::Xz] {
        let path = recording.write_archive(directory.path(), compression).unwrap();
        let output = Command::new("tar").arg("-tf").arg(&path).output().unwrap();
        assert!(output.status.success(), "{compression:?}: {}", String::from_utf8_lossy(&output.stderr));
        let list = String::from_utf8(output.stdout).unwrap();
        for format in RecordingFormat::ALL {
            let name = format!("{}/{}/metadata.xml", format.name(), recording.record_id());
            assert!(list.lines().any(|line| line == name), "{name} in {list}");
        }
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 4);
}

#[test]
fn same_values_give_same_bytes() {
    let bytes = |recording: &Recording| {
        let mut bytes = Vec::new();
        recording.write_tar(&mut bytes).unwrap();
        bytes
    };
    let recording = Recording { size: 100_000, ..Recording::default() };
    assert_eq!(bytes(&recording), bytes(&recording.clone()));
    assert_ne!(bytes(&recording), bytes(&Recording { seed: 2, ..recording.clone() }));
    assert!(bytes(&recording).len() > 100_000);
}

#[test]
fn record_id_has_bbbs_form() {
    assert_eq!(
        Recording { meeting_id: "Abc".into(), ..Recording::default() }.record_id(),
        "915858afa2278f25527f192038108346164b47f2-1767225600000"
    );
}
