//! What a plug-in tells about itself.

use serde::de::DeserializeOwned;

use super::decode::{self, DecodeError};
use super::probe::field_names;
use super::problem::ConfigProblem;
use super::table::Table;
use super::url::{InvalidUrl, StoreUrl};
use super::{BackendConfig, ConflictConfig, RetentionConfig, SourceConfig};

/// Which contract a plug-in fulfils.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// [`StorageBackend`](crate::StorageBackend), under `[repository.NAME]`.
    Backend,
    /// [`Snapshotter`](crate::Snapshotter), under `[source.NAME]`.
    Source,
    /// [`RetentionPolicy`](crate::RetentionPolicy), under `[retention.NAME]`.
    Retention,
    /// [`ConflictResolver`](crate::ConflictResolver), under `[conflict.NAME]`.
    Conflict,
}

impl Family {
    /// Every family, in the order in which they are shown.
    pub const ALL: [Self; 4] = [Self::Backend, Self::Source, Self::Retention, Self::Conflict];

    /// The name of the configuration's section for it: `repository`, `source`, `retention`, `conflict`.
    pub fn section(self) -> &'static str {
        match self {
            Self::Backend => "repository",
            Self::Source => "source",
            Self::Retention => "retention",
            Self::Conflict => "conflict",
        }
    }

    /// The family in words: `storage backend`, `source`, `retention policy`, `conflict resolver`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Backend => "storage backend",
            Self::Source => "source",
            Self::Retention => "retention policy",
            Self::Conflict => "conflict resolver",
        }
    }
}

/// What may stand under an option's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OptionKind {
    /// Any text.
    Text,
    /// A path of the file system.
    Path,
    /// A whole number, zero or more.
    Integer,
    /// `true` or `false`.
    Bool,
    /// A length of time: `90d`, `12h`, `1y 6mo`.
    Duration,
    /// A number of bytes: `500MB`, `16MiB`, `1024`.
    Size,
    /// A reference to a secret; see [`SecretRef`](crate::SecretRef).
    Secret,
    /// One of a few words.
    Choice(&'static [&'static str]),
    /// A number of things to keep, or `all`.
    Count,
    /// Several texts.
    TextList,
    /// A table, or several, that the plug-in reads by itself.
    Nested,
}

/// One option of a plug-in.
#[derive(Debug, Clone, Copy)]
pub struct OptionDoc {
    /// Its name in the configuration.
    pub name: &'static str,
    /// What may stand there.
    pub kind: OptionKind,
    /// Whether it has to be there.
    pub required: bool,
    /// The unit of a bare number.
    pub unit: Option<&'static str>,
    /// What holds when it isn't there, as it would be written.
    pub default: Option<&'static str>,
    /// What it is for, one sentence.
    pub help: &'static str,
}

impl OptionDoc {
    /// An option that has to be there.
    pub const fn required(name: &'static str, kind: OptionKind, help: &'static str) -> Self {
        Self { name, kind, required: true, unit: None, default: None, help }
    }

    /// An option that may be left out.
    pub const fn optional(name: &'static str, kind: OptionKind, help: &'static str) -> Self {
        Self { name, kind, required: false, unit: None, default: None, help }
    }

    /// The same with what holds when it is left out.
    #[must_use]
    pub const fn default(mut self, value: &'static str) -> Self {
        self.default = Some(value);
        self
    }

    /// The same with the unit of a bare number.
    #[must_use]
    pub const fn unit(mut self, unit: &'static str) -> Self {
        self.unit = Some(unit);
        self
    }
}

/// How a plug-in makes its part of a configuration out of a URL.
pub type FromUrl = fn(&StoreUrl) -> Result<Table, InvalidUrl>;

/// What a plug-in tells about itself: its type, URL schemes, options and an example.
///
/// A plug-in's crate submits one with `inventory::submit!`, next to the `#[typetag::serde]` implementation of the same
/// type. From it come the answers of `backup backends`, error messages, the configuration's schema and the checks that
/// [`Registry::linked`](super::Registry::linked) makes.
///
/// ```
/// use std::sync::Arc;
/// use async_trait::async_trait;
/// use backup_core::registry::{
///     BackendConfig, ConnectContext, Descriptor, InvalidConfig, OptionDoc, OptionKind, Registry, Table,
/// };
/// use backup_core::{StorageBackend, StorageError, StorageErrorKind, StorageOperation, StorageResult};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Debug, Serialize, Deserialize)]
/// struct TapeConfig {
///     device: String,
/// }
///
/// #[async_trait]
/// #[typetag::serde(name = "tape")]
/// impl BackendConfig for TapeConfig {
///     fn validate(&self) -> Result<(), InvalidConfig> {
///         if self.device.is_empty() { Err(InvalidConfig::at("device", "is empty")) } else { Ok(()) }
///     }
///     fn location(&self) -> String {
///         format!("tape://{}", self.device)
///     }
///     async fn connect(&self, _: &ConnectContext) -> StorageResult<Arc<dyn StorageBackend>> {
///         Err(StorageError::new(StorageErrorKind::Unsupported, StorageOperation::Connect))
///     }
/// }
///
/// inventory::submit! {
///     Descriptor::backend::<TapeConfig>("tape", "acme-tape")
///         .summary("a tape drive")
///         .urls(&["tape"], |url| Ok(Table::new().with_text("device", url.path())))
///         .options(&[OptionDoc::required("device", OptionKind::Path, "The device file.")])
///         .example("device = \"/dev/nst0\"")
/// }
///
/// let registry = Registry::linked()?;
/// assert_eq!(registry.backend_from_url("tape:///dev/nst0")?.location(), "tape:///dev/nst0");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Descriptor {
    /// The type as it stands in the configuration.
    pub tag: &'static str,
    /// The crate it comes from, for messages.
    pub crate_name: &'static str,
    /// What it is, a lower-case fragment: `a directory on a local or mounted file system`.
    pub summary: &'static str,
    /// URL schemes it understands, lower case; only storage backends have some.
    pub schemes: &'static [&'static str],
    /// Its options, in the order in which they are best read.
    pub options: &'static [OptionDoc],
    /// A table of configuration that is valid, in TOML, without `type`.
    pub example: &'static str,
    pub(super) from_url: Option<FromUrl>,
    pub(super) decode: Decode,
    pub(super) fields: fn() -> Option<&'static [&'static str]>,
}

