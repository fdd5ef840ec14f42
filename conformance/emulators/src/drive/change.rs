//! `changes`: what happened since a point in time that a program remembers.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::account::{Caller, Scope};
use super::operation::Call;
use super::refusal::Refusal;
use super::resource::write_time;
use super::state::{Change, Corpus, State};

/// Changes of a page where nothing else is asked for.
const PAGE_DEFAULT: usize = 100;

impl State {
    pub(super) fn changes_start(&self, caller: &Caller, call: &Call) -> Result<Value, Refusal> {
        self.check_drive(caller, call)?;
        let token = (self.changes.len() + 1).to_string();
        Ok(json!({"kind": "drive#startPageToken", "startPageToken": token}))
    }

    pub(super) fn changes_list(&self, caller: &Caller, call: &Call) -> Result<Value, Refusal> {
        self.check_drive(caller, call)?;
        let token = call.parameter("pageToken").ok_or_else(|| Refusal::required("pageToken"))?;
        let wrong = || Refusal::invalid("pageToken", "Invalid Value");
        let from: usize = token.parse().map_err(|_| wrong())?;
        let from = from.checked_sub(1).filter(|from| *from <= self.changes.len()).ok_or_else(wrong)?;
        let wanted = call.number("pageSize", PAGE_DEFAULT).min(self.knobs.page_at_most.unwrap_or(usize::MAX));

        // Each file once, with its latest change.
        let mut latest: BTreeMap<&str, usize> = BTreeMap::new();
        for (at, change) in self.changes.iter().enumerate().skip(from) {
            latest.insert(&change.id, at);
        }
        let mut places: Vec<usize> = latest.into_values().collect();
        places.sort_unstable();
        places.retain(|at| self.concerns(caller, call, &self.changes[*at]));
        let page = &places[..wanted.min(places.len())];
        let changes: Vec<Value> = page.iter().map(|at| self.change_json(caller, &self.changes[*at])).collect();
        let mut reply = json!({"kind": "drive#changeList", "changes": changes});
        match page.last() {
            Some(last) if page.len() < places.len() => reply["nextPageToken"] = (last + 2).to_string().into(),
            _ => reply["newStartPageToken"] = (self.changes.len() + 1).to_string().into(),
        }
        Ok(reply)
    }

    fn check_drive(&self, caller: &Caller, call: &Call) -> Result<(), Refusal> {
        let Some(id) = call.parameter("driveId") else { return Ok(()) };
        let is_member = self.drives.get(id).is_some_and(|drive| drive.members.contains(&caller.user));
        if is_member && call.knows_drives() { Ok(()) } else { Err(Refusal::no_drive(id)) }
    }

    fn concerns(&self, caller: &Caller, call: &Call, change: &Change) -> bool {
        let is_removed = !self.nodes.contains_key(&change.id);
        let is_wanted = !is_removed || call.parameter("includeRemoved") != Some("false");
        let is_near = match (&change.corpus, call.parameter("driveId")) {
            (Corpus::User(user), None) => *user == caller.user,
            (Corpus::User(_), Some(_)) => false,
            (Corpus::Drive(id), Some(only)) => id == only,
            (Corpus::Drive(id), None) => {
                call.flag("includeItemsFromAllDrives")
                    && call.knows_drives()
                    && !call.flag("restrictToMyDrive")
                    && self.drives.get(id).is_some_and(|drive| drive.members.contains(&caller.user))
            }
        };
        let is_own = caller.scope != Scope::DriveFile || change.made_by == caller.client;
        is_wanted && is_near && is_own
    }

    fn change_json(&self, caller: &Caller, change: &Change) -> Value {
        let mut told = json!({
            "kind": "drive#change",
            "changeType": "file",
            "type": "file",
            "time": write_time(change.time_ms),
            "fileId": change.id,
            "removed": true,
        });
        if let Some(node) = self.nodes.get(&change.id) {
            told["removed"] = false.into();
            told["file"] = self.file_json(caller, node);
        }
        told
    }
}
