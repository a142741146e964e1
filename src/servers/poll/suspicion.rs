//! A request failed on a server: that is counted against it, and it is polled now, rather than at
//! the next round. Only a poll takes it offline, so that one odd request does not.

use super::{PollError, UNFENCED, ask, write};
use crate::config::Config;
use crate::servers::{Backend, BackendError};
use crate::store::{ServerRef, Store, SuspectOutcome};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// When many requests fail on a server at the same time, one of them tells.
const APART: Duration = Duration::from_millis(200);

/// A server that fails at once is asked again after this: a web server that restarts is no outage.
const SECOND_LOOK: Duration = Duration::from_secs(1);

/// What one thread has reported lately. Cheap to clone.
#[derive(Clone, Default)]
pub struct Suspicions {
    lately: Arc<Mutex<HashMap<String, Instant>>>,
}

impl Suspicions {
    /// Reports a failure, in the background. Must be called inside a runtime.
    pub fn report(
        &self,
        store: &Store,
        backend: &Backend,
        config: &Arc<Config>,
        server: &ServerRef,
        failure: &BackendError,
    ) {
        if !failure.is_the_servers() || !self.is_news(&server.id) {
            return;
        }
        let (store, backend, config) = (store.clone(), backend.clone(), config.clone());
        let server = server.clone();
        tokio::spawn(async move {
            if let Err(failure) = probe(&store, &backend, &config, &server).await {
                failure.log(&server);
            }
        });
    }

    fn is_news(&self, server: &str) -> bool {
        let now = Instant::now();
        let mut lately = self.lately.lock().unwrap_or_else(PoisonError::into_inner);
        lately.retain(|_, told| now.duration_since(*told) < APART);
        if lately.contains_key(server) {
            return false;
        }
        lately.insert(server.to_owned(), now);
        true
    }
}

async fn probe(
    store: &Store,
    backend: &Backend,
    config: &Config,
    server: &ServerRef,
) -> Result<(), PollError> {
    let SuspectOutcome::Probe(delay) = store.suspect(&server.id, &config.poll).await? else {
        return Ok(());
    };
    tokio::time::sleep(delay).await;
    let begun = Instant::now();
    let mut started_ms = store.now_ms().await?;
    let mut answer = ask(backend, config, server).await;
    if answer.is_err() && begun.elapsed() < SECOND_LOOK {
        tokio::time::sleep(SECOND_LOOK).await;
        started_ms = store.now_ms().await?;
        answer = ask(backend, config, server).await;
    }
    write(store, config, server, started_ms, UNFENCED, answer).await.map(|_| ())
}
