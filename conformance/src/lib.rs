//! The public conformance suite for storage backends.
//!
//! A backend's author implements [`Harness`], which gives the suite stores to try, and writes one line in a test:
//!
//! ```
//! # use std::sync::Arc;
//! # use backup_conformance::Harness;
//! # use backup_core::{MemoryBackend, StorageBackend, StorageResult};
//! # struct MyHarness(MemoryBackend);
//! # impl MyHarness { fn new() -> Self { Self(MemoryBackend::new()) } }
//! # #[async_trait::async_trait]
//! # impl Harness for MyHarness {
//! #     async fn open(&self, _space: &str) -> StorageResult<Arc<dyn StorageBackend>> { Ok(Arc::new(self.0.clone())) }
//! # }
//! backup_conformance::suite! { MyHarness::new() }
//! ```
//!
//! That makes one `#[test]` for each case, named after it. A case that fails names the clause of
//! `docs/storage-contract.md` that the backend breaks. A program runs the same cases with [`Runner`] and gets a
//! [`Report`].
//!
//! The suite knows the storage contract and nothing of the repository above it.

mod case;
mod content;
mod context;
mod contract;
mod harness;
pub mod laws;
pub mod linear;
pub mod live;
mod pacing;
mod random;
mod report;
mod runner;
mod verdict;

pub use contract::{CASES, Case};
pub use harness::{FaultControl, Harness, Pace, RawView, Trouble};
pub use report::{CaseReport, Report, Run};
pub use runner::{Runner, check_case, check_excuses};
pub use verdict::Verdict;

/// Makes one `#[test]` for each case of the suite; the argument is an expression that gives a [`Harness`].
///
/// The expression is evaluated once for each case. Wrap several suites into modules of their own.
#[macro_export]
macro_rules! suite {
    ($harness:expr) => {
        $crate::for_each_case! { [$crate::suite_tests] ($harness) }
    };
}

/// The tests that [`suite!`] makes.
#[doc(hidden)]
#[macro_export]
macro_rules! suite_tests {
    (($harness:expr) @cases $($group:ident::$name:ident $clause:literal,)*) => {
        #[test]
        fn every_excuse_names_a_case() {
            $crate::check_excuses(|| $harness);
        }
        $(
            #[test]
            fn $name() {
                $crate::check_case(stringify!($name), || $harness);
            }
        )*
    };
}
