#![doc = "wip"]
#![allow(missing_docs)]
pub mod bbb;
pub mod calls;
pub mod cli;
pub mod config;
pub mod http;
pub mod pool;
pub mod replica;
#[cfg(feature = "sim")]
pub mod sim;
pub mod store;
pub mod telemetry;
