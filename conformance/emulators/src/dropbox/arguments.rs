//! The arguments of every function that is emulated. The tests compare these tables with the vendor's own description.

use super::shape::{Absent, Choice, Field, Form, Record, Shape, TEXT, text};

const MANY: usize = usize::MAX;
const WRITE_PATH: Shape = text(0, MANY, Form::WritePath);
const READ_PATH: Shape = text(0, MANY, Form::ReadPath);
const REV: Shape = text(9, MANY, Form::Rev);
const HASH: Shape = text(64, 64, Form::Any);
const FILLED: Shape = text(1, MANY, Form::Any);
const TEMPLATE: Shape = text(1, MANY, Form::Template);
const NO: Absent = Absent::Means("false");
const YES: Absent = Absent::Means("true");

const fn required(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, absent: Absent::Never }
}

const fn nullable(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, absent: Absent::Null }
}

const fn or(name: &'static str, shape: Shape, absent: Absent) -> Field {
    Field { name, shape, absent }
}

const fn record(name: &'static str, fields: &'static [Field]) -> Record {
    Record { name, fields }
}

static PROPERTY_FIELD: Record = record("PropertyField", &[required("name", TEXT), required("value", TEXT)]);
static PROPERTY_GROUP: Record = record(
    "PropertyGroup",
    &[required("template_id", TEMPLATE), required("fields", Shape::List(&Shape::Record(&PROPERTY_FIELD), 0, MANY))],
);
static TEMPLATE_FILTER: Choice =
    Choice { name: "TemplateFilterBase", members: &[("filter_some", Some(Shape::List(&TEMPLATE, 1, MANY)))] };
static WRITE_MODE: Choice =
    Choice { name: "WriteMode", members: &[("add", None), ("overwrite", None), ("update", Some(REV))] };
static SESSION_TYPE: Choice =
    Choice { name: "UploadSessionType", members: &[("sequential", None), ("concurrent", None)] };
static REVISIONS_MODE: Choice = Choice { name: "ListRevisionsMode", members: &[("path", None), ("id", None)] };
static SHARED_LINK: Record = record("SharedLink", &[required("url", TEXT), nullable("password", TEXT)]);
static CURSOR: Record =
    record("UploadSessionCursor", &[required("session_id", TEXT), required("offset", Shape::Whole(0, u64::MAX))]);
