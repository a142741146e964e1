//! The programs that are measured, as children: stopped when dropped, and when the benchmark dies.

use super::{cpu, http};
use anyhow::{Context, Result, anyhow, ensure};
use serde::Deserialize;
use std::fs::{self, File};
use std::io::{self, Read};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The program under test, built with the release profile.
pub const SL: &str = env!("CARGO_BIN_EXE_sl");

/// The secret of every simulated server.
pub const SIM_SECRET: &str = "a-secret-of-the-simulated-servers-of-the-bench";

/// A child. Dropping it stops it and waits for its end.
pub struct Process(pub Child);

impl Process {
    /// Starts it so that it does not outlive the benchmark.
    pub fn start(command: &mut Command) -> io::Result<Process> {
        command.stdin(Stdio::null());
        // SAFETY: prctl is async-signal-safe and touches nothing of ours.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
                Ok(())
            });
        }
        command.spawn().map(Process)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // SAFETY: a signal to our own child, which has not been waited for.
        unsafe { libc::kill(self.pid() as libc::pid_t, libc::SIGTERM) };
        let ended = until("it stops", || !matches!(self.0.try_wait(), Ok(None)));
        if ended.is_err() {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// Waits until something is so, at most ten seconds.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_so() {
        ensure!(Instant::now() < deadline, "not within ten seconds: {what}");
        sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// A program could not be started: says what to install if it is not there.
pub fn not_there(program: &str, package: &str, error: io::Error) -> anyhow::Error {
    match error.kind() {
        io::ErrorKind::NotFound => anyhow!("{program} is not installed: apt-get install {package}"),
        _ => anyhow!(error).context(format!("cannot start {program}")),
    }
}

/// A port that is free now.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn listens(address: &str) -> bool {
    TcpStream::connect(address).is_ok()
}

/// A private redis-server that writes nothing to disk.
pub struct Redis {
    /// Its process.
    pub process: Process,
    /// Its port.
    pub port: u16,
}

impl Redis {
    /// Starts it and waits until it answers.
    pub fn start(directory: &Path) -> Result<Redis> {
        let port = free_port()?;
        let mut command = Command::new("redis-server");
        command.args([
            "--port",
            &port.to_string(),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
        ]);
        command.arg("--dir").arg(directory).stdout(Stdio::null());
        let process =
            Process::start(&mut command).map_err(|e| not_there("redis-server", "redis-server", e))?;
        until("redis-server answers", || listens(&format!("127.0.0.1:{port}")))?;
        Ok(Redis { process, port })
    }

    /// For REDIS_URL.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// A connection.
    pub fn connect(&self) -> Result<redis::Connection> {
        Ok(redis::Client::open(self.url())?.get_connection()?)
    }
}

/// nginx, once as a proxy and once answering by itself.
pub struct Nginx {
    _process: Process,
    /// Its workers, which do the work.
    pub workers: Vec<u32>,
    /// Where it passes everything on.
    pub proxy: String,
    /// Where it answers 302.
    pub redirect: String,
}

impl Nginx {
    /// Starts it in front of `upstream` (host:port).
    pub fn start(directory: &Path, upstream: &str) -> Result<Nginx> {
        let (proxy, redirect) = (free_port()?, free_port()?);
        let home = directory.join("nginx");
        fs::create_dir(&home)?;
        let text = include_str!("nginx.conf")
            .replace("@UPSTREAM@", upstream)
            .replace("@PROXY@", &proxy.to_string())
            .replace("@REDIRECT@", &redirect.to_string());
        fs::write(home.join("nginx.conf"), text)?;
        let mut command = Command::new("nginx");
        command.arg("-p").arg(&home).args(["-c", "nginx.conf", "-e", "error.log"]);
        command.stdout(Stdio::null()).stderr(File::create(home.join("stderr.log"))?);
        let process = Process::start(&mut command).map_err(|e| not_there("nginx", "nginx", e))?;
        let (proxy, redirect) = (format!("127.0.0.1:{proxy}"), format!("127.0.0.1:{redirect}"));
        until("nginx answers", || listens(&proxy) && listens(&redirect)).with_context(|| {
            let read = |name| fs::read_to_string(home.join(name)).unwrap_or_default();
            format!("nginx: {}{}", read("stderr.log"), read("error.log"))
        })?;
        // It listens before it has workers.
        let workers = || cpu::children(process.pid());
        until("nginx has its two workers", || workers().len() == 2)?;
        Ok(Nginx { workers: workers(), _process: process, proxy, redirect })
    }
}

/// What `sl sim --json` prints.
#[derive(Deserialize)]
struct Announced {
    control: String,
    servers: Vec<AnnouncedServer>,
}

#[derive(Deserialize)]
struct AnnouncedServer {
    url: String,
}

/// Simulated BBB servers in a process of their own.
pub struct Sim {
    /// Its process.
    pub process: Process,
    /// The control door, host:port.
    pub control: String,
    /// The API endpoint of each server.
    pub urls: Vec<String>,
}

impl Sim {
    /// Starts so many servers on two threads.
    pub fn start(servers: usize) -> Result<Sim> {
        let mut command = Command::new(SL);
        command.args([
            "sim",
            "--json",
            "--no-record",
            "--threads",
            "2",
            "--port",
            "0",
            "--control-port",
            "0",
        ]);
        command.args(["--secret", SIM_SECRET, "--servers", &servers.to_string()]);
        command.env_clear().stdout(Stdio::piped());
        let mut process = Process::start(&mut command).context("cannot start sl sim")?;
        let mut stdout = process.0.stdout.take().context("no standard output")?;
        let mut text = Vec::new();
        let mut piece = [0; 4096];
        let announced = loop {
            let n = stdout.read(&mut piece)?;
            ensure!(n > 0, "sl sim has ended: {}", String::from_utf8_lossy(&text));
            text.extend_from_slice(&piece[..n]);
            if let Ok(announced) = serde_json::from_slice::<Announced>(&text) {
                break announced;
            }
        };
        let control = announced.control.trim_start_matches("http://").to_owned();
        Ok(Sim { process, control, urls: announced.servers.into_iter().map(|server| server.url).collect() })
    }

    /// host:port of server n, from 1.
    pub fn address(&self, n: usize) -> &str {
        let url = self.urls[n - 1].trim_start_matches("http://");
        url.split('/').next().unwrap_or(url)
    }

    /// Does something through the control door.
    pub fn order(&self, target: &str, json: &str) -> Result<()> {
        let answer = http::post(&self.control, target, json)?;
        ensure!(answer.status == 200, "POST {target} at the control door: {}", answer.text);
        Ok(())
    }

    /// A counter, over all servers.
    pub fn count(&self, counter: &str) -> Result<u64> {
        let answer = http::get(&self.control, "/servers")?;
        let servers: Vec<serde_json::Value> = serde_json::from_str(answer.body())?;
        servers
            .iter()
            .map(|server| server["counts"][counter].as_u64().with_context(|| format!("no count {counter}")))
            .sum()
    }
}
