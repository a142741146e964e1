//! Clients that others have written, as they come from PyPI and npm, and two that one writes oneself.
//!
//! Each is taken through the life of a meeting on a pool of three servers behind two replicas, another
//! replica for every step. After every step it is looked at from both sides: what the client makes of
//! the answer, and what the simulated servers hold. `make clients` installs them.

mod bbbctl;
mod bigbluebutton_api_python;
mod bigbluebutton_js;
mod own;
mod recordings;

use crate::support::client::fetch;
use crate::support::{Pool, ROOT};
use serde_json::{Value, json};
use sl_sim::MeetingView;
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Blanks, what XML and URLs escape, what libraries disagree on (`~*'()!+`), two to four bytes of UTF-8.
const NAME: &str = "Größe <1> & \"2\" ~*'()!+ %41 = 日本 🎓";
/// An id that needs escaping as well.
const ID: &str = "Raum 1+ü/&x";

/// A pool, and whose turn it is among its replicas.
struct Stage {
    pool: Pool,
    turn: Cell<usize>,
}

impl Stage {
    fn new() -> Stage {
        Stage { pool: Pool::with(3, 2, &[]), turn: Cell::new(0) }
    }

    /// `http://127.0.0.1:PORT` of the replica whose turn it is.
    fn origin(&self) -> String {
        let turn = self.turn.replace(self.turn.get() + 1);
        format!("http://{}", self.pool.address(turn % self.pool.replicas.len()))
    }

    /// The one server that holds a meeting, and the meeting as it is there. Redis must say the same.
    #[track_caller]
    fn held(&self, meeting: &str) -> (usize, MeetingView) {
        let n = self.pool.holder(meeting).unwrap_or_else(|| panic!("no server holds {meeting}"));
        let key = format!("scalelite:meeting:{meeting}");
        assert_eq!(self.pool.redis.cli(&["HGET", &key, "server_id"]), format!("bbb{n}"));
        (n, self.pool.server(n).meeting(meeting).unwrap())
    }

    /// The ids of all meetings on all servers, sorted.
    fn all_held(&self) -> Vec<String> {
        let servers = self.pool.sim.servers().iter();
        let mut ids: Vec<_> = servers.flat_map(|s| s.meetings().into_iter().map(|m| m.id)).collect();
        ids.sort();
        ids
    }

    /// A parameter as the server with the meeting got it in its last such call.
    #[track_caller]
    fn sent(&self, meeting: &str, call: &str, parameter: &str) -> Option<String> {
        let request = self.pool.server(self.held(meeting).0).last_request(call).unwrap();
        let mut pairs = form_urlencoded::parse(request.query().as_bytes());
        pairs.find(|(name, _)| name == parameter).map(|(_, value)| value.into_owned())
    }

    /// Opens a join link as a browser does, up to the page; it must be on the server with the meeting.
    #[track_caller]
    fn enter(&self, link: &str, meeting: &str) {
        let server = self.pool.server(self.held(meeting).0).url();
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

    /// Those, by name and whether a moderator, are in the meeting, and nobody else.
    #[track_caller]
    fn inside(&self, meeting: &str, people: &[(&str, bool)]) {
        let (_, held) = self.held(meeting);
        let inside: Vec<_> = held.people.iter().map(|p| (p.full_name.as_str(), p.moderator)).collect();
        assert_eq!(inside, people);
    }

    /// Nothing is left: not on the servers, not in Redis.
    #[track_caller]
    fn all_gone(&self) {
        assert_eq!(self.all_held(), Vec::<String>::new());
        assert_eq!(self.pool.redis.cli(&["SCARD", "scalelite:meetings"]), "0");
        assert_eq!(self.pool.redis.cli(&["HLEN", "scalelite:voice_bridges"]), "0");
    }
}

/// A program with no environment but a PATH and UTF-8: no proxy, no settings of whoever runs the tests.
fn program(path: &Path) -> Command {
    let mut command = Command::new(path);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("LC_ALL", "C.UTF-8");
    command
}

/// A path below the project's directory that `make clients` puts there.
#[track_caller]
fn installed(path: &str) -> PathBuf {
    let path = Path::new(ROOT).join(path);
    assert!(path.exists(), "{} is not there: run `make clients`", path.display());
    path
}

#[track_caller]
fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}: run `make clients`"))
}

/// What it printed; it must have succeeded.
#[track_caller]
fn printed(command: &mut Command) -> String {
    let output = run(command);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// What it printed, as JSON.
#[track_caller]
fn told(command: &mut Command) -> Value {
    let text = printed(command);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{command:?}: {error}: {text}"))
}

fn sorted<T: Ord>(things: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut things: Vec<_> = things.into_iter().collect();
    things.sort();
    things
}
