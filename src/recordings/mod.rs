//! Recordings: files in a storage, and Postgres as nothing but their index.
//!
//! - [`types`]: what a recording is, and the names that may become paths
pub mod types;

pub use types::{FormatMetadata, FormatName, RecordId, Thumbnail};
