//! Recordings that BBB servers send over HTTPS, into the spool.
//!
//! - [`http`]: `/sl/recordings/{record_id}.tar`

pub mod http;
