//! A query of all servers that several requests share. A request joins the next one that has not begun, so what
//! it gets is not older than the request; while one runs, all requests that arrive wait for the same next one.

use bytes::Bytes;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;

/// Fan-outs whose results are in memory: they run, or clients are reading them.
const MAX_IN_MEMORY: usize = 3;

/// The next one begins when the one before it has ended, or after this: a slow server delays no other request.
const TURN: Duration = Duration::from_secs(1);

/// How long a request waits until its fan-out may begin.
const BEGIN_TIMEOUT: Duration = Duration::from_secs(10);

/// The fan-outs of one thread. Cheap to clone.
#[derive(Clone)]
pub struct FanOuts {
    next: Arc<Mutex<Option<watch::Receiver<Collected>>>>,
    in_memory: Arc<Semaphore>,
    turn: Arc<Semaphore>,
    turn_lasts: Duration,
    begin_timeout: Duration,
}

/// What the servers have answered so far.
#[derive(Default)]
struct Collected {
    chunks: Vec<Bytes>,
    end: Option<Result<(), FanOutFailed>>,
    /// Returned when the last reader is gone.
    _in_memory: Option<OwnedSemaphorePermit>,
}

/// A fan-out could not begin, or did not complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the servers could not be queried")]
pub struct FanOutFailed;

/// The writing end of a fan-out.
pub struct FanOutWriter(watch::Sender<Collected>);

/// The reading end: all chunks from the first one on.
pub struct FanOutReader {
    shared: watch::Receiver<Collected>,
    position: usize,
}

impl Default for FanOuts {
    fn default() -> FanOuts {
        FanOuts {
            next: Arc::default(),
            in_memory: Arc::new(Semaphore::new(MAX_IN_MEMORY)),
            turn: Arc::new(Semaphore::new(1)),
            turn_lasts: TURN,
            begin_timeout: BEGIN_TIMEOUT,
        }
    }
}

