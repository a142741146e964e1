//! `sl` makes a pool of BigBlueButton (BBB) servers look like a single, very large one.
//!
//! # A tour
//!
//! A request walks through the rooms in this order:
//!
//! ```text
//! http/listen.rs   our accept loop around the warp service: header timeout, limits, drain
//! http/routes.rs   which call it is; request id, panic guard
//! http/guard.rs    content type, checksum, body
//! calls/           one file for each BBB call, all of one shape
//! store/           one Lua script in Redis decides: which server, and what is counted
//! pool/client.rs   the BBB server is asked, with a signature of its own
//! http/answers.rs  its answer goes back, byte for byte where nothing has to change
//! ```
//!
//! | room | what it is for | may use |
//! | --- | --- | --- |
//! | [`bbb`] | the BBB protocol: parameters, checksums, errors, XML, voice bridges | – |
//! | [`jwt`] | signed tokens | – |
//! | [`config`] | settings from the environment, one struct for each concern | bbb |
//! | [`store`] | all live state, in Redis; each file in `lua/` as one typed function | bbb, config |
//! | [`pool`] | the BBB servers: client, connector; `poll/`: lease, rounds, health | bbb, config, store |
//! | [`recordings`] | recordings: index in Postgres, storage, import | bbb, config, pool's connector |
//! | [`callbacks`] | what clients asked to be told: kept, delivered | bbb, config, jwt, store, recordings |
//! | [`calls`] | the BBB calls | bbb, config, store, pool, recordings, callbacks |
//! | [`playback`] | who may see a recording: links, tokens, cookies | bbb, config, store, recordings, jwt, calls |
//! | [`http`] | the way in | bbb, config, jwt, store, recordings, calls, playback |
//! | [`replica`] | threads, and what runs on each | all above |
//! | [`cli`] | the `sl` command, one file for each noun | all above; `sl_sim` in `sl sim` and `sl dev` |
//!
//! The simulated BBB servers are a crate of their own, `crates/sl-sim` (feature `sim`), which cannot import this one.
//!
//! A recording call goes on from `calls/recordings/` to `recordings/index/` (Postgres says what is where)
//! and `recordings/storage/` (the files), not to a BBB server.
//!
//! A browser that plays one goes from `http/playback.rs` through `playback/` (may it?) to the storage, or
//! back to nginx, which then sends the file.
//!
//! Nothing here outlives a process: kill any replica, start any other. What they share is in Redis
//! (`lua/README.md` has every key), and every change to it that depends on what was read is one
//! script.

pub mod bbb;
pub mod callbacks;
pub mod calls;
pub mod cli;
pub mod config;
pub mod http;
pub mod jwt;
pub mod playback;
pub mod pool;
pub mod recordings;
pub mod replica;
pub mod store;
pub mod telemetry;
