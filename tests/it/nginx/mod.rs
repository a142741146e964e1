//! The files in nginx/, unmodified, with a real nginx.

mod fake_replica;
mod frozen;
mod headers;
mod load;
mod logs;
mod player;
mod restarts;
mod retries;
pub mod site;
mod variants;

use fake_replica::FakeReplica;
pub use site::Site;
use site::scalelite;
