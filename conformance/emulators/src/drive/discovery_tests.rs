//! Our own tables against the vendor's description of the service, which comes with the vendor's client for Python.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use super::account::{Caller, Scope};
use super::metadata::{Metadata, Purpose};
use super::operation::{Call, GENERAL, OPERATIONS, Takes};
use super::plant::Plant;
use super::schema::{
    ABOUT, CHANGE_LIST, DRIVE, DRIVE_LIST, FILE_FIELDS, FILE_LIST, GENERATED_IDS, Kind, START_PAGE_TOKEN, Shape,
    WITHIN, Write,
};
use super::state::{Corpus, SharedDrive, State};
use crate::clock::Clock;
use crate::message::Request;

fn document() -> Value {
    let python = backup_test_servers::program("python3").unwrap();
    let script = "import googleapiclient.discovery_cache as c; print(c.get_static_doc('drive', 'v3'))";
    let output = Command::new(python).args(["-c", script]).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "google-api-python-client is missing; `cargo xtask test` installs it: {errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn names(value: &Value) -> BTreeSet<&str> {
    value.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect()
}

/// Every method with its id, at any depth.
fn methods<'a>(resources: &'a Value, found: &mut BTreeMap<&'a str, &'a Value>) {
    for resource in resources.as_object().into_iter().flatten().map(|(_, resource)| resource) {
        for method in resource["methods"].as_object().into_iter().flatten().map(|(_, method)| method) {
            found.insert(method["id"].as_str().unwrap(), method);
        }
        methods(&resource["resources"], found);
    }
}

fn agrees(takes: Takes, described: &Value) -> bool {
    let kind = described["type"].as_str().unwrap();
    let number = |name: &str| described[name].as_str().and_then(|text| text.parse().ok());
    match takes {
        // The description gives only examples of some values, or leaves them to its prose.
        Takes::Text | Takes::OneOf(_) => kind == "string",
        Takes::Flag => kind == "boolean",
        Takes::Number(least, most) => {
            kind == "integer" && number("minimum") == Some(least) && number("maximum") == Some(most)
        }
        Takes::NotEmulated => true,
    }
}

#[test]
fn operations_are_those_that_are_described() {
    let document = document();
    assert_eq!(
        (&document["servicePath"], &document["rootUrl"]),
        (&"drive/v3/".into(), &"https://www.googleapis.com/".into())
    );
    let mut described = BTreeMap::new();
    methods(&document["resources"], &mut described);
    for operation in &OPERATIONS {
        let id = operation.id;
        let method = described[id];
        assert_eq!(method["path"].as_str().unwrap(), operation.path, "{id}");
        assert_eq!(method["httpMethod"].as_str().unwrap(), operation.method, "{id}");
        assert_eq!(method.get("mediaUpload").is_some(), operation.takes_media, "{id}");
        if operation.takes_media {
            let path = method["mediaUpload"]["protocols"]["simple"]["path"].as_str().unwrap();
            assert_eq!(path, format!("/upload/drive/v3/{}", operation.path), "{id}");
        }
        let parameters = method["parameters"].as_object().cloned().unwrap_or_default();
        let in_query: BTreeSet<&str> =
            parameters.iter().filter(|(_, p)| p["location"] == "query").map(|(name, _)| name.as_str()).collect();
        let ours: BTreeSet<&str> = operation.parameters.iter().map(|(name, _)| *name).collect();
        assert_eq!(ours, in_query, "{id}");
        for (name, takes) in operation.parameters {
            assert!(agrees(*takes, &parameters[*name]), "{id} {name}: {takes:?} and {}", parameters[*name]);
        }
    }
    let ours: BTreeSet<&str> = GENERAL.iter().map(|(name, _)| *name).collect();
    assert_eq!(ours, names(&document["parameters"]));
}

