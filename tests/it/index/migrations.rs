//! The index: migrations.
