//! The index: plans.
