//! A private redis-server.

use super::{eventually, free_port};
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// A private Redis on a free port, in a temporary directory.
pub struct Redis {
    pub port: u16,
    child: Option<Child>,
    directory: TempDir,
}

impl Redis {
    pub fn start() -> Redis {
        let mut redis = Redis { port: free_port(), child: None, directory: TempDir::new().unwrap() };
        redis.up();
        redis
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Kills it (SIGKILL). It has saved nothing: it restarts empty.
    pub fn down(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Starts it again on the same port.
    pub fn up(&mut self) {
        self.up_with(&[]);
    }

    /// The same with more options.
    pub fn up_with(&mut self, options: &[&str]) {
        let child = Command::new("redis-server")
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"])
            // Persistent as far as it says, but no test runs for an hour.
            .args(["--save", "3600 1", "--appendonly", "no", "--dir"])
            .arg(self.directory.path())
            .args(["--unixsocket"])
            .arg(self.socket())
            .args(options)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server (apt-get install redis-server)");
        self.child = Some(child);
        let port = self.port;
        eventually("redis answers", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        eventually("redis is ready", || self.cli(&["PING"]) == "PONG");
    }

    /// Its unix socket.
    pub fn socket(&self) -> std::path::PathBuf {
        self.directory.path().join("redis.sock")
    }

    /// Freezes it (SIGSTOP): connections stay open, nothing is answered.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Resumes it.
    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// Runs one command with redis-cli. Returns the raw reply without its last line break.
    pub fn cli(&self, args: &[&str]) -> String {
        let output = Command::new("redis-cli")
            .args(["-p", &self.port.to_string(), "--raw"])
            .args(args)
            .output()
            .unwrap();
        let mut text = String::from_utf8(output.stdout).unwrap();
        if text.ends_with('\n') {
            text.pop();
        }
        text
    }

    /// Runs `redis-cli --eval <(sl script NAME) scalelite: , ARG…`, as an operator would. Returns its lines.
    pub fn eval(&self, name: &str, args: &[&str]) -> Vec<String> {
        self.eval_in("scalelite:", name, args)
    }

    /// The same with another key prefix; an empty one passes no key.
    pub fn eval_in(&self, prefix: &str, name: &str, args: &[&str]) -> Vec<String> {
        let script = self.directory.path().join(format!("{name}.lua"));
        std::fs::write(&script, sl::store::scripts::text(name).unwrap()).unwrap();
        let mut all = vec!["--eval", script.to_str().unwrap()];
        if !prefix.is_empty() {
            all.push(prefix);
        }
        all.push(",");
        all.extend(args);
        self.cli(&all).lines().map(str::to_owned).collect()
    }

    /// The time of its clock, ms since 1970.
    pub fn now_ms(&self) -> u64 {
        let time = self.cli(&["TIME"]);
        let (seconds, micros) = time.split_once('\n').unwrap();
        seconds.parse::<u64>().unwrap() * 1000 + micros.trim().parse::<u64>().unwrap() / 1000
    }

    /// The load of every candidate in Redis.
    pub fn loads(&self) -> Vec<(String, f64)> {
        let text = self.cli(&["ZRANGE", "scalelite:server_load", "0", "-1", "WITHSCORES"]);
        let lines: Vec<_> = text.lines().collect();
        lines.chunks_exact(2).map(|p| (p[0].to_owned(), p[1].parse().unwrap())).collect()
    }

    /// The commands that clients send while `during` runs, by MONITOR: names in lower case, without the commands
    /// that scripts call.
    pub fn monitor(&self, during: impl FnOnce()) -> Vec<String> {
        self.wait_until_idle();
        let mut child = Command::new("redis-cli")
            .args(["-p", &self.port.to_string(), "MONITOR"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "OK");
        during();
        self.cli(&["ECHO", "the end"]);
        let mut seen = Vec::new();
        for line in lines {
            let line = line.unwrap();
            if line.contains("\"the end\"") {
                break;
            }
            let command = line.split('"').nth(1).unwrap().to_lowercase();
            // Skipped: redis-cli fetches COMMAND DOCS when it starts; a worker's first query sends HELLO; replicas read
            // the outbox every two seconds.
            let is_background = matches!(command.as_str(), "command" | "hello" | "lrange");
            if !line.contains(" lua] ") && !is_background {
                seen.push(command);
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        seen
    }

    /// Waits until replicas have read what they read at their start.
    fn wait_until_idle(&self) {
        let commands = || {
            let stats = self.cli(&["INFO", "stats"]);
            let line = stats.lines().find_map(|line| line.strip_prefix("total_commands_processed:"));
            line.unwrap().trim().parse::<u64>().unwrap()
        };
        let mut before = commands();
        eventually("no commands of replicas", || {
            std::thread::sleep(Duration::from_millis(100));
            let now = commands();
            // Those of redis-cli itself: INFO, and COMMAND DOCS.
            now - std::mem::replace(&mut before, now) <= 2
        });
    }

    /// The number of calls of a command since the last `CONFIG RESETSTAT`, from INFO commandstats.
    pub fn calls(&self, command: &str) -> u64 {
        let text = self.cli(&["INFO", "commandstats"]);
        let line = text.lines().find(|l| l.starts_with(&format!("cmdstat_{command}:")));
        line.map_or(0, |l| {
            let calls = l.split("calls=").nth(1).unwrap().split(',').next().unwrap();
            calls.parse().unwrap()
        })
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.down();
    }
}
