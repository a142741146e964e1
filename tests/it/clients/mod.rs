//! Third-party clients, as they come from PyPI and npm, and two minimal ones.
//!
//! Each runs a meeting from create to end on a pool of three servers behind two replicas, with another replica
//! for each step. Each step is checked on both sides: how the client parses the response, and what the simulated
//! servers hold. `make clients` installs them.

mod bbbctl;
mod bigbluebutton_api_python;
mod bigbluebutton_js;
mod minimal;
mod recordings;

use crate::support::client::fetch;
use crate::support::{Pool, ROOT};
use serde_json::{Value, json};
use sl_sim::MeetingView;
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Spaces, characters that XML and URLs escape, those that libraries encode differently (`~*'()!+`), and
/// UTF-8 sequences of two to four bytes.
const NAME: &str = "Größe <1> & \"2\" ~*'()!+ %41 = 日本 🎓";
/// A meeting id that needs escaping as well.
const ID: &str = "Raum 1+ü/&x";

/// A pool whose replicas are used in turn.
struct ClientFixture {
    pool: Pool,
    turn: Cell<usize>,
}

impl ClientFixture {
    fn new() -> ClientFixture {
        ClientFixture { pool: Pool::with(3, 2, &[]), turn: Cell::new(0) }
    }

    /// `http://127.0.0.1:PORT` of the next replica.
    fn origin(&self) -> String {
        let turn = self.turn.replace(self.turn.get() + 1);
        format!("http://{}", self.pool.address(turn % self.pool.replicas.len()))
    }

    /// The number of the one server that holds a meeting, and the meeting there. The record must agree.
    #[track_caller]
    fn find_meeting(&self, meeting: &str) -> (usize, MeetingView) {
        let n = self.pool.holder(meeting).unwrap_or_else(|| panic!("no server holds {meeting}"));
        let key = format!("scalelite:meeting:{meeting}");
        assert_eq!(self.pool.redis.cli(&["HGET", &key, "server_id"]), format!("bbb{n}"));
        (n, self.pool.server(n).meeting(meeting).unwrap())
    }

    /// The ids of all meetings on all servers, sorted.
    fn meeting_ids(&self) -> Vec<String> {
        let servers = self.pool.sim.servers().iter();
        let mut ids: Vec<_> = servers.flat_map(|s| s.meetings().into_iter().map(|m| m.id)).collect();
        ids.sort();
        ids
    }

    /// A parameter that the meeting's server received in its last request of this call.
    #[track_caller]
    fn received_parameter(&self, meeting: &str, call: &str, parameter: &str) -> Option<String> {
        let request = self.pool.server(self.find_meeting(meeting).0).last_request(call).unwrap();
        let mut pairs = form_urlencoded::parse(request.query().as_bytes());
        pairs.find(|(name, _)| name == parameter).map(|(_, value)| value.into_owned())
    }

    /// Follows a join link as a browser does, up to the page; it must lead to the meeting's server.
    #[track_caller]
    fn follow_join_link(&self, link: &str, meeting: &str) {
        let server = self.pool.server(self.find_meeting(meeting).0).url();
        let to_server = fetch("GET", link, &[], b"");
        assert_eq!((to_server.status, to_server.body.as_str()), (302, ""), "{to_server:#?}");
        let at_server = to_server.header("location").unwrap();
        assert!(at_server.starts_with(&format!("{server}/join?")), "{at_server} is not on {server}");
        let to_page = fetch("GET", at_server, &[], b"");
        assert_eq!(to_page.status, 302, "{to_page:#?}");
        let page = fetch("GET", to_page.header("location").unwrap(), &[], b"");
        assert_eq!(page.status, 200, "{page:#?}");
        assert!(page.body.contains("You joined"), "{}", page.body);
    }

    /// Asserts that exactly these participants, name and whether moderator, are in the meeting.
    #[track_caller]
    fn assert_participants(&self, meeting: &str, people: &[(&str, bool)]) {
        let (_, view) = self.find_meeting(meeting);
        let inside: Vec<_> = view.people.iter().map(|p| (p.full_name.as_str(), p.moderator)).collect();
        assert_eq!(inside, people);
    }

    /// Asserts that no meeting is left on the servers or in Redis.
    #[track_caller]
    fn assert_no_meetings(&self) {
        assert_eq!(self.meeting_ids(), Vec::<String>::new());
        assert_eq!(self.pool.redis.cli(&["SCARD", "scalelite:meetings"]), "0");
        assert_eq!(self.pool.redis.cli(&["HLEN", "scalelite:voice_bridges"]), "0");
    }
}

/// A program whose environment is only PATH and a UTF-8 locale: no proxy and no settings of the test user.
fn program(path: &Path) -> Command {
    let mut command = Command::new(path);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("LC_ALL", "C.UTF-8");
    command
}

/// A path below the project's directory that `make clients` creates.
#[track_caller]
fn installed(path: &str) -> PathBuf {
    let path = Path::new(ROOT).join(path);
    assert!(path.exists(), "{} is missing: run `make clients`", path.display());
    path
}

#[track_caller]
fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}: run `make clients`"))
}

/// Runs a command that must succeed. Returns what it printed.
#[track_caller]
fn text_output(command: &mut Command) -> String {
    let output = run(command);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// The same, parsed as JSON.
#[track_caller]
fn json_output(command: &mut Command) -> Value {
    let text = text_output(command);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{command:?}: {error}: {text}"))
}

fn sorted<T: Ord>(things: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut things: Vec<_> = things.into_iter().collect();
    things.sort();
    things
}
