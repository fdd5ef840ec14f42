//! The recovery kit: a text to print, that opens a repository when everything else is lost.

use std::io::Write;
use std::path::Path;

use backup_engine::repository::keys::decode_recovery_code;
use zeroize::Zeroizing;

/// What stands in a kit.
#[derive(Debug)]
pub(crate) struct KitText<'a> {
    pub(crate) repository: &'a str,
    pub(crate) id: String,
    pub(crate) made: String,
    /// The object `config`: without it nothing opens, and it is short enough to be kept on paper.
    pub(crate) config: String,
}

impl KitText<'_> {
    fn render(&self, code: &str) -> Zeroizing<String> {
        let Self { repository, id, made, config } = self;
        let half = code.len() / 2;
        // The code stands on two lines of seven groups, which is easier to copy from paper.
        let (first, second) = (&code[..half], code[half..].trim_start_matches('-'));
        Zeroizing::new(format!(
            "RECOVERY KIT\n\
             \n\
             Whoever has this page can read the whole backup. Print it, keep it away from the\n\
             computer, and delete this file.\n\
             \n\
             Repository:  {repository}\n\
             Id:          {id}\n\
             Made:        {made}\n\
             \n\
             Recovery code:\n\
             \n\
             \x20   {first}-\n\
             \x20   {second}\n\
             \n\
             To get the files back on any computer:\n\
             \n\
             \x20 1. Install `backup` and make the repository reachable.\n\
             \x20 2. Put this text, or only the code, into a file: kit.txt\n\
             \x20 3. backup -r REPOSITORY --recovery-kit kit.txt snapshots\n\
             \x20 4. backup -r REPOSITORY --recovery-kit kit.txt restore latest --target DIR\n\
             \x20 5. Choose a new password: backup -r REPOSITORY --recovery-kit kit.txt key add\n\
             \n\
             Capital letters, blanks and dashes in the code don't matter. The letters i, l and o and\n\
             the digit 1 do not occur.\n\
             \n\
             Should the repository ever lose its object `config`, make a file of these two lines,\n\
             each with a line end and nothing before it, and put it back under that name:\n\
             \n\
             {config}"
        ))
    }
}

/// Writes a kit into a new file that only its owner can read.
pub(crate) fn write(path: &Path, kit: &KitText<'_>, code: &str) -> std::io::Result<()> {
    create_private(path, kit.render(code).as_bytes())
}

/// Writes a new file that only its owner can read, and makes it durable.
///
/// # Errors
/// `AlreadyExists` rather than replacing a file, which may be the only key to something.
pub(crate) fn create_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)?;
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if written.is_err() {
        // Half a key is no key; the error that is returned says more than a failed removal.
        let _ = std::fs::remove_file(path);
    }
    written
}

/// The recovery code in a text: a whole kit, or the code alone.
pub(crate) fn code_in(text: &str) -> Option<Zeroizing<String>> {
    if decode_recovery_code(text).is_some() {
        return Some(Zeroizing::new(text.to_owned()));
    }
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    /// On how many lines a code may stand: one to fourteen groups each.
    const MOST_LINES: usize = 14;
    for begin in 0..lines.len() {
        for end in begin + 1..=lines.len().min(begin + MOST_LINES) {
            let candidate = Zeroizing::new(lines[begin..end].concat());
            if decode_recovery_code(&candidate).is_some() {
                return Some(candidate);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use backup_engine::repository::keys::encode_recovery_code;

    #[test]
    fn code_is_found_in_the_kit_that_holds_it_and_nowhere_else() {
        let secret: [u8; 32] = std::array::from_fn(|at| u8::try_from(at * 7 % 251).unwrap());
        let code = encode_recovery_code(&secret);
        let kit = KitText { repository: "/srv/b", id: "ab".repeat(32), made: "now".into(), config: "{}\n00\n".into() };
        let text = kit.render(&code);
        let found = code_in(&text).unwrap();
        assert_eq!(*decode_recovery_code(&found).unwrap(), secret);
        assert_eq!(*decode_recovery_code(&code_in(&code.to_uppercase()).unwrap()).unwrap(), secret);
        let typo = text.replacen(&code[..4], "aaaa", 1);
        assert!(code_in(&typo).is_none() || typo == *text);
        assert!(code_in("").is_none());
    }

    #[cfg(unix)]
    #[test]
    fn private_file_is_closed_to_others_and_never_replaced() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/kit.txt");
        create_private(&path, b"a").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(create_private(&path, b"b").unwrap_err().kind(), std::io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&path).unwrap(), b"a");
    }
}
