//! `sl dev`: a whole local pool in one process tree. Leaves nothing behind.

mod postgres;
mod samples;
pub(super) mod sim;
mod sim_recording;

use super::out::{Out, table};
use crate::bbb::{Algorithm, Params, Secret};
use crate::config::Config;
use crate::net::tls;
use crate::servers::ServerClient;
use crate::servers::poll::Poller;
use crate::store::{Fence, ServerState, Store};
use anyhow::{Context, bail};
use clap::Args;
use samples::Samples;
use serde_json::json;
use sl_sim::{BbbVersion, Sim, SimConfig};
use std::io;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Args)]
pub struct DevArgs {
    /// Number of simulated servers
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=2000))]
    servers: u16,
    /// Number of replicas (`sl serve`)
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    replicas: u16,
    /// Port of the first replica; if it is in use, the next free port
    #[arg(long, default_value_t = 3000)]
    port: u16,
    /// Approximate number of participants on each server, who join and leave
    #[arg(long, default_value_t = 20)]
    people: u32,
    /// BBB version of the simulated servers: 2.4, 2.5, 2.6, 2.7 or 3.0, with or without a patch number
    #[arg(long, default_value_t)]
    bbb_version: BbbVersion,
}

/// A child process that is stopped and waited for on drop. The kernel stops it if this process is killed.
pub(super) struct ChildGuard(Child);

