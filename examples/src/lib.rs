//! Programs that show the framework in use, and what they are made of; all of them run in CI.

pub mod flat;
