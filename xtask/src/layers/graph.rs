//! The part of `cargo metadata` that the rule needs.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::Deserialize;

/// How one crate uses another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Use {
    /// In the crate itself, or in its build script: both end up in what others compile.
    Normal,
    /// In tests, benches and examples only.
    Dev,
}

/// A crate of the workspace.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: String,
    /// Its directory below the workspace's root, with `/` between components.
    pub(crate) place: String,
    /// Other members that its manifest names, optional and platform-bound ones too.
    pub(crate) uses: BTreeSet<(Use, String)>,
}

/// The workspace's members and everything that is compiled for them.
#[derive(Debug)]
pub(crate) struct Graph {
    pub(crate) members: Vec<Member>,
    /// Package id → name and the ids of its normal and build dependencies.
    compiled: HashMap<String, (String, Vec<String>)>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_members: BTreeSet<String>,
    workspace_root: PathBuf,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    kind: Option<String>,
    path: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<NodeDependency>,
}

#[derive(Deserialize)]
struct NodeDependency {
    pkg: String,
    dep_kinds: Vec<DependencyKind>,
}

#[derive(Deserialize)]
struct DependencyKind {
    kind: Option<String>,
}

fn is_dev(kind: Option<&str>) -> bool {
    kind == Some("dev")
}

impl Graph {
    /// Reads the output of `cargo metadata --format-version 1`.
    pub(crate) fn parse(json: &str) -> Result<Self> {
        let metadata: Metadata = serde_json::from_str(json).context("cargo metadata is not as expected")?;
        let names: HashMap<&str, &str> =
            metadata.packages.iter().map(|package| (package.id.as_str(), package.name.as_str())).collect();
        let member_at: BTreeMap<PathBuf, &str> = metadata
            .packages
            .iter()
            .filter(|package| metadata.workspace_members.contains(&package.id))
            .filter_map(|package| Some((package.manifest_path.parent()?.to_path_buf(), package.name.as_str())))
            .collect();

        let mut members = Vec::new();
        for package in metadata.packages.iter().filter(|package| metadata.workspace_members.contains(&package.id)) {
            let directory = package.manifest_path.parent().context("a manifest without a directory")?;
            let place = directory.strip_prefix(&metadata.workspace_root).with_context(|| {
                format!("{} is a workspace member but stands outside of the workspace's root", package.name)
            })?;
            let place = place.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/");
            let uses = package
                .dependencies
                .iter()
                .filter_map(|dependency| {
                    let name = member_at.get(dependency.path.as_ref()?)?;
                    let kind = if is_dev(dependency.kind.as_deref()) { Use::Dev } else { Use::Normal };
                    Some((kind, (*name).to_owned()))
                })
                .collect();
            members.push(Member { name: package.name.clone(), place, uses });
        }
        members.sort_by(|a, b| a.place.cmp(&b.place));

        let compiled = metadata
            .resolve
            .nodes
            .into_iter()
            .map(|node| {
                let name = names.get(node.id.as_str()).copied().unwrap_or_default().to_owned();
                let needed = node
                    .deps
                    .into_iter()
                    .filter(|dependency| dependency.dep_kinds.iter().any(|kind| !is_dev(kind.kind.as_deref())))
                    .map(|dependency| dependency.pkg)
                    .collect();
                (node.id, (name, needed))
            })
            .collect();
        Ok(Self { members, compiled })
    }

    /// Number of members and of edges between them.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.members.len(), self.members.iter().map(|member| member.uses.len()).sum())
    }

    /// The shortest chain of names from a member to a compiled package that `wanted` accepts, if there is one.
    pub(crate) fn chain_to(&self, member: &str, wanted: impl Fn(&str) -> bool) -> Option<Vec<String>> {
        let start = self.compiled.iter().find(|(_, (name, _))| name == member).map(|(id, _)| id.as_str())?;
        let mut from: HashMap<&str, &str> = HashMap::new();
        let mut queue = VecDeque::from([start]);
        while let Some(id) = queue.pop_front() {
            let (name, needed) = self.compiled.get(id)?;
            if id != start && wanted(name) {
                let mut chain = vec![name.clone()];
                let mut at = id;
                while let Some(&before) = from.get(at) {
                    chain.push(self.compiled.get(before)?.0.clone());
                    at = before;
                }
                chain.reverse();
                return Some(chain);
            }
            for next in needed {
                if next != start && !from.contains_key(next.as_str()) {
                    from.insert(next, id);
                    queue.push_back(next);
                }
            }
        }
        None
    }
}
