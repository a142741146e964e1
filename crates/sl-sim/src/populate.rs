//! Creates meetings and participants from inside a server, without requests.

use rand::Rng;

use crate::meeting::{Meeting, Person};
use crate::random::{random_voice_bridge, random_word};
use crate::server::Server;

const NAMES: [&str; 24] = [
    "Aisha Bello",
    "Björn Lindqvist",
    "Carla Moreno",
    "Dmitri Volkov",
    "Emeka Obi",
    "Fatima Zahra",
    "Giulia Conti",
    "Hiroshi Tanaka",
    "Ines Duarte",
    "Jürgen Groß",
    "Kavya Iyer",
    "Liam O'Neil",
    "Mei Chen",
    "Noah Fischer",
    "Olga Petrova",
    "Pedro Alves",
    "Quynh Tran",
    "Rosa Delgado",
    "Søren Holm",
    "Tala Haddad",
    "Uma Krishnan",
    "Víctor Ruiz",
    "Wanjiru Mwangi",
    "Zofia Nowak",
];

/// Creates a meeting; false if the id is taken.
pub(crate) fn create_meeting(server: &Server, id: &str, name: &str) -> bool {
    let now = server.now_ms();
    let mut registry = server.registry();
    if registry.meeting(id, now).is_some() {
        return false;
    }
    let mut meeting = Meeting::new(id, name, now);
    meeting.attendee_pw = random_word(8);
    meeting.moderator_pw = random_word(8);
    meeting.voice_bridge = random_voice_bridge();
    registry.insert(meeting, false);
    true
}

/// Adds `count` participants; false if the meeting does not exist.
pub(crate) fn add_people(server: &Server, id: &str, count: usize) -> bool {
    let now = server.now_ms();
    let mut registry = server.registry();
    let Some(meeting) = registry.meeting(id, now) else {
        return false;
    };
    for _ in 0..count {
        let index = meeting.people.len();
        meeting.people.push(Person {
            user_id: format!("demo-{}", random_word(8)),
            internal_id: format!("w_{}", random_word(12).to_lowercase()),
            full_name: NAMES[rand::rng().random_range(0..NAMES.len())].into(),
            moderator: index == 0,
            presenter: index == 0,
            // Of every three: one with camera and microphone, one with a microphone, one who only listens.
            listening_only: index % 3 == 2,
            voice: index % 3 != 2,
            video: index % 3 == 0,
            session_token: String::new(),
            customdata: Vec::new(),
        });
    }
    meeting.has_user_joined |= count > 0;
    true
}

/// Adds a viewer with this name and customdata; false if the meeting does not exist.
pub(crate) fn add_person(server: &Server, id: &str, full_name: &str, customdata: &[(&str, &str)]) -> bool {
    if !add_people(server, id, 1) {
        return false;
    }
    let now = server.now_ms();
    if let Some(person) = server.registry().meeting(id, now).and_then(|meeting| meeting.people.last_mut()) {
        person.full_name = full_name.into();
        person.customdata = customdata.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    }
    true
}
