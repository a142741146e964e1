//! Random identifiers.

use rand::Rng;

/// `length` random ASCII letters and digits.
pub(crate) fn random_word(length: usize) -> String {
    rand::rng().sample_iter(rand::distr::Alphanumeric).take(length).map(char::from).collect()
}

/// Five digits, as BBB makes them.
pub(crate) fn random_voice_bridge() -> String {
    rand::rng().random_range(10_000..100_000).to_string()
}
