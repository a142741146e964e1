//! The meetings and hooks of one server.

use std::collections::{HashMap, HashSet};

use crate::calls::hooks::Hook;
use crate::meeting::{Breakout, Meeting};
use crate::protocol::checksum::sha1_hex;

/// What a restart loses. The server holds it in a mutex.
#[derive(Default)]
pub(crate) struct Registry {
    /// Boxed, so that a map of thousands does not move them all when it grows.
    meetings: HashMap<String, Box<Meeting>>,
    /// Voice bridges that clients requested: BBB refuses a duplicate.
    requested_bridges: HashSet<String>,
    /// Number of meetings created; orders them.
    created: u64,
    pub(crate) hooks: Vec<Hook>,
    pub(crate) last_hook_id: u32,
}

impl Registry {
    /// The meeting, unless it does not exist or its duration has passed.
    pub(crate) fn meeting(&mut self, id: &str, now_ms: i64) -> Option<&mut Meeting> {
        if self.meetings.get(id)?.has_expired(now_ms) {
            self.end(id);
            return None;
        }
        self.meetings.get_mut(id).map(|meeting| &mut **meeting)
    }

    /// Whether another meeting requested this voice bridge.
    pub(crate) fn is_bridge_taken(&self, bridge: &str) -> bool {
        self.requested_bridges.contains(bridge)
    }

    /// Adds a new meeting. `is_bridge_requested`: its voice bridge comes from the client and must be unique.
    pub(crate) fn insert(&mut self, mut meeting: Meeting, is_bridge_requested: bool) {
        self.created += 1;
        meeting.sequence = self.created;
        if is_bridge_requested {
            self.requested_bridges.insert(meeting.voice_bridge.clone());
        }
        self.meetings.insert(meeting.id.clone(), Box::new(meeting));
    }

    /// Ends a meeting and its breakout rooms; false if it does not exist.
    pub(crate) fn end(&mut self, id: &str) -> bool {
        let Some(meeting) = self.remove(id) else {
            return false;
        };
        for room in &meeting.breakouts {
            self.remove(room);
        }
        true
    }

    /// Removes one meeting, not its breakout rooms.
    pub(crate) fn remove(&mut self, id: &str) -> Option<Meeting> {
        let meeting = self.meetings.remove(id)?;
        self.requested_bridges.remove(&meeting.voice_bridge);
        Some(*meeting)
    }

    /// Removes all meetings, not the hooks.
    pub(crate) fn remove_all(&mut self) {
        self.meetings.clear();
        self.requested_bridges.clear();
    }

    /// All meetings whose duration has not passed, oldest first.
    pub(crate) fn list_meetings(&mut self, now_ms: i64) -> Vec<&Meeting> {
        let expired: Vec<String> =
            self.meetings.values().filter(|m| m.has_expired(now_ms)).map(|m| m.id.clone()).collect();
        for id in expired {
            self.end(&id);
        }
        let mut all: Vec<&Meeting> = self.meetings.values().map(|meeting| &**meeting).collect();
        all.sort_unstable_by_key(|m| m.sequence);
        all
    }

    /// The numbers of meetings and of participants.
    pub(crate) fn totals(&self) -> (usize, usize) {
        let people = self.meetings.values().map(|m| m.people.len()).sum();
        (self.meetings.len(), people)
    }

    /// Creates breakout rooms as BBB does. Returns their ids; none if the parent does not exist.
    pub(crate) fn add_breakouts(
        &mut self,
        parent: &str,
        rooms: u32,
        free_join: bool,
        now_ms: i64,
    ) -> Vec<String> {
        let Some(meeting) = self.meeting(parent, now_ms) else {
            return Vec::new();
        };
        let parent_internal_id = meeting.internal_id.clone();
        let first = meeting.breakouts.len() as u32 + 1;
        let mut new_rooms = Vec::new();
        for sequence in first..first.saturating_add(rooms) {
            let id = format!("{}-{now_ms}", sha1_hex(&format!("{parent_internal_id}-{sequence}")));
            let mut room = Meeting::new(&id, &format!("{} (Room {sequence})", meeting.name), now_ms);
            room.attendee_pw.clone_from(&meeting.attendee_pw);
            room.moderator_pw.clone_from(&meeting.moderator_pw);
            room.voice_bridge = format!("{}{sequence}", meeting.voice_bridge);
            room.metadata.clone_from(&meeting.metadata);
            room.breakout = Some(Box::new(Breakout {
                parent_internal_id: parent_internal_id.clone(),
                sequence,
                free_join,
            }));
            new_rooms.push(room);
        }
        let ids: Vec<String> = new_rooms.iter().map(|room| room.id.clone()).collect();
        meeting.breakouts.extend(ids.iter().cloned());
        for room in new_rooms {
            self.insert(room, false);
        }
        ids
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expired_meeting_ends_with_its_breakout_rooms() {
        let mut registry = Registry::default();
        let mut meeting = Meeting::new("m", "M", 1000);
        meeting.duration = 1;
        meeting.voice_bridge = "7".into();
        registry.insert(meeting, true);
        assert_eq!(registry.add_breakouts("m", 2, true, 2000).len(), 2);
        assert_eq!(registry.list_meetings(60_999).len(), 3);
        assert!(registry.is_bridge_taken("7"));
        assert_eq!(registry.list_meetings(61_000).len(), 0);
        assert!(!registry.is_bridge_taken("7"));
    }
}
