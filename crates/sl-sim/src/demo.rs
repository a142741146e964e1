//! Made-up people: for tests that need some, and for a demo that looks alive.

use std::sync::Arc;
use std::time::Duration;

use rand::Rng;

use crate::calls::random_word;
use crate::meeting::{Meeting, Person};
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

const TITLES: [&str; 12] = [
    "Organic Chemistry II",
    "Staff meeting",
    "Statistics & Probability",
    "Office hours",
    "Year 9 English",
    "Thesis colloquium",
    "Introduction to Law",
    "Music theory",
    "Parents' evening",
    "Physics lab <group B>",
    "Spanish conversation",
    "Library committee",
];

/// How many people a demo meeting has on average.
const PER_MEETING: u32 = 8;

/// How often people come and go.
pub(crate) const TICK: Duration = Duration::from_secs(2);

/// Creates a meeting from inside; false when the id is taken.
pub(crate) fn create(server: &Server, id: &str, name: &str) -> bool {
    let now = server.now_ms();
    let mut book = server.book();
    if book.get(id, now).is_some() {
        return false;
    }
    let mut meeting = Meeting::new(id, name, now);
    meeting.attendee_pw = random_word(8);
    meeting.moderator_pw = random_word(8);
    meeting.voice_bridge = rand::rng().random_range(10_000..100_000).to_string();
    book.insert(meeting, false);
    true
}

/// Adds people; false without that meeting.
pub(crate) fn add_people(server: &Server, id: &str, n: usize) -> bool {
    let now = server.now_ms();
    let mut book = server.book();
    let Some(meeting) = book.get(id, now) else {
        return false;
    };
    for _ in 0..n {
        let nth = meeting.people.len();
        meeting.people.push(Person {
            user_id: format!("demo-{}", random_word(8)),
            internal_id: format!("w_{}", random_word(12).to_lowercase()),
            full_name: NAMES[rand::rng().random_range(0..NAMES.len())].into(),
            moderator: nth == 0,
            presenter: nth == 0,
            // Of three: a camera and a microphone, a microphone, only ears.
            listening_only: nth % 3 == 2,
            voice: nth % 3 != 2,
            video: nth % 3 == 0,
            session_token: String::new(),
        });
    }
    meeting.has_user_joined |= n > 0;
    true
}

/// The demo meetings of one server.
pub(crate) struct Demo {
    server: Arc<Server>,
    /// People per server, about.
    people: u32,
    meetings: Vec<String>,
}

impl Demo {
    /// Fills a server with meetings of `people` people in all.
    pub(crate) fn start(server: Arc<Server>, people: u32) -> Demo {
        let mut demo = Demo { server, people, meetings: Vec::new() };
        let mut left = people;
        for _ in 0..people.div_ceil(PER_MEETING) {
            let n = left.min(PER_MEETING);
            left -= n;
            demo.open(n as usize);
        }
        demo
    }

    fn open(&mut self, people: usize) {
        let id = format!("demo-{}", random_word(10).to_lowercase());
        let title = TITLES[rand::rng().random_range(0..TITLES.len())];
        create(&self.server, &id, title);
        add_people(&self.server, &id, people);
        self.meetings.push(id);
    }

    /// A little later: some came, some went, now and then a meeting is over
    /// and another begins. Never more than twice the people it began with.
    pub(crate) fn tick(&mut self) {
        let mut rng = rand::rng();
        if !self.meetings.is_empty() && rng.random_ratio(1, 100) {
            let at = rng.random_range(0..self.meetings.len());
            self.server.book().end(&self.meetings[at]);
        }
        let now = self.server.now_ms();
        let mut there = Vec::new();
        {
            let mut book = self.server.book();
            // Somebody may have ended or forgotten some of them.
            self.meetings.retain(|id| match book.get(id, now) {
                Some(meeting) => {
                    there.push(meeting.people.len());
                    true
                }
                None => false,
            });
        }
        if there.len() < self.people.div_ceil(PER_MEETING) as usize {
            self.open(1);
        }
        let usual = PER_MEETING.min(self.people) as usize;
        for (id, people) in self.meetings.iter().zip(there) {
            let comes = people < usual * 2 && rng.random_range(0..usual * 2) >= people;
            if comes {
                add_people(&self.server, id, 1);
            } else if people > 1
                && rng.random_bool(0.5)
                && let Some(meeting) = self.server.book().get(id, now)
            {
                // Not the first: that is the moderator.
                let leaver = rng.random_range(1..meeting.people.len().max(2));
                if leaver < meeting.people.len() {
                    meeting.people.remove(leaver);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Sim, SimConfig};

    #[test]
    fn a_demo_has_its_people_when_start_returns() {
        let sim = Sim::start(SimConfig { servers: 2, people: 11, ..SimConfig::default() }).unwrap();
        for server in sim.servers() {
            assert_eq!(server.census(), (2, 11));
        }
    }

    #[test]
    fn a_demo_lives_and_does_not_grow_without_bound() {
        let sim = Sim::start(SimConfig::default()).unwrap();
        let server = &sim.servers()[0];
        let mut demo = Demo::start(server.0.clone(), 30);
        assert_eq!(server.census(), (4, 30));
        let before = server.meetings();
        for _ in 0..5000 {
            demo.tick();
            let (meetings, people) = server.census();
            assert!(meetings <= 4 && people <= 64, "{meetings} {people}");
        }
        assert_ne!(server.meetings(), before);
        assert!(server.census().1 > 4);
        server.restart();
        for _ in 0..10 {
            demo.tick();
        }
        assert_eq!(server.census().0, 4, "it recovers from a restart");
    }
}
