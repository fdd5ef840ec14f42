//! Uploads in parts that were begun and never finished: they cost money and no listing of objects shows them.

use std::time::Duration;

use async_trait::async_trait;
use backup_core::storage::UploadMaintenance;
use backup_core::{StorageError, StorageErrorKind, StorageOperation, StorageResult};
use http::Request;
use serde::Deserialize;

use crate::S3Backend;
use crate::address::escaped;
use crate::error::S3Failure;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Page {
    is_truncated: bool,
    next_key_marker: String,
    next_upload_id_marker: String,
    #[serde(rename = "Upload")]
    uploads: Vec<Upload>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Upload {
    key: String,
    upload_id: String,
    initiated: jiff::Timestamp,
}

impl S3Backend {
    /// One page of unfinished uploads, and what time the server has.
    async fn page(
        &self,
        key_marker: &str,
        upload_marker: &str,
    ) -> Result<(Page, Option<jiff::Timestamp>), StorageError> {
        let address = &self.inner.address;
        let mut url = format!("{}/?uploads&prefix={}", address.bucket_url(), escaped(&address.root(), false));
        if !key_marker.is_empty() {
            url.push_str(&format!(
                "&key-marker={}&upload-id-marker={}",
                escaped(key_marker, false),
                escaped(upload_marker, false)
            ));
        }
        let answer = self.ask(Request::get(url)).await?;
        let date = answer.headers.get(http::header::DATE).and_then(|value| value.to_str().ok());
        let now = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok()).map(|time| time.timestamp());
        let page = quick_xml::de::from_reader(&answer.body[..]).map_err(|error| {
            failed(StorageErrorKind::Integrity)
                .with_detail(format!("the list of unfinished uploads can't be read: {error}"))
        })?;
        Ok((page, now))
    }

    async fn ask(&self, request: http::request::Builder) -> StorageResult<backup_backend_http::HttpResponse> {
        let request = request.body(Vec::new()).map_err(|error| failed(StorageErrorKind::Other).with_source(error))?;
        let answer = self.inner.transport.send(request).await;
        answer.map_err(|failure: S3Failure| failure.into_error(StorageOperation::Extension, None))
    }
}

fn failed(kind: StorageErrorKind) -> StorageError {
    StorageError::new(kind, StorageOperation::Extension)
}

#[async_trait]
impl UploadMaintenance for S3Backend {
    /// Aborts unfinished uploads below the prefix, by the server's clock. Costs a request for each 1,000 of them and one for each that it
    /// aborts. One that ends meanwhile is counted as aborted.
    async fn abort_older_than(&self, age: Duration) -> StorageResult<u64> {
        let (mut key_marker, mut upload_marker, mut aborted) = (String::new(), String::new(), 0);
        loop {
            let (page, now) = self.page(&key_marker, &upload_marker).await?;
            // Without the server's time nothing can be said about ages.
            let now =
                now.ok_or_else(|| failed(StorageErrorKind::Unsupported).with_detail("the server tells no time"))?;
            for upload in &page.uploads {
                // Times are told in whole seconds.
                let old = Duration::try_from(now.duration_since(upload.initiated)).unwrap_or(Duration::ZERO);
                if old >= age && upload.key.starts_with(&self.inner.address.root()) {
                    self.abort(upload).await?;
                    aborted += 1;
                }
            }
            if !page.is_truncated {
                return Ok(aborted);
            }
            if (&page.next_key_marker, &page.next_upload_id_marker) == (&key_marker, &upload_marker) {
                return Err(
                    failed(StorageErrorKind::Integrity).with_detail("the list of unfinished uploads does not end")
                );
            }
            (key_marker, upload_marker) = (page.next_key_marker, page.next_upload_id_marker);
        }
    }
}

impl S3Backend {
    async fn abort(&self, upload: &Upload) -> StorageResult<()> {
        let url = self.inner.address.object_url(&upload.key);
        let url = format!("{url}?uploadId={}", escaped(&upload.upload_id, false));
        match self.ask(Request::delete(url)).await {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == StorageErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }
}
