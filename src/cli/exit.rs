//! Exit statuses other than 0 and 1.

use std::fmt;

/// A command that has printed its result and ends with an exit status of its own.
#[derive(Debug)]
pub struct ExitStatus {
    /// The status; not 0.
    pub code: u8,
    /// One line for standard error.
    pub reason: String,
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for ExitStatus {}
