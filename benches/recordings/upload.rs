//! Uploads of a two-gigabyte archive, compared with a PUT to nginx that writes a file.

use super::data::Database;
use super::processes::{Process, Redis, SL, free_port, start_error, wait_until};
use super::report::{Limit, Row};
use super::{SECRET, cpu, http, median, number, signed_target};
use anyhow::{Context, Result, ensure};
use sl::jwt::{Algorithm, sign};
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

const SERVER_SECRET: &str = "a-secret-of-a-server";

/// Uploads with curl, as a BBB server does. All on one disk.
pub fn run(redis: &Redis, database: &Database, directory: &Path) -> Result<Vec<Row>> {
    let rounds = number("SL_BENCH_ROUNDS", 3)?;
    let megabytes = number("SL_BENCH_UPLOAD_MB", 2048)?;
    let home = directory.join("upload");
    for name in ["spool", "nginx"] {
        fs::create_dir_all(home.join(name))?;
    }
    let file = home.join("archive");
    write_incompressible(&file, megabytes)?;

    let (sl_address, nginx_address) =
        (format!("127.0.0.1:{}", free_port()?), format!("127.0.0.1:{}", free_port()?));
    let mut add = Command::new(SL);
    add.env_clear().env("REDIS_URL", redis.url());
    add.args(["servers", "add", "http://127.0.0.1:1/bigbluebutton/api/", SERVER_SECRET])
        .stdout(Stdio::null());
    ensure!(add.status()?.success(), "sl servers add");
    let mut command = Command::new(SL);
    command
        .args(["serve", "--no-poller"])
        .env_clear()
        .env("REDIS_URL", redis.url())
        .env("DATABASE_URL", &database.url)
        .env("LOADBALANCER_SECRET", SECRET)
        .env("RECORDING_SPOOL_DIR", home.join("spool"))
        .env("LOG_LEVEL", "warn")
        .env("BIND", format!("tcp://{sl_address}"))
        .stdout(Stdio::null());
    let replica = Process::start(&mut command).context("cannot start sl serve")?;
    let target = signed_target("meetingID=nobody");
    wait_until("sl serve answers", || {
        http::get(&sl_address, &target).is_ok_and(|a| a.text.contains("noRecordings"))
    })?;
    let _nginx = start_nginx(&home, &nginx_address)?;

    let exp = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() + 3600;
    let claims = serde_json::json!({ "sub": "r-1", "exp": exp });
    let token = sign(Algorithm::Hs256, SERVER_SECRET.as_bytes(), &claims);
    let before = cpu::resident_kib(replica.pid())?;
    let (mut nginx_rates, mut sl_rates) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        eprintln!("round {round} of {rounds}: upload of {megabytes} MB");
        for (rates, url) in [
            (&mut nginx_rates, format!("http://{nginx_address}/r-1.tar")),
            (&mut sl_rates, format!("http://{sl_address}/sl/recordings/r-1.tar")),
        ] {
            // Earlier writes must not slow down the measurement.
            ensure!(Command::new("sync").status()?.success(), "sync");
            let started = Instant::now();
            let output = Command::new("curl")
                .args(["-sS", "-o", "/dev/null", "-w", "%{http_code}", "-T"])
                .arg(&file)
                .args(["-H", &format!("Authorization: Bearer {token}"), &url])
                .output()
                .map_err(|error| start_error("curl", "curl", error))?;
            let status = String::from_utf8_lossy(&output.stdout).into_owned();
            ensure!(matches!(status.as_str(), "201" | "204"), "{url}: {status} {output:?}");
            rates.push(megabytes as f64 / started.elapsed().as_secs_f64());
        }
        ensure!(
            fs::metadata(home.join("spool/r-1.tar"))?.len() == megabytes << 20,
            "the upload is incomplete"
        );
        fs::remove_file(home.join("spool/r-1.tar"))?;
        fs::remove_file(home.join("nginx/r-1.tar"))?;
    }
    let grown = cpu::peak_resident_kib(replica.pid())?.saturating_sub(before) as f64 / 1024.0;
    let ratio = median(sl_rates.iter().zip(&nginx_rates).map(|(sl, nginx)| sl / nginx));
    Ok(vec![
        Row {
            case: format!("curl -T of {megabytes} MB to nginx, MB/s"),
            per_second: Some(median(nginx_rates)),
            ..Row::default()
        },
        Row {
            case: "the same to sl, safe on disk, MB/s".into(),
            per_second: Some(median(sl_rates)),
            ratio: Some(ratio),
            ..Row::default()
        }
        .with_limit(Some(Limit::RatioAtLeast(0.5))),
        Row { case: "upload: growth of the replica".into(), memory_mb: Some(grown), ..Row::default() }
            .with_limit(Some(Limit::BelowMb(16.0))),
    ])
}

/// Writes bytes that a file system cannot compress.
fn write_incompressible(path: &Path, megabytes: u64) -> Result<()> {
    let mut out = File::create(path)?;
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut block = vec![0u8; 1 << 20];
    for _ in 0..megabytes {
        for word in block.chunks_exact_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word.copy_from_slice(&state.to_le_bytes());
        }
        out.write_all(&block)?;
    }
    Ok(())
}

fn start_nginx(home: &Path, address: &str) -> Result<Process> {
    let dir = home.display();
    let config = format!(
        "daemon off; pid {dir}/pid; worker_processes 1; user root;\nevents {{}}\n\
         http {{ access_log off; client_body_temp_path {dir}/body;\n\
         server {{ listen {address}; client_max_body_size 0;\n\
         location / {{ root {dir}/nginx; dav_methods PUT; }} }} }}\n"
    );
    fs::write(home.join("nginx.conf"), config)?;
    let mut command = Command::new("nginx");
    command.arg("-p").arg(home).args(["-c", "nginx.conf", "-e", "error.log"]);
    command.stdout(Stdio::null()).stderr(File::create(home.join("stderr.log"))?);
    let process = Process::start(&mut command).map_err(|error| start_error("nginx", "nginx", error))?;
    wait_until("nginx answers", || std::net::TcpStream::connect(address).is_ok())?;
    Ok(process)
}
