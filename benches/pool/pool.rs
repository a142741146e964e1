//! A pool: Redis, simulated servers, one replica of `sl serve`, each a process of its own.

use super::http;
use super::processes::{Process, Redis, SL, Sim, free_port, until};
use anyhow::{Context, Result, ensure};
use sha1::{Digest, Sha1};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What clients sign with.
pub const SECRET: &str = "a-secret-of-the-bench";

/// A signed target at the API: SHA-1, as most clients do it.
pub fn signed(call: &str, query: &str, secret: &str) -> String {
    let checksum = hex::encode(Sha1::digest(format!("{call}{query}{secret}")));
    let separator = if query.is_empty() { "" } else { "&" };
    format!("/bigbluebutton/api/{call}?{query}{separator}checksum={checksum}")
}

/// `sl` with settings of ours and no others.
pub fn sl(redis: &Redis) -> Command {
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
    /// Spawns it without the poller; see [`Replica::answers`].
    pub fn spawn(redis: &Redis, directory: &Path) -> Result<Replica> {
        Replica::spawn_with(redis, directory, &["serve", "--no-poller"], &[])
    }

    /// Spawns it with the poller, and with settings.
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
        let mut command = sl(redis);
        command.args(args).envs(settings.iter().copied()).env("BIND", format!("tcp://{address}"));
        command.stdout(Stdio::null()).stderr(File::create(&log)?);
        let process = Process::start(&mut command).context("cannot start sl serve")?;
        Ok(Replica { process, address, log })
    }

    /// Whether it serves: whether its health check says so.
    pub fn answers(&self) -> bool {
        http::get(&self.address, "/health_check").is_ok_and(|answer| answer.status == 200)
    }

    /// What it has logged: warnings and errors.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

/// The whole. Fields are dropped in this order.
pub struct Pool {
    /// The program under test.
    pub replica: Replica,
    /// Its state.
    pub redis: Redis,
    /// Its servers.
    pub sim: Sim,
}

impl Pool {
    /// Starts all of it, with so many servers enabled.
    pub fn start(servers: usize, directory: &Path) -> Result<Pool> {
        let redis = Redis::start(directory)?;
        let sim = Sim::start(servers)?;
        let replica = Replica::spawn(&redis, directory)?;
        until("sl serve answers", || replica.answers()).with_context(|| replica.log())?;
        let pool = Pool { replica, redis, sim };
        pool.add_servers()?;
        Ok(pool)
    }

    /// Forgets every meeting, in Redis and on the servers. Processes and connections stay.
    pub fn reset(&self) -> Result<()> {
        redis::cmd("FLUSHALL").exec(&mut self.redis.connect()?)?;
        for n in 1..=self.sim.urls.len() {
            self.sim.order(&format!("/servers/{n}/restart"), "")?;
        }
        self.add_servers()
    }

    fn add_servers(&self) -> Result<()> {
        let ids: Vec<String> = (1..=self.sim.urls.len()).map(|n| format!("bbb{n}")).collect();
        for (id, url) in ids.iter().zip(&self.sim.urls) {
            self.run(&["servers", "add", url, super::processes::SIM_SECRET, "--id", id])?;
        }
        let mut enable = vec!["servers", "enable"];
        enable.extend(ids.iter().map(String::as_str));
        self.run(&enable)
    }

    fn run(&self, args: &[&str]) -> Result<()> {
        let output = sl(&self.redis).args(args).output()?;
        ensure!(output.status.success(), "sl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// A signed call at the replica that must succeed.
    pub fn call(&self, call: &str, query: &str) -> Result<String> {
        let answer = http::get(&self.replica.address, &signed(call, query, SECRET))?;
        ensure!(answer.body().contains("<returncode>SUCCESS</returncode>"), "{call}: {}", answer.text);
        Ok(answer.body().to_owned())
    }
}
