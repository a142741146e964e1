//! The measured programs as child processes: they stop when dropped, and when the benchmark dies.

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

/// The secret of all simulated servers.
pub const SIM_SECRET: &str = "a-secret-of-the-simulated-servers-of-the-bench";

/// A child process. Drop stops it and waits for it.
pub struct Process(pub Child);

impl Process {
    /// Starts it such that it cannot outlive the benchmark.
    pub fn start(command: &mut Command) -> io::Result<Process> {
        command.stdin(Stdio::null());
        // SAFETY: prctl is async-signal-safe and accesses no memory of this process.
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
        // SAFETY: signals our own child, which was not waited for yet.
        unsafe { libc::kill(self.pid() as libc::pid_t, libc::SIGTERM) };
        let stopped = wait_until("it stops", || !matches!(self.0.try_wait(), Ok(None)));
        if stopped.is_err() {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// Waits until a condition holds, at most ten seconds.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        ensure!(Instant::now() < deadline, "not within ten seconds: {what}");
        sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// The error for a program that cannot be started; names the package to install if it is missing.
pub fn start_error(program: &str, package: &str, error: io::Error) -> anyhow::Error {
    match error.kind() {
        io::ErrorKind::NotFound => anyhow!("{program} is not installed: apt-get install {package}"),
        _ => anyhow!(error).context(format!("cannot start {program}")),
    }
}

/// A currently free port.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn is_listening(address: &str) -> bool {
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
    /// Starts it and waits until it accepts connections.
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
            Process::start(&mut command).map_err(|e| start_error("redis-server", "redis-server", e))?;
        wait_until("redis-server answers", || is_listening(&format!("127.0.0.1:{port}")))?;
        Ok(Redis { process, port })
    }

    /// Its REDIS_URL.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Opens a connection.
    pub fn connect(&self) -> Result<redis::Connection> {
        Ok(redis::Client::open(self.url())?.get_connection()?)
    }
}

/// nginx with two addresses: a proxy, and a constant redirect.
pub struct Nginx {
    _process: Process,
    /// Pids of its workers, which use the CPU time.
    pub workers: Vec<u32>,
    /// The address that proxies everything.
    pub proxy: String,
    /// The address that returns 302.
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
        let process = Process::start(&mut command).map_err(|e| start_error("nginx", "nginx", e))?;
        let (proxy, redirect) = (format!("127.0.0.1:{proxy}"), format!("127.0.0.1:{redirect}"));
        wait_until("nginx answers", || is_listening(&proxy) && is_listening(&redirect)).with_context(
            || {
                let read = |name| fs::read_to_string(home.join(name)).unwrap_or_default();
                format!("nginx: {}{}", read("stderr.log"), read("error.log"))
            },
        )?;
        // nginx listens before its workers start.
        let workers = || cpu::child_pids(process.pid());
        wait_until("nginx has its two workers", || workers().len() == 2)?;
        Ok(Nginx { workers: workers(), _process: process, proxy, redirect })
    }
}

/// The output of `sl sim --json`.
#[derive(Deserialize)]
struct SimOutput {
    control: String,
    servers: Vec<SimOutputServer>,
}

#[derive(Deserialize)]
struct SimOutputServer {
    url: String,
}

/// Simulated BBB servers, in their own process.
pub struct Sim {
    /// Its process.
    pub process: Process,
    /// The control API, host:port.
    pub control: String,
    /// The API endpoint of each server.
    pub urls: Vec<String>,
}

impl Sim {
    /// Starts `servers` servers on two threads.
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
        let mut buffer = [0; 4096];
        let output = loop {
            let n = stdout.read(&mut buffer)?;
            ensure!(n > 0, "sl sim has ended: {}", String::from_utf8_lossy(&text));
            text.extend_from_slice(&buffer[..n]);
            if let Ok(output) = serde_json::from_slice::<SimOutput>(&text) {
                break output;
            }
        };
        let control = output.control.trim_start_matches("http://").to_owned();
        Ok(Sim { process, control, urls: output.servers.into_iter().map(|server| server.url).collect() })
    }

    /// host:port of server `n`, from 1.
    pub fn address(&self, n: usize) -> &str {
        let url = self.urls[n - 1].trim_start_matches("http://");
        url.split('/').next().unwrap_or(url)
    }

    /// Sends a POST to the control API.
    pub fn post_control(&self, target: &str, json: &str) -> Result<()> {
        let response = http::post(&self.control, target, json)?;
        ensure!(response.status == 200, "POST {target} to the control API: {}", response.text);
        Ok(())
    }

    /// The sum of a counter over all servers.
    pub fn counter_total(&self, counter: &str) -> Result<u64> {
        let response = http::get(&self.control, "/servers")?;
        let servers: Vec<serde_json::Value> = serde_json::from_str(response.body())?;
        servers
            .iter()
            .map(|server| server["counts"][counter].as_u64().with_context(|| format!("no count {counter}")))
            .sum()
    }
}
