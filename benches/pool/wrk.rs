//! `wrk -t1 -c32`: the client of all load rows.

use super::processes::start_error;
use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Connections that wrk keeps open; each has one request in flight.
pub const CONNECTIONS: u64 = 32;

/// Prints the results as JSON. wrk computes percentiles from a histogram of all requests, in µs.
const REPORT_LUA: &str = r#"
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\nRESULT {"requests":%d,"micros":%d,"bytes":%d,"p50":%d,"p99":%d,"errors":%d}\n',
    summary.requests, summary.duration, summary.bytes, latency:percentile(50), latency:percentile(99),
    e.connect + e.read + e.write + e.status + e.timeout))
end
"#;

/// Sends each line of a file once, so that the client need not sign requests while it measures.
const EACH_LINE_LUA: &str = r#"
local lines, tail
function init(args)
  lines = io.lines(args[1])
  tail = ' HTTP/1.1\r\nHost: ' .. wrk.host .. ':' .. wrk.port .. '\r\n\r\n'
end
function request()
  local line = lines()
  if not line then
    io.stderr:write('wrk has sent all prepared requests\n')
    os.exit(3)
  end
  return 'GET ' .. line .. tail
end
"#;

/// What wrk requests.
pub enum Targets<'a> {
    /// The same target repeatedly.
    Same(&'a str),
    /// Each line of a file, once, in order.
    Each(&'a Path),
}

/// Results of wrk.
#[derive(Debug, Deserialize)]
pub struct Load {
    /// Number of responses.
    pub requests: u64,
    /// Duration, µs.
    pub micros: u64,
    /// Bytes of all responses, including heads.
    pub bytes: u64,
    /// Median latency, µs.
    pub p50: u64,
    /// 99th percentile of the latency, µs.
    pub p99: u64,
    /// Failed connections, reads and writes, timeouts, statuses of 400 and above.
    pub errors: u64,
}

impl Load {
    /// Responses per second.
    pub fn rate(&self) -> f64 {
        self.requests as f64 * 1e6 / self.micros.max(1) as f64
    }
}

/// Runs wrk with scripts in a directory.
pub struct Wrk {
    directory: PathBuf,
}

impl Wrk {
    /// Writes the scripts.
    pub fn new(directory: &Path) -> Result<Wrk> {
        fs::write(directory.join("same.lua"), REPORT_LUA)?;
        fs::write(directory.join("each.lua"), format!("{EACH_LINE_LUA}{REPORT_LUA}"))?;
        Ok(Wrk { directory: directory.to_owned() })
    }

    /// Sends requests to `address` for `seconds` seconds.
    pub fn run(&self, address: &str, targets: &Targets<'_>, seconds: u64) -> Result<Load> {
        let mut command = Command::new("wrk");
        command.args(["-t1", &format!("-c{CONNECTIONS}"), &format!("-d{seconds}s"), "--latency", "-s"]);
        match targets {
            Targets::Same(target) => {
                command.arg(self.directory.join("same.lua")).arg(format!("http://{address}{target}"));
            }
            Targets::Each(file) => {
                command.arg(self.directory.join("each.lua")).arg(format!("http://{address}/"));
                command.arg("--").arg(file);
            }
        }
        let output = command.output().map_err(|error| start_error("wrk", "wrk", error))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "wrk failed: {text}{errors}");
        let line = text.lines().find_map(|line| line.strip_prefix("RESULT "));
        let load: Load =
            serde_json::from_str(line.with_context(|| format!("wrk printed no result: {text}{errors}"))?)?;
        ensure!(load.requests > 0, "no response from {address}: {text}");
        ensure!(load.errors == 0, "{} of {} requests to {address} failed", load.errors, load.requests);
        Ok(load)
    }
}
