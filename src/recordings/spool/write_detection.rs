//! Whether a file is still being written. The kernel grants a read lease only on a file that no process has
//! open for writing.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;

/// File system types (statfs `f_type`) whose leases can be trusted: ext, XFS, Btrfs, tmpfs, overlayfs, ZFS,
/// F2FS. An NFS client refuses a lease for other reasons too.
const LOCAL_FILE_SYSTEMS: [i64; 7] =
    [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x794c_7630, 0x2fc1_2fc1, 0xf2f5_2010];

/// Whether a process has the file open for writing. None where this cannot be known: on network file
/// systems, and for files of other users unless we are root.
pub(crate) fn is_being_written(file: &File) -> Option<bool> {
    let file_system = rustix::fs::fstatfs(file).ok()?.f_type;
    if !LOCAL_FILE_SYSTEMS.contains(&(file_system as i64)) {
        return None;
    }
    // SAFETY: fcntl on a descriptor that is open, with an integer as its argument.
    let granted = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_RDLCK) } == 0;
    if granted {
        // SAFETY: as above.
        unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_UNLCK) };
        return Some(false);
    }
    (io::Error::last_os_error().kind() == ErrorKind::WouldBlock).then_some(true)
}

/// To be called before [`is_being_written`]: a process that opens a file for writing while we hold a lease on
/// it makes the kernel send us SIGIO, which would end this process.
pub(crate) fn ignore_lease_signals() {
    // SAFETY: no handler is installed; the signal is ignored from now on.
    unsafe { libc::signal(libc::SIGIO, libc::SIG_IGN) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use tempfile::TempDir;

    #[test]
    fn is_being_written_while_a_writer_has_the_file_open() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("a.tar");
        ignore_lease_signals();
        let mut writer = File::create(&path).unwrap();
        writer.write_all(b"half").unwrap();
        let file = File::open(&path).unwrap();
        let Some(is_written) = is_being_written(&file) else {
            return eprintln!("not tested: unknown on this file system");
        };
        assert!(is_written);
        drop(writer);
        assert_eq!(is_being_written(&file), Some(false));
        // The lease is released: the next writer does not wait.
        File::options().append(true).open(&path).unwrap();
    }
}
