//! A meeting and its people, told as BBB tells them.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::protocol::checksum::sha1_hex;
use crate::protocol::xml::{Xml, is_name};

/// A meeting, for tests and for the control door.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MeetingView {
    /// The meetingID it was created with.
    pub id: String,
    /// Its name.
    pub name: String,
    /// BBB's own id: hex SHA-1 of the meetingID, a dash, the create time.
    pub internal_id: String,
    /// When it was created, in milliseconds since 1970.
    pub created_ms: i64,
    /// The attendees' password.
    pub attendee_pw: String,
    /// The moderators' password.
    pub moderator_pw: String,
    /// The number that callers dial.
    pub voice_bridge: String,
    /// Minutes until it ends by itself; 0 never.
    pub duration: u32,
    /// Whether somebody is in it.
    pub running: bool,
    /// Who is in it.
    pub people: Vec<PersonView>,
    /// The `meta_` parameters, names in lower case and without the prefix.
    pub metadata: BTreeMap<String, String>,
    /// How many `<document>`s came with create or insertDocument.
    pub documents: u32,
    /// What sendChatMessage brought.
    pub chat: Vec<String>,
    /// For a breakout room, the internal id of its parent.
    pub breakout_of: Option<String>,
    /// The ids of its breakout rooms.
    pub breakouts: Vec<String>,
}

/// Somebody in a meeting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PersonView {
    /// The userID given on join, or the one made up.
    pub user_id: String,
    /// The name shown.
    pub full_name: String,
    /// Whether a moderator.
    pub moderator: bool,
}

pub(crate) struct Person {
    pub(crate) user_id: String,
    pub(crate) internal_id: String,
    pub(crate) full_name: String,
    pub(crate) moderator: bool,
    pub(crate) presenter: bool,
    pub(crate) listening_only: bool,
    pub(crate) voice: bool,
    pub(crate) video: bool,
    /// What the browser's URL carries after a join; empty for made-up people.
    pub(crate) session_token: String,
}

pub(crate) struct Breakout {
    pub(crate) parent_internal: String,
    pub(crate) sequence: u32,
    pub(crate) free_join: bool,
}

pub(crate) struct Meeting {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) internal_id: String,
    pub(crate) created_ms: i64,
    pub(crate) attendee_pw: String,
    pub(crate) moderator_pw: String,
    pub(crate) voice_bridge: String,
    pub(crate) dial_number: String,
    /// Minutes; 0 never ends.
    pub(crate) duration: u32,
    pub(crate) max_users: u32,
    pub(crate) record: bool,
    pub(crate) has_user_joined: bool,
    pub(crate) metadata: Vec<(String, String)>,
    pub(crate) people: Vec<Person>,
    pub(crate) documents: u32,
    pub(crate) chat: Vec<String>,
    pub(crate) breakout: Option<Box<Breakout>>,
    pub(crate) breakouts: Vec<String>,
    /// Position in getMeetings.
    pub(crate) sequence: u64,
}

impl Meeting {
    /// A meeting with this id, everything else at its default.
    pub(crate) fn new(id: &str, name: &str, now_ms: i64) -> Meeting {
        let mut internal_id = sha1_hex(id);
        internal_id.push('-');
        internal_id.push_str(&now_ms.to_string());
        Meeting {
            id: id.into(),
            name: name.into(),
            internal_id,
            created_ms: now_ms,
            attendee_pw: String::new(),
            moderator_pw: String::new(),
            voice_bridge: String::new(),
            dial_number: "613-555-1234".into(),
            duration: 0,
            max_users: 0,
            record: false,
            has_user_joined: false,
            metadata: Vec::new(),
            people: Vec::new(),
            documents: 0,
            chat: Vec::new(),
            breakout: None,
            breakouts: Vec::new(),
            sequence: 0,
        }
    }

    pub(crate) fn running(&self) -> bool {
        self.has_user_joined && !self.people.is_empty()
    }

    pub(crate) fn over(&self, now_ms: i64) -> bool {
        self.duration > 0 && now_ms >= self.created_ms + i64::from(self.duration) * 60_000
    }

    pub(crate) fn view(&self) -> MeetingView {
        MeetingView {
            id: self.id.clone(),
            name: self.name.clone(),
            internal_id: self.internal_id.clone(),
            created_ms: self.created_ms,
            attendee_pw: self.attendee_pw.clone(),
            moderator_pw: self.moderator_pw.clone(),
            voice_bridge: self.voice_bridge.clone(),
            duration: self.duration,
            running: self.running(),
            people: self
                .people
                .iter()
                .map(|p| PersonView {
                    user_id: p.user_id.clone(),
                    full_name: p.full_name.clone(),
                    moderator: p.moderator,
                })
                .collect(),
            metadata: self.metadata.iter().cloned().collect(),
            documents: self.documents,
            chat: self.chat.clone(),
            breakout_of: self.breakout.as_ref().map(|b| b.parent_internal.clone()),
            breakouts: self.breakouts.clone(),
        }
    }

