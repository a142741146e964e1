//! Outgoing connections.
//!
//! - [`backoff`]: the wait before a retry
//! - [`connector`]: TCP and TLS to BBB servers and S3, under one deadline
//! - [`public_connector`]: TCP and TLS to URLs that clients choose
//! - [`public_address`]: the addresses that such a URL may lead to

pub mod backoff;
pub mod connector;
pub mod public_address;
pub mod public_connector;
