//! A private S3: s3s implements the protocol and checks signatures, s3s-fs stores the objects as files. In front
//! of it is an unreliable network.

use s3s::auth::SimpleAuth;
use s3s::dto::*;
use s3s::service::S3ServiceBuilder;
use s3s::{S3, S3Request, S3Response, S3Result};
use s3s_fs::FileSystem;
use sl::config::Config;
use sl::recordings::Storage;
use std::collections::{BTreeMap, HashMap};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;

const BUCKET: &str = "recordings";
const ACCESS_KEY: &str = "AKtests";
pub const SECRET_KEY: &str = "SKtests-never-in-a-log";

/// See the module. Lives until the test process ends.
pub struct Bucket {
    directory: TempDir,
    names: Arc<KeyNames>,
    pub network: Network,
}

impl Bucket {
    pub fn start() -> Bucket {
        // In memory: every object is three files.
        let directory = TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap();
        std::fs::create_dir(directory.path().join(BUCKET)).unwrap();
        let names = Arc::new(KeyNames::default());
        let bucket = directory.path().join(BUCKET);
        let store =
            ShortKeyStore { store: FileSystem::new(directory.path()).unwrap(), names: names.clone(), bucket };
        let mut service = S3ServiceBuilder::new(store);
        service.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let service = service.build();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        listener.set_nonblocking(true).unwrap();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                while let Ok((socket, _)) = listener.accept().await {
                    let service = service.clone();
                    tokio::spawn(async move {
                        let socket = hyper_util::rt::TokioIo::new(socket);
                        let executor = hyper_util::rt::TokioExecutor::new();
                        let _ = hyper_util::server::conn::auto::Builder::new(executor)
                            .serve_connection(socket, service)
                            .await;
                    });
                }
            });
        });
        Bucket { directory, names, network: Network::in_front_of(port) }
    }

    /// The settings that make `sl` use it.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        vec![
            ("S3_RECORDING", "true".into()),
            ("S3_BUCKET_NAME", BUCKET.into()),
            ("S3_ENDPOINT", format!("http://127.0.0.1:{}", self.network.port)),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY.into()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.into()),
        ]
    }

    /// A storage that uses it.
    pub fn storage(&self) -> Storage {
        let variables = self.variables();
        let config =
            Config::read(&|name| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| value.clone()));
        Storage::new(&config.unwrap().recordings).unwrap()
    }

    fn root(&self) -> PathBuf {
        self.directory.path().join(BUCKET)
    }

    /// Every object: key and bytes.
    pub fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        let mut objects = BTreeMap::new();
        let mut pending = vec![self.root()];
        while let Some(directory) = pending.pop() {
            for path in std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
                if path.is_dir() {
                    pending.push(path);
                } else {
                    let key = path.strip_prefix(self.root()).unwrap().to_str().unwrap().to_owned();
                    objects.insert(self.names.long(&key), std::fs::read(&path).unwrap());
                }
            }
        }
        objects
    }

    /// The keys of all objects.
    pub fn keys(&self) -> Vec<String> {
        self.objects().into_keys().collect()
    }

    /// Writes an object directly, not over the network.
    pub fn put(&self, key: &str, bytes: &[u8]) {
        let path = self.root().join(self.names.short(key));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    /// Deletes an object directly.
    pub fn remove(&self, key: &str) {
        std::fs::remove_file(self.root().join(self.names.short(key))).unwrap();
    }

    /// The writes, copies and deletes since the last call of this, in order: `put_object KEY`.
    pub fn changes(&self) -> Vec<String> {
        let mut calls = std::mem::take(&mut *self.names.1.lock().unwrap());
        calls.retain(|call| !call.starts_with("get_object") && !call.starts_with("head_object"));
        calls
    }

    /// Multipart uploads that were started and neither completed nor aborted.
    pub fn unfinished_uploads(&self) -> usize {
        let names = std::fs::read_dir(self.directory.path()).unwrap();
        names
            .filter(|entry| entry.as_ref().unwrap().file_name().to_str().unwrap().starts_with(".upload-"))
            .count()
    }
}