    /// What create answers, from meetingID up to (not with) the messageKey.
    pub(crate) fn write_created(&self, xml: &mut Xml) {
        xml.el("meetingID", &self.id);
        xml.el("internalMeetingID", &self.internal_id);
        let parent = self.breakout.as_ref().map(|b| b.parent_internal.as_str());
        xml.el("parentMeetingID", parent.unwrap_or("bbb-none"));
        xml.el("attendeePW", &self.attendee_pw);
        xml.el("moderatorPW", &self.moderator_pw);
        xml.val("createTime", self.created_ms);
        xml.el("voiceBridge", &self.voice_bridge);
        xml.el("dialNumber", &self.dial_number);
        xml.el("createDate", &bbb_date(self.created_ms));
        xml.val("hasUserJoined", self.has_user_joined);
        xml.val("duration", self.duration);
        xml.val("hasBeenForciblyEnded", false);
    }

    /// The elements that getMeetingInfo and each `<meeting>` of getMeetings have.
    pub(crate) fn write_info(&self, xml: &mut Xml) {
        xml.el("meetingName", &self.name);
        xml.el("meetingID", &self.id);
        xml.el("internalMeetingID", &self.internal_id);
        xml.val("createTime", self.created_ms);
        xml.el("createDate", &bbb_date(self.created_ms));
        xml.el("voiceBridge", &self.voice_bridge);
        xml.el("dialNumber", &self.dial_number);
        xml.el("attendeePW", &self.attendee_pw);
        xml.el("moderatorPW", &self.moderator_pw);
        xml.val("running", self.running());
        xml.val("duration", self.duration);
        xml.val("hasUserJoined", self.has_user_joined);
        xml.val("recording", self.record);
        xml.val("hasBeenForciblyEnded", false);
        xml.val("startTime", self.created_ms);
        xml.val("endTime", 0);
        let count = |f: fn(&Person) -> bool| self.people.iter().filter(|p| f(p)).count();
        xml.val("participantCount", self.people.len());
        xml.val("listenerCount", count(|p| p.listening_only));
        xml.val("voiceParticipantCount", count(|p| p.voice));
        xml.val("videoCount", count(|p| p.video));
        xml.val("maxUsers", self.max_users);
        xml.val("moderatorCount", count(|p| p.moderator));
        xml.open("attendees");
        for person in &self.people {
            person.write(xml);
        }
        xml.close("attendees");
        xml.open("metadata");
        for (name, value) in &self.metadata {
            if is_name(name) {
                xml.el(name, value);
            }
        }
        xml.close("metadata");
        xml.val("isBreakout", self.breakout.is_some());
        if let Some(breakout) = &self.breakout {
            xml.el("parentMeetingID", &breakout.parent_internal);
            xml.val("sequence", breakout.sequence);
            xml.val("freeJoin", breakout.free_join);
        }
        if !self.breakouts.is_empty() {
            xml.open("breakoutRooms");
            for room in &self.breakouts {
                xml.el("breakout", room);
            }
            xml.close("breakoutRooms");
        }
    }
}

impl Person {
    fn write(&self, xml: &mut Xml) {
        xml.open("attendee");
        xml.el("userID", &self.user_id);
        xml.el("fullName", &self.full_name);
        xml.el("role", if self.moderator { "MODERATOR" } else { "VIEWER" });
        xml.val("isPresenter", self.presenter);
        xml.val("isListeningOnly", self.listening_only);
        xml.val("hasJoinedVoice", self.voice);
        xml.val("hasVideo", self.video);
        xml.el("clientType", "HTML5");
        xml.close("attendee");
    }
}

/// `Thu Jan 01 00:00:00 UTC 2026`: how BBB's Java writes a date.
pub(crate) fn bbb_date(ms: i64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let seconds = ms.div_euclid(1000);
    let days = seconds.div_euclid(86_400);
    let (h, m, s) = {
        let t = seconds.rem_euclid(86_400);
        (t / 3600, t / 60 % 60, t % 60)
    };
    // Days to date on a calendar whose years begin in March, in eras of 400 years.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = (march_month + 2) % 12;
    let year = era * 400 + year_of_era + i64::from(month < 2);
    format!(
        "{} {} {day:02} {h:02}:{m:02}:{s:02} UTC {year}",
        DAYS[days.rem_euclid(7) as usize],
        MONTHS[month as usize],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_java_does() {
        for (ms, date) in [
            (0, "Thu Jan 01 00:00:00 UTC 1970"),
            (1_767_225_600_000, "Thu Jan 01 00:00:00 UTC 2026"),
            (951_827_696_999, "Tue Feb 29 12:34:56 UTC 2000"),
            (1_798_761_599_000, "Thu Dec 31 23:59:59 UTC 2026"),
            (1_709_164_800_000, "Thu Feb 29 00:00:00 UTC 2024"),
        ] {
            assert_eq!(bbb_date(ms), date);
        }
    }
}
