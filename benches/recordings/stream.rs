//! All recordings in one response: how much the replica's memory grows.

use super::data::Database;
use super::processes::Redis;
use super::report::{Limit, Row};
use super::{Replica, cpu, signed_target};
use anyhow::{Result, ensure};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Instant;

/// Requests all recordings from a new replica and counts them.
pub fn run(redis: &Redis, database: &Database, directory: &Path) -> Result<Row> {
    eprintln!("streaming {} recordings", database.size);
    let replica = Replica::start(redis, database, directory)?;
    let before = cpu::resident_kib(replica.process.pid())?;
    let started = Instant::now();
    let mut stream = TcpStream::connect(&replica.address)?;
    let target = signed_target("");
    write!(stream, "GET {target} HTTP/1.1\r\nHost: sl\r\nConnection: close\r\n\r\n")?;
    let (mut found, mut unscanned, mut buffer) = (0, Vec::new(), vec![0; 1 << 16]);
    loop {
        let n = stream.read(&mut buffer)?;
        if n == 0 {
            break;
        }
        unscanned.extend_from_slice(&buffer[..n]);
        let tag = b"</recording>";
        found += unscanned.windows(tag.len()).filter(|window| window == tag).count() as u64;
        // A tag may be split between two reads.
        unscanned.drain(..unscanned.len() - (tag.len() - 1).min(unscanned.len()));
    }
    let seconds = started.elapsed().as_secs_f64();
    ensure!(found == database.size, "{found} recordings received of {}", database.size);
    // The kernel updates the peak in steps: it may be lower than the earlier value.
    let grown = cpu::peak_resident_kib(replica.process.pid())?.saturating_sub(before) as f64 / 1024.0;
    let row = Row {
        case: format!("getRecordings, all {}, in {seconds:.1} s: growth", database.size),
        memory_mb: Some(grown),
        ..Row::default()
    };
    Ok(row.with_limit(Some(Limit::BelowMb(32.0))))
}
