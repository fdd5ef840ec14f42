//! Our own tables against the vendor's description of the service, which comes with the vendor's client for Python.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use super::operation::{GENERAL, OPERATIONS, Takes};
use super::schema::{
    ABOUT, CHANGE_LIST, DRIVE, DRIVE_LIST, FILE_FIELDS, FILE_LIST, GENERATED_IDS, Kind, START_PAGE_TOKEN, Shape, Write,
};

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
