//! Worker threads: each has a current-thread runtime and accepts connections of every server.

use std::sync::Arc;
use std::{io, thread};

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::connection;
use crate::server::Server;

enum Order {
    Accept(Arc<Server>, std::net::TcpListener),
    Stop,
}

/// Gives orders to one worker thread.
#[derive(Clone)]
pub(crate) struct Worker(mpsc::UnboundedSender<Order>);

impl Worker {
    /// Starts a thread with a runtime of its own.
    pub(crate) fn start(name: String) -> io::Result<(Worker, thread::JoinHandle<()>)> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (sender, mut orders) = mpsc::unbounded_channel();
        let handle = thread::Builder::new().name(name).spawn(move || {
            runtime.block_on(async move {
                while let Some(Order::Accept(server, listener)) = orders.recv().await {
                    tokio::spawn(accept(server, listener));
                }
            });
        })?;
        Ok((Worker(sender), handle))
    }

    pub(crate) fn accept_on(&self, server: Arc<Server>, listener: std::net::TcpListener) {
        // A worker that is gone has been stopped; so has the server.
        let _ = self.0.send(Order::Accept(server, listener));
    }

    pub(crate) fn stop(&self) {
        let _ = self.0.send(Order::Stop);
    }
}

/// Accepts until the listening socket is shut down, then drops its connections.
async fn accept(server: Arc<Server>, listener: std::net::TcpListener) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(server = server.n, %error, "cannot accept"),
    };
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                while connections.try_join_next().is_some() {}
                server.tally.connections.one();
                // Only costs latency when it fails.
                let _ = stream.set_nodelay(true);
                connections.spawn(connection::serve(server.clone(), stream));
            }
            // What accept says of a socket that was shut down.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => return,
            Err(error) => {
                // Out of file descriptors, most likely: let some come back.
                tracing::warn!(server = server.n, %error, "accept failed");
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        }
    }
}