static PROPERTY_GROUP_SHAPE: Shape = Shape::Record(&PROPERTY_GROUP);
const PROPERTY_GROUPS: Field = nullable("property_groups", Shape::List(&PROPERTY_GROUP_SHAPE, 0, MANY));
const INCLUDE_PROPERTY_GROUPS: Field = nullable("include_property_groups", Shape::Choice(&TEMPLATE_FILTER));
const CONTENT_HASH: Field = nullable("content_hash", HASH);
const MODE: Field = or("mode", Shape::Choice(&WRITE_MODE), Absent::Means(r#""add""#));

static COMMIT_INFO: Record = record(
    "CommitInfo",
    &[
        required("path", WRITE_PATH),
        MODE,
        or("autorename", Shape::Flag, NO),
        nullable("client_modified", Shape::Time),
        or("mute", Shape::Flag, NO),
        PROPERTY_GROUPS,
        or("strict_conflict", Shape::Flag, NO),
    ],
);
pub(super) static UPLOAD: Record = record(
    "UploadArg",
    &[
        required("path", WRITE_PATH),
        MODE,
        or("autorename", Shape::Flag, NO),
        nullable("client_modified", Shape::Time),
        or("mute", Shape::Flag, NO),
        PROPERTY_GROUPS,
        or("strict_conflict", Shape::Flag, NO),
        CONTENT_HASH,
    ],
);
pub(super) static DOWNLOAD: Record = record("DownloadArg", &[required("path", READ_PATH), nullable("rev", REV)]);
pub(super) static GET_METADATA: Record = record(
    "GetMetadataArg",
    &[
        required("path", READ_PATH),
        or("include_media_info", Shape::Flag, NO),
        or("include_deleted", Shape::Flag, NO),
        or("include_has_explicit_shared_members", Shape::Flag, NO),
        INCLUDE_PROPERTY_GROUPS,
    ],
);
pub(super) static LIST_FOLDER: Record = record(
    "ListFolderArg",
    &[
        required("path", text(0, MANY, Form::ListPath)),
        or("recursive", Shape::Flag, NO),
        or("include_media_info", Shape::Flag, NO),
        or("include_deleted", Shape::Flag, NO),
        or("include_has_explicit_shared_members", Shape::Flag, NO),
        or("include_mounted_folders", Shape::Flag, YES),
        nullable("limit", Shape::Whole(1, 2000)),
        nullable("shared_link", Shape::Record(&SHARED_LINK)),
        INCLUDE_PROPERTY_GROUPS,
        or("include_non_downloadable_files", Shape::Flag, YES),
        or("include_restorable_info", Shape::Flag, NO),
    ],
);
pub(super) static LIST_FOLDER_CONTINUE: Record = record("ListFolderContinueArg", &[required("cursor", FILLED)]);
pub(super) static LONGPOLL: Record = record(
    "ListFolderLongpollArg",
    &[required("cursor", FILLED), or("timeout", Shape::Whole(30, 480), Absent::Means("30"))],
);
pub(super) static DELETE: Record = record("DeleteArg", &[required("path", WRITE_PATH), nullable("parent_rev", REV)]);
pub(super) static DELETE_BATCH: Record =
    record("DeleteBatchArg", &[required("entries", Shape::List(&Shape::Record(&DELETE), 0, 1000))]);
pub(super) static POLL: Record = record("PollArg", &[required("async_job_id", FILLED)]);
pub(super) static RELOCATION: Record = record(
    "RelocationArg",
    &[
        required("from_path", WRITE_PATH),
        required("to_path", WRITE_PATH),
        or("allow_shared_folder", Shape::Flag, NO),
        or("autorename", Shape::Flag, NO),
        or("allow_ownership_transfer", Shape::Flag, NO),
    ],
);
pub(super) static CREATE_FOLDER: Record =
    record("CreateFolderArg", &[required("path", text(0, MANY, Form::NewPath)), or("autorename", Shape::Flag, NO)]);
pub(super) static LIST_REVISIONS: Record = record(
    "ListRevisionsArg",
    &[
        required("path", text(0, MANY, Form::PlainPath)),
        or("mode", Shape::Choice(&REVISIONS_MODE), Absent::Means(r#""path""#)),
        or("limit", Shape::Whole(1, 100), Absent::Means("10")),
        nullable("before_rev", REV),
        or("include_restorable_info", Shape::Flag, NO),
    ],
);
pub(super) static RESTORE: Record =
    record("RestoreArg", &[required("path", text(0, MANY, Form::NewPath)), required("rev", REV)]);
pub(super) static SESSION_START: Record = record(
    "UploadSessionStartArg",
    &[or("close", Shape::Flag, NO), nullable("session_type", Shape::Choice(&SESSION_TYPE)), CONTENT_HASH],
);
pub(super) static SESSION_START_BATCH: Record = record(
    "UploadSessionStartBatchArg",
    &[nullable("session_type", Shape::Choice(&SESSION_TYPE)), required("num_sessions", Shape::Whole(1, 1000))],
);
pub(super) static SESSION_APPEND: Record = record(
    "UploadSessionAppendArg",
    &[required("cursor", Shape::Record(&CURSOR)), or("close", Shape::Flag, NO), CONTENT_HASH],
);
static SESSION_APPEND_ENTRY: Record = record(
    "UploadSessionAppendBatchArgEntry",
    &[
        required("cursor", Shape::Record(&CURSOR)),
        required("length", Shape::Whole(0, u64::MAX)),
        or("close", Shape::Flag, NO),
    ],
);
pub(super) static SESSION_APPEND_BATCH: Record = record(
    "UploadSessionAppendBatchArg",
    &[required("entries", Shape::List(&Shape::Record(&SESSION_APPEND_ENTRY), 0, 500)), CONTENT_HASH],
);
pub(super) static SESSION_FINISH: Record = record(
    "UploadSessionFinishArg",
    &[required("cursor", Shape::Record(&CURSOR)), required("commit", Shape::Record(&COMMIT_INFO)), CONTENT_HASH],
);
pub(super) static SESSION_FINISH_BATCH: Record = record(
    "UploadSessionFinishBatchArg",
    &[required("entries", Shape::List(&Shape::Record(&SESSION_FINISH), 0, 1000))],
);
pub(super) static ECHO: Record = record("EchoArg", &[or("query", text(0, 500, Form::Any), Absent::Means(r#""""#))]);
