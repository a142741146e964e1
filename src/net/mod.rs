//! Outgoing connections.
//!
//! - [`backoff`]: the wait before a retry
//! - [`connector`]: TCP and TLS to BBB servers and S3, within one timeout
//! - [`tls`]: which certificates are trusted
//! - [`public_connector`]: TCP and TLS to URLs that clients choose
//! - [`public_address`]: the addresses that such a URL may lead to

pub mod backoff;
pub mod connector;
pub mod public_address;
pub mod public_connector;
pub mod tls;

use std::error::Error;

/// The innermost cause of an error: the outer ones only say that sending a request failed.
pub fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
