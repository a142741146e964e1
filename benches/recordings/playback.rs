//! Files of recordings: sent by nginx on instruction of `sl` (X-Accel-Redirect), and sent by `sl` itself
//! (PLAYBACK_SERVE). Compared with nginx alone, which checks no access.

use super::postgres::Postgres;
use super::processes::{self, Process, Redis, SL, start_error};
use super::report::{Limit, Row};
use super::wrk::{self, Targets, Wrk};
use super::{SECRET, http, median};
use anyhow::{Context, Result, ensure};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a browser fetches: a video, or one of the many small files of a presentation. Name, bytes, name of the row.
const FILES: [(&str, usize, &str); 2] =
    [("film.webm", 4 << 20, "a film of 4 MB"), ("slide.png", 20_000, "a slide of 20 KB")];

/// What sends the file.
const SENDERS: [&str; 3] = ["nginx alone", "nginx and sl", "sl alone"];

pub fn run(
    postgres: &Postgres,
    redis: &Redis,
    directory: &Path,
    seconds: u64,
    rounds: u64,
) -> Result<Vec<Row>> {
    postgres.sql("CREATE DATABASE playback");
    let bench = Bench {
        url: postgres.url().replace("/postgres", "/playback"),
        redis: redis.url(),
        directory: directory.join("playback"),
    };
    bench.create_recordings()?;
    let (behind, alone) = (bench.start_replica("false")?, bench.start_replica("true")?);
    let nginx = bench.start_nginx(&behind.1)?;
    let wrk = Wrk::new(directory)?;
    // nginx serves two of them on one address.
    let addresses = [&nginx.1, &nginx.1, &alone.1];
    let mut rates = vec![[const { Vec::new() }; SENDERS.len()]; FILES.len()];
    for round in 1..=rounds {
        for ((name, size, what), rates) in FILES.iter().zip(&mut rates) {
            for ((sender, address), rates) in SENDERS.iter().zip(addresses).zip(rates) {
                eprintln!("round {round} of {rounds}: {what}, {sender}");
                let target = match *sender {
                    "nginx alone" => format!("/plain/video/r1/{name}"),
                    _ => format!("/video/r1/{name}"),
                };
                let response = http::get(address, &target)?;
                ensure!(response.status == 200, "{sender}: {}", response.status);
                wrk.run(address, &Targets::Same(&target), 1)
                    .with_context(|| fs::read_to_string(bench.log()).unwrap_or_default())?;
                let load = wrk
                    .run(address, &Targets::Same(&target), seconds)
                    .with_context(|| fs::read_to_string(bench.log()).unwrap_or_default())?;
                // Some responses were in flight when the time ended.
                let (least, most) = (load.requests, load.requests + wrk::CONNECTIONS);
                let size = *size as u64;
                ensure!(
                    (least * size..most * (size + 1000)).contains(&load.bytes),
                    "{sender}: {} bytes in {} responses of {size}",
                    load.bytes,
                    load.requests
                );
                rates.push((load.rate(), load.p50 as f64 / 1000.0, load.p99 as f64 / 1000.0));
            }
        }
    }
    let mut rows = Vec::new();
    for ((_, _, what), rates) in FILES.iter().zip(&rates) {
        for (sender, samples) in SENDERS.iter().zip(rates) {
            let of = |which: fn(&(f64, f64, f64)) -> f64| Some(median(samples.iter().map(which)));
            let row = Row {
                case: format!("{what}: {sender}"),
                per_second: of(|s| s.0),
                p50_ms: of(|s| s.1),
                p99_ms: of(|s| s.2),
                ..Row::default()
            };
            rows.push(match *sender {
                // Compared with the same access checks where nginx sends the file.
                "sl alone" => {
                    let ratio = median(samples.iter().zip(&rates[1]).map(|(ours, nginx)| ours.0 / nginx.0));
                    Row { ratio: Some(ratio), ..row }.with_limit(Some(Limit::RatioAtLeast(0.5)))
                }
                _ => row,
            });
        }
    }
    Ok(rows)
}

