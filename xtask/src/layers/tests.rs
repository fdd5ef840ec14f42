use serde_json::{Value, json};

use super::{graph::Graph, rules};

/// Metadata as cargo writes it: members as (directory, name), edges as (from, to, kind), and packages from outside.
fn metadata(members: &[(&str, &str)], outside: &[&str], edges: &[(&str, &str, Option<&str>)]) -> String {
    let id = |name: &str| format!("id+{name}");
    let place = |name: &str| members.iter().find(|(_, other)| *other == name).map(|(place, _)| format!("/w/{place}"));
    let names = || members.iter().map(|(_, name)| *name).chain(outside.iter().copied());
    let packages: Vec<Value> = names()
        .map(|name| {
            let directory = place(name).unwrap_or_else(|| format!("/elsewhere/{name}"));
            let dependencies: Vec<Value> = edges
                .iter()
                .filter(|(from, _, _)| *from == name)
                .map(|(_, to, kind)| json!({ "name": to, "kind": kind, "path": place(to) }))
                .collect();
            json!({ "id": id(name), "name": name, "manifest_path": format!("{directory}/Cargo.toml"), "dependencies": dependencies })
        })
        .collect();
    let nodes: Vec<Value> = names()
        .map(|name| {
            let deps: Vec<Value> = edges
                .iter()
                .filter(|(from, _, _)| *from == name)
                .map(|(_, to, kind)| json!({ "pkg": id(to), "dep_kinds": [{ "kind": kind }] }))
                .collect();
            json!({ "id": id(name), "deps": deps })
        })
        .collect();
    let workspace: Vec<String> = members.iter().map(|(_, name)| id(name)).collect();
    json!({ "packages": packages, "workspace_members": workspace, "workspace_root": "/w", "resolve": { "nodes": nodes } })
        .to_string()
}

const MEMBERS: [(&str, &str); 9] = [
    ("backup-core", "backup-core"),
    ("backup-engine", "backup-engine"),
    ("snapshotters/files", "backup-snapshotter-files"),
    ("backends/local", "backup-backend-local"),
    ("backends/http", "backup-http"),
    ("conformance", "backup-conformance"),
    ("backup-cli", "backup-cli"),
    ("examples", "backup-examples"),
    ("xtask", "xtask"),
];

fn breaches(outside: &[&str], edges: &[(&str, &str, Option<&str>)]) -> Vec<String> {
    rules::check(&Graph::parse(&metadata(&MEMBERS, outside, edges)).unwrap())
}

#[test]
fn a_graph_that_keeps_the_rule_has_no_breach() {
    let edges = [
        ("backup-engine", "backup-core", None),
        ("backup-engine", "backup-conformance", Some("dev")),
        ("backup-snapshotter-files", "backup-core", None),
        ("backup-backend-local", "backup-core", None),
        ("backup-backend-local", "backup-http", None),
        ("backup-backend-local", "backup-conformance", Some("dev")),
        ("backup-http", "backup-core", None),
        ("backup-http", "reqwest", None),
        ("backup-conformance", "backup-core", None),
        ("backup-cli", "backup-engine", None),
        ("backup-cli", "backup-backend-local", None),
        ("backup-cli", "backup-snapshotter-files", None),
        ("backup-examples", "backup-cli", None),
        ("backup-core", "serde", None),
        // Tests of core may do what they like with crates from outside.
        ("backup-core", "hyper", Some("dev")),
    ];
    assert_eq!(breaches(&["serde", "reqwest", "hyper"], &edges), Vec::<String>::new());
}

#[test]
fn every_forbidden_edge_is_refused() {
    let forbidden = [
        ("backup-core", "backup-conformance", None),
        ("backup-core", "backup-conformance", Some("dev")),
        ("backup-core", "backup-engine", Some("build")),
        ("backup-engine", "backup-backend-local", None),
        ("backup-engine", "backup-backend-local", Some("dev")),
        ("backup-engine", "backup-snapshotter-files", None),
        ("backup-engine", "backup-conformance", None),
        ("backup-engine", "backup-http", None),
        ("backup-backend-local", "backup-engine", None),
        ("backup-backend-local", "backup-engine", Some("dev")),
        ("backup-backend-local", "backup-snapshotter-files", Some("dev")),
        ("backup-snapshotter-files", "backup-backend-local", None),
        ("backup-snapshotter-files", "backup-http", None),
        ("backup-conformance", "backup-backend-local", None),
        ("backup-conformance", "backup-backend-local", Some("dev")),
        ("backup-http", "backup-backend-local", None),
        ("backup-cli", "xtask", None),
        ("backup-cli", "backup-examples", Some("dev")),
        ("backup-examples", "xtask", None),
    ];
    for edge in forbidden {
        let found = breaches(&[], &[edge]);
        assert_eq!(found.len(), 1, "{edge:?} gave {found:?}");
        assert!(found[0].contains(edge.0) && found[0].contains(edge.1), "{edge:?} gave {found:?}");
    }
}

#[test]
fn an_http_crate_deep_below_the_engine_is_refused_with_its_chain() {
    let edges = [
        ("backup-engine", "backup-core", None),
        ("backup-engine", "helper", None),
        ("helper", "deeper", Some("build")),
        ("deeper", "hyper", None),
    ];
    let found = breaches(&["helper", "deeper", "hyper"], &edges);
    assert_eq!(found, ["backup-engine compiles an HTTP crate: backup-engine -> helper -> deeper -> hyper"]);
}

#[test]
fn an_http_crate_in_core_is_refused_for_the_engine_too() {
    let edges = [("backup-engine", "backup-core", None), ("backup-core", "http", None)];
    assert_eq!(
        breaches(&["http"], &edges),
        [
            "backup-core compiles an HTTP crate: backup-core -> http",
            "backup-engine compiles an HTTP crate: backup-engine -> backup-core -> http"
        ]
    );
}

#[test]
fn a_crate_without_a_layer_is_refused() {
    let members = [("backup-core", "backup-core"), ("attic/thing", "backup-thing")];
    let found = rules::check(&Graph::parse(&metadata(&members, &[], &[])).unwrap());
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("attic/thing"), "{found:?}");
}

#[test]
fn metadata_of_another_shape_is_an_error() {
    assert!(Graph::parse("{}").is_err());
    assert!(Graph::parse("not json").is_err());
}
