//! The index of recordings.

mod faults;
mod migrations;
mod plans;
