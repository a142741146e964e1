//! The spool: the directory where archives arrive.
//!
//! - [`directory`]: what lies there, and `failed/` in it
//! - [`receive`]: archives that BBB servers send over HTTP
//! - `write_detection`: whether an archive is still being written

pub mod directory;
pub mod receive;
pub(crate) mod write_detection;

pub(crate) use directory::{FileStamp, open_archive};
pub use directory::{Retried, Spool, is_archive};