inventory::collect!(Descriptor);

pub(super) type Decoded<T> = Result<Box<T>, DecodeError>;

/// How a table becomes the plug-in's configuration, and so which family it is of.
#[derive(Debug, Clone, Copy)]
pub(super) enum Decode {
    Backend(fn(&Table) -> Decoded<dyn BackendConfig>),
    Source(fn(&Table) -> Decoded<dyn SourceConfig>),
    Retention(fn(&Table) -> Decoded<dyn RetentionConfig>),
    Conflict(fn(&Table) -> Decoded<dyn ConflictConfig>),
}

impl Descriptor {
    /// A storage backend whose configuration is `T`.
    pub const fn backend<T: BackendConfig + DeserializeOwned>(tag: &'static str, crate_name: &'static str) -> Self {
        let decode: fn(&Table) -> Decoded<dyn BackendConfig> = |table| Ok(Box::new(decode::decode::<T>(table)?));
        Self::new::<T>(tag, crate_name, Decode::Backend(decode))
    }

    /// A source whose configuration is `T`.
    pub const fn source<T: SourceConfig + DeserializeOwned>(tag: &'static str, crate_name: &'static str) -> Self {
        let decode: fn(&Table) -> Decoded<dyn SourceConfig> = |table| Ok(Box::new(decode::decode::<T>(table)?));
        Self::new::<T>(tag, crate_name, Decode::Source(decode))
    }

    /// A retention policy whose configuration is `T`.
    pub const fn retention<T: RetentionConfig + DeserializeOwned>(tag: &'static str, crate_name: &'static str) -> Self {
        let decode: fn(&Table) -> Decoded<dyn RetentionConfig> = |table| Ok(Box::new(decode::decode::<T>(table)?));
        Self::new::<T>(tag, crate_name, Decode::Retention(decode))
    }

    /// A conflict resolver whose configuration is `T`.
    pub const fn conflict<T: ConflictConfig + DeserializeOwned>(tag: &'static str, crate_name: &'static str) -> Self {
        let decode: fn(&Table) -> Decoded<dyn ConflictConfig> = |table| Ok(Box::new(decode::decode::<T>(table)?));
        Self::new::<T>(tag, crate_name, Decode::Conflict(decode))
    }

    const fn new<T: DeserializeOwned>(tag: &'static str, crate_name: &'static str, decode: Decode) -> Self {
        let (schemes, options): (&[&str], &[OptionDoc]) = (&[], &[]);
        Self {
            tag,
            crate_name,
            summary: "",
            schemes,
            options,
            example: "",
            from_url: None,
            decode,
            fields: field_names::<T>,
        }
    }

    /// The same with what it is.
    #[must_use]
    pub const fn summary(mut self, summary: &'static str) -> Self {
        self.summary = summary;
        self
    }

    /// The same with URL schemes and how a URL becomes a table, without `type`.
    #[must_use]
    pub const fn urls(mut self, schemes: &'static [&'static str], from_url: FromUrl) -> Self {
        self.schemes = schemes;
        self.from_url = Some(from_url);
        self
    }

    /// The same with its options; the names must be those of the configuration's fields.
    #[must_use]
    pub const fn options(mut self, options: &'static [OptionDoc]) -> Self {
        self.options = options;
        self
    }

    /// The same with an example in TOML, without `type`.
    #[must_use]
    pub const fn example(mut self, example: &'static str) -> Self {
        self.example = example;
        self
    }

    /// The example as a table with `type`.
    ///
    /// # Errors
    /// A [`ConfigProblem`] when the example is no TOML.
    pub fn example_table(&self) -> Result<Table, ConfigProblem> {
        let table = Table::from_toml(&format!("example of {}", self.tag), self.example)?;
        Ok(table.with_text(super::TYPE_KEY, self.tag))
    }

    /// Which family it is of.
    pub const fn family(&self) -> Family {
        match self.decode {
            Decode::Backend(_) => Family::Backend,
            Decode::Source(_) => Family::Source,
            Decode::Retention(_) => Family::Retention,
            Decode::Conflict(_) => Family::Conflict,
        }
    }
}