struct Bench {
    url: String,
    redis: String,
    directory: PathBuf,
}

impl Bench {
    fn published(&self) -> PathBuf {
        self.directory.join("published")
    }

    /// The log of both replicas.
    fn log(&self) -> PathBuf {
        self.directory.join("replicas.log")
    }

    /// Creates one recording with files, among others that fill the index.
    fn create_recordings(&self) -> Result<()> {
        let directory = self.published().join("video/r1");
        fs::create_dir_all(&directory)?;
        for (name, size, _) in FILES {
            fs::write(directory.join(name), vec![b'x'; size])?;
        }
        let output = self.sl().arg("migrate").output()?;
        ensure!(output.status.success(), "sl migrate: {}", String::from_utf8_lossy(&output.stderr));
        let sql = "INSERT INTO recordings (record_id, meeting_id, state, published) \
             SELECT 'r' || n, 'm', 'published', true FROM generate_series(1, 10000) n";
        let output = Command::new("psql").args(["-X", "-q", "-d", &self.url, "-c", sql]).output()?;
        ensure!(output.status.success(), "psql: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    fn sl(&self) -> Command {
        let mut command = Command::new(SL);
        command
            .env_clear()
            .env("REDIS_URL", &self.redis)
            .env("DATABASE_URL", &self.url)
            .env("RECORDING_PUBLISH_DIR", self.published())
            .env("LOADBALANCER_SECRET", SECRET)
            .env("LOG_LEVEL", "warn");
        command
    }

    fn start_replica(&self, serve: &str) -> Result<(Process, String)> {
        let address = format!("127.0.0.1:{}", processes::free_port()?);
        let log = File::options().create(true).append(true).open(self.log())?;
        let mut command = self.sl();
        command
            .args(["serve", "--no-poller"])
            .env("PLAYBACK_SERVE", serve)
            .env("BIND", format!("tcp://{address}"))
            .stdout(Stdio::null())
            .stderr(log);
        let process = Process::start(&mut command).context("cannot start sl serve")?;
        processes::wait_until("sl serve answers", || {
            http::get(&address, "/video/r1/slide.png").is_ok_and(|response| response.status == 200)
        })
        .with_context(|| fs::read_to_string(self.log()).unwrap_or_default())?;
        Ok((process, address))
    }

    /// Two workers, keep-alive connections on both sides, no access log.
    fn start_nginx(&self, upstream: &str) -> Result<(Process, String)> {
        let home = self.directory.join("nginx");
        fs::create_dir(&home)?;
        let address = format!("127.0.0.1:{}", processes::free_port()?);
        let published = self.published().display().to_string();
        let text = format!(
            "daemon off; pid nginx.pid; error_log error.log crit; worker_processes 2; user root;\n\
             events {{ worker_connections 512; }}\n\
             http {{ client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;\n\
             uwsgi_temp_path uwsgi; scgi_temp_path scgi; access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;\n\
             upstream sl {{ server {upstream}; keepalive 64; keepalive_requests 1000000; }}\n\
             server {{ listen {address}; proxy_http_version 1.1; proxy_set_header Connection \"\";\n\
             location /plain/ {{ alias {published}/; }}\n\
             location /static-resource/ {{ internal; alias {published}/; }}\n\
             location / {{ proxy_pass http://sl; }} }} }}\n"
        );
        fs::write(home.join("nginx.conf"), text)?;
        let mut command = Command::new("nginx");
        command.arg("-p").arg(&home).args(["-c", "nginx.conf", "-e", "error.log"]);
        command.stdout(Stdio::null()).stderr(File::create(home.join("stderr.log"))?);
        let process = Process::start(&mut command).map_err(|error| start_error("nginx", "nginx", error))?;
        processes::wait_until("nginx answers", || {
            http::get(&address, "/plain/video/r1/slide.png").is_ok_and(|response| response.status == 200)
        })
        .with_context(|| fs::read_to_string(home.join("error.log")).unwrap_or_default())?;
        Ok((process, address))
    }
}