#[test]
fn fields_of_files_are_those_that_are_described_and_none_is_written_that_is_told_only() {
    // The description doesn't say it of these, and they are told all the same.
    const TOLD: [&str; 7] = [
        "labelInfo",
        "linkShareMetadata",
        "modifiedByMeTime",
        "sharedWithMeTime",
        "teamDriveId",
        "trashedTime",
        "viewersCanCopyContent",
    ];
    let document = document();
    let described = &document["schemas"]["File"]["properties"];
    let ours: BTreeSet<&str> = FILE_FIELDS.iter().map(|field| field.name).collect();
    assert_eq!(ours, names(described));
    for field in &FILE_FIELDS {
        let property = &described[field.name];
        let prose = property["description"].as_str().unwrap();
        let is_told = prose.starts_with("Output only") || property["readOnly"] == true || TOLD.contains(&field.name);
        assert_eq!(field.write == Write::Never, is_told, "{}: {prose}", field.name);
        let (kind, is_time) = (property["type"].as_str(), property["format"] == "date-time");
        let agrees = match field.kind {
            Kind::Text => kind == Some("string") && !is_time,
            Kind::Flag => kind == Some("boolean"),
            Kind::Time => is_time,
            Kind::Texts => kind == Some("array") && property["items"]["type"] == "string",
            Kind::Map => property["additionalProperties"]["type"] == "string",
            Kind::Other => true,
        };
        assert!(agrees, "{}: {:?} and {property}", field.name, field.kind);
    }
}

#[test]
fn fields_within_fields_are_written_as_described() {
    // The description doesn't say who sets it; it is there when something else is set.
    const TOLD: &str = "restrictionTime";
    let document = document();
    let schemas = &document["schemas"];
    for (outer, inner) in WITHIN {
        let described = &schemas["File"]["properties"][outer];
        let described = described.get("items").unwrap_or(described);
        let described = described["$ref"].as_str().map_or(described, |name| &schemas[name]);
        let properties = described["properties"].as_object().unwrap();
        let is_told = |property: &Value| property["description"].as_str().unwrap().starts_with("Output only");
        let writable = properties.iter().filter(|(name, property)| *name != TOLD && !is_told(property));
        let writable: BTreeSet<&str> = writable.map(|(name, _)| name.as_str()).collect();
        assert_eq!(inner.iter().copied().collect::<BTreeSet<_>>(), writable, "{outer}");
    }
}

fn compare(shape: &Shape, described: &Value, schemas: &Value, path: &str) {
    let described = described["$ref"].as_str().map_or(described, |name| &schemas[name]);
    let described = if described["type"] == "array" { &described["items"] } else { described };
    let described = described["$ref"].as_str().map_or(described, |name| &schemas[name]);
    match shape {
        Shape::Leaf => assert!(described.get("properties").is_none(), "{path}"),
        Shape::Open => {}
        Shape::Fields(fields) => {
            let ours: BTreeSet<&str> = fields.iter().map(|(name, _)| *name).collect();
            assert_eq!(ours, names(&described["properties"]), "{path}");
            for (name, shape) in *fields {
                compare(shape, &described["properties"][*name], schemas, &format!("{path}/{name}"));
            }
        }
        Shape::File => {
            for field in &FILE_FIELDS {
                compare(&field.shape, &described["properties"][field.name], schemas, &format!("{path}/{}", field.name));
            }
        }
    }
}

#[test]
fn fields_of_everything_else_are_those_that_are_described() {
    let document = document();
    let schemas = &document["schemas"];
    let shapes = [
        ("About", &ABOUT),
        ("ChangeList", &CHANGE_LIST),
        ("Drive", &DRIVE),
        ("DriveList", &DRIVE_LIST),
        ("FileList", &FILE_LIST),
        ("GeneratedIds", &GENERATED_IDS),
        ("StartPageToken", &START_PAGE_TOKEN),
    ];
    for (name, shape) in shapes {
        compare(shape, &schemas[name], schemas, name);
    }
}

