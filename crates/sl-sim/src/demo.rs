//! Demo meetings, whose participants join and leave.

use std::sync::Arc;
use std::time::Duration;

use rand::Rng;

use crate::populate::{add_people, create_meeting};
use crate::random::random_word;
use crate::server::Server;

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

/// Average number of participants in a demo meeting.
const PEOPLE_PER_MEETING: u32 = 8;

/// Time between two changes of the demo meetings.
pub(crate) const TICK_INTERVAL: Duration = Duration::from_secs(2);

/// The demo meetings of one server.
pub(crate) struct Demo {
    server: Arc<Server>,
    /// Approximate number of participants on the server.
    people: u32,
    meetings: Vec<String>,
}

impl Demo {
    /// Fills a server with meetings that have `people` participants in total.
    pub(crate) fn start(server: Arc<Server>, people: u32) -> Demo {
        let mut demo = Demo { server, people, meetings: Vec::new() };
        let mut remaining = people;
        for _ in 0..people.div_ceil(PEOPLE_PER_MEETING) {
            let size = remaining.min(PEOPLE_PER_MEETING);
            remaining -= size;
            demo.open_meeting(size as usize);
        }
        demo
    }

    fn open_meeting(&mut self, people: usize) {
        let id = format!("demo-{}", random_word(10).to_lowercase());
        let title = TITLES[rand::rng().random_range(0..TITLES.len())];
        create_meeting(&self.server, &id, title);
        add_people(&self.server, &id, people);
        self.meetings.push(id);
    }

    /// Lets some participants join or leave, and sometimes replaces a meeting. Never has more than twice the
    /// participants of the start.
    pub(crate) fn tick(&mut self) {
        let mut rng = rand::rng();
        if !self.meetings.is_empty() && rng.random_ratio(1, 100) {
            let at = rng.random_range(0..self.meetings.len());
            self.server.registry().end(&self.meetings[at]);
        }
        let now = self.server.now_ms();
        let mut sizes = Vec::new();
        {
            let mut registry = self.server.registry();
            // A client or the control API may have ended some of them.
            self.meetings.retain(|id| match registry.meeting(id, now) {
                Some(meeting) => {
                    sizes.push(meeting.people.len());
                    true
                }
                None => false,
            });
        }
        if sizes.len() < self.people.div_ceil(PEOPLE_PER_MEETING) as usize {
            self.open_meeting(1);
        }
        let average = PEOPLE_PER_MEETING.min(self.people) as usize;
        for (id, people) in self.meetings.iter().zip(sizes) {
            let joins = people < average * 2 && rng.random_range(0..average * 2) >= people;
            if joins {
                add_people(&self.server, id, 1);
            } else if people > 1
                && rng.random_bool(0.5)
                && let Some(meeting) = self.server.registry().meeting(id, now)
            {
                // Not the first, who is the moderator.
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
    fn demo_participants_exist_when_start_returns() {
        let sim = Sim::start(SimConfig { servers: 2, people: 11, ..SimConfig::default() }).unwrap();
        for server in sim.servers() {
            assert_eq!(server.totals(), (2, 11));
        }
    }

    #[test]
    fn demo_changes_and_stays_bounded() {
        let sim = Sim::start(SimConfig::default()).unwrap();
        let server = &sim.servers()[0];
        let mut demo = Demo::start(server.0.clone(), 30);
        assert_eq!(server.totals(), (4, 30));
        let before = server.meetings();
        for _ in 0..5000 {
            demo.tick();
            let (meetings, people) = server.totals();
            assert!(meetings <= 4 && people <= 64, "{meetings} {people}");
        }
        assert_ne!(server.meetings(), before);
        assert!(server.totals().1 > 4);
        server.restart();
        for _ in 0..10 {
            demo.tick();
        }
        assert_eq!(server.totals().0, 4, "new meetings after a restart");
    }
}
