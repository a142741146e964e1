//! `sl serve`, `sl poller` and `sl importer`.

use crate::config::Config;
use crate::replica::{Replica, Roles};
use anyhow::bail;
use clap::Args;
use std::sync::Arc;
use std::time::Instant;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

#[derive(Args)]
pub struct ServeArgs {
    /// Do not poll; another process does
    #[arg(long)]
    no_poller: bool,
    /// Also import recordings
    #[arg(long)]
    importer: bool,
}

/// Runs a replica until SIGTERM or SIGINT.
pub fn serve(args: ServeArgs, config: Config) -> anyhow::Result<()> {
    config.require_secrets()?;
    if args.importer {
        require_index(&config)?;
    }
    run(config, Roles { api: true, poller: !args.no_poller, importer: args.importer })
}

/// Runs the poller alone until SIGTERM or SIGINT.
pub fn poller(config: Config) -> anyhow::Result<()> {
    run(config, Roles { api: false, poller: true, importer: false })
}

/// Runs the importer alone until SIGTERM or SIGINT.
pub fn importer(config: Config) -> anyhow::Result<()> {
    require_index(&config)?;
    run(config, Roles { api: false, poller: false, importer: true })
}

fn require_index(config: &Config) -> anyhow::Result<()> {
    if config.recordings.database.is_none() {
        bail!("the importer needs DATABASE_URL, the Postgres with the recordings' index");
    }
    Ok(())
}

fn run(config: Config, roles: Roles) -> anyhow::Result<()> {
    let begun = Instant::now();
    for notice in &config.notices {
        info!("{notice}");
    }
    // Before "listening" is logged, since a supervisor that waits for it may stop us at once.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let guard = runtime.enter();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    drop(guard);
    let grace = config.listen.shutdown_grace;
    let replica = Replica::start(Arc::new(config), roles)?;
    match replica.address() {
        Some(address) => info!(
            after_ms = begun.elapsed().as_millis() as u64,
            poller = roles.poller,
            "listening at {address}"
        ),
        None if roles.poller => info!("polling"),
        None => {}
    }
    runtime.block_on(async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    });
    info!("stopping: finishing requests in flight, for at most {grace:?}");
    std::thread::spawn(move || {
        runtime.block_on(interrupt.recv());
        warn!("interrupted again: stopping immediately");
        #[expect(clippy::disallowed_methods, reason = "the second Ctrl-C stops immediately")]
        std::process::exit(1);
    });
    replica.stop();
    Ok(())
}