impl FanOuts {
    /// Joins the next fan-out. If there is none yet, `query` becomes it. Must be called inside a runtime.
    pub fn join<F>(&self, query: impl FnOnce(FanOutWriter) -> F + Send + 'static) -> FanOutReader
    where
        F: Future<Output = Result<(), FanOutFailed>> + Send + 'static,
    {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = next.get_or_insert_with(|| {
            let (writer, shared) = watch::channel(Collected::default());
            tokio::spawn(self.clone().run(writer, query));
            shared
        });
        FanOutReader { shared: shared.clone(), position: 0 }
    }

    async fn run<F>(self, writer: watch::Sender<Collected>, query: impl FnOnce(FanOutWriter) -> F + Send)
    where
        F: Future<Output = Result<(), FanOutFailed>> + Send,
    {
        let begin = async {
            let in_memory = self.in_memory.clone().acquire_owned().await;
            (in_memory, self.turn.clone().acquire_owned().await)
        };
        let permits = timeout(self.begin_timeout, begin).await;
        // From here on, requests join another one.
        self.next.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Ok((Ok(in_memory), Ok(turn))) = permits else {
            writer.send_modify(|collected| collected.end = Some(Err(FanOutFailed)));
            return;
        };
        writer.send_modify(|collected| collected._in_memory = Some(in_memory));
        let end = writer.clone();
        let mut querying = std::pin::pin!(query(FanOutWriter(writer)));
        let result = match timeout(self.turn_lasts, &mut querying).await {
            Ok(result) => {
                drop(turn);
                result
            }
            Err(_) => {
                drop(turn);
                querying.await
            }
        };
        end.send_modify(|collected| collected.end = Some(result));
    }
}

impl FanOutWriter {
    /// Adds a chunk for all readers. False if none is left.
    pub fn push(&self, chunk: Bytes) -> bool {
        self.0.send_modify(|collected| collected.chunks.push(chunk));
        !self.0.is_closed()
    }
}

impl FanOutReader {
    /// The next chunk; None after the last one.
    pub async fn next(&mut self) -> Option<Result<Bytes, FanOutFailed>> {
        loop {
            {
                let collected = self.shared.borrow_and_update();
                if let Some(chunk) = collected.chunks.get(self.position) {
                    self.position += 1;
                    return Some(Ok(chunk.clone()));
                }
                match collected.end {
                    Some(Ok(())) => return None,
                    Some(Err(failed)) => return Some(Err(failed)),
                    None => {}
                }
            }
            // Its task ended without a result.
            if self.shared.changed().await.is_err() {
                return Some(Err(FanOutFailed));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::Notify;

    async fn read(mut reader: FanOutReader) -> Result<Vec<Bytes>, FanOutFailed> {
        let mut chunks = Vec::new();
        while let Some(chunk) = reader.next().await {
            chunks.push(chunk?);
        }
        Ok(chunks)
    }

    #[tokio::test]
    async fn requests_share_the_next_fan_out_and_never_one_that_has_begun() {
        let (fan_outs, begun, go) =
            (FanOuts::default(), Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let join = || {
            let (begun, go) = (begun.clone(), go.clone());
            fan_outs.join(move |writer| async move {
                let number = begun.fetch_add(1, Ordering::SeqCst);
                writer.push(Bytes::from(number.to_string()));
                go.notified().await;
                writer.push(Bytes::from_static(b"end"));
                Ok(())
            })
        };
        let mut first = join();
        assert_eq!(first.next().await, Some(Ok(Bytes::from_static(b"0"))), "before it has ended");
        let others: Vec<_> = (0..30).map(|_| join()).collect();
        tokio::task::yield_now().await;
        assert_eq!(begun.load(Ordering::SeqCst), 1, "the next one waits");
        go.notify_one();
        assert_eq!(read(first).await.unwrap(), ["end"]);
        go.notify_one();
        for other in others {
            assert_eq!(read(other).await.unwrap(), ["1", "end"]);
        }
        assert_eq!(begun.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_slow_fan_out_does_not_stop_the_next_one() {
        let fan_outs = FanOuts { turn_lasts: Duration::from_millis(1), ..FanOuts::default() };
        let mut slow = fan_outs.join(|writer| async move {
            writer.push(Bytes::from_static(b"slow"));
            std::future::pending().await
        });
        slow.next().await;
        let next = read(fan_outs.join(|_| async { Ok(()) })).await;
        assert_eq!(next, Ok(vec![]));
    }

    #[tokio::test]
    async fn results_in_memory_are_bounded_and_freed_with_their_last_reader() {
        let fan_outs = FanOuts { begin_timeout: Duration::from_millis(50), ..FanOuts::default() };
        let mut unread = Vec::new();
        for _ in 0..MAX_IN_MEMORY {
            let mut reader = fan_outs.join(|writer| async move {
                writer.push(Bytes::from_static(b"x"));
                Ok(())
            });
            reader.next().await;
            unread.push(reader);
        }
        assert_eq!(read(fan_outs.join(|_| async { Ok(()) })).await, Err(FanOutFailed), "after a while");
        unread.pop();
        assert_eq!(read(fan_outs.join(|_| async { Ok(()) })).await, Ok(vec![]));
    }

    #[tokio::test]
    async fn a_failure_reaches_all_readers_and_a_writer_learns_that_none_is_left() {
        let fan_outs = FanOuts::default();
        let reader = fan_outs.join(|_| async { Err(FanOutFailed) });
        assert_eq!(read(reader).await, Err(FanOutFailed));
        let (go, (said, hears)) = (Arc::new(Notify::new()), tokio::sync::oneshot::channel());
        let wait = go.clone();
        let mut reader = fan_outs.join(move |writer| async move {
            writer.push(Bytes::from_static(b"x"));
            wait.notified().await;
            said.send(writer.push(Bytes::from_static(b"y"))).unwrap();
            Ok(())
        });
        reader.next().await;
        drop(reader);
        go.notify_one();
        assert_eq!(hears.await, Ok(false));
    }
}
