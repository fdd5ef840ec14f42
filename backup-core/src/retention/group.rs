//! Looking at the snapshots of a group, the newest first.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{RetentionDecision, SnapshotFacts};

/// Among which snapshots a policy counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Among those of the same group: each source of each machine for itself.
    #[default]
    Group,
    /// Among all of the repository.
    Repository,
}

/// The indices of the snapshots of each group, the newest first; of the same time, the one with the greater id first.
pub(super) fn newest_first(snapshots: &[SnapshotFacts], scope: Scope) -> Vec<Vec<usize>> {
    let mut groups: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, snapshot) in snapshots.iter().enumerate() {
        let group = match scope {
            Scope::Group => snapshot.group.as_str(),
            Scope::Repository => "",
        };
        groups.entry(group).or_default().push(index);
    }
    let age = |index: &usize| (snapshots[*index].received, snapshots[*index].id.as_str());
    groups
        .into_values()
        .map(|mut indices| {
            indices.sort_unstable_by(|a, b| age(b).cmp(&age(a)));
            indices
        })
        .collect()
}

/// Decides group by group: `rule` sees the snapshots of one, the newest first, and gives a decision for each.
pub(super) fn decide_groups(
    snapshots: &[SnapshotFacts],
    scope: Scope,
    mut rule: impl FnMut(&[&SnapshotFacts]) -> Vec<RetentionDecision>,
) -> Vec<RetentionDecision> {
    let mut decisions: Vec<Option<RetentionDecision>> = vec![None; snapshots.len()];
    for indices in newest_first(snapshots, scope) {
        let group: Vec<&SnapshotFacts> = indices.iter().map(|index| &snapshots[*index]).collect();
        for (index, decision) in indices.into_iter().zip(rule(&group)) {
            decisions[index] = Some(decision);
        }
    }
    // A rule that gave too few decisions has not decided against anything.
    decisions.into_iter().map(|made| made.unwrap_or_else(|| RetentionDecision::keep("no decision"))).collect()
}
