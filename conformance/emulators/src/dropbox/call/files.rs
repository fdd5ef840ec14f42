//! Files and folders: reading, deleting, moving.

use serde_json::{Value, json};

use super::super::answer::Success;
use super::super::errors::{LookupError, WriteError, tag, tagged};
use super::super::metadata::{of_file, of_node, time, untagged};
use super::super::path::{Place, Target};
use super::super::relocate::Relocation;
use super::super::tree::State;
use super::{Call, Failure, Outcome, text};

impl Call<'_> {
    pub(super) fn get_metadata(&mut self) -> Outcome {
        let missing = || tagged("path", LookupError::NotFound);
        let include_deleted = self.argument["include_deleted"] == true;
        let target = self.target(self.argument, "path").map_err(|error| tagged("path", LookupError::from(error)))?;
        if let Target::Rev(rev) = &target {
            let (node, revision) = self.tree().revision(rev).ok_or_else(missing)?;
            let mut metadata = of_file(&node.place, revision);
            metadata[".tag"] = "file".into();
            return Ok(Success::Json(metadata));
        }
        let place = self.tree().resolve(target).map_err(|error| tagged("path", error))?;
        let place = place.ok_or_else(|| Failure::BadRequest("The root folder has no metadata.".to_owned()))?;
        let node = self.tree().node(&place.lower).ok_or_else(missing)?;
        if !node.is_live() && !include_deleted {
            return Err(missing().into());
        }
        Ok(Success::Json(of_node(node)))
    }

    pub(super) fn download(&mut self) -> Outcome {
        let missing = || tagged("path", LookupError::NotFound);
        let target = self.target(self.argument, "path").map_err(|error| tagged("path", LookupError::from(error)))?;
        let of_rev = match &target {
            Target::Rev(rev) => Some(rev.clone()),
            _ => self.argument["rev"].as_str().map(str::to_owned),
        };
        if let Some(rev) = of_rev {
            let (node, revision) = self.tree().revision(&rev).ok_or_else(missing)?;
            return Ok(Success::File(untagged(of_file(&node.place, revision)), revision.content.clone()));
        }
        let place = self.tree().resolve(target).map_err(|error| tagged("path", error))?;
        let not_file = || tagged("path", LookupError::NotFile);
        let place = place.ok_or_else(not_file)?;
        let node = self.tree().live(&place.lower).ok_or_else(missing)?;
        let file = node.file().ok_or_else(not_file)?;
        Ok(Success::File(untagged(of_node(node)), file.content.clone()))
    }

    pub(super) fn create_folder(&mut self) -> Outcome {
        let target = self.target(self.argument, "path").map_err(|error| tagged("path", WriteError::from(error)))?;
        let autorename = self.argument["autorename"] == true;
        let node = self.tree().create_folder(target, autorename).map_err(|error| tagged("path", error))?;
        Ok(Success::Json(json!({ "metadata": untagged(of_node(node)) })))
    }

    pub(super) fn delete(&mut self) -> Outcome {
        let metadata = self.delete_one(self.argument)?;
        Ok(Success::Json(json!({ "metadata": metadata })))
    }

    pub(super) fn delete_entry(&mut self, entry: &Value) -> Value {
        match self.delete_one(entry) {
            Ok(metadata) => json!({ ".tag": "success", "metadata": metadata }),
            Err(error) => tagged("failure", error),
        }
    }

    fn delete_one(&mut self, argument: &Value) -> Result<Value, Value> {
        let target = self.target(argument, "path");
        let target = target.map_err(|error| tagged("path_lookup", LookupError::from(error)))?;
        let now = self.now();
        let node = self.tree().delete(target, argument["parent_rev"].as_str(), now)?;
        Ok(of_node(&node))
    }

    pub(super) fn relocate(&mut self, is_move: bool) -> Outcome {
        let from = self.target(self.argument, "from_path");
        let from = from.map_err(|error| tagged("from_lookup", LookupError::from(error)))?;
        let to = self.target(self.argument, "to_path").map_err(|error| tagged("to", WriteError::from(error)))?;
        let autorename = self.argument["autorename"] == true;
        let (free_bytes, now) = (self.free_bytes(), self.now());
        let node = self.tree().relocate(Relocation { from, to, autorename, is_move }, free_bytes, now)?;
        Ok(Success::Json(json!({ "metadata": of_node(node) })))
    }

    pub(super) fn restore(&mut self) -> Outcome {
        let target =
            self.target(self.argument, "path").map_err(|error| tagged("path_write", WriteError::from(error)))?;
        let (free_bytes, now) = (self.free_bytes(), self.now());
        let rev = text(self.argument, "rev");
        let node = self.tree().restore(target, rev, free_bytes, now)?;
        Ok(Success::Json(untagged(of_node(node))))
    }

    pub(super) fn list_revisions(&mut self) -> Outcome {
        let missing = || tagged("path", LookupError::NotFound);
        let target = self.target(self.argument, "path").map_err(|error| tagged("path", LookupError::from(error)))?;
        let of_id = self.argument["mode"][".tag"] == "id";
        if !self.argument["before_rev"].is_null() {
            return Err(Failure::BadRequest("`before_rev` is not emulated".to_owned()));
        }
        let limit = self.argument["limit"].as_u64().and_then(|limit| limit.try_into().ok()).unwrap_or(usize::MAX);
        let place: Option<Place> = self.tree().resolve(target).map_err(|error| tagged("path", error))?;
        let place = place.ok_or_else(|| tagged("path", LookupError::NotFile))?;
        let node = self.tree().node(&place.lower).ok_or_else(missing)?;
        let last = node.revisions.last().ok_or_else(|| tagged("path", LookupError::NotFile))?;
        let wanted = node.revisions.iter().rev().filter(|one| !of_id || one.id == last.id);
        let all: Vec<_> = wanted.map(|revision| untagged(of_file(&node.place, revision))).collect();
        let mut answer = json!({ "is_deleted": !node.is_live(), "has_more": all.len() > limit });
        if let State::Deleted { at, .. } = node.now {
            answer["server_deleted"] = time(at).into();
        }
        answer["entries"] = all.into_iter().take(limit).collect();
        Ok(Success::Json(answer))
    }
}

/// The union of a listing whose cursor is no good any more.
pub(super) fn reset() -> Value {
    tag("reset")
}
