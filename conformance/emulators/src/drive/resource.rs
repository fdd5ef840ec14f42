//! Files, people and drives as JSON.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

use super::account::{Caller, UserId};
use super::state::{Corpus, NATIVE, Node, SharedDrive, State};

/// A time in RFC 3339, in UTC with milliseconds, as the service writes it.
pub(super) fn write_time(ms: u64) -> String {
    let ms = i64::try_from(ms).expect("the clock is set to years of four digits");
    let time = Timestamp::from_millisecond(ms).expect("the clock is set to years of four digits");
    format!("{time:.3}")
}

/// A time in RFC 3339, or one without a zone, which is UTC then; in milliseconds since 1970.
pub(super) fn read_time(text: &str) -> Option<u64> {
    let zoned = text.parse::<Timestamp>();
    let time = zoned.or_else(|_| text.parse::<DateTime>()?.to_zoned(TimeZone::UTC).map(|zoned| zoned.timestamp()));
    u64::try_from(time.ok()?.as_millisecond()).ok()
}

impl State {
    /// Everything that is told of a node.
    pub(super) fn file_json(&self, caller: &Caller, node: &Node) -> Value {
        let mut fields = node.kept.clone();
        let mut put = |name: &str, value: Value| {
            fields.insert(name.to_owned(), value);
        };
        put("kind", "drive#file".into());
        put("id", node.id.clone().into());
        put("name", node.name.clone().into());
        put("mimeType", node.mime.clone().into());
        if let Some(parent) = &node.parent {
            put("parents", json!([parent]));
        }
        put("createdTime", write_time(node.created_ms).into());
        put("modifiedTime", write_time(node.modified_ms).into());
        put("trashed", self.is_in_trash(node).into());
        put("explicitlyTrashed", node.is_trashed.into());
        put("starred", node.is_starred.into());
        put("version", node.version.to_string().into());
        put("spaces", json!(["drive"]));
        put("quotaBytesUsed", node.size_bytes().to_string().into());
        put("isAppAuthorized", (node.made_by == caller.client).into());
        put("webViewLink", format!("https://drive.google.com/file/d/{}/view", node.id).into());
        put("capabilities", json!({"canEdit": true, "canDownload": true, "canDelete": true, "canTrash": true}));
        match &node.corpus {
            Corpus::User(user) => {
                put("ownedByMe", (*user == caller.user).into());
                put("owners", json!([self.user_json(caller, *user)]));
                put("shared", false.into());
            }
            Corpus::Drive(id) => {
                put("driveId", id.clone().into());
                put("teamDriveId", id.clone().into());
            }
        }
        if let Some(content) = &node.content {
            put("size", content.len().to_string().into());
            put("md5Checksum", self.told_md5(&content.md5).into());
            put("sha1Checksum", content.sha1.clone().into());
            put("sha256Checksum", content.sha256.clone().into());
            put("headRevisionId", format!("{}r{}", node.id, node.revision).into());
            let extension = node.name.rsplit_once('.').map_or("", |(_, extension)| extension);
            put("fileExtension", extension.into());
            put("fullFileExtension", extension.into());
            if !node.kept.contains_key("originalFilename") {
                put("originalFilename", node.name.clone().into());
            }
            put("webContentLink", format!("https://drive.google.com/uc?id={}&export=download", node.id).into());
        } else if node.target.is_none() && !node.is_folder() && node.mime.starts_with(NATIVE) {
            // Documents of the vendor's own have a size that has nothing to do with what can be downloaded.
            put("size", "1024".into());
            put("exportLinks", json!({"application/pdf": format!("https://docs.google.com/export?id={}", node.id)}));
        }
        if let Some(target) = &node.target {
            let mime = self.nodes.get(target).map(|node| node.mime.clone());
            put("shortcutDetails", json!({"targetId": target, "targetMimeType": mime}));
        }
        if !node.properties.is_empty() {
            put("properties", json!(node.properties));
        }
        let own = node.app_properties.iter().filter(|((client, _), _)| *client == caller.client);
        let own: Map<String, Value> = own.map(|((_, key), value)| (key.clone(), value.clone().into())).collect();
        if !own.is_empty() {
            put("appProperties", own.into());
        }
        Value::Object(fields)
    }

    /// What is said of a checksum: itself, or a lie.
    fn told_md5(&self, md5: &str) -> String {
        if !self.knobs.wrong_md5 {
            return md5.to_owned();
        }
        let flipped = if md5.starts_with('0') { "1" } else { "0" };
        format!("{flipped}{}", &md5[1..])
    }

    pub(super) fn user_json(&self, caller: &Caller, user: UserId) -> Value {
        let email = &self.user(user).email;
        json!({
            "kind": "drive#user",
            "displayName": email.split('@').next(),
            "emailAddress": email,
            "me": user == caller.user,
            "permissionId": format!("{:020}", user.0 + 1),
        })
    }

    pub(super) fn drive_json(&self, id: &str, drive: &SharedDrive) -> Value {
        json!({
            "kind": "drive#drive",
            "id": id,
            "name": drive.name,
            "createdTime": write_time(drive.created_ms),
            "hidden": false,
            "capabilities": {"canAddChildren": true, "canEdit": true, "canListChildren": true},
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_with_milliseconds_and_read_with_and_without_a_zone() {
        assert_eq!(write_time(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(write_time(1_767_323_045_006), "2026-01-02T03:04:05.006Z");
        for text in ["2026-01-02T03:04:05.006Z", "2026-01-02T04:04:05.006789+01:00", "2026-01-02T03:04:05.006"] {
            assert_eq!(read_time(text), Some(1_767_323_045_006), "{text}");
        }
        assert_eq!(read_time("yesterday"), None);
    }
}
