//! File work that must not hold up a runtime's thread.

/// Why blocking work has no result.
#[derive(Debug, thiserror::Error)]
pub enum BlockingError {
    /// The runtime is shutting down, and the work has not begun.
    #[error("this process is stopping")]
    Stopping,
    /// The work panicked: a bug. The panic hook has logged where.
    #[error("internal error: blocking work panicked")]
    Panicked,
}

impl From<BlockingError> for std::io::Error {
    fn from(error: BlockingError) -> std::io::Error {
        std::io::Error::other(error)
    }
}

/// Runs `work` on a thread that may block. It runs to completion even if the caller is cancelled.
pub async fn run_blocking<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, E>
where
    T: Send + 'static,
    E: From<BlockingError> + Send + 'static,
{
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|failure| {
        Err(if failure.is_panic() { BlockingError::Panicked } else { BlockingError::Stopping }.into())
    })
}
