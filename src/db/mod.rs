//! Postgres, apart from what the tables mean.
//!
//! - [`migrations`]: `sl migrate`

pub mod migrations;
