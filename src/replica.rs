//! One running replica: its threads, and what runs on each.
//!
//! | thread | runs | started |
//! | --- | --- | --- |
//! | `api-0` … | requests; WORKER_THREADS threads | with the API |
//! | `index` | preparation of the tables, then callbacks | with the API or the importer, if there is a database |
//! | `importer` | the importer of recordings | with the importer |
//! | `poller` | the poller | with the poller |
//!
//! What runs on a thread is restarted if it panics or fails: see [`crate::supervisor`].
//!
//! Each thread has its own runtime, connection to Redis and pool of connections to servers: threads share
//! nothing but the settings.

use crate::app::App;
use crate::callbacks;
use crate::config::Config;
use crate::db::{DEFAULT_CONNECTIONS, Database, migrations};
use crate::directories;
use crate::health::{self, HealthCheck};
use crate::http::drain::DrainSignal;
use crate::http::listen;
use crate::net::tls;
use crate::recordings::import::{self, Importer};
use crate::recordings::{Index, Recordings, Storage};
use crate::routes;
use crate::servers::ServerClient;
use crate::servers::fan_out::FanOuts;
use crate::servers::poll::suspects::SuspectReporter;
use crate::servers::poll::{self, Poller};
use crate::servers::pool_version::PoolVersion;
use crate::store::Store;
use crate::supervisor::Tasks;
use anyhow::Context;
use rustls::ClientConfig;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::sync::{Semaphore, watch};
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

/// Blocking work (a copy of gigabytes, a disk that hangs, a name being resolved) delays the end of a thread
/// no longer than this.
const BLOCKING_WORK_GRACE: Duration = Duration::from_secs(1);

/// Bytes of forms that a replica holds while it does not know their checksums: 128 of the largest. With nginx in front,
/// which sends only complete requests, a form is held for microseconds.
const MAX_UNSIGNED_BYTES: usize = 32 * 1024 * 1024;

/// What runs inside a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles {
    /// Answers requests.
    pub api: bool,
    /// Takes part in the polls.
    pub poller: bool,
    /// Imports recordings.
    pub importer: bool,
}

/// A running replica. Its threads continue if it is dropped; see [`Replica::stop`].
pub struct Replica {
    address: Option<String>,
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
    tasks: Tasks,
}

/// What the threads are started with.
#[derive(Clone)]
struct Setup {
    config: Arc<Config>,
    tls: Arc<ClientConfig>,
    /// True once the replica stops.
    stopped: watch::Receiver<bool>,
    /// All that is supervised in this replica.
    tasks: Tasks,
}

/// What the threads that serve requests share.
#[derive(Clone)]
struct Shared {
    drain: Arc<DrainSignal>,
    /// See [`App::unsigned_bytes`].
    unsigned_bytes: Arc<Semaphore>,
    /// A permit for each connection.
    connections: Arc<Semaphore>,
}

impl Replica {
    /// Binds the listeners and starts the threads. Redis need not answer yet.
    pub fn start(config: Arc<Config>, roles: Roles) -> anyhow::Result<Replica> {
        let tls = tls::client_config(config.servers.extra_ca_file.as_deref())?;
        let (stop, stopped) = watch::channel(false);
        let tasks = Tasks::default();
        let mut replica = Replica { address: None, stop, threads: Vec::new(), tasks: tasks.clone() };
        let setup = Setup { config: config.clone(), tls, stopped, tasks };
        directories::check(&config, roles.api, roles.importer);
        if roles.api {
            replica.start_api(&setup)?;
        }
        if (roles.api || roles.importer) && config.recordings.enabled() {
            let setup = setup.clone();
            replica.spawn("index", move || deliver_callbacks(setup.clone(), roles.api))?;
        } else if roles.api && !config.recordings.disabled {
            info!("this pool has no recordings: DATABASE_URL is not set, or DB_DISABLED is");
        }
        if roles.importer {
            let setup = setup.clone();
            replica.spawn("importer", move || import_recordings(setup.clone()))?;
        }
        if roles.poller {
            replica.spawn("poller", move || poll_servers(setup.clone()))?;
        }
        Ok(replica)
    }

    /// The listening address: `http://host:port` or `unix:/path`; None without the API.
    pub fn address(&self) -> Option<&str> {
        self.address.as_deref()
    }

    /// Accepts no more requests, finishes those in flight within SHUTDOWN_GRACE, and ends all threads.
    pub fn stop(self) {
        self.stop.send_replace(true);
        for thread in self.threads {
            let _ = thread.join();
        }
    }

    fn start_api(&mut self, setup: &Setup) -> anyhow::Result<()> {
        let listen = &setup.config.listen;
        let listeners = listen::Listeners::bind(listen)
            .with_context(|| format!("cannot listen at {} (BIND, PORT)", listen.bind))?;
        self.address = Some(listeners.address().to_owned());
        let shared = Shared {
            drain: Arc::new(DrainSignal::default()),
            unsigned_bytes: Arc::new(Semaphore::new(MAX_UNSIGNED_BYTES)),
            connections: Arc::new(Semaphore::new(listen.max_connections)),
        };
        for (n, listener) in listeners.into_sockets().into_iter().enumerate() {
            let (setup, shared) = (setup.clone(), shared.clone());
            let name = format!("{}{n}", health::WORKER);
            // A restarted worker listens at the same socket, which the drain closes only if no copy is left.
            let spare = Arc::new(Mutex::new(Some(listener)));
            self.spawn(&name, move || {
                let listener = lock(&spare).as_ref().map(listen::Listener::try_clone);
                let (setup, shared) = (setup.clone(), shared.clone());
                tokio::spawn(drop_on_stop(spare.clone(), setup.stopped.clone()));
                async move { serve_requests(setup, listener.context("stopping")??, shared).await }
            })?;
        }
        Ok(())
    }

