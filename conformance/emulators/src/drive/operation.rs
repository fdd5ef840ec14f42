//! The table of what can be asked: paths, methods and parameters.

use super::refusal::Refusal;
use crate::message::Request;

/// What a parameter's value has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    Text,
    Flag,
    /// A number within bounds.
    Number(usize, usize),
    OneOf(&'static [&'static str]),
    /// The service takes it and the emulator has nothing of the kind.
    NotEmulated,
}

/// A parameter: its name and what it takes.
pub(super) type Parameter = (&'static str, Takes);

/// What there is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    AboutGet,
    ChangesList,
    ChangesStart,
    DrivesGet,
    DrivesList,
    FilesCopy,
    FilesCreate,
    FilesDelete,
    FilesEmptyTrash,
    FilesGenerateIds,
    FilesGet,
    FilesList,
    FilesUpdate,
}

/// One thing that can be asked.
#[derive(Debug)]
pub(super) struct Operation {
    /// Its name in the vendor's own description of the service.
    pub(super) id: &'static str,
    pub(super) action: Action,
    pub(super) method: &'static str,
    /// Below `/drive/v3/`; a part in braces stands for anything.
    pub(super) path: &'static str,
    pub(super) parameters: &'static [Parameter],
    pub(super) takes_media: bool,
    pub(super) changes_something: bool,
}

/// Parameters that everything takes.
pub(super) const GENERAL: [Parameter; 11] = [
    ("$.xgafv", Takes::OneOf(&["1", "2"])),
    ("access_token", Takes::NotEmulated),
    ("alt", Takes::OneOf(&["json", "media"])),
    ("callback", Takes::NotEmulated),
    ("fields", Takes::Text),
    ("key", Takes::NotEmulated),
    ("oauth_token", Takes::NotEmulated),
    ("prettyPrint", Takes::Flag),
    ("quotaUser", Takes::Text),
    ("uploadType", Takes::OneOf(&["media", "multipart", "resumable"])),
    ("upload_protocol", Takes::NotEmulated),
];

const SINGLE_PARENT: Parameter = ("enforceSingleParent", Takes::Flag);
const IGNORE_VISIBILITY: Parameter = ("ignoreDefaultVisibility", Takes::Flag);
const LABELS: Parameter = ("includeLabels", Takes::NotEmulated);
const VIEW: Parameter = ("includePermissionsForView", Takes::NotEmulated);
const KEEP_REVISION: Parameter = ("keepRevisionForever", Takes::Flag);
const OCR: Parameter = ("ocrLanguage", Takes::NotEmulated);
const ALL_DRIVES: Parameter = ("supportsAllDrives", Takes::Flag);
const TEAM_DRIVES: Parameter = ("supportsTeamDrives", Takes::NotEmulated);
const INDEXABLE: Parameter = ("useContentAsIndexableText", Takes::Flag);
const INCLUDE_ALL_DRIVES: Parameter = ("includeItemsFromAllDrives", Takes::Flag);
const INCLUDE_TEAM_DRIVES: Parameter = ("includeTeamDriveItems", Takes::NotEmulated);
const DRIVE_ID: Parameter = ("driveId", Takes::Text);
const TEAM_DRIVE_ID: Parameter = ("teamDriveId", Takes::NotEmulated);
const PAGE_SIZE: Parameter = ("pageSize", Takes::Number(1, 1000));
const PAGE_TOKEN: Parameter = ("pageToken", Takes::Text);
const SPACES: Parameter = ("spaces", Takes::OneOf(&["drive"]));
const ADMIN: Parameter = ("useDomainAdminAccess", Takes::NotEmulated);

const READ: Operation = Operation {
    id: "",
    action: Action::AboutGet,
    method: "GET",
    path: "",
    parameters: &[],
    takes_media: false,
    changes_something: false,
};

const CHANGE: Operation = Operation { changes_something: true, ..READ };

