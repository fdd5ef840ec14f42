//! Making and changing files with and without bytes, in one request.

use bytes::Bytes;
use serde_json::Value;

use super::account::Caller;
use super::metadata::{Metadata, Purpose};
use super::multipart::parts;
use super::operation::{Action, Call};
use super::refusal::Refusal;
use super::state::State;
use crate::message::Request;

impl State {
    /// `files.create` and `files.update` other than in sessions.
    pub(super) fn put(&mut self, caller: &Caller, call: &Call, request: &Request) -> Result<Value, Refusal> {
        let purpose = purpose(call);
        let (metadata, media) = match call.parameter("uploadType") {
            None => (Metadata::parse(json_body(request)?, purpose)?, None),
            Some("media") => {
                let mut metadata = Metadata::default();
                metadata.default_mime(request.header("content-type").unwrap_or("application/octet-stream"));
                (metadata, Some(request.body.clone()))
            }
            _ => related(request, purpose)?,
        };
        self.put_content(caller, call, &metadata, media)
    }

    pub(super) fn put_content(
        &mut self,
        caller: &Caller,
        call: &Call,
        metadata: &Metadata,
        media: Option<Bytes>,
    ) -> Result<Value, Refusal> {
        match call.operation.action {
            Action::FilesCreate => self.create(caller, call, metadata, media),
            _ => self.update(caller, call, metadata, media),
        }
    }
}

pub(super) fn purpose(call: &Call) -> Purpose {
    if call.operation.action == Action::FilesCreate { Purpose::Create } else { Purpose::Update }
}

/// A body that has to be JSON where there is one.
pub(super) fn json_body(request: &Request) -> Result<&[u8], Refusal> {
    let is_json = request.header("content-type").is_some_and(|value| value.starts_with("application/json"));
    if request.body.is_empty() || is_json {
        Ok(&request.body)
    } else {
        Err(Refusal::malformed("The body must be JSON."))
    }
}

fn related(request: &Request, purpose: Purpose) -> Result<(Metadata, Option<Bytes>), Refusal> {
    let content_type = request.header("content-type").unwrap_or_default();
    let parts = parts(content_type, &request.body).map_err(Refusal::malformed)?;
    let [said, content] = parts.as_slice() else {
        return Err(Refusal::malformed("A multipart upload has two parts."));
    };
    if !said.content_type.starts_with("application/json") {
        return Err(Refusal::malformed("The first part must be JSON."));
    }
    let mut metadata = Metadata::parse(&said.bytes, purpose)?;
    if purpose == Purpose::Create {
        metadata.default_mime(&content.content_type);
    }
    Ok((metadata, Some(content.bytes.clone())))
}
