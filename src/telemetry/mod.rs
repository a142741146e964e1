//! Logs to standard error, as text or JSON. They contain no secrets, checksums or signed URLs.
//!
//! - [`writer`]: how lines get there without ever blocking or ending anything
//! - [`limit`]: one line a second about one outage

pub mod limit;
pub mod writer;

pub use limit::permit_log;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{IsTerminal, Write};
use std::panic::PanicHookInfo;
use std::sync::OnceLock;
use std::time::Duration;
use tracing::error;
use tracing_subscriber::EnvFilter;
use writer::LogWriter;

/// How long the end of the process waits until the last lines are written.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

static WRITER: OnceLock<LogWriter> = OnceLock::new();

/// Starts logging by LOG_LEVEL (or RUST_LOG, which can name modules) and LOG_FORMAT, `text` or `json`.
///
/// # Errors
/// LOG_LEVEL, RUST_LOG or LOG_FORMAT is invalid.
pub fn start(default_level: &str) -> Result<(), String> {
    // As for all settings: files from Windows end lines with a carriage return, Docker's keep quotes.
    let trim =
        |value: String| value.trim_matches(|c: char| c.is_whitespace() || c == '"' || c == '\'').to_owned();
    let variable = |name: &str| std::env::var(name).ok().map(trim).filter(|value| !value.is_empty());
    let level = variable("LOG_LEVEL").unwrap_or_else(|| default_level.to_owned()).to_lowercase();
    if !["error", "warn", "info", "debug", "trace", "off"].contains(&level.as_str()) {
        return Err("LOG_LEVEL must be error, warn, info, debug, trace or off".into());
    }
    let filter = match variable("RUST_LOG") {
        Some(text) => EnvFilter::try_new(text).map_err(|e| format!("RUST_LOG must be a log filter: {e}"))?,
        // Libraries log at a higher level: their messages about single connections are noise, as are the notices
        // of Postgres about tables that exist already.
        None => EnvFilter::new(format!(
            "{level},hyper=error,hyper_util=error,rustls=error,redis=error,sqlx=error,warp=warn"
        )),
    };
    let writer = LogWriter::start(std::io::stderr()).map_err(|e| format!("cannot start logging: {e}"))?;
    // A line that cannot be formatted is lost. By default its error would be printed, which may fail or block.
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer.clone())
        .log_internal_errors(false);
    let colours = std::io::stderr().is_terminal() && variable("NO_COLOR").is_none();
    match variable("LOG_FORMAT").as_deref().unwrap_or("text") {
        "text" => logs.with_target(false).with_ansi(colours).init(),
        "json" => logs.json().flatten_event(true).init(),
        _ => return Err("LOG_FORMAT must be text or json".into()),
    }
    let _ = WRITER.set(writer);
    // The default hook writes to standard error itself, which would block on a pipe without a reader.
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// Waits until the lines so far are written, for at most a second: before the process ends.
pub fn flush() {
    if let Some(writer) = WRITER.get() {
        writer.flush(FLUSH_TIMEOUT);
    }
}

/// Prints a line to standard error beside the log: a command's last word. Never blocks and never fails.
pub fn print_line(line: &str) {
    let line = format!("{line}\n");
    // Not one that cannot be written: there is no other place for it.
    let _ = match WRITER.get() {
        Some(mut writer) => writer.write_all(line.as_bytes()),
        None => std::io::stderr().write_all(line.as_bytes()),
    };
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let at = panic.location().map(ToString::to_string);
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    let message = panic.payload_as_str().unwrap_or("no message");
    error!(thread = thread.name(), at, backtrace, "panicked, which is a bug in sl: {message}");
}
