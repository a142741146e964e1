//! Worker threads: each has a current-thread runtime and accepts connections of every server.

use std::sync::Arc;
use std::{io, thread};

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::connection;
use crate::server::Server;

enum Command {
    Accept(Arc<Server>, std::net::TcpListener),
    Stop,
}

/// Sends commands to one worker thread.
#[derive(Clone)]
pub(crate) struct Worker(mpsc::UnboundedSender<Command>);

impl Worker {
    /// Starts the thread.
    pub(crate) fn start(name: String) -> io::Result<(Worker, thread::JoinHandle<()>)> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (sender, mut commands) = mpsc::unbounded_channel();
        let handle = thread::Builder::new().name(name).spawn(move || {
            runtime.block_on(async move {
                while let Some(Command::Accept(server, listener)) = commands.recv().await {
                    tokio::spawn(accept(server, listener));
                }
            });
        })?;
        Ok((Worker(sender), handle))
    }

    pub(crate) fn accept_on(&self, server: Arc<Server>, listener: std::net::TcpListener) {
        // Fails only if the worker was stopped, and with it the server.
        let _ = self.0.send(Command::Accept(server, listener));
    }

    pub(crate) fn stop(&self) {
        let _ = self.0.send(Command::Stop);
    }
}

/// Accepts connections until the listening socket is shut down, then drops them.
async fn accept(server: Arc<Server>, listener: std::net::TcpListener) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(server = server.number, %error, "cannot accept"),
    };
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                while connections.try_join_next().is_some() {}
                server.counters.connections.increment();
                // A failure only costs latency.
                let _ = stream.set_nodelay(true);
                connections.spawn(connection::serve(server.clone(), stream));
            }
            // accept returns EINVAL once the socket is shut down.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => return,
            Err(error) => {
                // Usually out of file descriptors: wait for some to be closed.
                tracing::warn!(server = server.number, %error, "accept failed");
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        }
    }
}
