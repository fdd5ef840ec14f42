use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::*;
use crate::clock::SystemClock;
use crate::secret::{MapResolver, SecretRef};
use crate::storage::StorageBackend;
use crate::storage::error::{StorageError, StorageErrorKind, StorageOperation, StorageResult};

const CANARY: &str = "canary-91c2";

#[derive(Debug, Serialize, Deserialize)]
struct ShelfConfig {
    path: String,
    #[serde(default)]
    port: u16,
    #[serde(default)]
    sync: bool,
    #[serde(default)]
    mode: Mode,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    key: Option<SecretRef>,
    #[serde(default)]
    limits: BTreeMap<String, u8>,
    #[serde(default)]
    even: Even,
}

/// A type with words of its own, which repeat the value.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct Even(u8);

impl TryFrom<String> for Even {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().ok().filter(|number| number % 2 == 0).map(Self).ok_or(format!("{text} is not even"))
    }
}

impl From<Even> for String {
    fn from(even: Even) -> Self {
        even.0.to_string()
    }
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mode {
    #[default]
    Fast,
    Slow,
    Paced {
        per_second: u32,
    },
}

#[async_trait]
#[typetag::serde(name = "shelf")]
impl BackendConfig for ShelfConfig {
    fn validate(&self) -> Result<(), InvalidConfig> {
        if self.path.is_empty() { Err(InvalidConfig::at("path", "is empty")) } else { Ok(()) }
    }

    fn location(&self) -> String {
        format!("shelf:{} {} {} {:?} {:?}", self.path, self.port, self.sync, self.mode, self.tags)
    }

