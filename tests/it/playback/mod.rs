//! Recordings in the browser: who may see them, and how they get there.

mod browser;
mod cookies;
mod paths;
mod plans;
mod serving;
mod through_nginx;
mod tokens;

use crate::support::client::{self, Reply};
use crate::support::{Library, Pool};
use sl_sim::{Compression, Recording, RecordingFormat};

/// One that everybody may see, and one that is protected, in all formats; protection is in force.
struct Stage {
    library: Library,
    open: String,
    protected: String,
}

impl Stage {
    /// Files go through nginx, which is not there.
    fn start() -> Stage {
        Stage::with(1, &[])
    }

    /// We send them ourselves.
    fn serving() -> Stage {
        Stage::with(1, &[("PLAYBACK_SERVE", "true")])
    }

    fn with(replicas: usize, variables: &[(&str, &str)]) -> Stage {
        Stage::of(replicas, variables, &RecordingFormat::ALL, 0)
    }

    /// In some formats, of so many bytes each.
    fn of(replicas: usize, variables: &[(&str, &str)], formats: &[RecordingFormat], size: u64) -> Stage {
        let mut library = Library::with(0, &[]);
        let mut import = |meeting: &str| {
            let recording = Recording {
                meeting_id: meeting.into(),
                name: format!("The <{meeting}> one"),
                formats: formats.to_vec(),
                size,
                ..Recording::default()
            };
            let spool = library.spool();
            let archive = recording.write_archive(&spool, Compression::None).unwrap();
            library.pool.sl_ok(&["recordings", "import", "--remove", archive.to_str().unwrap()]);
            library.pool.set("PROTECTED_RECORDINGS_ENABLED", "true");
            recording.record_id()
        };
        let (open, protected) = (import("open"), import("protected"));
        for (name, value) in variables {
            library.pool.set(name, value);
        }
        for _ in 0..replicas {
            library.pool.serve(&["--no-poller"]);
        }
        Stage { library, open, protected }
    }

    fn pool(&self) -> &Pool {
        &self.library.pool
    }

    fn get(&self, target: &str) -> Reply {
        self.pool().fetch("GET", target, &[], b"")
    }

    fn get_with(&self, target: &str, headers: &[(&str, &str)]) -> Reply {
        self.pool().fetch("GET", target, headers, b"")
    }

    /// Path and query of a fresh link to a format of the protected recording.
    #[track_caller]
    fn link(&self, format: &str) -> String {
        let body = self.pool().get("getRecordings", &format!("recordID={}", self.protected)).success().body;
        let begin = format!("/recording/{}/{format}?token=", self.protected);
        let at = body.find(&begin).unwrap_or_else(|| panic!("no link to {format}: {body}"));
        body[at..at + begin.len() + 64].to_owned()
    }

    /// `name=value` of the cookie that such a link brings.
    #[track_caller]
    fn cookie(&self, format: &str) -> String {
        let reply = self.get(&self.link(format));
        assert_eq!(reply.status, 307, "{reply:?}");
        reply.header("set-cookie").unwrap().split(';').next().unwrap().to_owned()
    }

    /// Puts a file into a format of a recording.
    fn add(&self, format: &str, id: &str, name: &str, bytes: &[u8]) -> std::path::PathBuf {
        let path = self.library.published().join(format).join(id).join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

/// The page for all that may not be seen, and nothing that tells why.
#[track_caller]
fn not_found(reply: &Reply) {
    assert_eq!(reply.status, 404, "{reply:?}");
    assert_eq!(reply.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(reply.body.contains("<title>Recording Not Found</title>"), "{reply:?}");
    for name in ["set-cookie", "location", "x-accel-redirect", "etag"] {
        assert_eq!(reply.header(name), None, "{reply:?}");
    }
}

/// The same of a raw answer.
#[track_caller]
fn raw_not_found(target: &str, answer: &str) {
    assert!(answer.starts_with("HTTP/1.1 404 "), "{target}: {answer}");
    assert!(answer.contains("<title>Recording Not Found</title>"), "{target}: {answer}");
    assert!(!answer.to_lowercase().contains("x-accel-redirect"), "{target}: {answer}");
}

/// A request with bytes as they are, on any address.
fn raw_get(address: &str, target: &str) -> String {
    let request = format!("GET {target} HTTP/1.1\r\nHost: sl\r\nConnection: close\r\n\r\n");
    client::raw(address, request.as_bytes())
}
