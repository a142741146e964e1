//! The meetings and hooks of one server.

use std::collections::{HashMap, HashSet};

use crate::calls::hooks::Hook;
use crate::meeting::{Breakout, Meeting};
use crate::protocol::checksum::sha1_hex;

/// What a restart loses. The server holds it in a mutex.
#[derive(Default)]
pub(crate) struct Registry {
    /// By internalMeetingID, as in BBB. Boxed, so that a map of thousands does not move them all when it grows.
    meetings: HashMap<String, Box<Meeting>>,
    /// meetingID → internalMeetingID.
    internal_ids: HashMap<String, String>,
    /// Voice bridges that clients requested: BBB refuses a duplicate.
    requested_bridges: HashSet<String>,
    /// Number of meetings created; orders them.
    created: u64,
    pub(crate) hooks: Vec<Hook>,
    pub(crate) last_hook_id: u32,
}

impl Registry {
    /// The internalMeetingID of the meeting with this internalMeetingID or meetingID, whichever matches first.
    fn internal_id(&self, id: &str) -> Option<&str> {
        match self.meetings.get(id) {
            Some(meeting) => Some(&meeting.internal_id),
            None => self.internal_ids.get(id).map(String::as_str),
        }
    }

    /// The meeting, unless it does not exist or its duration has passed. `id` is either of its ids.
    pub(crate) fn meeting(&mut self, id: &str, now_ms: i64) -> Option<&mut Meeting> {
        let id = self.internal_id(id)?;
        if self.meetings.get(id)?.has_expired(now_ms) {
            let id = id.to_owned();
            self.end(&id);
            return None;
        }
        let id = id.to_owned();
        self.meetings.get_mut(&id).map(|meeting| &mut **meeting)
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
        // BBB derives the internal id from the meetingID; that of a breakout room made by create does not follow from it.
        if meeting.internal_id.starts_with(&sha1_hex(&meeting.id)) {
            self.internal_ids.insert(meeting.id.clone(), meeting.internal_id.clone());
        }
        self.meetings.insert(meeting.internal_id.clone(), Box::new(meeting));
    }

    /// Ends a meeting and its breakout rooms; false if it does not exist. `id` is either of its ids.
    pub(crate) fn end(&mut self, id: &str) -> bool {
        let Some(meeting) = self.remove(id) else {
            return false;
        };
        if !meeting.breakouts.is_empty() {
            let is_room = |m: &Meeting| {
                m.breakout.as_ref().is_some_and(|b| b.parent_internal_id == meeting.internal_id)
            };
            let rooms: Vec<String> =
                self.meetings.values().filter(|m| is_room(m)).map(|m| m.internal_id.clone()).collect();
            for room in rooms {
                self.remove(&room);
            }
        }
        true
    }

    /// Removes one meeting, not its breakout rooms.
    pub(crate) fn remove(&mut self, id: &str) -> Option<Meeting> {
        let id = self.internal_id(id)?.to_owned();
        let meeting = self.meetings.remove(&id)?;
        if self.internal_ids.get(&meeting.id) == Some(&id) {
            self.internal_ids.remove(&meeting.id);
        }
        self.requested_bridges.remove(&meeting.voice_bridge);
        Some(*meeting)
    }

    /// Removes all meetings, not the hooks.
    pub(crate) fn remove_all(&mut self) {
        self.meetings.clear();
        self.internal_ids.clear();
        self.requested_bridges.clear();
    }

    /// All meetings whose duration has not passed, oldest first.
    pub(crate) fn list_meetings(&mut self, now_ms: i64) -> Vec<&Meeting> {
        let expired: Vec<String> =
            self.meetings.values().filter(|m| m.has_expired(now_ms)).map(|m| m.internal_id.clone()).collect();
        for id in expired {
            self.end(&id);
        }
        let mut all: Vec<&Meeting> = self.meetings.values().map(|meeting| &**meeting).collect();
        all.sort_unstable_by_key(|m| m.sequence);
        all
    }

    /// Removes the participant with this sessionToken.
    pub(crate) fn remove_session(&mut self, token: &str) {
        for meeting in self.meetings.values_mut() {
            meeting.people.retain(|person| person.session_token != token);
        }
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
