//! Names of fields and which of them a program may write.

/// What a value may hold.
#[derive(Debug)]
pub(super) enum Shape {
    /// Nothing that could be asked for by itself.
    Leaf,
    /// Any names: their owner chose them, or this emulator never fills them.
    Open,
    /// Fields with these names, here or in each item of a list.
    Fields(&'static [(&'static str, Shape)]),
    /// The fields of a file.
    File,
}

impl Shape {
    /// What a field of it may hold; `None` where it has no such field.
    pub(super) fn field(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Leaf => None,
            Self::Open => Some(&Self::Open),
            Self::Fields(fields) => fields.iter().find(|(field, _)| *field == name).map(|(_, shape)| shape),
            Self::File => FILE_FIELDS.iter().find(|field| field.name == name).map(|field| &field.shape),
        }
    }
}

/// Who sets a field of a file, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Write {
    /// The service alone.
    Never,
    /// A program, when it makes the file or copies it.
    Create,
    /// A program, at any time.
    Always,
    /// A program; the emulator has no such thing.
    NotEmulated,
}

/// What kind of value a field takes when it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Flag,
    Time,
    Texts,
    /// A map of texts, in which `null` removes.
    Map,
    Other,
}

/// One field of a file.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    pub(super) write: Write,
    pub(super) kind: Kind,
}

const fn told(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, write: Write::Never, kind: Kind::Other }
}

const fn set(name: &'static str, write: Write, kind: Kind) -> Field {
    Field { name, shape: Shape::Leaf, write, kind }
}

const fn beyond(name: &'static str) -> Field {
    Field { name, shape: Shape::Open, write: Write::NotEmulated, kind: Kind::Other }
}

/// What a program may write within fields that have fields of their own.
pub(super) const WITHIN: [(&str, &[&str]); 3] = [
    ("contentHints", &["indexableText", "thumbnail"]),
    ("contentRestrictions", &["ownerRestricted", "readOnly", "reason"]),
    ("shortcutDetails", &["targetId"]),
];

const USER_FIELDS: &[(&str, Shape)] = &[
    ("displayName", Shape::Leaf),
    ("emailAddress", Shape::Leaf),
    ("kind", Shape::Leaf),
    ("me", Shape::Leaf),
    ("permissionId", Shape::Leaf),
    ("photoLink", Shape::Leaf),
];

/// Every field of a file.
pub(super) static FILE_FIELDS: [Field; 65] = [
    Field { name: "appProperties", shape: Shape::Open, write: Write::Always, kind: Kind::Map },
    told("capabilities", Shape::Open),
    beyond("clientEncryptionDetails"),
    Field { name: "contentHints", shape: Shape::Open, write: Write::Always, kind: Kind::Other },
    Field { name: "contentRestrictions", shape: Shape::Open, write: Write::Always, kind: Kind::Other },
    set("copyRequiresWriterPermission", Write::Always, Kind::Flag),
    set("createdTime", Write::Create, Kind::Time),
    set("description", Write::Always, Kind::Text),
    beyond("downloadRestrictions"),
    told("driveId", Shape::Leaf),
    told("explicitlyTrashed", Shape::Leaf),
    told("exportLinks", Shape::Open),
    told("fileExtension", Shape::Leaf),
    set("folderColorRgb", Write::Always, Kind::Text),
    told("fullFileExtension", Shape::Leaf),
    told("hasAugmentedPermissions", Shape::Leaf),
    told("hasThumbnail", Shape::Leaf),
    told("headRevisionId", Shape::Leaf),
    told("iconLink", Shape::Leaf),
    set("id", Write::Create, Kind::Text),
    told("imageMediaMetadata", Shape::Open),
    beyond("inheritedPermissionsDisabled"),
    told("isAppAuthorized", Shape::Leaf),
    told("kind", Shape::Leaf),
    told("labelInfo", Shape::Open),
    told("lastModifyingUser", Shape::Fields(USER_FIELDS)),
    told("linkShareMetadata", Shape::Open),
    told("md5Checksum", Shape::Leaf),
    set("mimeType", Write::Always, Kind::Text),
    told("modifiedByMe", Shape::Leaf),
    told("modifiedByMeTime", Shape::Leaf),
    set("modifiedTime", Write::Always, Kind::Time),
    set("name", Write::Always, Kind::Text),
    set("originalFilename", Write::Always, Kind::Text),
    told("ownedByMe", Shape::Leaf),
    told("owners", Shape::Fields(USER_FIELDS)),
    set("parents", Write::Create, Kind::Texts),
    told("permissionIds", Shape::Leaf),
    told("permissions", Shape::Open),
    Field { name: "properties", shape: Shape::Open, write: Write::Always, kind: Kind::Map },
    told("quotaBytesUsed", Shape::Leaf),
    told("resourceKey", Shape::Leaf),
    told("sha1Checksum", Shape::Leaf),
    told("sha256Checksum", Shape::Leaf),
    told("shared", Shape::Leaf),
    told("sharedWithMeTime", Shape::Leaf),
    told("sharingUser", Shape::Fields(USER_FIELDS)),
    Field { name: "shortcutDetails", shape: Shape::Open, write: Write::Create, kind: Kind::Other },
    told("size", Shape::Leaf),
    told("spaces", Shape::Leaf),
    set("starred", Write::Always, Kind::Flag),
    told("teamDriveId", Shape::Leaf),
    told("thumbnailLink", Shape::Leaf),
    told("thumbnailVersion", Shape::Leaf),
    set("trashed", Write::Always, Kind::Flag),
    told("trashedTime", Shape::Leaf),
    told("trashingUser", Shape::Fields(USER_FIELDS)),
    told("version", Shape::Leaf),
    told("videoMediaMetadata", Shape::Open),
    told("viewedByMe", Shape::Leaf),
    set("viewedByMeTime", Write::Always, Kind::Time),
    told("viewersCanCopyContent", Shape::Leaf),
    told("webContentLink", Shape::Leaf),
    told("webViewLink", Shape::Leaf),
    set("writersCanShare", Write::Always, Kind::Flag),
];

