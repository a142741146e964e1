//! Secrets on the command line: given as they are, from standard input (`-`) or from a file (`@path`), so that
//! they need not appear in the list of processes or in the history of a shell.

use crate::bbb::Secret;
use anyhow::{Context, bail};
use std::io;

/// Reads the secret that an argument stands for. White space at its ends is removed.
///
/// # Errors
/// It is empty, contains white space or control characters, or its source cannot be read.
pub(super) fn read_secret(argument: &str) -> anyhow::Result<Secret> {
    let text = match argument {
        "-" => io::read_to_string(io::stdin()).context("cannot read the secret from standard input")?,
        _ => match argument.strip_prefix('@') {
            Some(path) => std::fs::read_to_string(path)
                .with_context(|| format!("cannot read the secret from the file {path}"))?,
            None => argument.to_owned(),
        },
    };
    let secret = text.trim();
    if secret.is_empty() {
        bail!("the secret must not be empty");
    }
    if secret.contains(|c: char| c.is_whitespace() || c.is_control()) {
        bail!("the secret must be one word, as `bbb-conf --secret` prints it");
    }
    Ok(Secret::from(secret.to_owned()))
}