    async fn connect(&self, context: &ConnectContext) -> StorageResult<Arc<dyn StorageBackend>> {
        if let Some(key) = &self.key {
            context.secret(key).await?;
        }
        Err(StorageError::new(StorageErrorKind::Unsupported, StorageOperation::Connect))
    }
}

const OPTIONS: &[OptionDoc] = &[
    OptionDoc::required("path", OptionKind::Path, "Where."),
    OptionDoc::optional("port", OptionKind::Integer, "Which port."),
    OptionDoc::optional("sync", OptionKind::Bool, "Whether to wait."),
    OptionDoc::optional("mode", OptionKind::Choice(&["fast", "slow"]), "How."),
    OptionDoc::optional("tags", OptionKind::TextList, "Words."),
    OptionDoc::optional("key", OptionKind::Secret, "The key."),
    OptionDoc::optional("limits", OptionKind::Nested, "Limits."),
    OptionDoc::optional("even", OptionKind::Text, "An even number."),
];

const SHELF: Descriptor = Descriptor::backend::<ShelfConfig>("shelf", "acme-shelf")
    .summary("a shelf")
    .urls(&["file", "shelf"], |url| Ok(url.options()?.with_text("path", url.path())))
    .options(OPTIONS)
    .example("path = \"/srv\"");

fn registry() -> Registry {
    Registry::standard().unwrap().with(SHELF).unwrap()
}

fn shelf(text: &str) -> Result<String, ConfigProblem> {
    let table = Table::from_toml("f.toml", text)?.with_text(TYPE_KEY, "shelf");
    Ok(registry().backend(&table)?.location())
}

fn shown(problem: &ConfigProblem) -> String {
    assert!(!format!("{problem} {problem:?}").contains(CANARY), "a value is shown: {problem:?}");
    problem.to_string()
}

/// Written by typetag, read by typetag and written again.
fn round_trip<T: Serialize + for<'de> Deserialize<'de>>(config: &T) -> (serde_json::Value, serde_json::Value) {
    let json = serde_json::to_value(config).unwrap();
    let again: T = serde_json::from_value(json.clone()).unwrap();
    (json, serde_json::to_value(again).unwrap())
}

#[test]
fn every_example_is_valid_and_the_same_through_typetag() {
    let registry = registry();
    registry.check_examples().unwrap();
    for descriptor in Family::ALL.iter().flat_map(|family| registry.descriptors(*family)) {
        let table = descriptor.example_table().unwrap();
        let (json, again) = match descriptor.family() {
            Family::Backend => round_trip(&registry.backend(&table).unwrap()),
            Family::Source => round_trip(&registry.source(&table).unwrap()),
            Family::Retention => round_trip(&registry.retention(&table).unwrap()),
            Family::Conflict => round_trip(&registry.conflict(&table).unwrap()),
        };
        assert_eq!(json, again);
    }
    let count = |family| registry.descriptors(family).count();
    assert_eq!((count(Family::Retention), count(Family::Conflict)), (12, 5));
}

#[test]
fn example_that_is_none_and_a_name_that_differs_are_found() {
    let reason = |descriptor: Descriptor| {
        let registry = Registry::standard().unwrap().with(descriptor).unwrap();
        registry.check_examples().unwrap_err().to_string()
    };
    assert!(
        reason(SHELF.example("pth = 1")).contains("its example is not valid: example of shelf:1: `pth`: unknown key")
    );
    assert!(reason(SHELF.example("path = ")).contains("its example is not valid: example of shelf:1: "));
    let renamed = Descriptor { tag: "shelves", ..SHELF };
    assert!(reason(renamed).contains("`#[typetag::serde]` gives it another name"));
}

#[test]
fn every_plug_in_and_option_says_what_it_is_for() {
    let registry = Registry::standard().unwrap();
    for descriptor in Family::ALL.iter().flat_map(|family| registry.descriptors(*family)) {
        assert!(!descriptor.summary.is_empty(), "{}", descriptor.tag);
        for option in descriptor.options {
            assert!(option.help.ends_with('.'), "{}.{}", descriptor.tag, option.name);
        }
    }
}

#[test]
fn unknown_type_lists_the_known_and_names_the_nearest() {
    let problem = registry().retention(&Table::new().with_text("type", "rollin")).unwrap_err();
    let text = shown(&problem);
    assert!(text.contains("did you mean `rolling`?") && text.contains("`keep_last`, "), "{text}");
    let problem = registry().backend(&Table::new().with_text("type", CANARY)).unwrap_err();
    assert_eq!(shown(&problem), "`type`: is no known type of storage backend (known are `shelf`)");
    let problem = registry().backend(&Table::new()).unwrap_err();
    assert_eq!(shown(&problem), "`type`: is missing (known are `shelf`)");
}

#[test]
fn type_of_a_plug_in_that_is_not_there_names_the_feature_or_what_there_is() {
    let problem = registry().backend(&Table::new().with_text("type", "local")).unwrap_err();
    assert_eq!(
        shown(&problem),
        "`type`: this program has no storage backend `local` (build it in with the feature `local` of backup-cli)"
    );
    for tag in ["gdrive", "opendal"] {
        let problem = registry().backend(&Table::new().with_text("type", tag)).unwrap_err();
        assert_eq!(shown(&problem), format!("`type`: this program has no storage backend `{tag}` (it has `shelf`)"));
    }
    let problem = registry().table_from_url("gdrive://u/p").unwrap_err();
    assert_eq!(shown(&problem), "this program has no storage backend `gdrive` (it has `shelf`)");
    assert!(registry().absent().any(|(family, tag, _)| (family, tag) == (Family::Source, "files")));
    assert!(!registry().absent().any(|(_, tag, _)| tag == "shelf"));
}

#[test]
fn unknown_key_names_line_and_nearest() {
    let problem = shelf("port = 1\npth = \"canary-91c2\"").unwrap_err();
    assert_eq!(shown(&problem), "f.toml:2: `pth`: unknown key of the type `shelf` (did you mean `path`?)");
    let problem = shelf("path = \"x\"\n\nmode = { paced = { per_secnd = 7 } }").unwrap_err();
    assert_eq!(shown(&problem), "f.toml:3: `mode.paced.per_secnd`: unknown key (did you mean `per_second`?)");
}

#[test]
fn wrong_values_are_told_by_key_and_line_and_never_repeated() {
    let message = |text: &str| shown(&shelf(text).unwrap_err());
    assert_eq!(message("port = 1"), "f.toml: `path`: is missing");
    assert_eq!(
        message("path = \"x\"\nport = \"canary-91c2\""),
        "f.toml:2: `port`: expected a whole number from 0 to 65535, found a text"
    );
    assert_eq!(
        message("path = \"x\"\nport = 65536"),
        "f.toml:2: `port`: expected a whole number from 0 to 65535, found a number out of range"
    );
    assert_eq!(message("path = 5"), "f.toml:1: `path`: expected text, found a number");
    assert_eq!(
        message("path = \"x\"\nmode = \"canary-91c2\""),
        "f.toml:2: `mode`: is none of the known words (known are `fast`, `slow`, `paced`)"
    );
    assert_eq!(message("path = \"x\"\ntags = [\n\"a\",\n 7]"), "f.toml:4: `tags.1`: expected text, found a number");
    assert_eq!(
        message("path = \"x\"\n[limits]\na = 1\nb = \"canary-91c2\""),
        "f.toml:4: `limits.b`: expected a whole number from 0 to 255, found a text"
    );
    assert_eq!(
        message("path = \"x\"\neven = \"canary-91c2\""),
        "f.toml:2: `even`: the value is not accepted (An even number)"
    );
    let text = message("path = \"x\"\nkey = \"canary-91c2\"");
    assert!(text.starts_with("f.toml:2: `key`: expected a reference to a secret: `env:NAME`"), "{text}");
    assert_eq!(message("path = \"\""), "f.toml:1: `path`: is empty");
    assert_eq!(
        message("path = \"x\"\nport = [1]"),
        "f.toml:2: `port`: expected a whole number from 0 to 65535, found a list"
    );
}

#[test]
fn toml_that_is_none_names_the_line_and_repeats_nothing() {
    for text in [
        "a = \"canary-91c2",
        "a = canary-91c2",
        "a = 1\na = \"canary-91c2\"",
        "[canary-91c2",
        "a = 99999999999999999999 # canary-91c2",
        "a = 2026-13-45 # canary-91c2",
        "canary-91c2",
    ] {
        let problem = Table::from_toml("f.toml", text).unwrap_err();
        assert!(shown(&problem).starts_with("f.toml:"), "{problem}");
    }
    let problem = Table::from_toml("f.toml", "a = 1\n\nb = = 2").unwrap_err();
    assert!(problem.to_string().starts_with("f.toml:3: "), "{problem}");
}

#[test]
fn errors_in_nested_policies_keep_their_place() {
    let policy = |text: &str| {
        let table = Table::from_toml("f.toml", text).unwrap();
        registry().retention(&table).map(|_| ()).unwrap_err()
    };
    let problem = policy(
        "type = \"any_of\"\npolicies = [\n{ type = \"forever\" },\n{ type = \"keep_last\", count = \"canary-91c2\" }]",
    );
    assert_eq!(
        shown(&problem),
        "f.toml:4: `policies.1.count`: expected a whole number or `all`, found a text that is none"
    );
    let problem = policy("type = \"any_of\"\npolicies = [{ count = 3, cunt = 4, type = \"keep_last\" }]");
    assert_eq!(shown(&problem), "f.toml:2: `policies.0.cunt`: unknown key (did you mean `count`?)");
    let problem = policy("type = \"any_of\"\npolicies = [{ type = \"canary-91c2\" }]");
    let text = shown(&problem);
    assert!(text.starts_with("f.toml:2: `policies.0.type`: is none of the known words (known are `all_of`"), "{text}");
    let problem = policy("type = \"any_of\"\npolicies = [{ type = \"keep_last\", count = 0 }]");
    assert!(shown(&problem).starts_with("f.toml:2: `policies.0.count`: must be at least 1"), "{problem}");
    let problem = policy("type = \"by_category\"\n[categories]\na = \"canary-91c2\"");
    assert!(shown(&problem).starts_with("f.toml:3: `categories.a`: expected `forever`, a length of time"), "{problem}");
    let problem = policy("type = \"by_category\"\n[categories.a]\ntype = \"max_age\"\nduration = \"6m\"");
    assert!(shown(&problem).starts_with("f.toml:4: `categories.a.duration`: expected a length of time"), "{problem}");
}

#[test]
fn text_from_a_url_keeps_its_zeros_and_becomes_what_the_option_wants() {
    let location = |url: &str| registry().backend_from_url(url).map(|config| config.location());
    assert_eq!(location("shelf:///0123").unwrap(), "shelf:/0123 0 false Fast []");
    assert_eq!(
        location("shelf:///true?port=0123&sync&mode=slow&tags=[\"01\",\"b\"]").unwrap(),
        "shelf:/true 123 true Slow [\"01\", \"b\"]"
    );
    assert_eq!(location("shelf:///x?tags=0123").unwrap(), "shelf:/x 0 false Fast [\"0123\"]");
    assert_eq!(location("shelf:///x?tags=").unwrap(), "shelf:/x 0 false Fast []");
    assert!(location("shelf:///x?limits={a=5}").is_ok());
    let problem = location("shelf:///x?port=canary-91c2").unwrap_err();
    assert_eq!(shown(&problem), "`port`: expected a whole number from 0 to 65535, found a text");
    let problem = location("shelf:///x?prt=canary-91c2").unwrap_err();
    assert_eq!(shown(&problem), "`prt`: unknown key of the type `shelf` (did you mean `port`?)");
}

#[test]
fn plain_path_is_taken_as_it_is() {
    let path = |text: &str| registry().table_from_url(text).map(|table| table.text("path").map(str::to_owned));
    for text in
        ["/srv/100%/a b?c#d", "backups", "./sftp:x", "./me@nas:x", "x/me@nas:y", "C:\\backup", "C:/backup", "a:b", ""]
    {
        assert_eq!(path(text).unwrap().as_deref(), Some(text));
    }
    assert_eq!(path("file:///srv/a%20b").unwrap().as_deref(), Some("/srv/a b"));
    assert_eq!(path("FILE:///srv").unwrap().as_deref(), Some("/srv"));
}

#[test]
fn text_that_looks_like_a_url_of_another_program_is_no_path() {
    for text in ["sftp:user@host:/canary-91c2", "s3:bucket/canary-91c2", "shelf:canary-91c2"] {
        let problem = registry().table_from_url(text).unwrap_err();
        assert!(shown(&problem).contains("is no URL"), "{problem}");
    }
    for text in ["me@nas:canary-91c2", "nas:canary-91c2/x", "rest:http://me:canary-91c2@host/", "rclone:canary-91c2:b"]
    {
        let problem = registry().table_from_url(text).unwrap_err();
        assert!(shown(&problem).contains("looks like an address elsewhere (write `./` in front"), "{problem}");
    }
    let problem = registry().table_from_url("shlf://canary-91c2").unwrap_err();
    assert!(shown(&problem).contains("did you mean `shelf`?"), "{problem}");
    let problem = registry().table_from_url("shelf://me:canary-91c2@x/").unwrap_err();
    assert!(shown(&problem).contains("a password has no place in a URL"), "{problem}");
}

#[test]
fn two_crates_with_one_name_are_refused_naming_both() {
    let other = Descriptor { crate_name: "zeta-shelf", ..SHELF };
    let error = registry().with(other).unwrap_err();
    assert_eq!(error.to_string(), "the storage backend `shelf` is claimed by both acme-shelf and zeta-shelf");
    let other = Descriptor { crate_name: "zeta-rack", tag: "rack", ..SHELF };
    let error = registry().with(other).unwrap_err();
    assert_eq!(error.to_string(), "the URL scheme `file` is claimed by both acme-shelf and zeta-rack");
    assert_eq!(registry().with(SHELF).unwrap().descriptors(Family::Backend).count(), 1);
}

#[test]
fn descriptor_that_contradicts_its_type_is_refused() {
    let reason = |descriptor: Descriptor| match Registry::standard().unwrap().with(descriptor) {
        Err(RegistryError::Descriptor { reason, .. }) => reason,
        other => panic!("{other:?}"),
    };
    assert!(reason(SHELF.options(&[])).contains("it documents the options [] and reads [\"even\", \"key\", "));
    const TWICE: &[OptionDoc] = &[OPTIONS[0], OPTIONS[0]];
    assert!(reason(SHELF.options(TWICE)).contains("`path` is documented twice"));

    #[derive(Debug, Serialize, Deserialize)]
    struct Greedy {
        password: String,
    }
    #[async_trait]
    #[typetag::serde(name = "greedy")]
    impl BackendConfig for Greedy {
        fn validate(&self) -> Result<(), InvalidConfig> {
            Ok(())
        }
        fn location(&self) -> String {
            String::new()
        }
        async fn connect(&self, _: &ConnectContext) -> StorageResult<Arc<dyn StorageBackend>> {
            Err(StorageError::new(StorageErrorKind::Unsupported, StorageOperation::Connect))
        }
    }
    const GREEDY: Descriptor = Descriptor::backend::<Greedy>("greedy", "acme").options(&[OptionDoc::required(
        "password",
        OptionKind::Secret,
        "It.",
    )]);
    assert!(reason(GREEDY).contains("`password` is taken by the framework"));
}

#[tokio::test]
async fn secret_that_cannot_be_had_is_a_configuration_error_without_it() {
    let config: Box<dyn BackendConfig> =
        serde_json::from_str(r#"{"type":"shelf","path":"/x","key":"inline:canary-91c2"}"#).unwrap();
    assert!(!format!("{config:?} {}", serde_json::to_string(&config).unwrap()).contains(CANARY));
    let context = |resolver| ConnectContext::new(Arc::new(resolver), Arc::new(SystemClock::new()));
    let error = config.connect(&context(MapResolver::new())).await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Config);
    assert!(!format!("{error} {error:?}").contains(CANARY));
    let error = config.connect(&context(MapResolver::new().allowing_inline())).await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Unsupported, "the secret was had, the rest isn't there");
}
