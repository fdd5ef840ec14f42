//! Reading a whole source.

use std::collections::BTreeMap;

use backup_core::{
    CancelToken, Entry, EntryKind, EntryPath, EntryReader, Snapshotter, SourceContext, Stability, SystemClock,
};

/// Everything that a view gave.
pub(super) struct Captured {
    pub(super) entries: Vec<Entry>,
    /// The data extents of each regular file, one after the other.
    pub(super) content: BTreeMap<EntryPath, Vec<u8>>,
}

impl Captured {
    pub(super) fn files(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.kind == EntryKind::File)
    }

    /// A file's stretches: offset and bytes.
    pub(super) fn stretches(&self, entry: &Entry) -> Vec<(u64, &[u8])> {
        let mut data = self.content[&entry.path].as_slice();
        let Some(extents) = &entry.extents else { return vec![(0, data)] };
        let stretch = |extent: &backup_core::Extent| {
            let len = usize::try_from(extent.len_bytes).unwrap_or(usize::MAX).min(data.len());
            let (stretch, rest) = data.split_at(len);
            data = rest;
            (extent.offset_bytes, stretch)
        };
        extents.iter().map(stretch).collect()
    }

    /// A file's content with its holes.
    pub(super) fn whole(&self, entry: &Entry) -> Vec<u8> {
        let mut whole = vec![0; usize::try_from(entry.size_bytes).unwrap_or(0)];
        for (offset, bytes) in self.stretches(entry) {
            let from = usize::try_from(offset).unwrap_or(usize::MAX).min(whole.len());
            let len = bytes.len().min(whole.len() - from);
            whole[from..from + len].copy_from_slice(&bytes[..len]);
        }
        whole
    }

    /// `Err` with the first difference to another view.
    pub(super) fn same_as(&self, other: &Self) -> Result<(), String> {
        let facts = |entry: &Entry| {
            let times = (entry.modified, entry.mode, entry.uid, entry.gid);
            (entry.path.clone(), entry.kind, entry.size_bytes, entry.link_target.clone(), times)
        };
        let (first, second) = (self.entries.iter().map(facts), other.entries.iter().map(facts));
        if let Some((one, two)) = first.zip(second).find(|(one, two)| one != two) {
            return Err(format!("{one:?}, then {two:?}"));
        }
        if self.entries.len() != other.entries.len() {
            return Err(format!("{} entries, then {}", self.entries.len(), other.entries.len()));
        }
        self.same_content_as(other)
    }

    /// The same about the content of files alone.
    pub(super) fn same_content_as(&self, other: &Self) -> Result<(), String> {
        match self.content.iter().find(|(path, bytes)| other.content.get(*path) != Some(bytes)) {
            Some((path, _)) => Err(format!("{path:?} has other content the second time")),
            None => Ok(()),
        }
    }
}

/// Captures a source with reads of so many bytes.
pub(super) fn capture(snapshotter: &dyn Snapshotter, read_bytes: usize) -> Result<Captured, String> {
    let (clock, cancel) = (SystemClock::new(), CancelToken::new());
    let view = snapshotter.begin(&SourceContext::new(&clock, &cancel)).map_err(|error| error.to_string())?;
    let mut captured = Captured { entries: Vec::new(), content: BTreeMap::new() };
    for entry in view.entries() {
        let mut entry = entry.map_err(|error| error.to_string())?;
        if entry.kind == EntryKind::File {
            let mut reader = view.open(&mut entry).map_err(|error| error.to_string())?;
            let bytes = read(reader.as_mut(), read_bytes).map_err(|error| format!("{:?}: {error}", entry.path))?;
            captured.content.insert(entry.path.clone(), bytes);
        } else {
            view.load(&mut entry).map_err(|error| error.to_string())?;
        }
        captured.entries.push(entry);
    }
    view.finish().map_err(|error| error.to_string())?;
    Ok(captured)
}

fn read(reader: &mut dyn EntryReader, read_bytes: usize) -> Result<Vec<u8>, String> {
    let (mut bytes, mut buffer) = (Vec::new(), vec![0; read_bytes]);
    loop {
        match reader.read(&mut buffer).map_err(|error| error.to_string())? {
            0 => break,
            len if len > buffer.len() => return Err(format!("a read of {read_bytes} bytes gave {len}")),
            len => bytes.extend_from_slice(&buffer[..len]),
        }
    }
    match reader.stability().map_err(|error| error.to_string())? {
        Stability::Stable => Ok(bytes),
        Stability::Changed => Err("it is said to have changed, and nobody changed it".to_owned()),
    }
}
