//! The dial-in number of a meeting: the same for the same id on every replica and after every restart, since
//! participants have it in their invitations. Compatible with Scalelite.
//!
//! MT19937 seeded with 128 bits of SHA-256(meeting id): the first two little-endian 64-bit words A
//! and B as `(A << 64) | B`, least significant 32-bit word first. The first digit is 1-9, the others
//! 0-9, each by rejection under a mask. Further numbers come from the same stream.

use rand_mt::Mt;
use sha2::{Digest, Sha256};
use std::cell::RefCell;
use std::collections::HashMap;

/// Numbers of ids that [`first_two`] caches on each thread.
const MAX_CACHED_IDS: usize = 512;

/// Longer ids are not cached.
const MAX_CACHED_ID_BYTES: usize = 256;

/// The numbers to try for a meeting, best first. `length` digits each (VOICE_BRIDGE_LEN, 1 to 18).
/// Never `99999`: see [`is_number`].
pub fn numbers(meeting_id: &str, length: usize) -> impl Iterator<Item = String> {
    let digest = Sha256::digest(meeting_id.as_bytes());
    // B, then A; each as its low and its high half: all little-endian in the digest.
    let key = [8, 12, 0, 4]
        .map(|at| u32::from_le_bytes([digest[at], digest[at + 1], digest[at + 2], digest[at + 3]]));
    let mut stream = Mt::new_with_key(key);
    std::iter::repeat_with(move || {
        let mut number = String::with_capacity(length);
        for place in 0..length {
            let digit = if place == 0 { 1 + below(&mut stream, 9) } else { below(&mut stream, 10) };
            number.push(char::from(b'0' + digit));
        }
        number
    })
    .filter(|number| is_number(number))
}

/// Longest number that is taken from a client or a server.
const MAX_DIGITS: usize = 32;

/// Whether this can be a voice bridge: digits, and not `99999`, which is BBB's echo test.
pub fn is_number(text: &str) -> bool {
    (1..=MAX_DIGITS).contains(&text.len()) && text != "99999" && text.bytes().all(|b| b.is_ascii_digit())
}

/// The first two of [`numbers`], cached for recent ids: many clients create a meeting again before each
/// participant joins. Seeding the generator takes some 10 us, a hit 0.3 us (docs/BENCHMARKS.md, row "sl: create,
/// existing meeting").
pub fn first_two(meeting_id: &str, length: usize) -> [String; 2] {
    thread_local! {
        static RECENT: RefCell<HashMap<(String, usize), [String; 2]>> = RefCell::default();
    }
    let draw = || {
        let mut numbers = numbers(meeting_id, length);
        // The stream is infinite.
        std::array::from_fn(|_| numbers.next().unwrap_or_default())
    };
    if meeting_id.len() > MAX_CACHED_ID_BYTES {
        return draw();
    }
    RECENT.with_borrow_mut(|recent| {
        if recent.len() >= MAX_CACHED_IDS {
            recent.clear();
        }
        recent.entry((meeting_id.to_owned(), length)).or_insert_with(draw).clone()
    })
}

/// Uniform in 0..n: 32-bit outputs under the smallest mask of ones that covers n - 1, those above
/// n - 1 rejected.
fn below(stream: &mut Mt, n: u32) -> u8 {
    let mask = n.next_power_of_two() - 1;
    loop {
        let drawn = stream.next_u32() & mask;
        if drawn < n {
            return drawn as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VECTORS: &str = include_str!("../../tests/vectors/voice_bridge.tsv");

    #[test]
    fn draws_every_vector_with_and_without_cache() {
        let mut rows = 0;
        for line in VECTORS.lines().skip(1) {
            let [id, first, second, third, of_five] = line.split('\t').collect::<Vec<_>>()[..] else {
                panic!("malformed vector: {line}")
            };
            let drawn: Vec<_> = numbers(id, 9).take(3).collect();
            assert_eq!(drawn, [first, second, third], "{id}");
            for _ in 0..2 {
                assert_eq!(first_two(id, 9), [first, second], "{id}");
            }
            assert_eq!(first_two(id, 5)[0], of_five, "{id}");
            assert_eq!(numbers(id, 5).next().as_deref(), Some(of_five), "{id}");
            rows += 1;
        }
        assert_eq!(rows, 60);
    }

    #[test]
    fn the_echo_test_is_never_drawn() {
        for i in 0..20_000 {
            let id = i.to_string();
            assert!(numbers(&id, 5).take(20).all(|number| number != "99999"), "{id}");
        }
    }
}
