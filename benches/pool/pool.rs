//! A pool: Redis, simulated servers and one replica, each in its own process.

use super::http;
use super::processes::{Process, Redis, SL, Sim, free_port, wait_until};
use anyhow::{Context, Result, ensure};
use sha1::{Digest, Sha1};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The secret that clients sign with.
pub const SECRET: &str = "a-secret-of-the-bench";

/// Path and query of a signed API request: SHA-1, as most clients use.
pub fn signed_target(call: &str, query: &str, secret: &str) -> String {
    let checksum = hex::encode(Sha1::digest(format!("{call}{query}{secret}")));
    let separator = if query.is_empty() { "" } else { "&" };
    format!("/bigbluebutton/api/{call}?{query}{separator}checksum={checksum}")
}

/// `sl` with these settings only.
pub fn sl_command(redis: &Redis) -> Command {
    let mut command = Command::new(SL);
    command
        .env_clear()
        .env("REDIS_URL", redis.url())
        .env("LOADBALANCER_SECRET", SECRET)
        .env("LOG_LEVEL", "warn");
    command
}

/// One `sl serve`.
pub struct Replica {
    /// Its process.
    pub process: Process,
    /// host:port
    pub address: String,
    log: PathBuf,
}

impl Replica {
    /// Spawns it without the poller; see [`Replica::is_ready`].
    pub fn spawn(redis: &Redis, directory: &Path) -> Result<Replica> {
        Replica::spawn_with(redis, directory, &["serve", "--no-poller"], &[])
    }

    /// Spawns it with the poller and these settings.
    pub fn spawn_polling(redis: &Redis, directory: &Path, settings: &[(&str, &str)]) -> Result<Replica> {
        Replica::spawn_with(redis, directory, &["serve"], settings)
    }

    fn spawn_with(
        redis: &Redis,
        directory: &Path,
        args: &[&str],
        settings: &[(&str, &str)],
    ) -> Result<Replica> {
        let address = format!("127.0.0.1:{}", free_port()?);
        let log = directory.join("replica.log");
        let mut command = sl_command(redis);
        command.args(args).envs(settings.iter().copied()).env("BIND", format!("tcp://{address}"));
        command.stdout(Stdio::null()).stderr(File::create(&log)?);
        let process = Process::start(&mut command).context("cannot start sl serve")?;
        Ok(Replica { process, address, log })
    }

    /// Whether its health check succeeds.
    pub fn is_ready(&self) -> bool {
        http::get(&self.address, "/health_check").is_ok_and(|response| response.status == 200)
    }

    /// Its log: warnings and errors.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

/// The pool. Fields are dropped in this order.
pub struct Pool {
    /// The program under test.
    pub replica: Replica,
    /// Its Redis.
    pub redis: Redis,
    /// Its simulated servers.
    pub sim: Sim,
}

impl Pool {
    /// Starts all processes, and enables `servers` servers.
    pub fn start(servers: usize, directory: &Path) -> Result<Pool> {
        let redis = Redis::start(directory)?;
        let sim = Sim::start(servers)?;
        let replica = Replica::spawn(&redis, directory)?;
        wait_until("sl serve answers", || replica.is_ready()).with_context(|| replica.log())?;
        let pool = Pool { replica, redis, sim };
        pool.add_servers()?;
        Ok(pool)
    }

    /// Deletes all meetings, in Redis and on the servers. Processes and connections stay.
    pub fn reset(&self) -> Result<()> {
        redis::cmd("FLUSHALL").exec(&mut self.redis.connect()?)?;
        for n in 1..=self.sim.urls.len() {
            self.sim.post_control(&format!("/servers/{n}/restart"), "")?;
        }
        self.add_servers()
    }

    fn add_servers(&self) -> Result<()> {
        let ids: Vec<String> = (1..=self.sim.urls.len()).map(|n| format!("bbb{n}")).collect();
        for (id, url) in ids.iter().zip(&self.sim.urls) {
            self.run_sl(&["servers", "add", url, super::processes::SIM_SECRET, "--id", id])?;
        }
        let mut enable = vec!["servers", "enable"];
        enable.extend(ids.iter().map(String::as_str));
        self.run_sl(&enable)
    }

    fn run_sl(&self, args: &[&str]) -> Result<()> {
        let output = sl_command(&self.redis).args(args).output()?;
        ensure!(output.status.success(), "sl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// Sends a signed call to the replica; it must succeed.
    pub fn call(&self, call: &str, query: &str) -> Result<String> {
        let response = http::get(&self.replica.address, &signed_target(call, query, SECRET))?;
        ensure!(response.body().contains("<returncode>SUCCESS</returncode>"), "{call}: {}", response.text);
        Ok(response.body().to_owned())
    }
}
