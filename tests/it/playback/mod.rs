//! Playback of recordings: access control and file delivery.

mod browser;
mod cookies;
mod links;
mod nginx;
mod origin;
mod paths;
mod plans;
mod serving;
mod tokens;

use crate::support::client::{self, Reply};
use crate::support::{Pool, RecordingEnv};
use sl_sim::{Compression, Recording, RecordingFormat};

/// A public and a protected recording in all formats; protection is enabled.
struct PlaybackFixture {
    env: RecordingEnv,
    open: String,
    protected: String,
}

impl PlaybackFixture {
    /// Files are left to nginx, which is absent here.
    fn start() -> PlaybackFixture {
        PlaybackFixture::with(1, &[])
    }

    /// The replica sends files itself.
    fn serving() -> PlaybackFixture {
        PlaybackFixture::with(1, &[("PLAYBACK_SERVE", "true")])
    }

    fn with(replicas: usize, variables: &[(&str, &str)]) -> PlaybackFixture {
        PlaybackFixture::of(replicas, variables, &RecordingFormat::ALL, 0)
    }

    /// With these formats, `size` bytes each.
    fn of(
        replicas: usize,
        variables: &[(&str, &str)],
        formats: &[RecordingFormat],
        size: u64,
    ) -> PlaybackFixture {
        let mut env = RecordingEnv::with(0, &[]);
        let mut import = |meeting: &str| {
            let recording = Recording {
                meeting_id: meeting.into(),
                name: format!("The <{meeting}> one"),
                formats: formats.to_vec(),
                size,
                ..Recording::default()
            };
            let spool = env.spool();
            let archive = recording.write_archive(&spool, Compression::None).unwrap();
            env.pool.sl_ok(&["recordings", "import", "--remove", archive.to_str().unwrap()]);
            env.pool.set("PROTECTED_RECORDINGS_ENABLED", "true");
            recording.record_id()
        };
        let (open, protected) = (import("open"), import("protected"));
        for (name, value) in variables {
            env.pool.set(name, value);
        }
        for _ in 0..replicas {
            env.pool.serve(&["--no-poller"]);
        }
        PlaybackFixture { env, open, protected }
    }

    fn pool(&self) -> &Pool {
        &self.env.pool
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
        self.link_to("", format)
    }

    /// The same, of a link that begins with this scheme and host, if any.
    #[track_caller]
    fn link_to(&self, base_url: &str, format: &str) -> String {
        let body = self.pool().get("getRecordings", &format!("recordID={}", self.protected)).success().body;
        let begin = format!("/recording/{}/{format}?token=", self.protected);
        let whole = format!("{base_url}{begin}");
        let at = body.find(&whole).unwrap_or_else(|| panic!("no link to {format}: {body}")) + base_url.len();
        body[at..at + begin.len() + 64].to_owned()
    }

    /// `name=value` of the cookie that such a link sets.
    #[track_caller]
    fn cookie(&self, format: &str) -> String {
        let reply = self.get(&self.link(format));
        assert_eq!(reply.status, 307, "{reply:?}");
        reply.header("set-cookie").unwrap().split(';').next().unwrap().to_owned()
    }

    /// Puts a file into a format of a recording.
    fn add(&self, format: &str, id: &str, name: &str, bytes: &[u8]) -> std::path::PathBuf {
        let path = self.env.published().join(format).join(id).join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

/// Asserts the page for everything inaccessible, without a hint why.
#[track_caller]
fn assert_not_found(reply: &Reply) {
    assert_eq!(reply.status, 404, "{reply:?}");
    assert_eq!(reply.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(reply.body.contains("<title>Recording Not Found</title>"), "{reply:?}");
    for name in ["set-cookie", "location", "x-accel-redirect", "etag"] {
        assert_eq!(reply.header(name), None, "{reply:?}");
    }
}

/// The same for a raw response.
#[track_caller]
fn assert_raw_not_found(target: &str, response: &str) {
    assert!(response.starts_with("HTTP/1.1 404 "), "{target}: {response}");
    assert!(response.contains("<title>Recording Not Found</title>"), "{target}: {response}");
    assert!(!response.to_lowercase().contains("x-accel-redirect"), "{target}: {response}");
}

/// A GET with unmodified bytes at any address.
fn raw_get(address: &str, target: &str) -> String {
    let request = format!("GET {target} HTTP/1.1\r\nHost: sl.example.org\r\nConnection: close\r\n\r\n");
    client::send_raw(address, request.as_bytes())
}
