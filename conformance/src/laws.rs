//! What the other three families of plug-ins owe, as functions that an author calls in a test.
//!
//! Each takes an implementation, tries it on what a seed gives and returns every law that it breaks, by name and with an
//! example. [`demand`] makes a test of it:
//!
//! ```
//! use backup_conformance::laws::{conflict, demand, retention};
//! use backup_core::conflict::Newest;
//! use backup_core::retention::KeepForever;
//!
//! demand(conflict::broken(&Newest {}, 1));
//! demand(retention::broken(&KeepForever {}, 1));
//! ```

pub mod conflict;
pub mod retention;
pub mod snapshotter;

/// A law that an implementation breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{law}: {example}")]
pub struct Broken {
    /// The name of the law.
    pub law: &'static str,
    /// Where it was broken.
    pub example: String,
}

/// Fails a test with every law that is broken.
///
/// # Panics
/// When there is one.
#[track_caller]
pub fn demand(broken: impl IntoIterator<Item = Broken>) {
    let broken: Vec<String> = broken.into_iter().map(|broken| broken.to_string()).collect();
    assert!(broken.is_empty(), "broken: {}", broken.join("\n"));
}

/// What came of the laws of a table: those that are broken.
fn broken_of(tried: impl IntoIterator<Item = (&'static str, Result<(), String>)>, seed: u64) -> Vec<Broken> {
    let broken = tried.into_iter().filter_map(|(law, tried)| {
        let example = tried.err()?;
        Some(Broken { law, example: format!("seed {seed}: {example}") })
    });
    broken.collect()
}

/// Leaves a law with an example unless a condition holds.
macro_rules! holds {
    ($condition:expr, $($example:tt)+) => {
        if !$condition {
            return Err(format!($($example)+));
        }
    };
}
use holds;
