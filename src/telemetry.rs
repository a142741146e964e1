//! Logs to standard error, as text or JSON. They contain no secrets, checksums or signed URLs.

use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Starts logging by LOG_LEVEL (or RUST_LOG, which can name modules) and LOG_FORMAT, `text` or `json`.
///
/// # Errors
/// LOG_LEVEL, RUST_LOG or LOG_FORMAT is invalid.
pub fn start(default_level: &str) -> Result<(), String> {
    let variable = |name: &str| std::env::var(name).ok().filter(|v| !v.trim().is_empty());
    let level = variable("LOG_LEVEL").unwrap_or_else(|| default_level.to_owned()).to_lowercase();
    if !["error", "warn", "info", "debug", "trace", "off"].contains(&level.as_str()) {
        return Err("LOG_LEVEL must be error, warn, info, debug, trace or off".into());
    }
    let filter = match variable("RUST_LOG") {
        Some(text) => EnvFilter::try_new(text).map_err(|e| format!("RUST_LOG must be a log filter: {e}"))?,
        // Libraries log at a higher level: their messages about single connections are noise.
        None => {
            EnvFilter::new(format!("{level},hyper=error,hyper_util=error,rustls=error,redis=error,warp=warn"))
        }
    };
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let colours = std::io::stderr().is_terminal() && variable("NO_COLOR").is_none();
    match variable("LOG_FORMAT").as_deref().unwrap_or("text") {
        "text" => logs.with_target(false).with_ansi(colours).init(),
        "json" => logs.json().flatten_event(true).init(),
        _ => return Err("LOG_FORMAT must be text or json".into()),
    }
    Ok(())
}
