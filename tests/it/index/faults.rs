//! The index: faults.
