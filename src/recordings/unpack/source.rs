//! The bytes of a tar file, out of whatever it is compressed with, and what they say of the archive
//! when something goes wrong: it, or the disk, or nobody.

use super::{BadArchive, Limits, RATIO_COUNTS_FROM, UnpackControl, UnpackError};
use flate2::bufread::MultiGzDecoder;
use liblzma::bufread::XzDecoder;
use liblzma::stream::{CONCATENATED, Stream};
use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::path::PathBuf;
use std::rc::Rc;

/// Headers, and names in headers of their own, may take this much before each member. The tar crate
/// reads them into memory, however large they say they are.
const HEADER_BUDGET: u64 = 256 * 1024;
/// Blocks of zeros may follow the end of a tar; the writer's blocking factor decides how many.
const LONGEST_END: u64 = 16 * 1024 * 1024;
/// An xz archive that needs more memory than this to unpack is refused. `xz -9` needs 65 MiB.
const XZ_MEMORY: u64 = 256 * 1024 * 1024;
const BUFFER: usize = 256 * 1024;

/// What is known of the reading. The readers share it.
pub(super) struct Source<'a>(Rc<State<'a>>);

struct State<'a> {
    limits: &'a Limits,
    control: &'a UnpackControl,
    /// Bytes of the file.
    packed: Cell<u64>,
    /// Bytes of the tar.
    plain: Cell<u64>,
    /// Bytes of files, holes and copies included.
    written: Cell<u64>,
    /// `plain` may not pass this while a header is read.
    header_until: Cell<u64>,
    /// The tar has been read to its end.
    ended: Cell<bool>,
    /// Why a reader failed, which its io::Error does not say.
    failed: RefCell<Option<UnpackError>>,
}

/// What the tar crate reads from.
pub(super) type Reader<'a> = Metered<'a, Box<dyn Read + 'a>>;

impl<'a> Source<'a> {
    pub(super) fn open(
        archive: &'a File,
        limits: &'a Limits,
        control: &'a UnpackControl,
    ) -> Result<(Source<'a>, Reader<'a>), UnpackError> {
        let state = Rc::new(State {
            limits,
            control,
            packed: Cell::new(0),
            plain: Cell::new(0),
            written: Cell::new(0),
            header_until: Cell::new(u64::MAX),
            ended: Cell::new(false),
            failed: RefCell::new(None),
        });
        let source = Source(state.clone());
        let mut file = BufReader::with_capacity(BUFFER, Packed { file: archive, state: state.clone() });
        let magic = file.fill_buf().map_err(|error| source.explain(&error))?;
        let unreadable = |error: io::Error| BadArchive::Damaged(error.to_string());
        let plain: Box<dyn Read + 'a> = match magic {
            [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(file)),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => {
                Box::new(zstd::stream::read::Decoder::with_buffer(file).map_err(unreadable)?)
            }
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => {
                let stream = Stream::new_stream_decoder(XZ_MEMORY, CONCATENATED)
                    .map_err(|error| unreadable(error.into()))?;
                Box::new(XzDecoder::new_stream(file, stream))
            }
            _ => Box::new(file),
        };
        Ok((source, Metered { plain, state }))
    }

    /// Bytes of the tar that were read.
    pub(super) fn plain(&self) -> u64 {
        self.0.plain.get()
    }

    /// A header comes next.
    pub(super) fn expect_header(&self) {
        self.0.header_until.set(self.0.plain.get() + HEADER_BUDGET);
    }

    /// The header is over.
    pub(super) fn expect_data(&self) {
        self.0.header_until.set(u64::MAX);
    }

    /// So many bytes of a file are about to be written.
    pub(super) fn grow(&self, bytes: u64) -> Result<(), UnpackError> {
        if self.0.control.is_stopped() {
            return Err(UnpackError::Stopped);
        }
        self.0.written.set(self.0.written.get() + bytes);
        Ok(self.0.check()?)
    }

    /// What a reader's error means.
    pub(super) fn explain(&self, error: &io::Error) -> UnpackError {
        if let Some(failed) = self.0.failed.borrow_mut().take() {
            return failed;
        }
        if self.0.ended.get() || error.kind() == ErrorKind::UnexpectedEof {
            return self.truncated();
        }
        let text: String = error.to_string().escape_debug().take(200).collect();
        BadArchive::Damaged(text).into()
    }

    /// The archive ends too early.
    pub(super) fn truncated(&self) -> UnpackError {
        BadArchive::Truncated(self.0.packed.get()).into()
    }

    /// Reads what follows the end of the tar, which are zeros, and so has the checksums of
    /// compressed archives checked.
    pub(super) fn drain(&self, mut reader: Reader<'_>) -> Result<(), UnpackError> {
        self.expect_data();
        let mut buffer = vec![0; BUFFER];
        let mut length = 0;
        loop {
            let n = reader.read(&mut buffer).map_err(|error| self.explain(&error))?;
            if n == 0 {
                return Ok(());
            }
            length += n as u64;
            if length > LONGEST_END || buffer[..n].iter().any(|byte| *byte != 0) {
                return Err(BadArchive::Damaged("something follows the end of the archive".into()).into());
            }
        }
    }
}

impl State<'_> {
    fn check(&self) -> Result<(), BadArchive> {
        let bytes = self.plain.get().max(self.written.get());
        // The headers are not counted against the limit of the files.
        if self.written.get() > self.limits.bytes {
            return Err(BadArchive::Limit(self.limits.bytes, "bytes"));
        }
        if bytes > RATIO_COUNTS_FROM && bytes / self.packed.get().max(1) > self.limits.ratio {
            return Err(BadArchive::Limit(self.limits.ratio, "bytes for each byte of the archive"));
        }
        Ok(())
    }

    fn fail(&self, error: UnpackError) -> io::Error {
        *self.failed.borrow_mut() = Some(error);
        io::Error::other("see the source")
    }
}

/// The file as it is.
struct Packed<'a> {
    file: &'a File,
    state: Rc<State<'a>>,
}

impl Read for Packed<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.state.control.is_stopped() {
            return Err(self.state.fail(UnpackError::Stopped));
        }
        match (&mut &*self.file).read(into) {
            Ok(n) => {
                self.state.packed.set(self.state.packed.get() + n as u64);
                self.state.control.read.store(self.state.packed.get(), std::sync::atomic::Ordering::Relaxed);
                Ok(n)
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Err(error),
            // The disk or the network, whatever the archive holds.
            Err(source) => Err(self.state.fail(UnpackError::Io {
                what: "read",
                path: PathBuf::from("the archive"),
                source,
            })),
        }
    }
}

/// The tar in it.
pub(super) struct Metered<'a, R> {
    plain: R,
    state: Rc<State<'a>>,
}

impl<R: Read> Read for Metered<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = self.plain.read(into)?;
        let state = &self.state;
        if n == 0 && !into.is_empty() {
            state.ended.set(true);
        }
        state.plain.set(state.plain.get() + n as u64);
        if state.plain.get() > state.header_until.get() {
            let why = BadArchive::Damaged(format!("a header of more than {HEADER_BUDGET} bytes"));
            return Err(state.fail(why.into()));
        }
        state.check().map_err(|bad| state.fail(bad.into()))?;
        Ok(n)
    }
}
