//! The standard resolvers by name in a configuration.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{ConflictResolver, KeepBackup, KeepBoth, KeepLocal, Newest, Resolution, RestoreConflict};
use crate::registry::{ConflictConfig, Descriptor, InvalidConfig, OptionDoc, OptionKind};

/// Asks whoever the program gives to be asked: a terminal, a web page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskConfig {}

#[typetag::serde(name = "keep_local")]
impl ConflictConfig for KeepLocal {
    fn validate(&self) -> Result<(), InvalidConfig> {
        Ok(())
    }

    fn resolver(&self, _: Option<Arc<dyn ConflictResolver>>) -> Result<Box<dyn ConflictResolver>, InvalidConfig> {
        Ok(Box::new(*self))
    }
}

#[typetag::serde(name = "keep_backup")]
impl ConflictConfig for KeepBackup {
    fn validate(&self) -> Result<(), InvalidConfig> {
        Ok(())
    }

    fn resolver(&self, _: Option<Arc<dyn ConflictResolver>>) -> Result<Box<dyn ConflictResolver>, InvalidConfig> {
        Ok(Box::new(*self))
    }
}

#[typetag::serde(name = "keep_both")]
impl ConflictConfig for KeepBoth {
    fn validate(&self) -> Result<(), InvalidConfig> {
        Ok(())
    }

    fn resolver(&self, _: Option<Arc<dyn ConflictResolver>>) -> Result<Box<dyn ConflictResolver>, InvalidConfig> {
        Ok(Box::new(self.clone()))
    }
}

#[typetag::serde(name = "newest")]
impl ConflictConfig for Newest {
    fn validate(&self) -> Result<(), InvalidConfig> {
        Ok(())
    }

    fn resolver(&self, _: Option<Arc<dyn ConflictResolver>>) -> Result<Box<dyn ConflictResolver>, InvalidConfig> {
        Ok(Box::new(*self))
    }
}

#[typetag::serde(name = "ask")]
impl ConflictConfig for AskConfig {
    fn validate(&self) -> Result<(), InvalidConfig> {
        Ok(())
    }

    fn resolver(&self, asker: Option<Arc<dyn ConflictResolver>>) -> Result<Box<dyn ConflictResolver>, InvalidConfig> {
        match asker {
            Some(asker) => Ok(Box::new(Asked(asker))),
            None => Err(InvalidConfig::whole("there is nobody to ask; choose another conflict resolver")),
        }
    }
}

#[derive(Debug)]
struct Asked(Arc<dyn ConflictResolver>);

impl ConflictResolver for Asked {
    fn resolve(&self, conflict: &RestoreConflict<'_>) -> Resolution {
        self.0.resolve(conflict)
    }
}

const CRATE: &str = env!("CARGO_PKG_NAME");

pub(crate) const DESCRIPTORS: &[Descriptor] = &[
    Descriptor::conflict::<KeepLocal>("keep_local", CRATE).summary("leaves what is there"),
    Descriptor::conflict::<KeepBackup>("keep_backup", CRATE).summary("replaces what is there by the backup's"),
    Descriptor::conflict::<KeepBoth>("keep_both", CRATE)
        .summary("restores the backup's beside what is there")
        .options(&[OptionDoc::optional("suffix", OptionKind::Text, "What is appended to the restored name.")
            .default(".from-backup")])
        .example("suffix = \".old\""),
    Descriptor::conflict::<Newest>("newest", CRATE)
        .summary("keeps whichever was modified last; what is there when both are equally old"),
    Descriptor::conflict::<AskConfig>("ask", CRATE).summary("asks at every conflict"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conflict::Ask;

    #[test]
    fn ask_needs_somebody_to_ask() {
        assert!(AskConfig {}.resolver(None).is_err());
        let asker = Ask::new(|_: &RestoreConflict<'_>| Resolution::KeepBackup);
        assert!(AskConfig {}.resolver(Some(Arc::new(asker))).is_ok());
    }

    #[test]
    fn resolvers_are_read_and_written_by_their_type() {
        let config: Box<dyn ConflictConfig> = serde_json::from_str(r#"{"type":"keep_both","suffix":"~"}"#).unwrap();
        assert_eq!(serde_json::to_string(&config).unwrap(), r#"{"type":"keep_both","suffix":"~"}"#);
        assert!(serde_json::from_str::<Box<dyn ConflictConfig>>(r#"{"type":"newest","x":1}"#).is_err());
    }
}
