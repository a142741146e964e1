//! A whole pool: Redis, simulated servers, replicas of the binary.

use super::client::{self, Reply, sign};
use super::{Redis, eventually, free_port};
use sl_sim::{Sim, SimConfig, SimServer};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The secret that signs cookies, unless a test sets another.
pub const SECRET_KEY_BASE: &str = "a-secret-of-the-cookies-of-the-tests";

/// One `sl serve`, killed when dropped.
pub struct Replica {
    pub port: u16,
    pub child: Child,
    /// Its standard error, which is its log.
    pub log: std::path::PathBuf,
}

impl Replica {
    /// Its log up to now. A replica writes it on a thread of its own, so this sends SIGHUP and waits for its line,
    /// which is left out.
    pub fn log(&self) -> String {
        let read = || std::fs::read_to_string(&self.log).unwrap_or_default();
        let is_hangup = |line: &&str| line.contains("SIGHUP");
        let hangups = |log: &str| log.lines().filter(is_hangup).count();
        let (before, deadline) = (hangups(&read()), Instant::now() + Duration::from_secs(2));
        let pid = self.child.id().to_string();
        let _ = Command::new("kill").args(["-HUP", &pid]).stderr(Stdio::null()).status();
        // It does not come from a replica that has ended or is frozen, nor at LOG_LEVEL=warn.
        let is_running = || std::fs::metadata(format!("/proc/{pid}/exe")).is_ok_and(|_| true);
        while hangups(&read()) == before && is_running() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        read().lines().filter(|line| !is_hangup(line)).map(|line| format!("{line}\n")).collect()
    }

    /// Resident memory, KiB.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A pool; see [`Pool::start`].
pub struct Pool {
    pub replicas: Vec<Replica>,
    pub sim: Sim,
    pub redis: Redis,
    pub secret: String,
    variables: Vec<(String, String)>,
    directory: tempfile::TempDir,
}

impl Pool {
    /// `servers` simulated servers with ids bbb1, bbb2, …, enabled and online, and one replica
    /// without a poller.
    pub fn start(servers: usize) -> Pool {
        Pool::with(servers, 1, &[])
    }

    /// The same with settings and a number of replicas.
    pub fn with(servers: usize, replicas: usize, variables: &[(&str, &str)]) -> Pool {
        let mut pool = Pool::empty(servers, variables);
        for n in 1..=servers {
            let server = pool.server(n);
            let id = format!("bbb{n}");
            assert_eq!(pool.redis.eval("add_server", &[&id, &server.url(), server.secret()]), ["added"]);
            pool.redis.eval("set_state", &[&id, "enabled"]);
        }
        pool.sl_ok(&["poll"]);
        for _ in 0..replicas {
            pool.serve(&["--no-poller"]);
        }
        pool
    }

    /// Redis and simulated servers, none of them added to the pool yet.
    pub fn empty(servers: usize, variables: &[(&str, &str)]) -> Pool {
        let sim = Sim::start(SimConfig { servers: servers.max(1), threads: 2, ..SimConfig::default() });
        Pool {
            replicas: Vec::new(),
            sim: sim.unwrap(),
            redis: Redis::start(),
            secret: "a-secret-of-the-tests".to_owned(),
            variables: variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
            directory: tempfile::TempDir::new().unwrap(),
        }
    }

    /// Changes a setting for processes started from now on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.variables.retain(|(n, _)| n != name);
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// Adds simulated server n (from 1) as `bbbN`, with more options of `sl servers add`.
    pub fn add(&self, n: usize, options: &[&str]) {
        let server = self.server(n);
        let id = format!("bbb{n}");
        let (url, secret) = (server.url(), server.secret().to_owned());
        let mut args = vec!["servers", "add", &url, &secret, "--id", &id, "--no-check"];
        args.extend(options);
        self.sl_ok(&args);
    }

    /// Enables simulated server n, which polls it too.
    pub fn enable(&self, n: usize) {
        self.sl_ok(&["servers", "enable", &format!("bbb{n}")]);
    }

    /// Simulated server n, from 1.
    pub fn server(&self, n: usize) -> &SimServer {
        &self.sim.servers()[n - 1]
    }

    /// Starts a replica and waits until it listens.
    pub fn serve(&mut self, args: &[&str]) -> usize {
        self.serve_at(free_port(), args)
    }

    /// The same at a given port, for example that of an earlier replica.
    pub fn serve_at(&mut self, port: u16, args: &[&str]) -> usize {
        let n = self.replicas.len();
        let log = self.log_file(n);
        let child = self
            .command()
            .arg("serve")
            .args(args)
            .env("BIND", format!("tcp://127.0.0.1:{port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        self.replicas.push(Replica { port, child, log: log.clone() });
        eventually("the replica listens", || {
            assert!(self.replicas[n].is_alive(), "{}", self.replicas[n].log());
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        n
    }

    pub(super) fn log_file(&self, n: usize) -> std::path::PathBuf {
        self.directory.path().join(format!("replica-{n}.log"))
    }

    /// The binary, with only this pool's settings in its environment.
    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sl"));
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("REDIS_URL", self.redis.url())
            .env("LOADBALANCER_SECRET", &self.secret)
            .env("SECRET_KEY_BASE", SECRET_KEY_BASE)
            .envs(self.variables.iter().map(|(n, v)| (n, v)));
        command
    }

    /// Runs `sl` with these arguments.
    pub fn sl(&self, args: &[&str]) -> Output {
        self.command().args(args).output().unwrap()
    }

    /// Runs `sl`, which must succeed. Returns its output.
    #[track_caller]
    pub fn sl_ok(&self, args: &[&str]) -> String {
        let output = self.sl(args);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "sl {args:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs `sl`, which must fail with status 1 and one line of error. Returns the line.
    #[track_caller]
    pub fn sl_fails(&self, args: &[&str]) -> String {
        let output = self.sl(args);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "sl {args:?}: {errors}");
        assert_eq!(errors.lines().count(), 1, "{errors}");
        errors.trim_end().to_owned()
    }

    /// `127.0.0.1:port` of a replica.
    pub fn address(&self, replica: usize) -> String {
        format!("127.0.0.1:{}", self.replicas[replica].port)
    }

    /// A URL at a replica, signed with SHA-1 as most clients do.
    pub fn url_at(&self, replica: usize, call: &str, query: &str) -> String {
        let sum = sign("sha1", call, query, &self.secret);
        let and = if query.is_empty() { "" } else { "&" };
        format!("http://{}/bigbluebutton/api/{call}?{query}{and}checksum={sum}", self.address(replica))
    }

    /// A signed GET at the first replica.
    pub fn get(&self, call: &str, query: &str) -> Reply {
        self.get_at(0, call, query)
    }

    /// A signed GET at any replica.
    pub fn get_at(&self, replica: usize, call: &str, query: &str) -> Reply {
        client::fetch("GET", &self.url_at(replica, call, query), &[], b"")
    }

    /// A POST with a signed query.
    pub fn post(&self, call: &str, query: &str, content_type: &str, body: &[u8]) -> Reply {
        client::fetch("POST", &self.url_at(0, call, query), &[("content-type", content_type)], body)
    }

    /// The number, from 1, of the server that runs a meeting.
    pub fn holder(&self, meeting: &str) -> Option<usize> {
        let holders: Vec<_> = (1..=self.sim.servers().len())
            .filter(|n| self.server(*n).meetings().iter().any(|m| m.id == meeting))
            .collect();
        assert!(holders.len() <= 1, "{meeting} is on {holders:?}");
        holders.first().copied()
    }
}
