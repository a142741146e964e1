//! The importer of recordings: where and how often it looks, how many archives at once, what an archive may
//! be, and how recordings arrive.

use super::{Env, listen::seconds};
use std::path::PathBuf;
use std::time::Duration;

/// See the fields.
#[derive(Debug, Clone)]
pub struct ImportConfig {
    /// RECORDING_WORK_DIR: where archives are unpacked.
    pub work_dir: PathBuf,
    /// RECORDING_IMPORT_POLL: list the spool periodically, in addition to inotify.
    pub poll: bool,
    /// RECORDING_IMPORT_POLL_INTERVAL.
    pub poll_interval: Duration,
    /// RECORDING_IMPORT_UNPUBLISHED: recordings arrive unpublished.
    pub unpublished: bool,
    /// RECORDING_IMPORT_WORKERS: archives imported at once.
    pub workers: usize,
    /// RECORDING_IMPORT_SETTLE: an archive that has not changed for this long counts as whole, where the
    /// kernel cannot say whether it is still being written (NFS).
    pub settle: Duration,
    /// RECORDING_IMPORT_MAX_MEMBERS: files, directories and links of an archive.
    pub max_members: u64,
    /// RECORDING_IMPORT_MAX_SIZE: bytes of all files of an archive.
    pub max_size: u64,
    /// RECORDING_IMPORT_MAX_RATIO: bytes unpacked for each byte of the archive.
    pub max_ratio: u64,
}

impl ImportConfig {
    pub(super) fn from_env(env: &mut Env<'_>) -> ImportConfig {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let must = "must be a whole number, 1 or more";
        ImportConfig {
            work_dir: PathBuf::from(env.text(
                "RECORDING_WORK_DIR",
                "/var/bigbluebutton/recording/scalelite",
                "where archives are unpacked",
            )),
            poll: env.flag("RECORDING_IMPORT_POLL", true, "look through the spool now and then"),
            poll_interval: seconds(
                env,
                "RECORDING_IMPORT_POLL_INTERVAL",
                60.0,
                "from one look through the spool to the next, seconds",
            ),
            unpublished: env.flag("RECORDING_IMPORT_UNPUBLISHED", false, "recordings arrive unpublished"),
            workers: env.number(
                "RECORDING_IMPORT_WORKERS",
                cores,
                |n| (1..=256).contains(n),
                "must be a number from 1 to 256",
                "archives imported at once",
            ),
            settle: seconds(
                env,
                "RECORDING_IMPORT_SETTLE",
                2.0,
                "how long an archive must not change before it counts as whole, seconds",
            ),
            max_members: env.number(
                "RECORDING_IMPORT_MAX_MEMBERS",
                50_000u64,
                |n| *n >= 1,
                must,
                "files, directories and links that an archive may hold",
            ),
            max_size: env.number(
                "RECORDING_IMPORT_MAX_SIZE",
                64 << 30u64,
                |n| *n >= 1,
                must,
                "bytes that an archive may unpack to",
            ),
            max_ratio: env.number(
                "RECORDING_IMPORT_MAX_RATIO",
                100u64,
                |n| *n >= 1,
                must,
                "bytes that each byte of an archive may unpack to",
            ),
        }
    }
}