/// Whether a value is of the type that is described, with everything in it.
fn fits(value: &Value, described: &Value, schemas: &Value, path: &str) {
    let described = described["$ref"].as_str().map_or(described, |name| &schemas[name]);
    match described["type"].as_str().unwrap() {
        "object" => {
            for (name, value) in value.as_object().unwrap_or_else(|| panic!("{path}: {value}")) {
                let property = described["properties"].get(name).or(described.get("additionalProperties"));
                let property = property.unwrap_or_else(|| panic!("{path}/{name} is not described"));
                fits(value, property, schemas, &format!("{path}/{name}"));
            }
        }
        "array" => {
            for item in value.as_array().unwrap_or_else(|| panic!("{path}: {value}")) {
                fits(item, &described["items"], schemas, path);
            }
        }
        "boolean" => assert!(value.is_boolean(), "{path}: {value}"),
        "string" => {
            let text = value.as_str().unwrap_or_else(|| panic!("{path}: {value}"));
            match described["format"].as_str() {
                None => {}
                Some("int64") => assert!(text.parse::<i64>().is_ok(), "{path}: {value}"),
                Some("date-time") => assert!(text.parse::<jiff::Timestamp>().is_ok(), "{path}: {value}"),
                Some(other) => panic!("{path}: {other}"),
            }
        }
        other => panic!("{path}: {other}"),
    }
}

#[test]
fn everything_that_is_told_is_described() {
    let document = document();
    let schemas = &document["schemas"];
    let mut state = State::new(Clock::new());
    let user = state.add_user("anna@example.org");
    let caller = Caller { user, client: "c".to_owned(), scope: Scope::Drive };
    let root = state.user(user).root.clone();
    let members = [user].into_iter().collect();
    state.drives.insert("d".to_owned(), SharedDrive { name: "d".to_owned(), members, created_ms: 0 });
    state.make_top("d", "d", Corpus::Drive("d".to_owned()));
    let file = state.plant(&root, Plant::file("a.b", "x"), "c");
    let shared = state.plant("d", Plant::file("a", "x").trashed(), "c");
    let shortcut = state.plant(&root, Plant::shortcut("s", &file), "c");
    let document = state.plant(&root, Plant::document("t"), "c");
    let metadata = br#"{"name": "n", "properties": {"a": "b"}, "appProperties": {"c": "d"}, "description": "e",
        "contentRestrictions": [{"readOnly": true}], "copyRequiresWriterPermission": true, "starred": true}"#;
    let metadata = Metadata::parse(metadata, Purpose::Update).unwrap();
    let mut written = state.nodes[&file].clone();
    state.write(&caller, &mut written, &metadata).unwrap();
    state.store(written);
    for id in [&root, &file, &shared, &shortcut, &document, "d"] {
        let told = state.file_json(&caller, &state.nodes[id]);
        assert!(told.as_object().unwrap().len() > 10);
        fits(&told, &schemas["File"], schemas, "File");
    }
    let call = |path: &str| {
        let request = Request {
            method: http::Method::GET,
            host: String::new(),
            authority: String::new(),
            path: format!("/drive/v3/{path}"),
            query: "fields=*".to_owned() + if path == "changes" { "&pageToken=1" } else { "" },
            headers: http::HeaderMap::new(),
            body: bytes::Bytes::new(),
        };
        Call::of(&request).unwrap().unwrap()
    };
    state.users[user.0].quota_bytes = Some(1);
    fits(&state.about_get(&caller, &call("about")).unwrap(), &schemas["About"], schemas, "About");
    fits(&state.files_list(&caller, &call("files")).unwrap(), &schemas["FileList"], schemas, "FileList");
    let start = state.changes_start(&caller, &call("changes/startPageToken")).unwrap();
    fits(&start, &schemas["StartPageToken"], schemas, "StartPageToken");
    let changes = state.changes_list(&caller, &call("changes")).unwrap();
    assert!(!changes["changes"].as_array().unwrap().is_empty());
    fits(&changes, &schemas["ChangeList"], schemas, "ChangeList");
    fits(&state.drives_list(&caller, &call("drives")).unwrap(), &schemas["DriveList"], schemas, "DriveList");
    fits(&state.drives_get(&caller, &call("drives/d")).unwrap(), &schemas["Drive"], schemas, "Drive");
    let ids = state.generate_ids(&caller, &call("files/generateIds"));
    fits(&ids, &schemas["GeneratedIds"], schemas, "GeneratedIds");
}