/// Everything that can be asked.
pub(super) static OPERATIONS: [Operation; 13] = [
    Operation { id: "drive.about.get", action: Action::AboutGet, path: "about", ..READ },
    Operation {
        id: "drive.changes.getStartPageToken",
        action: Action::ChangesStart,
        path: "changes/startPageToken",
        parameters: &[DRIVE_ID, ALL_DRIVES, TEAM_DRIVES, TEAM_DRIVE_ID],
        ..READ
    },
    Operation {
        id: "drive.changes.list",
        action: Action::ChangesList,
        path: "changes",
        parameters: &[
            DRIVE_ID,
            ("includeCorpusRemovals", Takes::Flag),
            INCLUDE_ALL_DRIVES,
            LABELS,
            VIEW,
            ("includeRemoved", Takes::Flag),
            INCLUDE_TEAM_DRIVES,
            PAGE_SIZE,
            PAGE_TOKEN,
            ("restrictToMyDrive", Takes::Flag),
            SPACES,
            ALL_DRIVES,
            TEAM_DRIVES,
            TEAM_DRIVE_ID,
        ],
        ..READ
    },
    Operation {
        id: "drive.drives.list",
        action: Action::DrivesList,
        path: "drives",
        parameters: &[("pageSize", Takes::Number(1, 100)), PAGE_TOKEN, ("q", Takes::NotEmulated), ADMIN],
        ..READ
    },
    Operation {
        id: "drive.drives.get",
        action: Action::DrivesGet,
        path: "drives/{driveId}",
        parameters: &[ADMIN],
        ..READ
    },
    Operation {
        id: "drive.files.generateIds",
        action: Action::FilesGenerateIds,
        path: "files/generateIds",
        parameters: &[
            ("count", Takes::Number(1, 1000)),
            ("space", Takes::OneOf(&["drive"])),
            ("type", Takes::OneOf(&["files", "shortcuts"])),
        ],
        ..READ
    },
    Operation {
        id: "drive.files.emptyTrash",
        action: Action::FilesEmptyTrash,
        method: "DELETE",
        path: "files/trash",
        parameters: &[DRIVE_ID, SINGLE_PARENT],
        ..CHANGE
    },
    Operation {
        id: "drive.files.list",
        action: Action::FilesList,
        path: "files",
        parameters: &[
            ("corpora", Takes::OneOf(&["user", "drive", "allDrives"])),
            ("corpus", Takes::NotEmulated),
            DRIVE_ID,
            INCLUDE_ALL_DRIVES,
            LABELS,
            VIEW,
            INCLUDE_TEAM_DRIVES,
            ("orderBy", Takes::Text),
            PAGE_SIZE,
            PAGE_TOKEN,
            ("q", Takes::Text),
            SPACES,
            ALL_DRIVES,
            TEAM_DRIVES,
            TEAM_DRIVE_ID,
        ],
        ..READ
    },
    Operation {
        id: "drive.files.create",
        action: Action::FilesCreate,
        method: "POST",
        path: "files",
        parameters: &[
            SINGLE_PARENT,
            IGNORE_VISIBILITY,
            LABELS,
            VIEW,
            KEEP_REVISION,
            OCR,
            ALL_DRIVES,
            TEAM_DRIVES,
            INDEXABLE,
        ],
        takes_media: true,
        ..CHANGE
    },
    Operation {
        id: "drive.files.get",
        action: Action::FilesGet,
        path: "files/{fileId}",
        parameters: &[("acknowledgeAbuse", Takes::Flag), LABELS, VIEW, ALL_DRIVES, TEAM_DRIVES],
        ..READ
    },
    Operation {
        id: "drive.files.update",
        action: Action::FilesUpdate,
        method: "PATCH",
        path: "files/{fileId}",
        parameters: &[
            ("addParents", Takes::Text),
            SINGLE_PARENT,
            LABELS,
            VIEW,
            KEEP_REVISION,
            OCR,
            ("removeParents", Takes::Text),
            ALL_DRIVES,
            TEAM_DRIVES,
            INDEXABLE,
        ],
        takes_media: true,
        ..CHANGE
    },
    Operation {
        id: "drive.files.delete",
        action: Action::FilesDelete,
        method: "DELETE",
        path: "files/{fileId}",
        parameters: &[SINGLE_PARENT, ALL_DRIVES, TEAM_DRIVES],
        ..CHANGE
    },
    Operation {
        id: "drive.files.copy",
        action: Action::FilesCopy,
        method: "POST",
        path: "files/{fileId}/copy",
        parameters: &[
            ("copyComments", Takes::NotEmulated),
            SINGLE_PARENT,
            IGNORE_VISIBILITY,
            LABELS,
            VIEW,
            KEEP_REVISION,
            OCR,
            ALL_DRIVES,
            TEAM_DRIVES,
        ],
        ..CHANGE
    },
];