/// s3s-fs uses whole keys as file names, and keys of recordings are too long for that: long parts of keys are
/// replaced by short names.
#[derive(Default)]
struct KeyNames(Mutex<(HashMap<String, String>, Vec<String>)>, Mutex<Vec<String>>);

impl KeyNames {
    fn note(&self, call: &str, key: &str) {
        self.1.lock().unwrap().push(format!("{call} {key}"));
    }

    fn short(&self, key: &str) -> String {
        let mut names = self.0.lock().unwrap();
        let part = |part: &str| {
            if part.len() <= 24 {
                return part.to_owned();
            }
            if let Some(short) = names.0.get(part) {
                return short.clone();
            }
            let short = format!("@{:06}", names.1.len());
            names.0.insert(part.to_owned(), short.clone());
            names.1.push(part.to_owned());
            short
        };
        key.split('/').map(part).collect::<Vec<_>>().join("/")
    }

    fn long(&self, key: &str) -> String {
        let names = self.0.lock().unwrap();
        let part = |part: &str| match part.strip_prefix('@').and_then(|n| n.parse::<usize>().ok()) {
            Some(n) => names.1[n].clone(),
            None => part.to_owned(),
        };
        key.split('/').map(part).collect::<Vec<_>>().join("/")
    }
}

struct ShortKeyStore {
    store: FileSystem,
    names: Arc<KeyNames>,
    bucket: PathBuf,
}

/// Forwards requests with shortened keys.
macro_rules! forward_with_short_keys {
    ($($call:ident: $input:ty => $output:ty),*) => {
        #[async_trait::async_trait]
        impl S3 for ShortKeyStore {
            $(async fn $call(&self, mut request: S3Request<$input>) -> S3Result<S3Response<$output>> {
                self.names.note(stringify!($call), &request.input.key);
                request.input.key = self.names.short(&request.input.key);
                // A directory here is not an object in S3.
                if self.bucket.join(&request.input.key).is_dir() {
                    return Err(s3s::s3_error!(NoSuchKey));
                }
                self.store.$call(request).await
            })*

            async fn copy_object(
                &self,
                mut request: S3Request<CopyObjectInput>,
            ) -> S3Result<S3Response<CopyObjectOutput>> {
                self.names.note("copy_object", &request.input.key);
                request.input.key = self.names.short(&request.input.key);
                if let CopySource::Bucket { key, .. } = &mut request.input.copy_source {
                    *key = self.names.short(key).into();
                }
                self.store.copy_object(request).await
            }

            async fn delete_objects(
                &self,
                mut request: S3Request<DeleteObjectsInput>,
            ) -> S3Result<S3Response<DeleteObjectsOutput>> {
                for object in &mut request.input.delete.objects {
                    self.names.note("delete_object", &object.key);
                    object.key = self.names.short(&object.key);
                }
                let mut response = self.store.delete_objects(request).await?;
                for object in response.output.deleted.iter_mut().flatten() {
                    object.key = object.key.as_deref().map(|key| self.names.long(key));
                }
                Ok(response)
            }

            async fn list_objects_v2(
                &self,
                mut request: S3Request<ListObjectsV2Input>,
            ) -> S3Result<S3Response<ListObjectsV2Output>> {
                request.input.prefix = request.input.prefix.as_deref().map(|prefix| self.names.short(prefix));
                let mut response = self.store.list_objects_v2(request).await?;
                for object in response.output.contents.iter_mut().flatten() {
                    object.key = object.key.as_deref().map(|key| self.names.long(key));
                }
                for prefix in response.output.common_prefixes.iter_mut().flatten() {
                    prefix.prefix = prefix.prefix.as_deref().map(|prefix| self.names.long(prefix));
                }
                Ok(response)
            }
        }
    };
}

