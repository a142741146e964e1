//! Marks: by them a poll recognises a meeting that the pool has created, and adopts it when its record is
//! lost. What a server lists without the mark for that very server is a stray: otherwise one server could list
//! the id of a future meeting, and would get its create, its moderator password and its joins.

use super::MeetingKey;
use hmac::{Hmac, KeyInit, Mac};
use rand::RngCore;
use sha2::Sha256;
use std::fmt;

/// The parameter of create that carries the mark. BBB returns it as `metadata/sl-mark`.
pub const MARK_PARAM: &str = "meta_sl-mark";

/// Bytes of a mark: half of an HMAC-SHA256, since all servers list it with every meeting.
const MARK_BYTES: usize = 16;

/// The secret key of a pool's marks, 32 bytes. Redis has it (`sl:mark_key`).
#[derive(Clone, PartialEq, Eq)]
pub struct MarkKey([u8; 32]);

impl MarkKey {
    pub(super) fn random() -> MarkKey {
        let mut bytes = [0; 32];
        rand::rng().fill_bytes(&mut bytes);
        MarkKey(bytes)
    }

    /// From 64 hex digits.
    pub(super) fn parse(text: &str) -> Option<MarkKey> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(MarkKey(bytes))
    }

    pub(super) fn to_hex(&self) -> String {
        hex::encode(self.0)
    }

    /// The mark of a meeting on a server: 32 hex digits.
    pub fn sign(&self, meeting: &MeetingKey, server: &str) -> String {
        match self.mac(meeting, server) {
            Some(mac) => hex::encode(&mac.finalize().into_bytes()[..MARK_BYTES]),
            None => String::new(),
        }
    }

    /// Whether this is the mark of that meeting on that server. Takes the same time for every wrong mark.
    pub fn verify(&self, meeting: &MeetingKey, server: &str, mark: &str) -> bool {
        let mut bytes = [0; MARK_BYTES];
        hex::decode_to_slice(mark, &mut bytes).is_ok()
            && self.mac(meeting, server).is_some_and(|mac| mac.verify_truncated_left(&bytes).is_ok())
    }

    fn mac(&self, meeting: &MeetingKey, server: &str) -> Option<Hmac<Sha256>> {
        let mac = <Hmac<Sha256> as KeyInit>::new_from_slice(&self.0).ok()?;
        // The length keeps the two ids apart.
        let length = (server.len() as u64).to_le_bytes();
        Some(mac.chain_update(length).chain_update(server).chain_update(meeting.as_str()))
    }
}

impl fmt::Debug for MarkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MarkKey(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mark_fits_one_meeting_on_one_server_under_one_key() {
        let key = MarkKey::parse(&"0b".repeat(32)).unwrap();
        let meeting = MeetingKey::of("exam-42");
        let mark = key.sign(&meeting, "bbb1");
        // hmac.new(b"\x0b" * 32, (4).to_bytes(8, "little") + b"bbb1exam-42", "sha256").hexdigest()[:32]
        assert_eq!(mark, "8947a5bc60b0686af7d6caff31edd54b");
        assert!(key.verify(&meeting, "bbb1", &mark));
        assert!(!key.verify(&meeting, "bbb2", &mark));
        assert!(!key.verify(&MeetingKey::of("exam-43"), "bbb1", &mark));
        assert!(!MarkKey::random().verify(&meeting, "bbb1", &mark));
        for wrong in ["", "zz", &mark[..30], &mark.to_uppercase().replace(|c: char| c.is_ascii_digit(), "0")]
        {
            assert!(!key.verify(&meeting, "bbb1", wrong), "{wrong}");
        }
        // The ids are not just concatenated.
        assert_ne!(key.sign(&MeetingKey::of("1exam-42"), "bbb"), mark);
    }
}
