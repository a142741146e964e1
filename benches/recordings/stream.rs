//! All recordings in one answer: what the replica's memory grows by.

use super::data::Database;
use super::processes::Redis;
use super::report::{Limit, Row};
use super::{Replica, cpu, signed};
use anyhow::{Result, ensure};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Instant;

/// Asks a new replica for everything, and counts what comes.
pub fn run(redis: &Redis, database: &Database, directory: &Path) -> Result<Row> {
    eprintln!("streaming {} recordings", database.size);
    let replica = Replica::start(redis, database, directory)?;
    let before = cpu::resident(replica.process.pid())?;
    let begun = Instant::now();
    let mut stream = TcpStream::connect(&replica.address)?;
    let target = signed("");
    write!(stream, "GET {target} HTTP/1.1\r\nHost: sl\r\nConnection: close\r\n\r\n")?;
    let (mut found, mut kept, mut piece) = (0, Vec::new(), vec![0; 1 << 16]);
    loop {
        let n = stream.read(&mut piece)?;
        if n == 0 {
            break;
        }
        kept.extend_from_slice(&piece[..n]);
        let tag = b"</recording>";
        found += kept.windows(tag.len()).filter(|window| window == tag).count() as u64;
        // A tag may be cut in two.
        kept.drain(..kept.len() - (tag.len() - 1).min(kept.len()));
    }
    let seconds = begun.elapsed().as_secs_f64();
    ensure!(found == database.size, "{found} recordings came of {}", database.size);
    // The kernel counts in steps: the peak may seem lower than what was there before.
    let grown = cpu::peak(replica.process.pid())?.saturating_sub(before) as f64 / 1024.0;
    let row = Row {
        case: format!("getRecordings, all {}, in {seconds:.1} s: growth", database.size),
        memory_mb: Some(grown),
        ..Row::default()
    };
    Ok(row.judged(Some(Limit::BelowMb(32.0))))
}
