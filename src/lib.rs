//! `sl` makes a pool of BigBlueButton (BBB) servers look like a single, very large one.
//!
//! # A tour
//!
//! A request passes through these files in order:
//!
//! ```text
//! http/listen.rs      our accept loop around the warp service: header timeout, limits, drain
//! routes.rs           which group of endpoints and which call; request id, panic guard
//! calls/guard.rs      content type, checksum, body
//! calls/              the BBB calls, all of one shape: create, join, end, …
//! store/              one Lua script in Redis decides: which server, and what is counted
//! servers/client.rs   signs the request again and sends it to the BBB server
//! http/responses.rs   the response, byte for byte where nothing has to change
//! ```
//!
//! | module | what it is for | may use |
//! | --- | --- | --- |
//! | [`bbb`] | the BBB protocol: parameters, checksums, errors, XML, voice bridges | – |
//! | [`jwt`] | signed tokens | – |
//! | [`telemetry`] | logs | – |
//! | [`blocking`] | file work on threads that may block | – |
//! | [`config`] | settings from the environment, one struct for each concern | bbb |
//! | [`net`] | outgoing connections: TLS, deadlines, which addresses are public | config |
//! | [`store`] | all live state, in Redis; each script in `lua/` with typed arguments and outcomes | bbb, config, telemetry |
//! | [`db`] | Postgres: pool, errors, migrations, advisory locks | config |
//! | [`servers`] | the BBB servers: client; `poll/`: lease, rounds, health | bbb, config, net, store, telemetry |
//! | [`callbacks`] | callbacks to clients: stored, delivered, retried | telemetry, bbb, config, jwt, net, store, db |
//! | [`recordings`] | recordings: spool, import, storage, index in Postgres | bbb, blocking, config, net, db, callbacks |
//! | [`supervisor`] | tasks that are restarted when they fail | net |
//! | [`directories`] | a look at the directories of recordings at the start | config |
//! | [`health`] | what /health_check says | store, recordings, supervisor, telemetry |
//! | [`app`] | what every request works with; data only | config, store, servers, recordings, health |
//! | [`calls`] | the BBB calls | app, telemetry, bbb, config, db, store, servers, recordings, callbacks |
//! | [`http`] | HTTP front end: accept loop, drain, responses | bbb, config, calls, recordings, telemetry |
//! | [`playback`] | playing a recording: links, tokens, cookies, files | app, bbb, config, db, jwt, store, recordings, http, telemetry |
//! | [`uploads`] | recordings that BBB servers send over HTTPS | app, bbb, jwt, recordings, http, telemetry |
//! | [`routes`] | the one place that knows every group of endpoints | app, bbb, calls, http, playback, uploads |
//! | [`replica`] | threads, and what runs on each | all above |
//! | [`cli`] | the `sl` command, a file or folder for each noun | all above |
//!
//! The simulated BBB servers are a crate of their own, `crates/sl-sim` (feature `sim`), which cannot import this one. Only
//! `sl sim`, `sl dev`, tests and benchmarks use it.
//!
//! A recording call continues from `calls/recordings/` to `recordings/index/` (which recordings there are)
//! and `recordings/storage/` (their files), not to a BBB server. A browser that plays a recording goes through
//! `playback/http.rs` and `playback/access.rs` (is it allowed?) to the storage, or back to nginx, which then
//! sends the file.
//!
//! Nothing here outlives a process: kill any replica, start any other. What they share is in Redis
//! (`lua/README.md` has every key; a decision that depends on what was read is one script), in Postgres and in
//! the files of recordings.

pub mod app;
pub mod bbb;
pub mod blocking;
pub mod callbacks;
pub mod calls;
pub mod cli;
pub mod config;
pub mod db;
pub mod directories;
pub mod health;
pub mod http;
pub mod jwt;
pub mod net;
pub mod playback;
pub mod recordings;
pub mod replica;
pub mod routes;
pub mod servers;
pub mod store;
pub mod supervisor;
pub mod telemetry;
pub mod uploads;
