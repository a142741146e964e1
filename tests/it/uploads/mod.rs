//! PUT /sl/recordings/RECORD-ID.tar: recordings that BBB servers upload over HTTP, and the scripts that do it.

mod nginx;
mod requests;
mod scripts;

use crate::importer::recording;
use crate::support::client::{self, Reply};
use crate::support::{RecordingEnv, eventually};
use serde_json::json;
use sha2::{Digest, Sha256};
use sl::jwt::{Algorithm, sign};
use sl_sim::{Recording, RecordingFormat::*, Sim, SimConfig};
use std::time::{SystemTime, UNIX_EPOCH};

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// The bytes of an archive.
fn archive(recording: &Recording) -> Vec<u8> {
    let mut bytes = Vec::new();
    recording.write_tar(&mut bytes).unwrap();
    bytes
}

/// A pool of one server and one replica.
fn start_env(args: &[&str], variables: &[(&str, &str)]) -> RecordingEnv {
    start_env_with(1, args, variables)
}

/// The same with more servers.
fn start_env_with(servers: usize, args: &[&str], variables: &[(&str, &str)]) -> RecordingEnv {
    let mut env = RecordingEnv::empty(variables);
    env.pool.sim = Sim::start(SimConfig { servers, threads: 2, ..SimConfig::default() }).unwrap();
    env.pool.set("RECORDING_IMPORT_POLL_INTERVAL", "0.5");
    env.pool.set("RECORDING_IMPORT_SETTLE", "0.1");
    (1..=servers).for_each(|n| env.pool.add(n, &[]));
    env.pool.sl_ok(&["migrate"]);
    env.pool.serve(args);
    env
}

impl RecordingEnv {
    /// The file names in the spool, hidden ones included, without the notes on accepted archives.
    fn spool_names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.spool()).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| !name.ends_with(".sl-taken"));
        names.sort();
        names
    }

    /// A token signed with the secret of the pool's server.
    fn token(&self, claims: serde_json::Value) -> String {
        sign(Algorithm::Hs256, self.pool.server(1).secret().as_bytes(), &claims)
    }

    /// A token for this archive.
    fn token_for(&self, id: &str, bytes: &[u8]) -> String {
        self.token(json!({ "sub": id, "exp": now() + 60, "sha256": hex::encode(Sha256::digest(bytes)) }))
    }

    fn send(&self, method: &str, id: &str, token: &str, range: Option<&str>, bytes: &[u8]) -> Reply {
        let authorization = format!("Bearer {token}");
        let mut headers = vec![("Authorization", authorization.as_str())];
        headers.extend(range.map(|range| ("Content-Range", range)));
        let url = format!("http://{}/sl/recordings/{id}.tar", self.pool.address(0));
        client::fetch(method, &url, &headers, bytes)
    }
}
