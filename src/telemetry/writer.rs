//! The way of log lines to standard error: a bounded queue, and one thread that writes. A full disk, a closed
//! pipe or a pipe without a reader costs log lines and nothing else.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};
use tracing::warn;
use tracing_subscriber::fmt::MakeWriter;

/// Lines that may wait to be written.
const MAX_QUEUED_LINES: usize = 8192;

/// Bytes that may wait to be written.
const MAX_QUEUED_BYTES: usize = 4 << 20;

/// Pause before a write to a pipe that is full and does not block is repeated.
const FULL_PIPE_PAUSE: Duration = Duration::from_millis(20);

/// Pause before a full queue is tried again by [`LogWriter::flush`].
const FLUSH_PAUSE: Duration = Duration::from_millis(5);

/// Takes whole log lines. Never blocks and never fails: a line that finds the queue full is dropped, and counted.
#[derive(Clone)]
pub struct LogWriter {
    queue: SyncSender<Entry>,
    counters: Arc<Counters>,
}

enum Entry {
    Line(Vec<u8>),
    /// Everything before this has been written once the sender is dropped.
    Flush(#[expect(dead_code, reason = "only dropped")] SyncSender<()>),
}

#[derive(Default)]
struct Counters {
    queued_bytes: AtomicUsize,
    /// Lines lost since the last time this was logged.
    lost_lines: AtomicU64,
}

impl LogWriter {
    /// Starts the thread that writes to `sink`.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(sink: impl Write + Send + 'static) -> io::Result<LogWriter> {
        let (queue, entries) = sync_channel(MAX_QUEUED_LINES);
        let counters = Arc::new(Counters::default());
        let writing = counters.clone();
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write_entries(&entries, LineSink { sink, in_line: false }, &writing))?;
        Ok(LogWriter { queue, counters })
    }

    /// Waits until all lines so far have been written, for at most `timeout`.
    pub fn flush(&self, timeout: Duration) {
        let deadline = Instant::now() + timeout;
        let (done, written) = sync_channel(0);
        let mut entry = Entry::Flush(done);
        while let Err(TrySendError::Full(unsent)) = self.queue.try_send(entry) {
            if Instant::now() >= deadline {
                return;
            }
            entry = unsent;
            std::thread::sleep(FLUSH_PAUSE);
        }
        let _ = written.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }
}

impl Write for &LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let Counters { queued_bytes, lost_lines } = &*self.counters;
        let queued = queued_bytes.fetch_add(line.len(), Relaxed);
        let fits = queued + line.len() <= MAX_QUEUED_BYTES;
        if !fits || self.queue.try_send(Entry::Line(line.to_vec())).is_err() {
            queued_bytes.fetch_sub(line.len(), Relaxed);
            lost_lines.fetch_add(1, Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = &'a LogWriter;

    fn make_writer(&'a self) -> &'a LogWriter {
        self
    }
}

fn write_entries(entries: &Receiver<Entry>, mut sink: LineSink<impl Write>, counters: &Counters) {
    for entry in entries {
        let Entry::Line(line) = entry else { continue };
        let written = sink.write_line(&line);
        counters.queued_bytes.fetch_sub(line.len(), Relaxed);
        if written.is_err() {
            counters.lost_lines.fetch_add(1, Relaxed);
            continue;
        }
        let lost = counters.lost_lines.swap(0, Relaxed);
        if lost > 0 {
            // Enqueued like any other line, in the format of the log.
            warn!(
                lines = lost,
                "log lines were lost: standard error could not be written, or not fast enough"
            );
        }
    }
}

/// Writes whole lines.
struct LineSink<W> {
    sink: W,
    /// A part of a line was written, and then an error came.
    in_line: bool,
}

impl<W: Write> LineSink<W> {
    fn write_line(&mut self, line: &[u8]) -> io::Result<()> {
        if self.in_line {
            self.write_all(b"\n")?;
            self.in_line = false;
        }
        self.write_all(line)
    }

    fn write_all(&mut self, mut rest: &[u8]) -> io::Result<()> {
        let length = rest.len();
        while !rest.is_empty() {
            match self.sink.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Another process that has this pipe open may have made it non-blocking.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    std::thread::sleep(FULL_PIPE_PAUSE)
                }
                Err(error) => {
                    self.in_line |= rest.len() < length;
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::sync::mpsc::{Sender, channel};

    /// Each write waits for a result: how many bytes it takes, or its error.
    struct Gate {
        results: Receiver<io::Result<usize>>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = self.results.recv().unwrap_or(Ok(usize::MAX))?.min(bytes.len());
            self.written.lock().unwrap().extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    type Results = Sender<io::Result<usize>>;

    fn gate() -> (LogWriter, Results, Arc<Mutex<Vec<u8>>>) {
        let (results, gated) = channel();
        let written = Arc::new(Mutex::new(Vec::new()));
        let writer = LogWriter::start(Gate { results: gated, written: written.clone() }).unwrap();
        (writer, results, written)
    }

    fn text(written: &Mutex<Vec<u8>>) -> String {
        String::from_utf8(written.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn a_sink_that_takes_nothing_blocks_no_one_and_costs_the_newest_lines() {
        let (writer, results, written) = gate();
        for n in 0..MAX_QUEUED_LINES + 100 {
            (&writer).write_all(format!("{n}\n").as_bytes()).unwrap();
        }
        writer.flush(Duration::from_millis(1));
        let lost = writer.counters.lost_lines.load(Relaxed);
        assert!((99..=100).contains(&lost), "{lost}");
        drop(results);
        writer.flush(Duration::from_secs(30));
        let text = text(&written);
        assert!(text.starts_with("0\n1\n2\n") && !text.contains(&format!("\n{}\n", MAX_QUEUED_LINES + 2)));
        assert_eq!(writer.counters.lost_lines.load(Relaxed), 0, "the loss has been logged");
    }

    #[test]
    fn queued_bytes_are_bounded() {
        let (writer, results, _written) = gate();
        let line = vec![b'x'; 1 << 20];
        for _ in 0..10 {
            (&writer).write_all(&line).unwrap();
        }
        assert_eq!(writer.counters.lost_lines.load(Relaxed), 6);
        drop(results);
        writer.flush(Duration::from_secs(30));
        assert_eq!(writer.counters.queued_bytes.load(Relaxed), 0);
    }

    #[test]
    fn a_write_error_costs_its_line_and_no_other() {
        let (writer, results, written) = gate();
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        for result in [Ok(100), Err(full()), Ok(2), Err(full())] {
            results.send(result).unwrap();
        }
        for line in ["first\n", "second\n", "third\n", "fourth\n"] {
            (&writer).write_all(line.as_bytes()).unwrap();
        }
        drop(results);
        writer.flush(Duration::from_secs(30));
        assert_eq!(text(&written), "first\nth\nfourth\n");
    }

    #[test]
    fn a_non_blocking_pipe_that_is_full_is_tried_again() {
        let (writer, results, written) = gate();
        for result in [Ok(2), Err(io::ErrorKind::WouldBlock.into()), Err(io::ErrorKind::Interrupted.into())] {
            results.send(result).unwrap();
        }
        (&writer).write_all(b"line\n").unwrap();
        drop(results);
        writer.flush(Duration::from_secs(30));
        assert_eq!(text(&written), "line\n");
    }
}
