//! `[defaults]`: what holds where nothing else is said.

use serde::Deserialize;

use crate::registry::{OptionDoc, OptionKind};
use crate::retention::ZoneName;

/// What holds where nothing else is said.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Defaults {
    /// The repository: a name, a URL or a path.
    pub repository: Option<String>,
    /// The retention policy: a name, or a type that needs no options.
    pub retention: Option<String>,
    /// The conflict resolver: a name, or a type that needs no options.
    pub conflict: Option<String>,
    /// zstd level, 1 to 19; more is smaller and slower. The engine's own default where it isn't set.
    pub compression: Option<u8>,
    /// The time zone of calendars; UTC where it isn't set.
    pub time_zone: Option<ZoneName>,
    /// Whether `inline:` secrets are accepted; they are not unless this is set.
    pub allow_inline_secrets: bool,
}

/// Levels of zstd that are of use; those above need much memory for little.
pub(super) const COMPRESSION_LEVELS: std::ops::RangeInclusive<u8> = 1..=19;

/// The keys of `[defaults]`.
pub(super) const OPTIONS: &[OptionDoc] = &[
    OptionDoc::optional("repository", OptionKind::Text, "The repository: a name, a URL or a path."),
    OptionDoc::optional("retention", OptionKind::Text, "The retention policy: a name, or a type without options."),
    OptionDoc::optional("conflict", OptionKind::Text, "The conflict resolver: a name, or a type without options."),
    OptionDoc::optional("compression", OptionKind::Integer, "The zstd level, from 1 to 19."),
    OptionDoc::optional("time_zone", OptionKind::Text, "The time zone of calendars, by its IANA name.").default("UTC"),
    OptionDoc::optional("allow_inline_secrets", OptionKind::Bool, "Whether `inline:` secrets are accepted.")
        .default("false"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::registry::probe::field_names;

    #[test]
    fn documented_keys_are_those_that_are_read() {
        let documented: BTreeSet<_> = OPTIONS.iter().map(|option| option.name).collect();
        let read: BTreeSet<_> = field_names::<Defaults>().unwrap().iter().copied().collect();
        assert_eq!(documented, read);
    }
}
