//! Reading objects, what is told of them, and the room there is.

use backup_core::{
    ByteRange, ObjectKey, ObjectMeta, Quota, StorageError, StorageErrorKind, StorageOperation, StorageResult, Timestamp,
};
use bytes::Bytes;
use http::header::CONTENT_RANGE;
use serde_json::{Value, json};

use crate::api::{Api, strange};
use crate::content_hash::digests;
use crate::error::DropboxFailure;
use crate::path::Root;

type Result<T> = std::result::Result<T, DropboxFailure>;

pub(crate) async fn get(api: &Api, root: &Root, key: &ObjectKey, range: ByteRange) -> StorageResult<Bytes> {
    let failed = |failure: DropboxFailure| failure.into_error(StorageOperation::Get, Some(key));
    let error = |kind| StorageError::new(kind, StorageOperation::Get).with_key(key);
    let path = root.path(key.as_str());
    let (header, max_bytes) = match range {
        ByteRange::Full => (None, u64::MAX),
        ByteRange::Span { offset_bytes, len_bytes: len @ 1.. } => match offset_bytes.checked_add(len - 1) {
            Some(last) => (Some(format!("bytes={offset_bytes}-{last}")), len),
            None => return Err(error(StorageErrorKind::RangeNotSatisfiable)),
        },
        ByteRange::Suffix { len_bytes: len @ 1.. } => (Some(format!("bytes=-{len}")), len),
        // No range of HTTP is empty.
        ByteRange::Span { .. } | ByteRange::Suffix { .. } => {
            let size_bytes = metadata(api, &path).await.and_then(|found| size(&found)).map_err(failed)?;
            return match range.resolve(size_bytes) {
                Some(_) => Ok(Bytes::new()),
                None => Err(error(StorageErrorKind::RangeNotSatisfiable)),
            };
        }
    };
    let download = match api.download(&path, header.as_deref(), max_bytes).await {
        Ok(download) => download,
        // An empty object has no last byte.
        Err(failure)
            if failure.kind == StorageErrorKind::RangeNotSatisfiable && matches!(range, ByteRange::Suffix { .. }) =>
        {
            let size_bytes = metadata(api, &path).await.and_then(|found| size(&found)).map_err(failed)?;
            return if size_bytes == 0 { Ok(Bytes::new()) } else { Err(failed(failure)) };
        }
        Err(failure) => return Err(failed(failure)),
    };
    let size_bytes = size(&download.metadata).map_err(failed)?;
    let Some((from, to)) = range.resolve(size_bytes) else { return Err(error(StorageErrorKind::RangeNotSatisfiable)) };
    let body = download.answer.body;
    let wrong = |what: String| Err(error(StorageErrorKind::Integrity).with_detail(what));
    let sent = download.answer.headers.get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
    let is_part = match sent {
        Some(sent) => *sent == format!("bytes {from}-{}/{size_bytes}", to.saturating_sub(1)),
        None => (from, to) == (0, size_bytes),
    };
    if !is_part || body.len() as u64 != to - from {
        return wrong(format!("asked for {} bytes from {from} on, got {}", to - from, body.len()));
    }
    if range == ByteRange::Full {
        let told = download.metadata["content_hash"].as_str().unwrap_or_default();
        let found = digests(std::slice::from_ref(&body), false).await;
        let found = found.map_err(|stopped| error(StorageErrorKind::Cancelled).with_source(stopped))?;
        if found.content_hash != told {
            return wrong("the checksum is another one than Dropbox tells".to_owned());
        }
    }
    Ok(body)
}

/// What Dropbox tells of a file; what is no file is not found.
pub(crate) async fn metadata(api: &Api, path: &str) -> Result<Value> {
    let found = api.rpc("files/get_metadata", &json!({ "path": path })).await?;
    match found[".tag"].as_str() {
        Some("file") => Ok(found),
        Some("folder" | "deleted") => Err(DropboxFailure::wrong(StorageErrorKind::NotFound, "there is no file")),
        _ => Err(strange("the answer tells of no file")),
    }
}

pub(crate) fn size(metadata: &Value) -> Result<u64> {
    metadata["size"].as_u64().ok_or_else(|| strange("the answer doesn't tell the size"))
}

/// Metadata as it is given to callers.
pub(crate) fn meta(key: ObjectKey, metadata: &Value) -> Result<ObjectMeta> {
    let time = metadata["server_modified"].as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok());
    let stored_at = time.map(|time| Timestamp::from_secs(time.as_second()));
    Ok(ObjectMeta { key, size_bytes: size(metadata)?, stored_at })
}

/// The room of the account, or of the team that it shares room with.
pub(crate) async fn quota(api: &Api) -> Result<Quota> {
    let usage = api.rpc("users/get_space_usage", &Value::Null).await?;
    let allocation = &usage["allocation"];
    let of_team = allocation[".tag"] == "team";
    let used_bytes = if of_team { allocation["used"].as_u64() } else { usage["used"].as_u64() };
    let total_bytes = allocation["allocated"].as_u64();
    let Some((used, total)) = used_bytes.zip(total_bytes) else {
        return Err(strange("the answer doesn't tell the room"));
    };
    let mut free_bytes = total.saturating_sub(used);
    // A member may have a limit of its own.
    if of_team && let Some(own @ 1..) = allocation["user_within_team_space_allocated"].as_u64() {
        free_bytes = free_bytes.min(own.saturating_sub(usage["used"].as_u64().unwrap_or(0)));
    }
    Ok(Quota { used_bytes, free_bytes: Some(free_bytes), total_bytes })
}
