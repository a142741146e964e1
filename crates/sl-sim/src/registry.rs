//! The meetings and hooks that one server remembers.

use std::collections::{HashMap, HashSet};

use crate::calls::hooks::Hook;
use crate::meeting::{Breakout, Meeting};
use crate::protocol::checksum::sha1_hex;

/// Everything one server remembers. Lives behind its mutex.
#[derive(Default)]
pub(crate) struct Book {
    /// Boxed: a map of thousands that grows does not stand still to move them.
    meetings: HashMap<String, Box<Meeting>>,
    /// Voice bridges that clients asked for: BBB takes each only once.
    bridges: HashSet<String>,
    created: u64,
    pub(crate) hooks: Vec<Hook>,
    pub(crate) last_hook: u32,
}

impl Book {
    /// The meeting, unless there is none or its duration is over.
    pub(crate) fn get(&mut self, id: &str, now_ms: i64) -> Option<&mut Meeting> {
        if self.meetings.get(id)?.over(now_ms) {
            self.end(id);
            return None;
        }
        self.meetings.get_mut(id).map(|meeting| &mut **meeting)
    }

    /// Whether another meeting already has this voice bridge.
    pub(crate) fn bridge_taken(&self, bridge: &str) -> bool {
        self.bridges.contains(bridge)
    }

    /// Keeps a new meeting, whose voice bridge was asked for or made up.
    pub(crate) fn insert(&mut self, mut meeting: Meeting, asked_bridge: bool) {
        self.created += 1;
        meeting.sequence = self.created;
        if asked_bridge {
            self.bridges.insert(meeting.voice_bridge.clone());
        }
        self.meetings.insert(meeting.id.clone(), Box::new(meeting));
    }

    /// Ends a meeting and its breakout rooms; false when there is none.
    pub(crate) fn end(&mut self, id: &str) -> bool {
        let Some(meeting) = self.remove(id) else {
            return false;
        };
        for room in &meeting.breakouts {
            self.remove(room);
        }
        true
    }

    /// Forgets one meeting only.
    pub(crate) fn remove(&mut self, id: &str) -> Option<Meeting> {
        let meeting = self.meetings.remove(id)?;
        self.bridges.remove(&meeting.voice_bridge);
        Some(*meeting)
    }

    /// Forgets all meetings, not the hooks.
    pub(crate) fn forget_all(&mut self) {
        self.meetings.clear();
        self.bridges.clear();
    }

    /// All meetings that are not over, in the order they were created.
    pub(crate) fn list(&mut self, now_ms: i64) -> Vec<&Meeting> {
        let over: Vec<String> =
            self.meetings.values().filter(|m| m.over(now_ms)).map(|m| m.id.clone()).collect();
        for id in over {
            self.end(&id);
        }
        let mut all: Vec<&Meeting> = self.meetings.values().map(|meeting| &**meeting).collect();
        all.sort_unstable_by_key(|m| m.sequence);
        all
    }

    /// How many meetings and how many people there are.
    pub(crate) fn census(&self) -> (usize, usize) {
        let people = self.meetings.values().map(|m| m.people.len()).sum();
        (self.meetings.len(), people)
    }

    /// Opens breakout rooms as BBB does from inside a meeting; their ids, or
    /// nothing without the parent.
    pub(crate) fn add_breakouts(
        &mut self,
        parent: &str,
        rooms: u32,
        free_join: bool,
        now_ms: i64,
    ) -> Vec<String> {
        let Some(meeting) = self.get(parent, now_ms) else {
            return Vec::new();
        };
        let parent_internal = meeting.internal_id.clone();
        let first = meeting.breakouts.len() as u32 + 1;
        let mut made = Vec::new();
        for sequence in first..first.saturating_add(rooms) {
            let id = format!("{}-{now_ms}", sha1_hex(&format!("{parent_internal}-{sequence}")));
            let mut room = Meeting::new(&id, &format!("{} (Room {sequence})", meeting.name), now_ms);
            room.attendee_pw.clone_from(&meeting.attendee_pw);
            room.moderator_pw.clone_from(&meeting.moderator_pw);
            room.voice_bridge = format!("{}{sequence}", meeting.voice_bridge);
            room.metadata.clone_from(&meeting.metadata);
            room.breakout =
                Some(Box::new(Breakout { parent_internal: parent_internal.clone(), sequence, free_join }));
            made.push(room);
        }
        let ids: Vec<String> = made.iter().map(|room| room.id.clone()).collect();
        meeting.breakouts.extend(ids.iter().cloned());
        for room in made {
            self.insert(room, false);
        }
        ids
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_meeting_ends_when_its_duration_is_over_and_takes_its_breakouts_along() {
        let mut book = Book::default();
        let mut meeting = Meeting::new("m", "M", 1000);
        meeting.duration = 1;
        meeting.voice_bridge = "7".into();
        book.insert(meeting, true);
        assert_eq!(book.add_breakouts("m", 2, true, 2000).len(), 2);
        assert_eq!(book.list(60_999).len(), 3);
        assert!(book.bridge_taken("7"));
        assert_eq!(book.list(61_000).len(), 0);
        assert!(!book.bridge_taken("7"));
    }
}
