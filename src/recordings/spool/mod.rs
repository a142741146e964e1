//! The spool: the directory where archives arrive.
//!
//! - [`directory`]: the archives in it, and those in `failed/`
//! - `listing`: what waits there, for operators
//! - [`receive`]: archives that BBB servers send over HTTP; `part_file`: what has arrived of one
//! - `names`: every name in it
//! - `write_detection`: whether an archive is still being written

pub mod directory;
mod listing;
mod names;
mod part_file;
pub mod receive;
pub(crate) mod write_detection;

pub(crate) use directory::{FileStamp, open_archive};
pub use directory::{RetryResult, Spool};
pub use listing::{SpoolListing, WaitingArchive};
pub use names::{UploadedBy, is_archive};
