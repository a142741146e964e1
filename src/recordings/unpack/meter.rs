//! Reads the tar from whatever it is compressed with. Counts its bytes against the limits, and tells whether an
//! error is the archive's fault or the disk's.

use super::{BadArchive, MIN_BYTES_FOR_RATIO, UnpackControl, UnpackError, UnpackLimits};
use flate2::bufread::MultiGzDecoder;
use liblzma::bufread::XzDecoder;
use liblzma::stream::{CONCATENATED, Stream};
use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::path::PathBuf;
use std::rc::Rc;

/// Headers before each member, with those that only hold a long name, may have this many bytes. The tar crate
/// reads them into memory, whatever size they announce.
const MAX_HEADER_BYTES: u64 = 256 * 1024;
/// Zeros may follow the end of a tar: the writer's blocking factor decides how many.
const MAX_TRAILER_BYTES: u64 = 16 * 1024 * 1024;
/// An xz archive that needs more memory than this to unpack is bad. `xz -9` needs 65 MiB.
const MAX_XZ_MEMORY_BYTES: u64 = 256 * 1024 * 1024;
const BUFFER_BYTES: usize = 256 * 1024;
/// An error's text comes from the archive and goes to a log: escaped, and cut to this.
const MAX_ERROR_CHARS: usize = 200;

/// The counters, shared with the readers.
pub(super) struct ReadMeter<'a>(Rc<MeterState<'a>>);

struct MeterState<'a> {
    limits: &'a UnpackLimits,
    control: &'a UnpackControl,
    /// Read from the archive.
    archive_bytes: Cell<u64>,
    /// Read from the tar in it.
    tar_bytes: Cell<u64>,
    /// Of files, holes and copies included.
    file_bytes: Cell<u64>,
    /// `tar_bytes` may not exceed this while a header is read.
    header_limit: Cell<u64>,
    /// The tar has been read to its end.
    is_at_end: Cell<bool>,
    /// Why a reader failed, which its `io::Error` cannot say.
    failure: RefCell<Option<UnpackError>>,
}

/// What the tar crate reads from.
pub(super) type TarStream<'a> = TarReader<'a, Box<dyn Read + 'a>>;

impl<'a> ReadMeter<'a> {
    pub(super) fn open(
        archive: &'a File,
        limits: &'a UnpackLimits,
        control: &'a UnpackControl,
    ) -> Result<(ReadMeter<'a>, TarStream<'a>), UnpackError> {
        let state = Rc::new(MeterState {
            limits,
            control,
            archive_bytes: Cell::new(0),
            tar_bytes: Cell::new(0),
            file_bytes: Cell::new(0),
            header_limit: Cell::new(u64::MAX),
            is_at_end: Cell::new(false),
            failure: RefCell::new(None),
        });
        let meter = ReadMeter(state.clone());
        let reader = ArchiveReader { file: archive, state: state.clone() };
        let mut reader = BufReader::with_capacity(BUFFER_BYTES, reader);
        let magic = reader.fill_buf().map_err(|error| meter.explain(&error))?;
        let unreadable = |error: io::Error| BadArchive::Damaged(error.to_string());
        let tar: Box<dyn Read + 'a> = match magic {
            [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(reader)),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => {
                Box::new(zstd::stream::read::Decoder::with_buffer(reader).map_err(unreadable)?)
            }
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => {
                let stream = Stream::new_stream_decoder(MAX_XZ_MEMORY_BYTES, CONCATENATED)
                    .map_err(|error| unreadable(error.into()))?;
                Box::new(XzDecoder::new_stream(reader, stream))
            }
            _ => Box::new(reader),
        };
        Ok((meter, TarReader { tar, state }))
    }

    /// Bytes of the tar that were read.
    pub(super) fn tar_bytes(&self) -> u64 {
        self.0.tar_bytes.get()
    }

    /// From here on a header is read.
    pub(super) fn begin_header(&self) {
        self.0.header_limit.set(self.0.tar_bytes.get() + MAX_HEADER_BYTES);
    }

    /// The header has been read.
    pub(super) fn end_header(&self) {
        self.0.header_limit.set(u64::MAX);
    }

    /// Counts bytes of a file before they are written.
    pub(super) fn count_file_bytes(&self, bytes: u64) -> Result<(), UnpackError> {
        if self.0.control.is_stopped() {
            return Err(UnpackError::Stopped);
        }
        self.0.file_bytes.set(self.0.file_bytes.get() + bytes);
        Ok(self.0.check_limits()?)
    }

    /// The meaning of a reader's error.
    pub(super) fn explain(&self, error: &io::Error) -> UnpackError {
        if let Some(failure) = self.0.failure.borrow_mut().take() {
            return failure;
        }
        if self.0.is_at_end.get() || error.kind() == ErrorKind::UnexpectedEof {
            return self.truncated();
        }
        let text: String = error.to_string().escape_debug().take(MAX_ERROR_CHARS).collect();
        BadArchive::Damaged(text).into()
    }

    /// The archive ends too early.
    pub(super) fn truncated(&self) -> UnpackError {
        BadArchive::Truncated(self.0.archive_bytes.get()).into()
    }

    /// Reads the zeros after the end of the tar. This also makes the decoder verify the checksum of a
    /// compressed archive.
    pub(super) fn read_trailer(&self, mut reader: TarStream<'_>) -> Result<(), UnpackError> {
        self.end_header();
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut length = 0;
        loop {
            let n = reader.read(&mut buffer).map_err(|error| self.explain(&error))?;
            if n == 0 {
                return Ok(());
            }
            length += n as u64;
            if length > MAX_TRAILER_BYTES || buffer[..n].iter().any(|byte| *byte != 0) {
                return Err(BadArchive::Damaged("data follows the end of the archive".into()).into());
            }
        }
    }
}

