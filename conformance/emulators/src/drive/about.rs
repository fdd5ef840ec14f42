//! `about` and `drives`: what is told of a person, their storage and the drives that they share.

use serde_json::{Value, json};

use super::account::Caller;
use super::operation::Call;
use super::refusal::Refusal;
use super::state::State;

/// The longest file, in bytes, as the service tells it.
pub(super) const MAX_UPLOAD_BYTES: u64 = 5_497_558_138_880;

/// Drives of a page where nothing else is asked for.
const PAGE_DEFAULT: usize = 10;

impl State {
    pub(super) fn about_get(&self, caller: &Caller, call: &Call) -> Result<Value, Refusal> {
        if call.fields().is_none() {
            return Err(Refusal::required("fields"));
        }
        let (used_bytes, trash_bytes) = self.used_bytes(caller.user);
        let mut quota = json!({
            "usage": used_bytes.to_string(),
            "usageInDrive": used_bytes.to_string(),
            "usageInDriveTrash": trash_bytes.to_string(),
        });
        if let Some(limit_bytes) = self.user(caller.user).quota_bytes {
            quota["limit"] = limit_bytes.to_string().into();
        }
        Ok(json!({
            "kind": "drive#about",
            "user": self.user_json(caller, caller.user),
            "storageQuota": quota,
            "appInstalled": true,
            "canCreateDrives": false,
            "maxUploadSize": MAX_UPLOAD_BYTES.to_string(),
            "maxImportSizes": {},
            "importFormats": {"text/plain": ["application/vnd.google-apps.document"]},
            "exportFormats": {"application/vnd.google-apps.document": ["application/pdf", "text/plain"]},
            "folderColorPalette": ["#8f8f8f"],
        }))
    }

    pub(super) fn drives_list(&self, caller: &Caller, call: &Call) -> Result<Value, Refusal> {
        let after = match call.parameter("pageToken") {
            None => "",
            Some(token) => token.strip_prefix("~!!~").ok_or_else(|| Refusal::invalid("pageToken", "Invalid Value"))?,
        };
        let own = self.drives.iter().filter(|(_, drive)| drive.members.contains(&caller.user));
        let left: Vec<_> = own.filter(|(id, _)| id.as_str() > after).collect();
        let page = &left[..call.number("pageSize", PAGE_DEFAULT).min(left.len())];
        let drives: Vec<Value> = page.iter().map(|(id, drive)| self.drive_json(id, drive)).collect();
        let mut reply = json!({"kind": "drive#driveList", "drives": drives});
        if let (Some((id, _)), true) = (page.last(), page.len() < left.len()) {
            reply["nextPageToken"] = format!("~!!~{id}").into();
        }
        Ok(reply)
    }

    pub(super) fn drives_get(&self, caller: &Caller, call: &Call) -> Result<Value, Refusal> {
        let drive = self.drives.get(call.id()).filter(|drive| drive.members.contains(&caller.user));
        drive.map(|drive| self.drive_json(call.id(), drive)).ok_or_else(|| Refusal::no_drive(call.id()))
    }
}
