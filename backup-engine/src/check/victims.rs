//! Finds what damage hurts: goes down the trees again, only where something is not sound.

use backup_core::EntryPath;

use super::findings::Cause;
use super::trees::{Decoded, TreeCheck};
use super::{CheckError, LostPart, Victim};
use crate::format::BlobType;
use crate::format::record::TreeRoot;
use crate::format::tree::{ChunkList, Content, TreeEntry};
use crate::id::{BlobId, SnapshotId};

/// A node and the stretch of paths it stands for.
struct Stretch {
    id: BlobId,
    level: u8,
    entries: u64,
    from: Option<EntryPath>,
    until: Option<EntryPath>,
}

impl TreeCheck<'_> {
    /// Notes what of a snapshot is lost; its tree has been visited.
    pub(super) fn victims(&mut self, snapshot: SnapshotId, root: &TreeRoot) -> Result<(), CheckError> {
        self.hurt(snapshot, &Stretch { id: root.id, level: root.level, entries: root.entries, from: None, until: None })
    }

    fn hurt(&mut self, snapshot: SnapshotId, stretch: &Stretch) -> Result<(), CheckError> {
        if self.node(&stretch.id, stretch.level).is_some_and(|node| node.is_sound) {
            return Ok(());
        }
        match self.decode(&stretch.id, stretch.level)? {
            None => self.lose(snapshot, stretch),
            // A reader refuses a leaf that is not where its parent says.
            Some(Decoded::Leaf(entries))
                if stretch.from.is_some() && stretch.from.as_ref() != entries.first().map(|item| &item.entry.path) =>
            {
                self.lose(snapshot, stretch);
            }
            Some(Decoded::Leaf(entries)) => {
                for item in &entries {
                    if !self.has_content(item)? {
                        self.lose_entry(snapshot, item)?;
                    }
                }
            }
            Some(Decoded::Inner(inner)) => {
                let mut children = inner.children.into_iter().peekable();
                while let Some(child) = children.next() {
                    let until = children.peek().map(|next| next.first.clone()).or_else(|| stretch.until.clone());
                    let below = Stretch {
                        id: child.id,
                        level: stretch.level - 1,
                        entries: child.entries,
                        from: Some(child.first),
                        until,
                    };
                    self.hurt(snapshot, &below)?;
                }
            }
        }
        Ok(())
    }

    fn lose(&mut self, snapshot: SnapshotId, stretch: &Stretch) {
        let Stretch { id, entries, from, until, .. } = stretch;
        let part = LostPart::Range { from: from.clone(), until: until.clone(), entries: *entries };
        for cause in self.causes(id) {
            self.findings.victim(cause, Victim { snapshot, part: part.clone() });
        }
    }

    fn lose_entry(&mut self, snapshot: SnapshotId, item: &TreeEntry) -> Result<(), CheckError> {
        let mut causes = Vec::new();
        match &item.content {
            Content::None => {}
            Content::Single { digest } => {
                let id = self.reader.store().keyring().hasher().id_of_digest(BlobType::Data, digest);
                causes = self.causes(&id);
            }
            Content::List { list, .. } => self.chunk_causes(list, &mut causes)?,
        }
        causes.sort();
        causes.dedup();
        for cause in causes {
            let part = LostPart::Entry(item.entry.path.clone());
            self.findings.victim(cause, Victim { snapshot, part });
        }
        Ok(())
    }

    fn chunk_causes(&mut self, list: &ChunkList, causes: &mut Vec<Cause>) -> Result<(), CheckError> {
        for chunk in &list.chunks {
            match list.form {
                1 if self.reader.index().contains(&chunk.id) => {}
                1 => causes.extend(self.causes(&chunk.id)),
                form => match self.decode_list(chunk, form - 1)? {
                    Some(below) => self.chunk_causes(&below, causes)?,
                    None => causes.extend(self.causes(&chunk.id)),
                },
            }
        }
        Ok(())
    }

    /// Why a blob can't be read.
    fn causes(&self, id: &BlobId) -> Vec<Cause> {
        let damage = self.damage_of(id);
        if !damage.is_empty() {
            damage.into_iter().map(Cause::Damage).collect()
        } else if self.reader.index().contains(id) {
            vec![Cause::Malformed(*id)]
        } else {
            vec![Cause::Missing]
        }
    }
}
