//! Names of users and groups.
//!
//! Both account files are read once per run and looked up in memory. Names are a help for people and for a restore on
//! another machine; numbers are the truth, so accounts that only a directory service knows simply have no name.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// Names by number.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    users: HashMap<u32, Arc<str>>,
    groups: HashMap<u32, Arc<str>>,
}

impl Accounts {
    /// The accounts of this machine; none where they can't be read.
    pub(super) fn read() -> Self {
        let names = |path: &str| std::fs::read(Path::new(path)).map(|text| parse(&text)).unwrap_or_default();
        Self { users: names("/etc/passwd"), groups: names("/etc/group") }
    }

    pub(super) fn user(&self, uid: u32) -> Option<Arc<str>> {
        self.users.get(&uid).cloned()
    }

    pub(super) fn group(&self, gid: u32) -> Option<Arc<str>> {
        self.groups.get(&gid).cloned()
    }
}

/// Both files have the name first and the number third; of several names for a number the first counts.
fn parse(text: &[u8]) -> HashMap<u32, Arc<str>> {
    let mut names = HashMap::new();
    for line in text.split(|&byte| byte == b'\n') {
        let Ok(line) = std::str::from_utf8(line) else { continue };
        let mut fields = line.split(':');
        if let (Some(name), Some(_), Some(Ok(id))) = (fields.next(), fields.next(), fields.next().map(str::parse))
            && !name.is_empty()
        {
            names.entry(id).or_insert_with(|| name.into());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_name_of_a_number_counts_and_odd_lines_are_passed_over() {
        let names = parse(b"root:x:0:0::/root:/bin/sh\ntoor:x:0:0::/:\n\xff:x:7:\nbad\n+::::\nu:x:1000:1000:U:/h:/s");
        assert_eq!(names.get(&0).map(|name| &**name), Some("root"));
        assert_eq!(names.get(&1000).map(|name| &**name), Some("u"));
        assert_eq!(names.len(), 2);
    }
}
