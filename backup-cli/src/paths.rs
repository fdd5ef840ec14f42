//! Paths of snapshots as they are typed.

use std::ffi::OsStr;

use backup_core::EntryPath;

use crate::error::CliError;
use crate::unlock::quoted;

/// The entry that an argument names; `None` for the top of everything.
///
/// Entries stand under their absolute paths, so `/home/ana/a`, `home/ana/a` and `home/ana//a/` are the same.
pub(crate) fn entry(argument: &OsStr) -> Result<Option<EntryPath>, CliError> {
    let bytes = argument.as_encoded_bytes();
    let mut joined: Vec<u8> = Vec::with_capacity(bytes.len());
    for component in bytes.split(|&byte| byte == b'/').filter(|component| !matches!(*component, b"" | b".")) {
        if !joined.is_empty() {
            joined.push(b'/');
        }
        joined.extend_from_slice(component);
    }
    if joined.is_empty() {
        return Ok(None);
    }
    EntryPath::new(joined).map(Some).map_err(|error| {
        CliError::usage(format!("`{}` can't be the path of an entry", argument.to_string_lossy()))
            .because(error.to_string())
            .hint("paths are absolute, as `backup ls` shows them")
    })
}

/// What to do about a path that is not in a snapshot.
pub(crate) fn missing_hint(snapshot: &str, path: &EntryPath) -> String {
    let mut hint = format!("`backup ls {snapshot}` shows what is in it, with paths as they are wanted here");
    if path.as_bytes().contains(&b'\\') {
        hint.push_str("; a name that is shown with `\\x0a` or the like is given to the shell as $'...\\x0a...'");
    }
    if snapshot == "latest" {
        hint.push_str(&format!(
            "\nthe newest snapshot may be of something else: `--path {}` asks for one that is of this",
            quoted(&format!("/{path}"))
        ));
    }
    hint
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_at_the_ends_and_in_the_middle_make_no_difference() {
        let read = |text: &str| entry(OsStr::new(text)).map(|path| path.map(|path| path.to_string()));
        for same in ["/home/a", "home/a", "//home//a/", "./home/./a"] {
            assert_eq!(read(same).unwrap().as_deref(), Some("home/a"), "{same}");
        }
        assert_eq!(read("/").unwrap(), None);
        assert!(read("/home/../etc").is_err());
    }
}
