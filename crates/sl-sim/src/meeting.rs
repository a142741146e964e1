//! A meeting and its participants, and how BBB writes them as XML.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::protocol::checksum::sha1_hex;
use crate::protocol::xml::XmlWriter;

/// A meeting, as tests and the control API see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MeetingView {
    /// The meetingID.
    pub id: String,
    /// Its name.
    pub name: String,
    /// internalMeetingID: hex SHA-1 of the meetingID, a dash, the create time.
    pub internal_id: String,
    /// Create time, in milliseconds since 1970.
    pub created_ms: i64,
    /// The attendees' password.
    pub attendee_pw: String,
    /// The moderators' password.
    pub moderator_pw: String,
    /// The voice bridge.
    pub voice_bridge: String,
    /// Minutes until it ends by itself; 0: never.
    pub duration: u32,
    /// Whether it has participants.
    pub running: bool,
    /// Its participants.
    pub people: Vec<PersonView>,
    /// The `meta_` parameters, names in lower case without the prefix.
    pub metadata: BTreeMap<String, String>,
    /// Number of `<document>` elements in create and insertDocument.
    pub documents: u32,
    /// The messages of sendChatMessage.
    pub chat: Vec<String>,
    /// Of a breakout room: the internal id of its parent.
    pub breakout_of: Option<String>,
    /// The ids of its breakout rooms.
    pub breakouts: Vec<String>,
}

/// A participant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PersonView {
    /// The userID of join, or a generated one.
    pub user_id: String,
    /// The full name.
    pub full_name: String,
    /// Whether a moderator, not a viewer.
    pub moderator: bool,
    /// The `userdata-` parameters of join, names without the prefix, in order.
    pub customdata: Vec<(String, String)>,
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
    /// The sessionToken in the URL after join; empty for generated participants.
    pub(crate) session_token: String,
    pub(crate) customdata: Vec<(String, String)>,
}

pub(crate) struct Breakout {
    pub(crate) parent_internal_id: String,
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
    /// Minutes; 0: never ends.
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
    /// Orders getMeetings.
    pub(crate) sequence: u64,
}

impl Meeting {
    /// A meeting with this id and name, otherwise with defaults.
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

    pub(crate) fn is_running(&self) -> bool {
        self.has_user_joined && !self.people.is_empty()
    }

    pub(crate) fn has_expired(&self, now_ms: i64) -> bool {
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
            running: self.is_running(),
            people: self
                .people
                .iter()
                .map(|p| PersonView {
                    user_id: p.user_id.clone(),
                    full_name: p.full_name.clone(),
                    moderator: p.moderator,
                    customdata: p.customdata.clone(),
                })
                .collect(),
            metadata: self.metadata.iter().cloned().collect(),
            documents: self.documents,
            chat: self.chat.clone(),
            breakout_of: self.breakout.as_ref().map(|b| b.parent_internal_id.clone()),
            breakouts: self.breakouts.clone(),
        }
    }

    /// The elements of create's response, from meetingID up to but not including messageKey.
    pub(crate) fn write_create_fields(&self, xml: &mut XmlWriter) {
        xml.write_text("meetingID", &self.id);
        xml.write_text("internalMeetingID", &self.internal_id);
        let parent = self.breakout.as_ref().map(|b| b.parent_internal_id.as_str());
        xml.write_text("parentMeetingID", parent.unwrap_or("bbb-none"));
        xml.write_text("attendeePW", &self.attendee_pw);
        xml.write_text("moderatorPW", &self.moderator_pw);
        xml.write_value("createTime", self.created_ms);
        xml.write_text("voiceBridge", &self.voice_bridge);
        xml.write_text("dialNumber", &self.dial_number);
        xml.write_text("createDate", &bbb_date(self.created_ms));
        xml.write_value("hasUserJoined", self.has_user_joined);
        xml.write_value("duration", self.duration);
        xml.write_value("hasBeenForciblyEnded", false);
    }

    /// The elements of getMeetingInfo, and of each `<meeting>` in getMeetings.
    pub(crate) fn write_info_fields(&self, xml: &mut XmlWriter) {
        xml.write_text("meetingName", &self.name);
        xml.write_text("meetingID", &self.id);
        xml.write_text("internalMeetingID", &self.internal_id);
        xml.write_value("createTime", self.created_ms);
        xml.write_text("createDate", &bbb_date(self.created_ms));
        xml.write_text("voiceBridge", &self.voice_bridge);
        xml.write_text("dialNumber", &self.dial_number);
        xml.write_text("attendeePW", &self.attendee_pw);
        xml.write_text("moderatorPW", &self.moderator_pw);
        xml.write_value("running", self.is_running());
        xml.write_value("duration", self.duration);
        xml.write_value("hasUserJoined", self.has_user_joined);
        xml.write_value("recording", self.record);
        xml.write_value("hasBeenForciblyEnded", false);
        xml.write_value("startTime", self.created_ms);
        xml.write_value("endTime", 0);
        let count = |f: fn(&Person) -> bool| self.people.iter().filter(|p| f(p)).count();
        xml.write_value("participantCount", self.people.len());
        xml.write_value("listenerCount", count(|p| p.listening_only));
        xml.write_value("voiceParticipantCount", count(|p| p.voice));
        xml.write_value("videoCount", count(|p| p.video));
        xml.write_value("maxUsers", self.max_users);
        xml.write_value("moderatorCount", count(|p| p.moderator));
        xml.open("attendees");
        for person in &self.people {
            person.write_attendee(xml);
        }
        xml.close("attendees");
        xml.open("metadata");
        for (name, value) in &self.metadata {
            xml.write_entry(name, value);
        }
        xml.close("metadata");
        xml.write_value("isBreakout", self.breakout.is_some());
        if let Some(breakout) = &self.breakout {
            xml.write_text("parentMeetingID", &breakout.parent_internal_id);
            xml.write_value("sequence", breakout.sequence);
            xml.write_value("freeJoin", breakout.free_join);
        }
        if !self.breakouts.is_empty() {
            xml.open("breakoutRooms");
            for room in &self.breakouts {
                xml.write_text("breakout", room);
            }
            xml.close("breakoutRooms");
        }
    }
}

impl Person {
    fn write_attendee(&self, xml: &mut XmlWriter) {
        xml.open("attendee");
        xml.write_text("userID", &self.user_id);
        xml.write_text("fullName", &self.full_name);
        xml.write_text("role", if self.moderator { "MODERATOR" } else { "VIEWER" });
        xml.write_value("isPresenter", self.presenter);
        xml.write_value("isListeningOnly", self.listening_only);
        xml.write_value("hasJoinedVoice", self.voice);
        xml.write_value("hasVideo", self.video);
        xml.write_text("clientType", "HTML5");
        if !self.customdata.is_empty() {
            xml.open("customdata");
            for (name, value) in &self.customdata {
                xml.write_entry(name, value);
            }
            xml.close("customdata");
        }
        xml.close("attendee");
    }
}

/// `Thu Jan 01 00:00:00 UTC 2026`: a date as BBB's Java formats it.
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
    // Days to a civil date, in years that begin in March and eras of 400 years: leap days come last.
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
    fn bbb_date_formats_as_java_does() {
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
