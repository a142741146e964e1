//! One running replica: worker threads that serve requests, a thread for the poller, one for callbacks, and
//! one for the importer of recordings where it is asked for. Each
//! thread has a runtime, a connection to Redis and a pool of connections to servers of its own, so
//! that nothing is shared between threads but the settings.

use crate::app::App;
use crate::callbacks;
use crate::config::Config;
use crate::db::{DEFAULT_CONNECTIONS, Database, migrations};
use crate::http::drain::DrainSignal;
use crate::http::listen;
use crate::net::connector;
use crate::recordings::import::{self, Importer};
use crate::recordings::{Index, Recordings, Storage};
use crate::routes;
use crate::servers::poll::suspicion::Suspicions;
use crate::servers::{Backend, poll};
use crate::store::Store;
use anyhow::Context;
use rustls::ClientConfig;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

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

/// A replica that is running. Dropping it leaves its threads running; see [`Replica::stop`].
pub struct Replica {
    address: Option<String>,
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
}

impl Replica {
    /// Binds, and starts the threads. Redis need not be there yet.
    pub fn start(config: Arc<Config>, roles: Roles) -> anyhow::Result<Replica> {
        let tls = connector::tls(&config.backend)?;
        let (stop, stopped) = watch::channel(false);
        let mut replica = Replica { address: None, stop, threads: Vec::new() };
        if roles.api {
            let listeners = listen::Listeners::bind(&config.listen)
                .with_context(|| format!("cannot listen at {:?} (BIND, PORT)", config.listen.bind))?;
            replica.address = Some(listeners.address().to_owned());
            let drain = Arc::new(DrainSignal::default());
            for (n, listener) in listeners.into_sockets().into_iter().enumerate() {
                let (config, tls, stopped) = (config.clone(), tls.clone(), stopped.clone());
                let drain = drain.clone();
                replica.spawn(&format!("api-{n}"), move |runtime| {
                    let result = runtime.block_on(worker(config, &tls, listener, drain, stopped));
                    // A copy of gigabytes, or a disk that hangs, does not keep the process.
                    runtime.shutdown_timeout(Duration::from_secs(1));
                    result
                })?;
            }
        }
        if (roles.api || roles.importer) && config.recordings.enabled() {
            let (config, tls, mut stopped) = (config.clone(), tls.clone(), stopped.clone());
            replica.spawn("index", move |runtime| {
                runtime.block_on(async {
                    let Some(db) = Database::for_background(&config.recordings, DEFAULT_CONNECTIONS) else {
                        return Ok(());
                    };
                    tokio::select! {
                        () = migrations::prepare(&db) => {}
                        _ = stopped.wait_for(|stop| *stop) => {}
                    }
                    // The importer alone has no Redis.
                    let store = if roles.api { Some(Store::new(&config.redis)?) } else { None };
                    callbacks::run(db, store, &config, &tls, stopped).await;
                    anyhow::Ok(())
                })?;
                // A name that is being looked up does not keep the process.
                runtime.shutdown_timeout(Duration::from_secs(1));
                Ok(())
            })?;
        } else if roles.api && !config.recordings.disabled {
            info!("this pool has no recordings: DATABASE_URL is not set, or DB_DISABLED is");
        }
        if roles.importer {
            let (config, stopped) = (config.clone(), stopped.clone());
            replica.spawn("importer", move |runtime| {
                runtime.block_on(async {
                    let importer = Importer::new(&config)?.context("there is no index (DATABASE_URL)")?;
                    import::run(importer, &config, stopped).await;
                    anyhow::Ok(())
                })?;
                // A disk that hangs does not keep the process.
                runtime.shutdown_timeout(Duration::from_secs(1));
                Ok(())
            })?;
        }
        if roles.poller {
            replica.spawn("poller", move |runtime| {
                runtime.block_on(async {
                    let backend = Backend::new(&config.backend, &tls, config.api.sign_with);
                    let store = Store::new(&config.redis)?;
                    poll::lease::run(store, backend, config, stopped).await;
                    Ok(())
                })
            })?;
        }
        Ok(replica)
    }

    /// Where it listens: `http://host:port` or `unix:/path`; None without the API.
    pub fn address(&self) -> Option<&str> {
        self.address.as_deref()
    }

    /// Takes no more requests, waits for those that have begun (at most SHUTDOWN_GRACE), ends.
    pub fn stop(self) {
        self.stop.send_replace(true);
        for thread in self.threads {
            let _ = thread.join();
        }
    }

    fn spawn(
        &mut self,
        name: &str,
        run: impl FnOnce(Runtime) -> anyhow::Result<()> + Send + 'static,
    ) -> anyhow::Result<()> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            if let Err(failure) = run(runtime) {
                tracing::error!(%failure, "a thread has ended");
            }
        })?;
        self.threads.push(thread);
        Ok(())
    }
}

/// The recordings, where the settings say that there are some.
fn recordings(config: &Config) -> anyhow::Result<Option<Recordings>> {
    let settings = &config.recordings;
    let index = settings.enabled().then(|| Index::for_requests(settings)).flatten();
    Ok(match index {
        Some(index) => Some(Recordings { index, storage: Storage::new(settings)? }),
        None => None,
    })
}

async fn worker(
    config: Arc<Config>,
    tls: &Arc<ClientConfig>,
    listener: listen::Listener,
    drain: Arc<DrainSignal>,
    stopped: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let app = App {
        store: Store::new(&config.redis)?,
        backend: Backend::new(&config.backend, tls, config.api.sign_with),
        recordings: recordings(&config)?,
        config: config.clone(),
        suspicions: Suspicions::default(),
    };
    // A timer that is due soon keeps the runtime from waking itself through a system call each time
    // a request sets one that is due earlier than all others.
    tokio::spawn(async {
        let mut ticks = tokio::time::interval(Duration::from_millis(100));
        loop {
            ticks.tick().await;
        }
    });
    let tasks = TaskTracker::new();
    let service = routes::service(app, tasks.clone(), drain.clone());
    let drained = listen::serve(listener, service, &config.listen, &drain, stopped).await?;
    if drained.cut_off > 0 {
        warn!(connections = drained.cut_off, "SHUTDOWN_GRACE is over: connections were cut off");
    }
    // What clients who hung up had begun.
    tasks.close();
    let _ = tokio::time::timeout_at(drained.deadline, tasks.wait()).await;
    info!("stopped");
    Ok(())
}
