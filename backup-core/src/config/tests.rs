use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::*;
use crate::registry::{ConnectContext, Descriptor, InvalidConfig, OpenContext, OptionDoc};
use crate::snapshotter::{Snapshotter, SourceError};
use crate::storage::StorageBackend;
use crate::storage::error::{StorageError, StorageErrorKind, StorageOperation, StorageResult};

const CANARY: &str = "canary-77d0";

#[derive(Debug, Serialize, Deserialize)]
struct VaultConfig {
    path: String,
    #[serde(default)]
    port: u16,
    #[serde(default)]
    sync: bool,
    #[serde(default)]
    hosts: Vec<String>,
    key: Option<SecretRef>,
}

#[async_trait]
#[typetag::serde(name = "vault")]
impl BackendConfig for VaultConfig {
    fn validate(&self) -> Result<(), InvalidConfig> {
        Ok(())
    }

    fn location(&self) -> String {
        format!("{} {} {} {:?}", self.path, self.port, self.sync, self.hosts)
    }

    async fn connect(&self, _: &ConnectContext) -> StorageResult<Arc<dyn StorageBackend>> {
        Err(StorageError::new(StorageErrorKind::Unsupported, StorageOperation::Connect))
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct FolderConfig {
    paths: Vec<String>,
}

#[typetag::serde(name = "folder")]
impl SourceConfig for FolderConfig {
    fn validate(&self) -> Result<(), InvalidConfig> {
        if self.paths.is_empty() { Err(InvalidConfig::at("paths", "is empty")) } else { Ok(()) }
    }

    fn open(&self, _: &OpenContext) -> Result<Box<dyn Snapshotter>, SourceError> {
        Err(SourceError::Unsupported("a test"))
    }
}

const VAULT: Descriptor = Descriptor::backend::<VaultConfig>("vault", "test")
    .urls(&["file", "vault"], |url| Ok(url.options()?.with_text("path", url.path())))
    .options(&[
        OptionDoc::required("path", OptionKind::Path, "Where."),
        OptionDoc::optional("port", OptionKind::Integer, "Which port."),
        OptionDoc::optional("sync", OptionKind::Bool, "Whether to wait."),
        OptionDoc::optional("hosts", OptionKind::TextList, "Which hosts."),
        OptionDoc::optional("key", OptionKind::Secret, "Its key."),
    ])
    .example("path = \"/x\"\nport = 1\nsync = true\nhosts = [\"a\"]\nkey = \"env:KEY\"");

const FOLDER: Descriptor = Descriptor::source::<FolderConfig>("folder", "test")
    .options(&[OptionDoc::required("paths", OptionKind::TextList, "Which folders.")])
    .example("paths = [\"/a\"]");

fn registry() -> Registry {
    Registry::standard().unwrap().with(VAULT).unwrap().with(FOLDER).unwrap()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn load(layers: &Layers) -> Result<Config, String> {
    let result = Config::load(&registry(), layers);
    let shown = format!("{layers:?} {result:?}");
    assert!(!shown.contains(CANARY), "a value is shown: {shown}");
    result.map_err(|error| {
        assert!(!error.to_string().contains(CANARY), "a value is shown: {error}");
        error.to_string()
    })
}

fn error(text: &str) -> String {
    load(&Layers::new().file("c.toml", text)).unwrap_err()
}

fn location(layers: &Layers) -> String {
    load(layers).unwrap().repositories["home"].backend.location()
}

const HOME: &str = "[repository.home]\ntype = \"vault\"\npath = \"/a\"\nport = 1\n";

#[test]
fn layers_are_laid_over_each_other_in_their_order() {
    let path = |path: &str| format!("[repository.home]\npath = \"{path}\"\n");
    let mut layers = Layers::new().flag("repository.home.port", "7");
    assert_eq!(location(&layers.clone().file("f", HOME)), "/a 7 false []");
    layers = layers.defaults(HOME);
    assert_eq!(location(&layers), "/a 7 false []");
    layers = layers.file("named", path("/named"));
    assert_eq!(location(&layers), "/named 7 false []");
    layers =
        layers.user("user", path("/user") + "sync = true").system("system", path("/system") + "hosts = [\"s\", \"t\"]");
    assert_eq!(location(&layers), "/named 7 true [\"s\", \"t\"]");
    layers = layers.environment(pairs(&[("BACKUP_REPOSITORY__HOME__PATH", "/environment")]));
    assert_eq!(location(&layers), "/environment 7 true [\"s\", \"t\"]");
    layers = layers.flag("repository.home.path", "/flag").flag("repository.home.hosts", "u");
    assert_eq!(location(&layers), "/flag 7 true [\"u\"]", "a list replaces a list");
}

#[test]
fn text_of_the_environment_keeps_its_zeros_and_becomes_what_the_option_wants() {
    let with = |name: &str, value: &str| {
        let name = format!("BACKUP_REPOSITORY__HOME__{name}");
        location(&Layers::new().file("f", HOME).environment(pairs(&[(&name, value)])))
    };
    assert_eq!(with("PATH", "0123"), "0123 1 false []");
    assert_eq!(with("PATH", "true"), "true 1 false []");
    assert_eq!(with("PATH", " [x, y] "), " [x, y]  1 false []");
    assert_eq!(with("PATH", "${HOME}"), "${HOME} 1 false []", "only files are expanded");
    assert_eq!(with("PORT", "0123"), "/a 123 false []");
    assert_eq!(with("SYNC", "true"), "/a 1 true []");
    assert_eq!(with("HOSTS", "01"), "/a 1 false [\"01\"]");
    assert_eq!(with("HOSTS", "[\"01\", \"b,c\"]"), "/a 1 false [\"01\", \"b,c\"]");
}

#[test]
fn variables_that_are_no_settings_are_left_alone_and_wrong_ones_named() {
    let layers = Layers::new().environment(pairs(&[
        ("BACKUP_PASSWORD", CANARY),
        ("BACKUP_REPOSITORY", CANARY),
        ("OTHER__THING", CANARY),
    ]));
    assert!(load(&layers).is_ok());
    let message = |name: &str| load(&Layers::new().environment(pairs(&[(name, CANARY)]))).unwrap_err();
    assert_eq!(
        message("BACKUP_REPOSITRY__HOME__PATH"),
        "environment variable BACKUP_REPOSITRY__HOME__PATH: `repositry.home.path`: unknown section (did you mean \
         `repository`?)"
    );
    assert!(message("BACKUP_REPOSITORY____PATH").contains("a part of the key is empty"));
    assert!(message("BACKUP_REPOSITORY__HOME").contains("`repository.home`: expected a table, found a text"));
    let both = pairs(&[("BACKUP_REPOSITORY__HOME", CANARY), ("BACKUP_REPOSITORY__HOME__PATH", CANARY)]);
    let message = load(&Layers::new().environment(both)).unwrap_err();
    assert!(message.contains("gives this key a value and not a table"), "{message}");
}

#[test]
fn variables_are_put_into_the_files_texts() {
    let text =
        "[repository.home]\ntype = \"vault\"\npath = \"${BASE}/b\"\nport = \"${PORT:-22}\"\nhosts = [\"${BASE}\"]";
    let layers = Layers::new().file("c.toml", text);
    assert_eq!(location(&layers.clone().environment(pairs(&[("BASE", "/x")]))), "/x/b 22 false [\"/x\"]");
    let set = pairs(&[("BASE", "[1]"), ("PORT", "023")]);
    assert_eq!(location(&layers.clone().environment(set)), "[1]/b 23 false [\"[1]\"]");
    assert_eq!(
        load(&layers).unwrap_err().lines().next().unwrap(),
        "c.toml:5: `repository.home.hosts.0`: the variable `BASE` is not set"
    );
}

#[test]
fn variable_that_is_not_set_matters_only_where_it_counts() {
    let layers = Layers::new().system("s", "[repository.home]\ntype = \"vault\"\npath = \"${MISSING}\"");
    assert!(load(&layers).is_err());
    assert_eq!(location(&layers.file("f", "[repository.home]\npath = \"/b\"")), "/b 0 false []");
}

#[test]
fn every_problem_is_named_by_file_line_and_key() {
    let text = "\
[defualts]
[defaults]
repository = \"hom\"
retention = \"standrad\"
compression = 20
[repository.home]
type = \"vault\"
pth = \"canary-77d0\"
[repository.away]
type = \"valt\"
[repository.\"a/b\"]
type = \"vault\"
[source.documents]
type = \"folder\"
paths = \"canary-77d0\"
[source.empty]
type = \"folder\"
paths = []
[retention.standard]
type = \"gfs\"
daily = \"canary-77d0\"
[conflict]
x = 5
";
    let lines: Vec<String> = error(text).lines().map(str::to_owned).collect();
    assert_eq!(
        lines,
        [
            "c.toml:1: `defualts`: unknown section (did you mean `defaults`?)",
            "c.toml:5: `defaults.compression`: expected a level from 1 to 19",
            "c.toml:11: `repository.a/b`: a name is made of letters, digits, `-` and `_`",
            "c.toml:10: `repository.away.type`: is no known type of storage backend (did you mean `vault`? known are `vault`)",
            "c.toml:8: `repository.home.pth`: unknown key of the type `vault` (did you mean `path`?)",
            "c.toml:15: `source.documents.paths`: expected a list, found a text",
            "c.toml:18: `source.empty.paths`: is empty",
            "c.toml:21: `retention.standard.daily`: expected a whole number or `all`, found a text that is none",
            "c.toml:23: `conflict.x`: expected a table, found a number",
        ]
    );
}

#[test]
fn names_that_stand_for_nothing_are_problems_with_the_nearest() {
    let text = format!("{HOME}retention = \"mnie\"\n[retention.mine]\ntype = \"forever\"\n[defaults]\n");
    let lines = error(&(text.clone() + "repository = \"hom\"\nretention = \"zzz\"\nconflict = \"newst\""));
    assert_eq!(
        lines.lines().collect::<Vec<_>>(),
        [
            "c.toml:10: `defaults.retention`: there is no retention policy of that name (known are `mine`, `all_of`, \
         `any_of`, `by_category`, `forever`, `gfs`, `keep_last`, `keep_pinned`, `keep_tags`, `keep_within`, `max_age`, \
         `max_total_size`, `rolling`)",
            "c.toml:11: `defaults.conflict`: there is no conflict resolver of that name (did you mean `newest`?)",
            "c.toml:9: `defaults.repository`: names no repository; a folder is written with a `/` (did you mean `home`?)",
            "c.toml:5: `repository.home.retention`: there is no retention policy of that name (did you mean `mine`?)",
        ]
    );
    let fine =
        text.replace("mnie", "mine") + "repository = \"./folder\"\nretention = \"forever\"\nconflict = \"newest\"";
    assert!(load(&Layers::new().file("c.toml", fine)).is_ok());
    assert!(error("[defaults]\nretention = \"keep_last\"").contains("`defaults.retention.count`: is missing"));
    assert!(
        error("[defaults]\nrepository = \"vlt://x\"").contains("`defaults.repository`: the URL's scheme is not known")
    );
}

#[test]
fn name_whose_table_is_broken_is_one_problem_and_not_two() {
    let text =
        "[defaults]\nretention = \"mine\"\nrepository = \"home\"\n[retention.mine]\ntype = \"x\"\n[repository.home]\n";
    let message = error(text);
    assert_eq!(message.lines().count(), 2, "{message}");
}

#[test]
fn repository_is_given_by_url_or_by_type_and_not_by_both() {
    let url = |rest: &str| Layers::new().file("c.toml", format!("[repository.home]\nurl = \"{rest}"));
    assert_eq!(location(&url("/srv/a b\"\nport = 5")), "/srv/a b 5 false []");
    assert_eq!(location(&url("vault:///x?port=022&hosts=h\"")), "/x 22 false [\"h\"]");
    let message = |rest: &str| load(&url(rest)).unwrap_err();
    assert_eq!(
        message("/a\"\ntype = \"vault\""),
        "c.toml:2: `repository.home.url`: stands beside `type` (c.toml:3): give one or the other"
    );
    assert_eq!(message("vault:///a?port=1\"\nport = 2"), "c.toml:3: `repository.home.port`: is in the URL already");
    assert_eq!(
        message("gdrive://me/x\""),
        "c.toml:2: `repository.home.url`: this program has no storage backend `gdrive` (it has `vault`)"
    );
    assert!(message("vault://me:canary-77d0@host/x\"").contains("a password has no place in a URL"));
    assert!(
        message("vault:///x?key=inline:canary-77d0\"").contains("`repository.home.url.key`: a secret has no place")
    );
    assert!(message("/a\"\nprt = 2").starts_with("c.toml:3: `repository.home.prt`: unknown key of the type `vault`"));
    assert!(
        error("[repository.home]\npath = \"/a\"").contains("`repository.home.type`: is missing (or give the store")
    );
}

#[test]
fn secrets_written_into_the_configuration_are_refused_unless_allowed() {
    for option in ["password", "key"] {
        let text = |value: &str| format!("{HOME}{option} = \"{value}\"\n");
        let bare = error(&text(CANARY));
        assert!(bare.starts_with(&format!("c.toml:5: `repository.home.{option}`: expected a reference")), "{bare}");
        let inline = text(&format!("inline:{CANARY}"));
        let refused = error(&inline);
        assert!(refused.starts_with(&format!("c.toml:5: `repository.home.{option}`: a secret written")), "{refused}");
        assert_eq!(refused.lines().count(), 1, "{refused}");
        let allowed = inline + "[defaults]\nallow_inline_secrets = true";
        let config = load(&Layers::new().file("c.toml", allowed)).unwrap();
        let shown = config.to_toml();
        assert!(shown.contains(&format!("{option} = \"inline:(hidden)\"")) && !shown.contains(CANARY), "{shown}");
    }
    let beside_url = "[repository.home]\nurl = \"/a\"\nkey = \"inline:canary-77d0\"";
    assert!(error(beside_url).contains("`repository.home.key`: a secret written into the configuration"));
}

#[test]
fn secret_that_a_variable_makes_or_that_stands_in_the_wrong_place_is_not_shown() {
    let rest = format!("{HOME}hosts = [\"inline:{CANARY}\"]\n[defaults]\nallow_inline_secrets = true");
    for secret in [format!("${{KIND}}:{CANARY}"), format!("inline:{CANARY}")] {
        let text = format!("[repository.home]\npassword = \"{secret}\"\n") + &rest.replace("[repository.home]\n", "");
        let layers = Layers::new().file("c.toml", text).environment(pairs(&[("KIND", "inline")]));
        let config = Config::load(&registry(), &layers).unwrap();
        assert!(config.repositories["home"].password.is_some());
        let shown = config.to_toml();
        assert!(!shown.contains(CANARY) && shown.contains("hosts = [\"inline:(hidden)\"]"), "{shown}");
    }
}

#[test]
fn what_is_shown_names_origins_and_holds_no_secret_and_no_variable() {
    let text = "[repository.home]\ntype = \"vault\"\npath = \"${WHERE}\"\npassword = \"env:PW\"\n[retention.r]\n\
                type = \"by_category\"\n[retention.r.categories]\n\"a b\" = \"7d\"\n";
    let layers = Layers::new().user("u\n.toml", text).environment(pairs(&[
        ("WHERE", CANARY),
        ("BACKUP_REPOSITORY__HOME__PORT", "022"),
        ("BACKUP_REPOSITORY__HOME__HOSTS", "a"),
        ("BACKUP_REPOSITORY__HOME__SYNC", "true"),
        ("BACKUP_DEFAULTS__COMPRESSION", "9"),
    ]));
    let config = Config::load(&registry(), &layers).unwrap();
    let shown = config.to_toml();
    assert_eq!(
        shown,
        "\
defaults.compression = 9 # environment variable BACKUP_DEFAULTS__COMPRESSION
repository.home.hosts = [\"a\"] # environment variable BACKUP_REPOSITORY__HOME__HOSTS
repository.home.password = \"env:PW\" # u?.toml:4
repository.home.path = \"${WHERE}\" # u?.toml:3
repository.home.port = 22 # environment variable BACKUP_REPOSITORY__HOME__PORT
repository.home.sync = true # environment variable BACKUP_REPOSITORY__HOME__SYNC
repository.home.type = \"vault\" # u?.toml:2
retention.r.categories.\"a b\" = \"7d\" # u?.toml:8
retention.r.type = \"by_category\" # u?.toml:6
"
    );
    let again =
        Config::load(&registry(), &Layers::new().file("shown", &shown).environment(pairs(&[("WHERE", CANARY)])));
    let values = |config: &Config| config.settings().into_iter().map(|s| (s.key, s.value)).collect::<Vec<_>>();
    assert_eq!(values(&again.unwrap()), values(&config));
}

#[test]
fn repository_of_a_person_is_a_name_first_and_a_place_otherwise() {
    let config =
        load(&Layers::new().file("c", format!("{HOME}password = \"env:PW\"\n[defaults]\nrepository = \"home\"")))
            .unwrap();
    let registry = registry();
    let home = config.repository(&registry, None).unwrap();
    assert_eq!((home.name.as_deref(), home.password), (Some("home"), Some(SecretRef::Env("PW".into()))));
    let path = config.repository(&registry, Some("./home")).unwrap();
    assert_eq!((path.name, path.backend.location()), (None, "./home 0 false []".to_owned()));
    assert_eq!(config.nearest_repository("hme"), Some("home"));
    let empty = load(&Layers::new()).unwrap();
    assert!(empty.repository(&registry, None).unwrap_err().to_string().starts_with("no repository is named"));
    assert!(config.source("x").unwrap_err().to_string().contains("there is no source `x` (there are none)"));
}

#[test]
fn time_zone_of_the_defaults_reaches_policies_without_one() {
    let text = "[defaults]\ntime_zone = \"Asia/Tokyo\"\nretention = \"a\"\n[retention.a]\ntype = \"gfs\"\ndaily = 1\n\
                [retention.b]\ntype = \"gfs\"\ndaily = 1\ntime_zone = \"UTC\"\n";
    let config = load(&Layers::new().file("c", text)).unwrap();
    let zone = |name: &str| serde_json::to_value(&*config.retention[name]).unwrap()["time_zone"].clone();
    assert_eq!((zone("a"), zone("b")), (json!("Asia/Tokyo"), json!("UTC")));
    assert!(
        error("[defaults]\ntime_zone = \"Mars/Base\"")
            .starts_with("c.toml:2: `defaults.time_zone`: expected a time zone")
    );
}

#[test]
fn broken_toml_in_any_layer_is_named_and_not_repeated() {
    let layers = Layers::new().system("s.toml", "a = canary-77d0").user("u.toml", "[x\ncanary-77d0 = 1");
    let message = load(&layers).unwrap_err();
    let files: BTreeSet<&str> = message.lines().filter_map(|line| line.split(':').next()).collect();
    assert_eq!(files, BTreeSet::from(["s.toml", "u.toml"]), "{message}");
}

/// The part of JSON schema that the schema uses.
fn valid(schema: &Json, value: &Json) -> bool {
    let all = |key: &str, check: &dyn Fn(&Json) -> bool| schema.get(key).is_none_or(check);
    let of_type = |name: &Json| match name.as_str().unwrap() {
        "object" => value.is_object(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        other => panic!("type {other}"),
    };
    let known: BTreeSet<&str> =
        "$schema title type description default const enum anyOf oneOf not minimum maximum pattern \
                                 items properties required additionalProperties propertyNames"
            .split(' ')
            .filter(|word| !word.is_empty())
            .collect();
    assert!(schema.as_object().unwrap().keys().all(|key| known.contains(key.as_str())), "{schema}");
    let entries = || value.as_object().into_iter().flatten();
    let property = |name: &str| schema.get("properties").and_then(|properties| properties.get(name));
    all("type", &|t| t.as_array().map_or_else(|| of_type(t), |types| types.iter().any(of_type)))
        && all("const", &|expected| value == expected)
        && all("enum", &|words| words.as_array().unwrap().contains(value))
        && all("anyOf", &|several| several.as_array().unwrap().iter().any(|one| valid(one, value)))
        && all("oneOf", &|several| several.as_array().unwrap().iter().filter(|one| valid(one, value)).count() == 1)
        && all("not", &|one| !valid(one, value))
        && all("minimum", &|least| value.as_i64().is_none_or(|number| number >= least.as_i64().unwrap()))
        && all("maximum", &|most| value.as_i64().is_none_or(|number| number <= most.as_i64().unwrap()))
        && all("pattern", &|pattern| value.as_str().is_none_or(|text| matches(pattern.as_str().unwrap(), text)))
        && all("items", &|item| value.as_array().is_none_or(|items| items.iter().all(|one| valid(item, one))))
        && all("required", &|names| {
            names.as_array().unwrap().iter().all(|name| value.get(name.as_str().unwrap()).is_some())
        })
        && all("propertyNames", &|names| entries().all(|(name, _)| valid(names, &json!(name))))
        && entries().all(|(name, inner)| match (property(name), schema.get("additionalProperties")) {
            (Some(schema), _) | (None, Some(schema @ Json::Object(_))) => valid(schema, inner),
            (None, Some(Json::Bool(false))) => false,
            (None, _) => true,
        })
}

fn matches(pattern: &str, text: &str) -> bool {
    match pattern {
        "^(env|file|cmd|keyring|inline):" => {
            ["env:", "file:", "cmd:", "keyring:", "inline:"].iter().any(|p| text.starts_with(p))
        }
        "^[A-Za-z0-9][A-Za-z0-9_-]*$" => {
            text.starts_with(|c: char| c.is_ascii_alphanumeric())
                && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
        }
        other => panic!("pattern {other}"),
    }
}

fn as_json(text: &str) -> Json {
    serde_json::to_value(text.parse::<toml::Table>().unwrap()).unwrap()
}

#[test]
fn schema_accepts_every_example_as_the_loader_does() {
    let registry = registry();
    let schema = schema(&registry);
    for family in Family::ALL {
        for descriptor in registry.descriptors(family) {
            let example = descriptor.example.replace("[categories]", &format!("[{}.x.categories]", family.section()));
            let text = format!("[{}.x]\ntype = \"{}\"\n{example}", family.section(), descriptor.tag);
            assert!(load(&Layers::new().file("c", &text)).is_ok(), "{text}");
            assert!(valid(&schema, &as_json(&text)), "{text}");
        }
    }
}

#[test]
fn schema_and_loader_agree_about_what_is_wrong() {
    let schema = schema(&registry());
    for (text, accepted) in [
        ("", true),
        ("[defaults]\ncompression = 19\nallow_inline_secrets = false", true),
        ("[defaults]\ncompression = 20", false),
        ("[defaults]\ncompression = 0", false),
        ("[defaults]\ncompresion = 1", false),
        ("[other]", false),
        ("[repository.x]\nurl = \"/a\"\npassword = \"env:A\"", true),
        ("[repository.x]\nurl = \"/a\"\ntype = \"vault\"", false),
        ("[repository.x]\nurl = \"/a\"\npassword = \"abc\"", false),
        ("[repository.x]\ntype = \"vault\"\npath = \"/a\"\nport = -1", false),
        ("[repository.x]\ntype = \"vault\"\npath = 1", false),
        ("[repository.x]\ntype = \"vault\"", false),
        ("[repository.x]\ntype = \"vault\"\npath = \"/a\"\nx = 1", false),
        ("[repository.\"x/y\"]\nurl = \"/a\"", false),
        ("[repository.\"x.y\"]\nurl = \"/a\"", false),
        ("[repository.x]\ntype = \"other\"", false),
        ("[source.x]\ntype = \"folder\"\npaths = [1]", false),
        ("[retention.x]\ntype = \"keep_last\"\ncount = 0", false),
        ("[retention.x]\ntype = \"keep_last\"\ncount = \"all\"\nscope = \"repository\"", true),
        ("[retention.x]\ntype = \"keep_last\"\ncount = 1\nscope = \"all\"", false),
    ] {
        assert_eq!(load(&Layers::new().file("c", text)).is_ok(), accepted, "the loader about {text:?}");
        assert_eq!(valid(&schema, &as_json(text)), accepted, "the schema about {text:?}");
    }
}

#[test]
fn url_says_how_long_to_try_as_a_table_does() {
    let config = Config::load(&registry(), &Layers::new()).unwrap();
    let named =
        config.repository(&registry(), Some("vault:///x?retry_attempts=3&idle_timeout=2s&retry_for=1h")).unwrap();
    assert_eq!((named.patience.retry.max_attempts, named.patience.idle.idle.as_secs()), (3, 2));
    assert_eq!(named.patience.retry.max_total.as_secs(), 3_600);
    for bad in ["vault:///x?retry_attempts=0", "vault:///x?retry_attempts=many", "vault:///x?idle_timeout=1mo"] {
        assert!(config.repository(&registry(), Some(bad)).is_err(), "{bad}");
    }
}