impl Drop for ChildGuard {
    fn drop(&mut self) {
        // SAFETY: a signal to our own child, which has not been waited for.
        unsafe { libc::kill(self.0.id() as libc::pid_t, libc::SIGTERM) };
        let deadline = Instant::now() + Duration::from_secs(5);
        while Instant::now() < deadline {
            if !matches!(self.0.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a child process with a small environment of its own: variables of the shell, such as the REDIS_URL
/// of a real pool, must not reach it. It has its own process group, so that Ctrl-C reaches only this process.
fn start(program: &Path, args: &[&str], variables: &[(&str, String)]) -> io::Result<ChildGuard> {
    start_as(program, args, variables, None)
}

/// Does the same as another user, if one is given.
pub(super) fn start_as(
    program: &Path,
    args: &[&str],
    variables: &[(&str, String)],
    user: Option<(u32, u32)>,
) -> io::Result<ChildGuard> {
    let mut command = Command::new(program);
    if let Some((uid, gid)) = user {
        command.uid(uid).gid(gid).current_dir("/");
    }
    command.args(args).env_clear().stdin(Stdio::null()).stdout(Stdio::null()).process_group(0);
    for name in ["PATH", "HOME", "NO_COLOR", "TERM", "RUST_LOG", "RUST_BACKTRACE", "PLAYBACK_PLAYER_DIR"] {
        command.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    // On SIGTERM, Postgres waits until its clients have disconnected; its data is not needed any more.
    let signal = if program.ends_with("postgres") { libc::SIGQUIT } else { libc::SIGTERM };
    // SAFETY: prctl is async-signal-safe and touches no memory of this process.
    unsafe {
        command.pre_exec(move || {
            libc::prctl(libc::PR_SET_PDEATHSIG, signal);
            Ok(())
        });
    }
    command.spawn().map(ChildGuard)
}

/// Runs the pool until SIGINT or SIGTERM, or until one of its processes ends.
pub fn dev(args: DevArgs, out: Out) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run(args, out))
}

async fn run(args: DevArgs, out: Out) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let directory = tempfile::Builder::new().prefix("sl-dev-").tempdir()?;
    let redis_port = free_port()?;
    let redis_url = format!("redis://127.0.0.1:{redis_port}");
    // The order of declaration: replicas stop first, then Redis; the directory is deleted last.
    let redis = redis(redis_port, directory.path())?;
    let sim = Sim::start(SimConfig {
        servers: usize::from(args.servers),
        threads: 2,
        people: args.people,
        version: args.bbb_version,
        ..SimConfig::default()
    })
    .context("cannot start the simulated servers")?;

    let secret = uuid::Uuid::new_v4().simple().to_string();
    let mut common = vec![
        ("LOADBALANCER_SECRET", secret.clone()),
        ("REDIS_URL", redis_url.clone()),
        ("POLL_INTERVAL", "5".to_owned()),
        ("LOG_LEVEL", "warn".to_owned()),
    ];
    let postgres = match postgres::installed() {
        Some(binaries) => Some(postgres::start(&binaries, directory.path()).await?),
        None => {
            eprintln!("sl: no recordings, since postgresql is not installed (apt-get install postgresql)");
            None
        }
    };
    if let Some(postgres) = &postgres {
        common.extend(postgres.variables.iter().cloned());
        common.push(("PLAYBACK_SERVE", "true".to_owned()));
        common.push(("PROTECTED_RECORDINGS_ENABLED", "true".to_owned()));
        common.push(("SECRET_KEY_BASE", uuid::Uuid::new_v4().simple().to_string()));
    }
    let variables = common.clone();
    let config = Config::read(&move |name| {
        variables.iter().find(|(n, _)| *n == name).map(|(_, value)| value.clone())
    })?;
    let store = Store::new(&config.redis)?;
    wait_until("the private Redis", async || store.check_writes().await.is_ok()).await?;
    for (n, server) in sim.servers().iter().enumerate() {
        let id = format!("bbb{}", n + 1);
        store.add_server(&id, &server.url(), &Secret::from(server.secret()), None, None).await?;
        store.set_state(&id, ServerState::Enabled).await?;
    }
    let tls = tls::client_config(config.servers.extra_ca_file.as_deref())?;
    let client = ServerClient::new(&config.servers, &tls, config.api.sign_with);
    Poller::new(store.clone(), client, Arc::new(config.clone())).poll_round(&Fence::None, |_, _| {}).await?;

    let program = std::env::current_exe()?;
    let mut replicas = Vec::new();
    let mut addresses = Vec::new();
    let mut next = args.port;
    let mut samples = None;
    if postgres.is_some() {
        samples = Some(samples::import(&config, directory.path()).await?);
        // Recordings from the spool are not protected, so that their links work without a token.
        let mut variables = common.clone();
        variables.retain(|(name, _)| *name != "PROTECTED_RECORDINGS_ENABLED");
        variables.push(("RECORDING_IMPORT_POLL_INTERVAL", "5".to_owned()));
        let importer = start(&program, &["importer"], &variables).context("cannot start an importer")?;
        replicas.push(importer);
    }
    for _ in 0..args.replicas {
        let (replica, port) = replica(&program, &common, next).await?;
        next = port.saturating_add(1);
        replicas.push(replica);
        addresses.push(format!("http://127.0.0.1:{port}"));
    }

    announce(&store, &addresses, &common, samples, &sim.control_url(), &program, out).await?;
    let mut children = vec![redis];
    children.extend(postgres.map(|postgres| postgres.process));
    children.extend(replicas);
    let exited = loop {
        tokio::select! {
            _ = terminate.recv() => break false,
            _ = interrupt.recv() => break false,
            _ = tokio::time::sleep(Duration::from_millis(300)) => {
                if children.iter_mut().any(|child| !matches!(child.0.try_wait(), Ok(None))) {
                    break true;
                }
            }
        }
    };
    while children.pop().is_some() {}
    drop(sim);
    drop(directory);
    if exited {
        bail!("a process of the pool has exited");
    }
    Ok(())
}

fn redis(port: u16, directory: &Path) -> anyhow::Result<ChildGuard> {
    let port = port.to_string();
    let directory = directory.to_string_lossy();
    let args = [
        "--port",
        &port,
        "--bind",
        "127.0.0.1",
        "--dir",
        &directory,
        // Saved in an hour at the earliest; without it, `sl status` would warn.
        "--save",
        "3600 1",
        "--appendonly",
        "no",
        "--loglevel",
        "warning",
    ];
    match start(Path::new("redis-server"), &args, &[]) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            bail!("redis-server is not installed: apt-get install redis-server")
        }
        started => started.context("cannot start redis-server"),
    }
}

/// Starts a replica at the first free port, beginning with `from`.
async fn replica(program: &Path, common: &[(&str, String)], from: u16) -> anyhow::Result<(ChildGuard, u16)> {
    let mut from = from;
    loop {
        let port = port_from(from)?;
        let mut variables = common.to_vec();
        variables.push(("BIND", format!("tcp://127.0.0.1:{port}")));
        let mut child = start(program, &["serve"], &variables).context("cannot start a replica")?;
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            // Another process has taken the port meanwhile.
            if !matches!(child.0.try_wait(), Ok(None)) {
                break;
            }
            if tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                return Ok((child, port));
            }
            if Instant::now() > deadline {
                bail!("a replica did not start within 20 seconds");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        from = port.saturating_add(1);
    }
}

