//! `sl serve`, `sl poller` and `sl importer`.

use crate::config::Config;
use crate::replica::{Replica, Roles};
use crate::telemetry;
use anyhow::bail;
use clap::Args;
use std::io;
use std::sync::Arc;
use std::time::Instant;
use tokio::signal::unix::{Signal, SignalKind, signal};
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

/// Runs a replica until SIGTERM, SIGINT or SIGQUIT.
pub fn serve(args: ServeArgs, config: Config) -> anyhow::Result<()> {
    config.require_secrets()?;
    if args.importer {
        require_index(&config)?;
    }
    run(config, Roles { api: true, poller: !args.no_poller, importer: args.importer })
}

/// Runs the poller alone until SIGTERM, SIGINT or SIGQUIT.
pub fn poller(config: Config) -> anyhow::Result<()> {
    run(config, Roles { api: false, poller: true, importer: false })
}

/// Runs the importer alone until SIGTERM, SIGINT or SIGQUIT.
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
    // First of all: a stop during the start is as graceful as any other.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut signals = {
        let _inside = runtime.enter();
        Signals::handle()?
    };
    for notice in &config.notices {
        info!("{notice}");
    }
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
    let by = runtime.block_on(signals.stop());
    info!("{by}: stopping, finishing requests in flight, for at most {grace:?}");
    std::thread::spawn(move || {
        runtime.block_on(signals.second_interrupt());
        warn!("interrupted again: stopping immediately");
        telemetry::flush();
        #[expect(clippy::disallowed_methods, reason = "the second Ctrl-C stops immediately")]
        std::process::exit(1);
    });
    replica.stop();
    Ok(())
}

/// The signals that a replica handles. SIGPIPE is ignored by Rust's runtime.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    hangup: Signal,
}

impl Signals {
    /// From now on none of them ends the process. Must be called inside a runtime.
    fn handle() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for a signal to stop; its name.
    async fn stop(&mut self) -> &'static str {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.interrupt.recv() => return "SIGINT",
                _ = self.quit.recv() => return "SIGQUIT",
                _ = self.hangup.recv() => log_hangup(),
            }
        }
    }

    /// While stopping, only a second Ctrl-C matters.
    async fn second_interrupt(&mut self) {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => log_hangup(),
            }
        }
    }
}

/// A terminal that closes, or `systemctl reload`.
fn log_hangup() {
    info!("SIGHUP: nothing to reload, settings are read at the start");
}
