//! More of [`Pool`]: unsigned requests, assertions on Redis, signals to replicas.

use super::client::{self, Reply, sign};
use super::pool::Replica;
use super::{Pool, within};
use sl_sim::RecordedRequest;
use std::net::TcpStream;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

/// Short timeouts for requests to servers, for tests in which these do not answer.
pub const SHORT_TIMEOUTS: [(&str, &str); 2] = [("CONNECT_TIMEOUT", "0.5"), ("RESPONSE_TIMEOUT", "0.5")];

impl Pool {
    /// Makes any request to the first replica, signed or not; `target` is path and query.
    pub fn fetch(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        client::fetch(method, &format!("http://{}{target}", self.address(0)), headers, body)
    }

    /// Path and query of a call, signed.
    pub fn target(&self, call: &str, query: &str) -> String {
        let sum = sign("sha1", call, query, &self.secret);
        let and = if query.is_empty() { "" } else { "&" };
        format!("/bigbluebutton/api/{call}?{query}{and}checksum={sum}")
    }

    /// Sends a GET with an unmodified target and reads until the connection closes.
    pub fn raw_get(&self, target: &str) -> String {
        let request = format!("GET {target} HTTP/1.1\r\nHost: sl\r\nConnection: close\r\n\r\n");
        client::send_raw(&self.address(0), request.as_bytes())
    }

    /// Calls simulated server `n` directly, without the pool.
    pub fn get_from_server(&self, n: usize, call: &str, query: &str) -> Reply {
        client::fetch("GET", &self.server(n).signed_url(call, query), &[], b"")
    }

    /// Asserts that a meeting has left nothing in Redis, and no load on any server.
    #[track_caller]
    pub fn assert_meeting_released(&self, meeting: &str) {
        let left: Vec<_> = self.redis_traces(meeting);
        assert!(left.is_empty(), "{meeting} is still in: {left:?}");
        let loads = self.redis.loads();
        assert!(loads.iter().all(|(_, load)| *load == 0.0), "{loads:?}");
    }

    /// Asserts that a meeting is recorded, with its voice bridge and its reservation.
    #[track_caller]
    pub fn assert_meeting_recorded(&self, meeting: &str) {
        let kept = self.redis_traces(meeting);
        assert_eq!(
            kept,
            ["meeting", "sl:meeting", "meetings", "voice_bridges", "sl:internal_ids", "sl:server_meetings"]
        );
        let loads = self.redis.loads();
        assert_eq!(loads.iter().map(|(_, load)| load).sum::<f64>(), 15.0, "{loads:?}");
    }

    /// The keys of Redis in which a meeting appears.
    fn redis_traces(&self, meeting: &str) -> Vec<&'static str> {
        let is_one = |args: &[&str]| self.redis.cli(args) == "1";
        let contains = |args: &[&str]| self.redis.cli(args).lines().any(|line| line == meeting);
        let on_a_server = || {
            let keys = self.redis.cli(&["KEYS", "scalelite:sl:server_meetings:*"]);
            keys.lines().any(|key| contains(&["ZRANGE", key, "0", "-1"]))
        };
        [
            ("meeting", is_one(&["EXISTS", &format!("scalelite:meeting:{meeting}")])),
            ("sl:meeting", is_one(&["EXISTS", &format!("scalelite:sl:meeting:{meeting}")])),
            ("meetings", is_one(&["SISMEMBER", "scalelite:meetings", meeting])),
            ("voice_bridges", contains(&["HVALS", "scalelite:voice_bridges"])),
            ("sl:internal_ids", contains(&["HVALS", "scalelite:sl:internal_ids"])),
            ("sl:server_meetings", on_a_server()),
        ]
        .into_iter()
        .filter_map(|(name, there)| there.then_some(name))
        .collect()
    }

    /// Asserts that no meeting has left anything in Redis.
    #[track_caller]
    pub fn assert_no_meetings_recorded(&self) {
        let keys = self.redis.cli(&["KEYS", "scalelite:*meeting*"]);
        assert_eq!(keys, "");
        for index in ["scalelite:voice_bridges", "scalelite:sl:internal_ids"] {
            assert_eq!(self.redis.cli(&["HGETALL", index]), "", "{index}");
        }
        let loads = self.redis.loads();
        assert!(loads.iter().all(|(_, load)| *load == 0.0), "{loads:?}");
    }

    /// Starts a replica at this address with more settings, without waiting until it listens.
    pub fn spawn(&mut self, bind: &str, port: u16, variables: &[(&str, &str)]) -> usize {
        let log = self.log_file(self.replicas.len());
        let child = self
            .command()
            .args(["serve", "--no-poller"])
            .envs(variables.iter().copied())
            .env("BIND", bind)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        self.replicas.push(Replica { port, child, log });
        self.replicas.len() - 1
    }

    /// Starts a replica with this standard error instead of a log, and waits until it listens.
    pub fn serve_writing_to(&mut self, args: &[&str], stderr: impl Into<Stdio>) -> usize {
        let port = super::free_port();
        let mut command = self.command();
        command.arg("serve").args(args).env("BIND", format!("tcp://127.0.0.1:{port}"));
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr).spawn().unwrap();
        let log = self.log_file(self.replicas.len());
        self.replicas.push(Replica { port, child, log });
        super::eventually("the replica listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        self.replicas.len() - 1
    }

    /// Starts a replica at a unix socket with more settings, and waits until it accepts connections.
    pub fn serve_unix(&mut self, path: &std::path::Path, variables: &[(&str, &str)]) -> usize {
        let n = self.spawn(&format!("unix://{}", path.display()), 0, variables);
        super::eventually("the replica listens", || std::os::unix::net::UnixStream::connect(path).is_ok());
        n
    }
}

impl Replica {
    /// Sends SIGTERM.
    pub fn terminate(&self) {
        self.signal("-TERM");
    }

    /// Sends a signal, such as `-HUP`.
    pub fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(std::process::Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// Waits for the exit, at most this long. Returns the exit status.
    #[track_caller]
    pub fn wait_for_exit(&mut self, time: Duration) -> ExitStatus {
        within(time, "the replica ends", || !self.is_alive());
        self.child.wait().unwrap()
    }
}

/// The decoded parameters of a request that a server received, without the checksum.
pub fn parameters(request: &RecordedRequest) -> Vec<(String, String)> {
    let is_form = request.header("content-type").is_some_and(|t| t.contains("x-www-form-urlencoded"));
    let text = if is_form { &request.body } else { request.query() };
    form_urlencoded::parse(text.as_bytes())
        .filter(|(name, _)| name != "checksum")
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect()
}

/// The value of one parameter that a server received.
pub fn parameter(request: &RecordedRequest, name: &str) -> Option<String> {
    let found: Vec<_> = parameters(request).into_iter().filter(|(n, _)| n == name).collect();
    assert!(found.len() <= 1, "{name} was sent twice: {found:?}");
    found.into_iter().next().map(|(_, value)| value)
}