async fn announce(
    store: &Store,
    addresses: &[String],
    variables: &[(&str, String)],
    samples: Option<Samples>,
    control: &str,
    program: &Path,
    out: Out,
) -> anyhow::Result<()> {
    let api = format!("{}/bigbluebutton/api", addresses[0]);
    let setting = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_str());
    let secret = setting("LOADBALANCER_SECRET").unwrap_or_default();
    let redis_url = setting("REDIS_URL").unwrap_or_default();
    let database = setting("DATABASE_URL");
    let mut links: Vec<(&str, String)> = [
        ("create", "create", "meetingID=demo&name=Demo&attendeePW=ap&moderatorPW=mp"),
        ("join as a moderator", "join", "meetingID=demo&fullName=Ada&password=mp"),
        ("join as a viewer", "join", "meetingID=demo&fullName=Charles&password=ap"),
        ("all meetings", "getMeetings", ""),
        ("the demo meeting", "getMeetingInfo", "meetingID=demo"),
        ("recordings", "getRecordings", "limit=10"),
        ("end the demo meeting", "end", "meetingID=demo&password=mp"),
    ]
    .into_iter()
    .map(|(what, call, query)| Ok((what, link(&api, call, query, secret)?)))
    .collect::<anyhow::Result<_>>()?;
    if let Some(samples) = samples {
        links.push(("play a recording", format!("{}{}", addresses[0], samples.open)));
        let query = format!("recordID={}", samples.protected);
        links.push((
            "links to a protected recording, each valid once",
            link(&api, "getRecordings", &query, secret)?,
        ));
    }
    if out.json {
        let links: serde_json::Map<_, _> =
            links.into_iter().map(|(what, url)| (what.to_owned(), url.into())).collect();
        return out.value(&json!({
            "api": api, "replicas": addresses, "secret": secret, "redis": redis_url, "postgres": database,
            "spool": setting("RECORDING_SPOOL_DIR"),
            "control": control, "links": links,
        }));
    }
    let rows = store.servers().await?.into_iter().map(|s| {
        vec![
            s.hostname(),
            s.at.id.clone(),
            s.state.as_str().to_owned(),
            if s.online { "online" } else { "offline" }.to_owned(),
            s.meetings.to_string(),
            s.users.to_string(),
            s.load.map_or("unavailable".to_owned(), |load| format!("{load:?}")),
        ]
    });
    let mut text = format!("\nA pool of simulated BigBlueButton servers is running.\n\n  API     {api}\n");
    for address in &addresses[1..] {
        text += &format!("          {address}/bigbluebutton/api\n");
    }
    text += &format!("  secret  {secret}\n  Redis   {redis_url}\n  faults  {control}/servers\n");
    if let (Some(database), Some(spool)) = (database, setting("RECORDING_SPOOL_DIR")) {
        text += &format!("  index   {database}\n  spool   {spool}\n");
    }
    text.push('\n');
    text += &table(&["HOSTNAME", "ID", "STATE", "STATUS", "MEETINGS", "USERS", "LOAD"], rows);
    text += "\nSigned links, for a browser or curl:\n\n";
    for (what, url) in links {
        text += &format!("  {what}\n    {url}\n");
    }
    let program = program.display();
    text +=
        &format!("\nThe same pool from another terminal:\n\n  REDIS_URL={redis_url} {program} status\n\n");
    if let Some(spool) = setting("RECORDING_SPOOL_DIR") {
        text += &format!(
            "\nTo add a recording, which getRecordings lists a moment later:\n\n  {program} sim recording \
             --meeting-id mine --out {spool}\n\n"
        );
    }
    text += "Ctrl-C stops everything and leaves nothing behind.\n";
    out.text(text)
}

fn link(api: &str, call: &str, query: &str, secret: &str) -> anyhow::Result<String> {
    let query = Params::parse(query)?.encode();
    let checksum = Algorithm::Sha256.sign(call, &query, secret);
    let separator = if query.is_empty() { "" } else { "&" };
    Ok(format!("{api}/{call}?{query}{separator}checksum={checksum}"))
}

pub(super) async fn wait_until(what: &str, condition: impl AsyncFn() -> bool) -> anyhow::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition().await {
        if Instant::now() > deadline {
            bail!("{what} did not start within 20 seconds");
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

pub(super) fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// The first free port, beginning with `first`.
fn port_from(first: u16) -> anyhow::Result<u16> {
    (first..=first.saturating_add(200))
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .with_context(|| format!("no free port found, beginning with {first} (--port)"))
}