/// A request that has the form of an operation.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) operation: &'static Operation,
    /// The file or drive that the path names.
    pub(super) id: Option<String>,
    pub(super) parameters: Vec<(String, String)>,
}

impl Call {
    /// What a request asks for; `None` where nothing is at its path.
    pub(super) fn of(request: &Request) -> Option<Result<Self, Refusal>> {
        let upload = request.path.strip_prefix("/upload/drive/v3/");
        let below = upload.or_else(|| request.path.strip_prefix("/drive/v3/"))?;
        let fits: Vec<_> =
            OPERATIONS.iter().filter_map(|operation| Some((operation, place(operation.path, below)?))).collect();
        let found = fits.iter().find(|(operation, _)| operation.method == request.method.as_str());
        let Some((operation, id)) = found else {
            let what = format!("{} {}", request.method, request.path);
            return Some(Err(Refusal::not_emulated(&what)));
        };
        let is_upload = upload.is_some();
        Some(Self::check(operation, id.clone(), is_upload, request))
    }

    fn check(
        operation: &'static Operation,
        id: Option<String>,
        is_upload: bool,
        request: &Request,
    ) -> Result<Self, Refusal> {
        let parameters = request.parameters().map_err(Refusal::malformed)?;
        for (at, (name, value)) in parameters.iter().enumerate() {
            // The id of an upload's session is no parameter of the description; it is part of the address that was given out.
            if name == "upload_id" && is_upload {
                continue;
            }
            if parameters[..at].iter().any(|(before, _)| before == name) {
                return Err(Refusal::invalid(name, format!("The parameter '{name}' stands there twice.")));
            }
            let known = operation.parameters.iter().chain(&GENERAL).find(|(known, _)| known == name);
            let (_, takes) = known.ok_or_else(|| Refusal::invalid(name, format!("Unknown parameter '{name}'.")))?;
            takes.check(name, value)?;
        }
        let call = Self { operation, id, parameters };
        if is_upload && !operation.takes_media {
            return Err(Refusal::malformed(format!("{} takes no media.", operation.id)));
        }
        if is_upload != call.parameter("uploadType").is_some() {
            return Err(Refusal::malformed("'uploadType' and the address for uploads belong together."));
        }
        if call.parameter("alt") == Some("media") && operation.action != Action::FilesGet {
            return Err(Refusal::invalid("alt", "This method gives no media."));
        }
        Ok(call)
    }

    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The fields that are asked for. rclone asks for none by an empty list, which the service takes for no list.
    pub(super) fn fields(&self) -> Option<&str> {
        self.parameter("fields").filter(|fields| !fields.is_empty())
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.parameter(name) == Some("true")
    }

    pub(super) fn number(&self, name: &str, default: usize) -> usize {
        self.parameter(name).and_then(|value| value.parse().ok()).unwrap_or(default)
    }

    /// Whether the program says that it knows of shared drives.
    pub(super) fn knows_drives(&self) -> bool {
        self.flag("supportsAllDrives")
    }

    /// The id in the path.
    pub(super) fn id(&self) -> &str {
        self.id.as_deref().expect("operations on one thing have it in their path")
    }
}

impl Takes {
    fn check(self, name: &str, value: &str) -> Result<(), Refusal> {
        let wrong = || Refusal::invalid(name, format!("Invalid value '{value}' for '{name}'."));
        let is_right = match self {
            Self::Text => true,
            Self::Flag => matches!(value, "true" | "false"),
            Self::Number(least, most) => value.parse().is_ok_and(|number| (least..=most).contains(&number)),
            Self::OneOf(values) => values.contains(&value),
            Self::NotEmulated => return Err(Refusal::not_emulated(&format!("the parameter '{name}'"))),
        };
        if is_right { Ok(()) } else { Err(wrong()) }
    }
}

/// Whether a path has a form, and what stands in the place of its braces.
fn place(form: &str, path: &str) -> Option<Option<String>> {
    let (mut parts, mut id) = (path.split('/'), None);
    for wanted in form.split('/') {
        let part = parts.next()?;
        if wanted.starts_with('{') {
            let decoded = percent_encoding::percent_decode_str(part).decode_utf8().ok()?;
            id = Some(decoded.into_owned()).filter(|id| !id.is_empty());
            id.as_ref()?;
        } else if wanted != part {
            return None;
        }
    }
    parts.next().is_none().then_some(id)
}