    /// Runs `work` on a thread with its own runtime, and restarts it there if it panics or fails.
    fn spawn<F>(&mut self, name: &str, work: impl FnMut() -> F + Send + 'static) -> anyhow::Result<()>
    where
        F: Future<Output = anyhow::Result<()>>,
    {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (tasks, stopped, task) = (self.tasks.clone(), self.stop.subscribe(), name.to_owned());
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            runtime.block_on(tasks.supervise(&task, stopped, work));
            runtime.shutdown_timeout(BLOCKING_WORK_GRACE);
        })?;
        self.threads.push(thread);
        Ok(())
    }
}

async fn drop_on_stop<T>(value: Arc<Mutex<Option<T>>>, mut stopped: watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stop| *stop).await;
    lock(&value).take();
}

fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve_requests(setup: Setup, listener: listen::Listener, shared: Shared) -> anyhow::Result<()> {
    let Setup { config, tls, stopped, tasks: supervised } = setup;
    let Shared { drain, unsigned_bytes, connections } = shared;
    let store = Store::new(&config.redis)?;
    let recordings = recordings(&config)?;
    let checked_index = recordings.clone().filter(|_| config.recordings.health_check);
    let servers = ServerClient::new(&config.servers, &tls, config.api.sign_with);
    let app = App {
        suspects: SuspectReporter::new(Poller::new(store.clone(), servers.clone(), config.clone())),
        health: HealthCheck::new(store.clone(), checked_index, supervised),
        recordings,
        pool_version: PoolVersion::new(store.clone()),
        fan_outs: FanOuts::default(),
        store,
        servers,
        config: config.clone(),
        unsigned_bytes,
    };
    tokio::spawn(keep_timer_due());
    tokio::spawn(app.store.clone().watch_registry());
    let tasks = TaskTracker::new();
    let service = routes::service(app, tasks.clone(), drain.clone());
    let drained = listen::serve(listener, service, &config.listen, &drain, &connections, stopped).await?;
    if drained.cut_off > 0 {
        warn!(connections = drained.cut_off, "SHUTDOWN_GRACE is over: connections were closed");
    }
    // Calls that must finish although their clients have disconnected.
    tasks.close();
    let _ = tokio::time::timeout_at(drained.deadline, tasks.wait()).await;
    info!("stopped");
    Ok(())
}

/// Always keeps a timer that is due soon. Otherwise each request sets the earliest timer of the runtime,
/// which then wakes itself by a write to its eventfd: 0.55 to 0.77 such writes for each request instead of
/// 0.02 to 0.04 ("Current figures" in docs/BENCHMARKS.md).
async fn keep_timer_due() {
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    loop {
        ticks.tick().await;
    }
}

/// None in a pool without recordings.
fn recordings(config: &Config) -> anyhow::Result<Option<Recordings>> {
    let settings = &config.recordings;
    let index = settings.enabled().then(|| Index::for_requests(settings)).flatten();
    Ok(match index {
        Some(index) => Some(Recordings { index, storage: Storage::new(settings)? }),
        None => None,
    })
}

/// Prepares the tables, then delivers callbacks. `has_redis` is false for an importer alone, which has no
/// Redis.
async fn deliver_callbacks(setup: Setup, has_redis: bool) -> anyhow::Result<()> {
    let Setup { config, tls, mut stopped, .. } = setup;
    let Some(db) = Database::for_background(&config.recordings, DEFAULT_CONNECTIONS) else {
        return Ok(());
    };
    tokio::select! {
        () = migrations::prepare(&db) => {}
        _ = stopped.wait_for(|stop| *stop) => {}
    }
    let store = if has_redis { Some(Store::new(&config.redis)?) } else { None };
    callbacks::run(db, store, &config, &tls, stopped).await;
    Ok(())
}

async fn import_recordings(setup: Setup) -> anyhow::Result<()> {
    let Setup { config, stopped, .. } = setup;
    let importer = Importer::new(&config)?.context("there is no index (DATABASE_URL)")?;
    import::run(importer, &config, stopped).await;
    Ok(())
}

async fn poll_servers(setup: Setup) -> anyhow::Result<()> {
    let Setup { config, tls, stopped, .. } = setup;
    let client = ServerClient::new(&config.servers, &tls, config.api.sign_with);
    let store = Store::new(&config.redis)?;
    poll::lease::run(Poller::new(store, client, config), stopped).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    #[test]
    fn what_panics_on_a_thread_of_a_replica_is_restarted_there() {
        static RUNS: AtomicU32 = AtomicU32::new(0);
        let (stop, _) = watch::channel(false);
        let mut replica = Replica { address: None, stop, threads: Vec::new(), tasks: Tasks::default() };
        let tasks = replica.tasks.clone();
        replica
            .spawn("poller", || async {
                if RUNS.fetch_add(1, Relaxed) == 0 {
                    panic!("a bug");
                }
                Ok(())
            })
            .unwrap();
        replica.threads.remove(0).join().unwrap();
        assert_eq!(RUNS.load(Relaxed), 2);
        assert_eq!(tasks.failed()[0].last, "panicked");
    }
}
