//! `sl sim`: simulated BBB servers.

use super::super::out::Out;
use super::sim_recording::{RecordingArgs, recording};
use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::json;
use sl_sim::{BbbVersion, Sim, SimConfig};
use std::net::{IpAddr, Ipv4Addr};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct SimArgs {
    #[command(subcommand)]
    command: Option<SimCommand>,
    /// Number of servers
    #[arg(long, default_value_t = 3)]
    servers: usize,
    /// Address to listen on
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    bind: IpAddr,
    /// Port of the first server, the others follow; 0 for any free ports
    #[arg(long, default_value_t = 8090)]
    port: u16,
    /// Port of the control API, which injects faults; 0 for any free port
    #[arg(long, default_value_t = 8080)]
    control_port: u16,
    /// Secret of all servers (default: a random one for each)
    #[arg(long)]
    secret: Option<String>,
    /// Worker threads
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// BBB version whose answers they give: 2.4, 2.5, 2.6, 2.7 or 3.0, with or without a patch number
    #[arg(long, default_value_t)]
    bbb_version: BbbVersion,
    /// Approximate number of participants on each server, who join and leave
    #[arg(long, default_value_t = 0)]
    people: u32,
    /// Do not record the last requests for the control API (slightly faster)
    #[arg(long)]
    no_record: bool,
}

#[derive(Subcommand)]
enum SimCommand {
    /// Write recording archives, as BBB servers make them
    Recording(RecordingArgs),
}

/// Runs until SIGTERM or SIGINT. Prints URLs and secrets: the secrets protect nothing.
pub fn sim(args: SimArgs, out: Out) -> anyhow::Result<()> {
    if let Some(SimCommand::Recording(args)) = args.command {
        return recording(args, out);
    }
    let sim = Sim::start(SimConfig {
        servers: args.servers,
        bind: args.bind,
        first_port: args.port,
        secret: args.secret,
        control_port: args.control_port,
        threads: args.threads,
        version: args.bbb_version,
        people: args.people,
        record_requests: !args.no_record,
        log_checksum_failures: true,
    })
    .context("cannot start the simulated servers (--port, --control-port)")?;
    if out.json {
        let servers: Vec<_> = sim
            .servers()
            .iter()
            .map(|server| json!({ "url": server.url(), "secret": server.secret() }))
            .collect();
        out.value(&json!({ "control": sim.control_url(), "servers": servers }))?;
    } else {
        let mut text = format!("control API: {}/servers\n", sim.control_url());
        for server in sim.servers() {
            text += &format!("{} {}\n", server.url(), server.secret());
        }
        out.text(text)?;
    }
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            _ = terminate.recv() => {}
            done = tokio::signal::ctrl_c() => done?,
        }
        anyhow::Ok(())
    })?;
    sim.stop();
    Ok(())
}
