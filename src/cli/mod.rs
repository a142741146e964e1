//! The `sl` command: one file for each noun. Everything that prints data also prints it as JSON.
//!
//! Exit status: 0 done; 1 refused or failed, with one line on standard error that says why and what
//! to do; 2 wrong usage.

mod callbacks;
mod config;
#[cfg(feature = "sim")]
mod dev;
mod drain;
mod meetings;
mod migrate;
mod out;
mod poll;
mod rebuild;
mod recordings;
mod script;
mod serve;
mod servers;
mod status;

use crate::config::Config;
use crate::net::connector;
use crate::servers::Backend;
use crate::store::{Server, Store, connection};
use anyhow::{Context, bail};
use clap::{CommandFactory, Parser, Subcommand};
use out::Out;
use std::sync::Arc;

/// Makes a pool of BigBlueButton servers look like a single, very large one.
#[derive(Parser)]
#[command(name = "sl", version, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    /// Print data as JSON
    #[arg(long, global = true)]
    json: bool,
    /// Print secrets where data has them
    #[arg(long, global = true)]
    show_secrets: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a replica: the API and, unless told otherwise, the poller
    Serve(serve::ServeArgs),
    /// Run the poller alone
    Poller,
    /// Run the importer of recordings alone
    Importer,
    /// Poll all servers once, now
    Poll,
    /// Make the record of meetings true again, from what the servers run
    Rebuild,
    /// The servers of the pool
    #[command(args_conflicts_with_subcommands = true)]
    Servers {
        #[command(subcommand)]
        command: Option<servers::ServersCommand>,
    },
    /// The servers, their states and figures as a table
    Status,
    /// The meetings that are recorded
    #[command(args_conflicts_with_subcommands = true)]
    Meetings {
        #[command(subcommand)]
        command: Option<meetings::MeetingsCommand>,
    },
    /// The recordings
    Recordings {
        #[command(subcommand)]
        command: recordings::RecordingsCommand,
    },
    /// Callbacks to clients, and whether they are delivered
    #[command(args_conflicts_with_subcommands = true)]
    Callbacks {
        #[command(subcommand)]
        command: Option<callbacks::CallbacksCommand>,
    },
    /// Make the database of the recordings' index, or bring Scalelite's forward in place
    Migrate,
    /// Every setting, its value, and where it came from
    Config,
    /// Print a Lua script, to run by hand: redis-cli --eval <(sl script find) scalelite: , MEETING
    Script(script::ScriptArgs),
    /// Run simulated BigBlueButton servers
    #[cfg(feature = "sim")]
    Sim(dev::sim::SimArgs),
    /// Run a whole local pool: a private Redis, simulated servers with people in them, a replica
    #[cfg(feature = "sim")]
    Dev(dev::DevArgs),
    /// Print the completions for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page of `sl`, or write one for each command into a directory
    Man {
        /// The directory
        directory: Option<std::path::PathBuf>,
    },
}

/// Runs the command line. The exit status of a failure is 1.
pub fn run() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let out = Out { json: cli.json, show_secrets: cli.show_secrets };
    let verbose = matches!(cli.command, Command::Serve(_) | Command::Poller | Command::Importer);
    crate::telemetry::start(if verbose { "info" } else { "error" }).map_err(anyhow::Error::msg)?;
    match cli.command {
        Command::Serve(args) => serve::serve(args, read_config()?),
        Command::Poller => serve::poller(read_config()?),
        Command::Importer => serve::importer(read_config()?),
        Command::Poll => with(|context| async move { poll::poll(&context, out).await }),
        Command::Rebuild => with(|context| async move { rebuild::rebuild(&context, out).await }),
        Command::Servers { command } => {
            with(|context| async move { servers::run(&context, command, out).await })
        }
        Command::Status => with(|context| async move { status::status(&context, out).await }),
        Command::Meetings { command } => {
            with(|context| async move { meetings::run(&context, command, out).await })
        }
        Command::Recordings { command } => {
            wait_for(async { recordings::run(read_config()?, command, out).await })
        }
        Command::Callbacks { command } => {
            wait_for(async { callbacks::run(read_config()?, command, out).await })
        }
        Command::Migrate => wait_for(async { migrate::migrate(&read_config()?, out).await }),
        Command::Config => config::config(&read_config()?, out),
        Command::Script(args) => script::script(args, out),
        #[cfg(feature = "sim")]
        Command::Sim(args) => dev::sim::sim(args, out),
        #[cfg(feature = "sim")]
        Command::Dev(args) => dev::dev(args, out),
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "sl", &mut text);
            out.text(String::from_utf8_lossy(&text))
        }
        Command::Man { directory: None } => {
            let mut text = Vec::new();
            clap_mangen::Man::new(Cli::command()).render(&mut text)?;
            out.text(String::from_utf8_lossy(&text))
        }
        Command::Man { directory: Some(directory) } => clap_mangen::generate_to(Cli::command(), &directory)
            .with_context(|| format!("cannot write into {}", directory.display())),
    }
}

/// What commands that a person waits for work with.
struct Session {
    config: Arc<Config>,
    store: Store,
    backend: Backend,
}

impl Session {
    /// A server by its id, or by its host where only one has it.
    async fn server(&self, id: &str) -> anyhow::Result<Server> {
        if let Some(server) = self.store.server(id).await? {
            return Ok(server);
        }
        let mut named: Vec<_> =
            self.store.servers().await?.into_iter().filter(|s| s.hostname() == id).collect();
        match (named.pop(), named.len()) {
            (Some(server), 0) => Ok(server),
            (Some(_), _) => bail!("several servers have the host {id}: use an id from `sl servers`"),
            (None, _) => bail!("there is no server {id}: see `sl servers`"),
        }
    }
}

fn wait_for(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

fn read_config() -> anyhow::Result<Config> {
    Ok(Config::from_process()?)
}

/// Runs a command against Redis; fails at once when Redis is not there.
fn with<F, R>(run: F) -> anyhow::Result<()>
where
    F: FnOnce(Session) -> R,
    R: Future<Output = anyhow::Result<()>>,
{
    let config = Arc::new(read_config()?);
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        connection::check(&config.redis).await.with_context(|| {
            let url = crate::config::without_password(&config.redis.url);
            format!("cannot reach Redis at {url} (set REDIS_URL)")
        })?;
        let tls = connector::tls(&config.backend)?;
        let context = Session {
            store: Store::new(&config.redis)?,
            backend: Backend::new(&config.backend, &tls, config.api.sign_with),
            config: config.clone(),
        };
        run(context).await
    })
}
