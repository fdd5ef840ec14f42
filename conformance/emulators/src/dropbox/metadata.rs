//! What Dropbox tells about files and folders.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::path::Place;
use super::tree::{Node, Revision, State};

/// Metadata of what is or was at a path.
pub(super) fn of_node(node: &Node) -> Value {
    match &node.now {
        State::File(revision) => of_file(&node.place, revision),
        State::Folder { id } => with_place("folder", &node.place, json!({ "id": id })),
        State::Deleted { .. } => with_place("deleted", &node.place, json!({})),
    }
}

/// Metadata of a revision of a file.
pub(super) fn of_file(place: &Place, revision: &Revision) -> Value {
    let Revision { id, rev, content, client_modified, server_modified } = revision;
    let fields = json!({
        "id": id,
        "client_modified": time(*client_modified),
        "server_modified": time(*server_modified),
        "rev": rev,
        "size": content.size_bytes(),
        "is_downloadable": true,
        "content_hash": content.hash,
    });
    with_place("file", place, fields)
}

/// The same without the tag, for answers that can only be of one kind.
pub(super) fn untagged(mut metadata: Value) -> Value {
    if let Some(fields) = metadata.as_object_mut() {
        fields.remove(".tag");
    }
    metadata
}

/// A time as Dropbox writes it: UTC, whole seconds.
pub(super) fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn with_place(tag: &str, place: &Place, mut fields: Value) -> Value {
    fields[".tag"] = tag.into();
    fields["name"] = place.name().into();
    fields["path_lower"] = place.lower.as_str().into();
    fields["path_display"] = place.display.as_str().into();
    fields
}
