//! The spool: the directory where archives arrive.
//!
//! - [`directory`]: what lies there, and `failed/` in it
//! - [`receive`]: archives that BBB servers send over HTTP

pub mod directory;
pub mod receive;

pub use directory::{Retried, Spool, is_archive};