impl MeterState<'_> {
    fn check_limits(&self) -> Result<(), BadArchive> {
        let UnpackLimits { max_bytes, max_ratio, .. } = *self.limits;
        let bytes = self.tar_bytes.get().max(self.file_bytes.get());
        // Headers do not count against the limit of the files.
        if self.file_bytes.get() > max_bytes {
            return Err(BadArchive::Limit(max_bytes, "bytes"));
        }
        if bytes > MIN_BYTES_FOR_RATIO && bytes / self.archive_bytes.get().max(1) > max_ratio {
            return Err(BadArchive::Limit(max_ratio, "bytes for each byte of the archive"));
        }
        Ok(())
    }

    /// Keeps the failure for [`ReadMeter::explain`].
    fn fail(&self, failure: UnpackError) -> io::Error {
        *self.failure.borrow_mut() = Some(failure);
        io::Error::other("see ReadMeter::explain")
    }
}

/// Reads the archive as it is on disk.
struct ArchiveReader<'a> {
    file: &'a File,
    state: Rc<MeterState<'a>>,
}

impl Read for ArchiveReader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let state = &self.state;
        if state.control.is_stopped() {
            return Err(state.fail(UnpackError::Stopped));
        }
        match (&mut &*self.file).read(into) {
            Ok(n) => {
                state.archive_bytes.set(state.archive_bytes.get() + n as u64);
                state.control.set_bytes_read(state.archive_bytes.get());
                Ok(n)
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Err(error),
            // The disk or the network, whatever the archive contains.
            Err(source) => {
                let path = PathBuf::from("the archive");
                Err(state.fail(UnpackError::Io { what: "read", path, source }))
            }
        }
    }
}

/// Reads the tar in the archive.
pub(super) struct TarReader<'a, R> {
    tar: R,
    state: Rc<MeterState<'a>>,
}

impl<R: Read> Read for TarReader<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = self.tar.read(into)?;
        let state = &self.state;
        if n == 0 && !into.is_empty() {
            state.is_at_end.set(true);
        }
        state.tar_bytes.set(state.tar_bytes.get() + n as u64);
        if state.tar_bytes.get() > state.header_limit.get() {
            let why = BadArchive::Damaged(format!("a header of more than {MAX_HEADER_BYTES} bytes"));
            return Err(state.fail(why.into()));
        }
        state.check_limits().map_err(|bad| state.fail(bad.into()))?;
        Ok(n)
    }
}
