//! The `sl` command: one file for each noun. Every command that prints data can also print it as JSON.
//!
//! Exit status: 0 done; 1 refused or failed, with one line on standard error with the reason and what to do;
//! 2 wrong usage. `sl status --check` has its own: 0 healthy, 1 degraded, 2 Redis does not answer.

mod callbacks;
mod config;
#[cfg(feature = "sim")]
mod dev;
mod exit;
mod meetings;
mod migrate;
mod out;
mod poll;
mod rebuild;
mod recordings;
mod script;
mod secret_arg;
mod serve;
mod servers;
mod status;
mod strays;
mod time;

use crate::config::{Config, RedisConfig, UrlUser, mask_url};
use crate::net::tls;
use crate::servers::ServerClient;
use crate::servers::poll::Poller;
use crate::store::{Server, Store, StoreError, connection};
use anyhow::{Context, bail};
use clap::{CommandFactory, Parser, Subcommand};
pub use exit::ExitStatus;
use out::Out;
use std::sync::Arc;

/// Makes a pool of BigBlueButton servers look like a single, very large one.
#[derive(Parser)]
#[command(name = "sl", version, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    /// Print data as JSON
    #[arg(long, global = true)]
    json: bool,
    /// Include secrets in the output
    #[arg(long, global = true)]
    show_secrets: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a replica: the API and, unless --no-poller is given, the poller
    Serve(serve::ServeArgs),
    /// Run only the poller
    Poller,
    /// Run only the importer of recordings
    Importer,
    /// Poll all servers once, now
    Poll,
    /// Rebuild the meeting records from what the servers run
    Rebuild,
    /// List and change the servers of the pool
    #[command(args_conflicts_with_subcommands = true)]
    Servers {
        #[command(subcommand)]
        command: Option<servers::ServersCommand>,
    },
    /// Print the servers, their states and loads as a table
    Status {
        /// Set the exit status: 0 healthy, 1 degraded, 2 Redis does not answer
        #[arg(long)]
        check: bool,
    },
    /// List, find and end meetings
    #[command(args_conflicts_with_subcommands = true)]
    Meetings {
        /// Print the meetings that run on servers without a record, or on another server than their record says
        #[arg(long)]
        strays: bool,
        #[command(subcommand)]
        command: Option<meetings::MeetingsCommand>,
    },
    /// List, import and change recordings
    Recordings {
        #[command(subcommand)]
        command: recordings::RecordingsCommand,
    },
    /// List and retry callbacks to clients
    #[command(args_conflicts_with_subcommands = true)]
    Callbacks {
        #[command(subcommand)]
        command: Option<callbacks::CallbacksCommand>,
    },
    /// Create the tables of the recordings' index, or upgrade those of Scalelite in place
    Migrate,
    /// Print every setting, its value, its origin and what becomes of it
    Config(config::ConfigArgs),
    /// Print a Lua script, to run by hand: redis-cli --eval <(sl script find) scalelite: , MEETING
    Script(script::ScriptArgs),
    /// Run simulated BigBlueButton servers
    #[cfg(feature = "sim")]
    Sim(dev::sim::SimArgs),
    /// Run a whole local pool: a private Redis, simulated servers with participants, a replica
    #[cfg(feature = "sim")]
    Dev(dev::DevArgs),
    /// Print the completion script of a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page of `sl`, or write the pages of all commands into a directory
    Man {
        /// Directory to write to
        directory: Option<std::path::PathBuf>,
    },
}

/// Runs the command line.
pub fn run() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let out = Out { json: cli.json, show_secrets: cli.show_secrets };
    let verbose = matches!(cli.command, Command::Serve(_) | Command::Poller | Command::Importer);
    crate::telemetry::start(if verbose { "info" } else { "error" }).map_err(anyhow::Error::msg)?;
    match cli.command {
        Command::Serve(args) => serve::serve(args, read_config()?),
        Command::Poller => serve::poller(read_config()?),
        Command::Importer => serve::importer(read_config()?),
        Command::Poll => with_session(|session| async move { poll::poll(&session, out).await }),
        Command::Rebuild => with_session(|session| async move { rebuild::rebuild(&session, out).await }),
        Command::Servers { command } => {
            with_session(|session| async move { servers::run(&session, command, out).await })
        }
        Command::Status { check } => {
            let printed = with_session(|session| async move { status::status(&session, check, out).await });
            if check { printed.map_err(status::unreachable) } else { printed }
        }
        Command::Meetings { strays: true, .. } => {
            with_session(|session| async move { strays::list(&session, out).await })
        }
        Command::Meetings { command, .. } => {
            with_session(|session| async move { meetings::run(&session, command, out).await })
        }
        Command::Recordings { command } => {
            block_on(async { recordings::run(read_config()?, command, out).await })
        }
        Command::Callbacks { command } => {
            block_on(async { callbacks::run(read_config()?, command, out).await })
        }
        Command::Migrate => block_on(async { migrate::migrate(&read_config()?, out).await }),
        Command::Config(args) => config::config(args, out),
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

/// Redis did not answer a command; its URL, without the password, and the remedy.
#[derive(Debug, thiserror::Error)]
#[error("cannot reach Redis at {0} ({1})")]
struct RedisUnreachable(String, &'static str);

impl RedisUnreachable {
    fn new(error: &StoreError, config: &RedisConfig) -> RedisUnreachable {
        let remedy = match error.lacks_password() {
            true => "REDIS_URL must have its password: redis://:password@host",
            false => "set REDIS_URL",
        };
        RedisUnreachable(mask_url(&config.url, UrlUser::Password), remedy)
    }
}

/// What commands that use Redis work with.
struct Session {
    config: Arc<Config>,
    store: Store,
    servers: ServerClient,
}

impl Session {
    fn poller(&self) -> Poller {
        Poller::new(self.store.clone(), self.servers.clone(), self.config.clone())
    }

    /// Finds a server by its id, or by its host if only one server has that host.
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

fn block_on(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

fn read_config() -> anyhow::Result<Config> {
    Ok(Config::from_process()?)
}

/// Runs a command that uses Redis; fails immediately if Redis does not answer.
fn with_session<F, R>(run: F) -> anyhow::Result<()>
where
    F: FnOnce(Session) -> R,
    R: Future<Output = anyhow::Result<()>>,
{
    let config = Arc::new(read_config()?);
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        connection::check(&config.redis).await.map_err(|error| {
            let unreachable = RedisUnreachable::new(&error, &config.redis);
            anyhow::Error::new(error).context(unreachable)
        })?;
        let tls = tls::client_config(config.servers.extra_ca_file.as_deref())?;
        let session = Session {
            store: Store::new(&config.redis)?,
            servers: ServerClient::new(&config.servers, &tls, config.api.sign_with),
            config: config.clone(),
        };
        run(session).await
    })
}
