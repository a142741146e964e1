//! The index of recordings.

mod faults;
mod import;
mod migrations;
mod plans;
mod pooler;
