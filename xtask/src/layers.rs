//! Proves the dependency rule of ARCHITECTURE.md from what cargo says about the workspace.
//!
//! Cargo already refuses cycles; this refuses edges that compile but should not exist, such as an engine that knows a backend.

mod graph;
mod rules;

use anyhow::{Result, bail};

use crate::process;

pub(crate) use graph::Graph;

/// Reads the workspace's graph and fails if an edge breaks a rule.
pub(crate) fn run() -> Result<()> {
    // All features: an optional dependency is a dependency for this purpose.
    let json =
        process::output(process::cargo().args(["metadata", "--format-version", "1", "--all-features", "--quiet"]))?;
    let graph = Graph::parse(&json)?;
    let violations = rules::check(&graph);
    for violation in &violations {
        println!("layers: {violation}");
    }
    if !violations.is_empty() {
        bail!(
            "{} breach(es) of the dependency rule; it stands in ARCHITECTURE.md and xtask/src/layers/rules.rs",
            violations.len()
        );
    }
    let (members, edges) = graph.size();
    println!("layers: {members} crates and {edges} edges between them keep the dependency rule");
    Ok(())
}

#[cfg(test)]
mod tests;