forward_with_short_keys! {
    put_object: PutObjectInput => PutObjectOutput,
    get_object: GetObjectInput => GetObjectOutput,
    head_object: HeadObjectInput => HeadObjectOutput,
    delete_object: DeleteObjectInput => DeleteObjectOutput,
    create_multipart_upload: CreateMultipartUploadInput => CreateMultipartUploadOutput,
    upload_part: UploadPartInput => UploadPartOutput,
    complete_multipart_upload: CompleteMultipartUploadInput => CompleteMultipartUploadOutput,
    abort_multipart_upload: AbortMultipartUploadInput => AbortMultipartUploadOutput
}

/// The network in front of it, which can be cut, taken down or frozen.
pub struct Network {
    pub port: u16,
    state: Arc<NetworkState>,
}

#[derive(Default)]
struct NetworkState {
    /// Bytes from clients that still pass before a connection is cut; negative: no cut.
    budget: AtomicI64,
    /// How many more times it is cut, after `every` bytes each.
    again: AtomicUsize,
    every: AtomicU64,
    cuts: AtomicUsize,
    down: AtomicBool,
    frozen: AtomicBool,
    passed: AtomicU64,
}

impl Network {
    fn in_front_of(target: u16) -> Network {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(NetworkState { budget: AtomicI64::new(-1), ..NetworkState::default() });
        let shared = state.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if shared.down.load(Ordering::SeqCst) {
                    continue;
                }
                let Ok(server) = TcpStream::connect(("127.0.0.1", target)) else { continue };
                let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let state = shared.clone();
                std::thread::spawn(move || pump(from, to, &state, true));
                let state = shared.clone();
                std::thread::spawn(move || pump(server, client, &state, false));
            }
        });
        Network { port, state }
    }

    /// Cuts a connection after `bytes` more bytes from clients, `times` times in all.
    pub fn cut_after(&self, bytes: u64, times: usize) {
        self.state.every.store(bytes, Ordering::SeqCst);
        self.state.again.store(times - 1, Ordering::SeqCst);
        self.state.budget.store(bytes as i64, Ordering::SeqCst);
    }

    /// The number of cuts so far.
    pub fn cuts(&self) -> usize {
        self.state.cuts.load(Ordering::SeqCst)
    }

    /// Bytes that clients have sent.
    pub fn passed(&self) -> u64 {
        self.state.passed.load(Ordering::SeqCst)
    }

    /// Closes all connections until it is set up again.
    pub fn set_down(&self, down: bool) {
        self.state.down.store(down, Ordering::SeqCst);
    }

    /// Accepts connections and forwards nothing until it is unfrozen.
    pub fn set_frozen(&self, frozen: bool) {
        self.state.frozen.store(frozen, Ordering::SeqCst);
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream, state: &NetworkState, upwards: bool) {
    from.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let mut chunk = vec![0; 16 * 1024];
    loop {
        if state.down.load(Ordering::SeqCst) {
            break;
        }
        if state.frozen.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(5));
            continue;
        }
        let read = match from.read(&mut chunk) {
            Err(error)
                if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) =>
            {
                continue;
            }
            Ok(read) if read > 0 => read,
            _ => break,
        };
        if upwards {
            state.passed.fetch_add(read as u64, Ordering::SeqCst);
            if state.budget.load(Ordering::SeqCst) >= 0
                && state.budget.fetch_sub(read as i64, Ordering::SeqCst) <= read as i64
            {
                state.cuts.fetch_add(1, Ordering::SeqCst);
                let again =
                    state.again.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
                let next = if again.is_ok() { state.every.load(Ordering::SeqCst) as i64 } else { -1 };
                state.budget.store(next, Ordering::SeqCst);
                break;
            }
        }
        if to.write_all(&chunk[..read]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

/// All files below a directory: path and bytes.
pub fn tree(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut pending = vec![directory.to_owned()];
    while let Some(at) = pending.pop() {
        for path in std::fs::read_dir(at).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                pending.push(path);
            } else {
                let name = path.strip_prefix(directory).unwrap().to_str().unwrap().to_owned();
                files.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    files
}
