//! The importer of recordings: where and how often it looks, how many archives at once, what an archive may
//! be, and how recordings arrive.

use super::Env;
use std::path::PathBuf;
use std::time::Duration;

/// Settings of the importer.
#[derive(Debug, Clone)]
pub struct ImportConfig {
    /// RECORDING_WORK_DIR.
    pub work_dir: PathBuf,
    /// RECORDING_IMPORT_POLL: list the spool periodically, in addition to inotify.
    pub poll: bool,
    /// RECORDING_IMPORT_POLL_INTERVAL.
    pub poll_interval: Duration,
    /// RECORDING_IMPORT_UNPUBLISHED.
    pub unpublished: bool,
    /// RECORDING_IMPORT_WORKERS.
    pub workers: usize,
    /// RECORDING_IMPORT_SETTLE: an archive that has not changed for this long counts as whole, where the
    /// kernel cannot say whether it is still being written (NFS).
    pub settle: Duration,
    /// RECORDING_IMPORT_MAX_MEMBERS.
    pub max_members: u64,
    /// RECORDING_IMPORT_MAX_SIZE, bytes.
    pub max_size: u64,
    /// RECORDING_IMPORT_MAX_RATIO.
    pub max_ratio: u64,
}

impl ImportConfig {
    pub(super) fn from_env(env: &mut Env<'_>) -> ImportConfig {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let must = "must be a whole number, 1 or more";
        ImportConfig {
            work_dir: env.directory(
                "RECORDING_WORK_DIR",
                "/var/bigbluebutton/recording/scalelite",
                "directory where archives are unpacked",
            ),
            poll: env.flag(
                "RECORDING_IMPORT_POLL",
                true,
                "list the spool periodically, in addition to inotify",
            ),
            poll_interval: env.seconds(
                "RECORDING_IMPORT_POLL_INTERVAL",
                60.0,
                "interval between two listings of the spool, seconds",
            ),
            unpublished: env.flag("RECORDING_IMPORT_UNPUBLISHED", false, "import recordings as unpublished"),
            workers: env.number(
                "RECORDING_IMPORT_WORKERS",
                cores,
                |n| (1..=256).contains(n),
                "must be a number from 1 to 256",
                "archives imported in parallel",
            ),
            settle: env.seconds(
                "RECORDING_IMPORT_SETTLE",
                2.0,
                "how long an archive must stay unchanged before it is imported (NFS), seconds",
            ),
            max_members: env.number(
                "RECORDING_IMPORT_MAX_MEMBERS",
                50_000u64,
                |n| *n >= 1,
                must,
                "maximum number of files, directories and links in an archive",
            ),
            max_size: env.number(
                "RECORDING_IMPORT_MAX_SIZE",
                64 << 30u64,
                |n| *n >= 1,
                must,
                "maximum size of an unpacked archive, bytes",
            ),
            max_ratio: env.number(
                "RECORDING_IMPORT_MAX_RATIO",
                100u64,
                |n| *n >= 1,
                must,
                "maximum ratio of unpacked to packed bytes of an archive",
            ),
        }
    }
}
