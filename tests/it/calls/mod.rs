//! The HTTP contract, a file for each call.

mod create;
