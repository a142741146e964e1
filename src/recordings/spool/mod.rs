//! The spool: the directory where archives arrive.
//!
//! - [`directory`]: the archives in it, and those in `failed/`
//! - [`receive`]: archives that BBB servers send over HTTP; `part_file`: what has arrived of one
//! - `names`: every name in it
//! - `write_detection`: whether an archive is still being written

pub mod directory;
mod names;
mod part_file;
pub mod receive;
pub(crate) mod write_detection;

pub(crate) use directory::{FileStamp, open_archive};
pub use directory::{RetryResult, Spool};
pub use names::is_archive;
