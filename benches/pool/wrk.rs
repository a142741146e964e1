//! `wrk -t1 -c32`, the client of all load rows.

use super::processes::not_there;
use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Connections that wrk keeps open; each has one request under way.
pub const CONNECTIONS: u64 = 32;

/// Prints the figures as JSON. wrk takes percentiles from a histogram of every request, in µs.
const DONE: &str = r#"
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\nRESULT {"requests":%d,"micros":%d,"bytes":%d,"p50":%d,"p99":%d,"errors":%d}\n',
    summary.requests, summary.duration, summary.bytes, latency:percentile(50), latency:percentile(99),
    e.connect + e.read + e.write + e.status + e.timeout))
end
"#;

/// Sends each line of a file once: signing costs the client nothing while it measures.
const EACH: &str = r#"
local lines, tail
function init(args)
  lines = io.lines(args[1])
  tail = ' HTTP/1.1\r\nHost: ' .. wrk.host .. ':' .. wrk.port .. '\r\n\r\n'
end
function request()
  local line = lines()
  if not line then
    io.stderr:write('wrk has used up all prepared requests\n')
    os.exit(3)
  end
  return 'GET ' .. line .. tail
end
"#;

/// What wrk asks for.
pub enum Ask<'a> {
    /// The same target all the time.
    Same(&'a str),
    /// Each line of a file, once, in order.
    Each(&'a Path),
}

/// What wrk found.
#[derive(Debug, Deserialize)]
pub struct Load {
    /// Answers.
    pub requests: u64,
    /// How long it took, µs.
    pub micros: u64,
    /// Bytes of all answers, heads included.
    pub bytes: u64,
    /// Half of the answers came within this, µs.
    pub p50: u64,
    /// 99 of 100 answers came within this, µs.
    pub p99: u64,
    /// Failed connections, reads and writes, timeouts, statuses of 400 and above.
    pub errors: u64,
}

impl Load {
    /// Answers per second.
    pub fn rate(&self) -> f64 {
        self.requests as f64 * 1e6 / self.micros.max(1) as f64
    }
}

/// Runs wrk, with its scripts in a directory of ours.
pub struct Wrk {
    directory: PathBuf,
}

impl Wrk {
    /// Writes the scripts.
    pub fn new(directory: &Path) -> Result<Wrk> {
        fs::write(directory.join("same.lua"), DONE)?;
        fs::write(directory.join("each.lua"), format!("{EACH}{DONE}"))?;
        Ok(Wrk { directory: directory.to_owned() })
    }

    /// Asks `address` for so many seconds.
    pub fn run(&self, address: &str, ask: &Ask<'_>, seconds: u64) -> Result<Load> {
        let mut command = Command::new("wrk");
        command.args(["-t1", &format!("-c{CONNECTIONS}"), &format!("-d{seconds}s"), "--latency", "-s"]);
        match ask {
            Ask::Same(target) => {
                command.arg(self.directory.join("same.lua")).arg(format!("http://{address}{target}"));
            }
            Ask::Each(file) => {
                command.arg(self.directory.join("each.lua")).arg(format!("http://{address}/"));
                command.arg("--").arg(file);
            }
        }
        let output = command.output().map_err(|error| not_there("wrk", "wrk", error))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "wrk failed: {text}{errors}");
        let line = text.lines().find_map(|line| line.strip_prefix("RESULT "));
        let load: Load =
            serde_json::from_str(line.with_context(|| format!("wrk said only: {text}{errors}"))?)?;
        ensure!(load.requests > 0, "no answer at all from {address}: {text}");
        ensure!(load.errors == 0, "{} of {} requests to {address} failed", load.errors, load.requests);
        Ok(load)
    }
}