/// A file.
pub(super) static FILE: Shape = Shape::File;

/// A page of files.
pub(super) static FILE_LIST: Shape = Shape::Fields(&[
    ("files", Shape::File),
    ("incompleteSearch", Shape::Leaf),
    ("kind", Shape::Leaf),
    ("nextPageToken", Shape::Leaf),
]);

/// Ids for files to come.
pub(super) static GENERATED_IDS: Shape =
    Shape::Fields(&[("ids", Shape::Leaf), ("kind", Shape::Leaf), ("space", Shape::Leaf)]);

/// What is told of a person and their storage.
pub(super) static ABOUT: Shape = Shape::Fields(&[
    ("appInstalled", Shape::Leaf),
    ("canCreateDrives", Shape::Leaf),
    ("canCreateTeamDrives", Shape::Leaf),
    ("driveThemes", Shape::Open),
    ("exportFormats", Shape::Open),
    ("folderColorPalette", Shape::Leaf),
    ("importFormats", Shape::Open),
    ("kind", Shape::Leaf),
    ("maxImportSizes", Shape::Open),
    ("maxUploadSize", Shape::Leaf),
    (
        "storageQuota",
        Shape::Fields(&[
            ("limit", Shape::Leaf),
            ("usage", Shape::Leaf),
            ("usageInDrive", Shape::Leaf),
            ("usageInDriveTrash", Shape::Leaf),
        ]),
    ),
    ("teamDriveThemes", Shape::Open),
    ("user", Shape::Fields(USER_FIELDS)),
]);

const DRIVE_FIELDS: &[(&str, Shape)] = &[
    ("backgroundImageFile", Shape::Open),
    ("backgroundImageLink", Shape::Leaf),
    ("capabilities", Shape::Open),
    ("colorRgb", Shape::Leaf),
    ("createdTime", Shape::Leaf),
    ("hidden", Shape::Leaf),
    ("id", Shape::Leaf),
    ("kind", Shape::Leaf),
    ("name", Shape::Leaf),
    ("orgUnitId", Shape::Leaf),
    ("restrictions", Shape::Open),
    ("themeId", Shape::Leaf),
];

/// A shared drive.
pub(super) static DRIVE: Shape = Shape::Fields(DRIVE_FIELDS);

/// A page of shared drives.
pub(super) static DRIVE_LIST: Shape =
    Shape::Fields(&[("drives", Shape::Fields(DRIVE_FIELDS)), ("kind", Shape::Leaf), ("nextPageToken", Shape::Leaf)]);

/// Where the changes to come begin.
pub(super) static START_PAGE_TOKEN: Shape = Shape::Fields(&[("kind", Shape::Leaf), ("startPageToken", Shape::Leaf)]);

/// A page of changes.
pub(super) static CHANGE_LIST: Shape = Shape::Fields(&[
    (
        "changes",
        Shape::Fields(&[
            ("changeType", Shape::Leaf),
            ("drive", Shape::Fields(DRIVE_FIELDS)),
            ("driveId", Shape::Leaf),
            ("file", Shape::File),
            ("fileId", Shape::Leaf),
            ("kind", Shape::Leaf),
            ("removed", Shape::Leaf),
            ("teamDrive", Shape::Open),
            ("teamDriveId", Shape::Leaf),
            ("time", Shape::Leaf),
            ("type", Shape::Leaf),
        ]),
    ),
    ("kind", Shape::Leaf),
    ("newStartPageToken", Shape::Leaf),
    ("nextPageToken", Shape::Leaf),
]);
