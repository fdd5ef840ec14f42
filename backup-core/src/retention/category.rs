//! A rule for each category of snapshots.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::age::MaxAge;
use super::units::Age;
use super::{RetentionDecision, RetentionPolicy, SnapshotFacts};
use crate::clock::Timestamp;
use crate::registry::RetentionConfig;

/// Decides by each snapshot's category: some forever, some for 90 days, some by a policy of their own.
///
/// A policy in it sees only the snapshots of its category, so `last 5` of a category are five of that category in each
/// group.
///
/// ```
/// use backup_core::retention::{ByCategory, CategoryRule};
///
/// let policy = ByCategory {
///     categories: [("manual".into(), CategoryRule::Forever), ("draft".into(), CategoryRule::For("7d".parse()?))].into(),
///     default: CategoryRule::For("90d".parse()?),
/// };
/// assert_eq!(policy.categories.len(), 2);
/// # Ok::<(), backup_core::retention::InvalidAge>(())
/// ```
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ByCategory {
    /// The rule of each category.
    #[serde(default)]
    pub categories: BTreeMap<String, CategoryRule>,
    /// The rule of snapshots without a category and of categories that have none; forever unless given.
    #[serde(default)]
    pub default: CategoryRule,
}

/// What happens with the snapshots of a category; written as `forever`, a length of time, or a table with a policy.
#[derive(Debug, Default)]
pub enum CategoryRule {
    /// They stay.
    #[default]
    Forever,
    /// They stay for so long after they were received.
    For(Age),
    /// A policy decides among them.
    Policy(Box<dyn RetentionConfig>),
}

impl CategoryRule {
    fn decide(&self, snapshots: &[SnapshotFacts], now: Timestamp) -> Vec<RetentionDecision> {
        match self {
            Self::Forever => vec![RetentionDecision::keep("kept forever"); snapshots.len()],
            Self::For(duration) => MaxAge { duration: *duration }.decide(snapshots, now),
            Self::Policy(policy) => policy.decide(snapshots, now),
        }
    }
}

impl RetentionPolicy for ByCategory {
    fn decide(&self, snapshots: &[SnapshotFacts], now: Timestamp) -> Vec<RetentionDecision> {
        // The snapshots of each rule, so that a policy for all other categories sees them together.
        let mut shares: BTreeMap<Option<&str>, Vec<usize>> = BTreeMap::new();
        for (index, snapshot) in snapshots.iter().enumerate() {
            let category = snapshot.category.as_deref().filter(|category| self.categories.contains_key(*category));
            shares.entry(category).or_default().push(index);
        }
        let mut decisions = vec![RetentionDecision::keep("no decision"); snapshots.len()];
        for (category, indices) in shares {
            let rule = category.and_then(|category| self.categories.get(category)).unwrap_or(&self.default);
            let share: Vec<SnapshotFacts> = indices.iter().map(|index| snapshots[*index].clone()).collect();
            for (index, mut decision) in indices.into_iter().zip(rule.decide(&share, now)) {
                let name = category.unwrap_or("other");
                for reason in &mut decision.reasons {
                    *reason = format!("category {name}: {reason}");
                }
                decisions[index] = decision;
            }
        }
        decisions
    }
}

impl Serialize for CategoryRule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Forever => serializer.serialize_str("forever"),
            Self::For(age) => age.serialize(serializer),
            Self::Policy(policy) => policy.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for CategoryRule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Rule;
        impl<'de> Visitor<'de> for Rule {
            type Value = CategoryRule;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`forever`, a length of time such as `90d`, or a table with a retention policy")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<CategoryRule, E> {
                match text {
                    "forever" => Ok(CategoryRule::Forever),
                    age => {
                        age.parse().map(CategoryRule::For).map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
                    }
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<CategoryRule, A::Error> {
                Box::deserialize(MapAccessDeserializer::new(map)).map(CategoryRule::Policy)
            }
        }
        deserializer.deserialize_any(Rule)
    }
}
