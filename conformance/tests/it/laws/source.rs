//! A source in memory that takes itself back, with a bug named after the law that must find it.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use backup_conformance::laws::snapshotter::Harness;
use backup_core::{
    Entry, EntryError, EntryKind, EntryPath, EntryReader, EntryWriter, ReadAt, RestoreTarget, Snapshotter,
    SourceContext, SourceDescription, SourceError, SourceView, Stability, TargetOptions, Timestamp,
};

type Files = BTreeMap<EntryPath, (Entry, Vec<u8>)>;

fn path(text: &str) -> EntryPath {
    EntryPath::new(text.as_bytes()).unwrap()
}

/// Gives sources with a bug, or without.
pub(super) struct Memory {
    source: MemorySource,
}

#[derive(Debug, Clone)]
struct MemorySource {
    bug: &'static str,
    files: Files,
    asked: Arc<AtomicUsize>,
}

impl Memory {
    pub(super) fn new(bug: &'static str) -> Self {
        let mut files = Files::new();
        for (number, (name, len)) in [
            ("d", None),
            ("d/e", None),
            ("d/e/empty", Some(0)),
            ("d/file", Some(5_003)),
            ("d/other", Some(7)),
            ("z", None),
        ]
        .into_iter()
        .enumerate()
        {
            let kind = if len.is_some() { EntryKind::File } else { EntryKind::Directory };
            let mut entry = Entry::new(path(name), kind);
            entry.size_bytes = len.unwrap_or(0);
            entry.modified = Timestamp::from_secs(1_000 + i64::try_from(number).unwrap());
            let bytes = (0..entry.size_bytes).map(|at| u8::try_from(at * 7 % 251).unwrap()).collect();
            files.insert(path(name), (entry, bytes));
        }
        Self { source: MemorySource { bug, files, asked: Arc::default() } }
    }
}

impl Harness for Memory {
    fn snapshotter(&self) -> Box<dyn Snapshotter> {
        Box::new(self.source.clone())
    }

    fn place(&self) -> TargetOptions {
        TargetOptions::in_place()
    }
}

impl Snapshotter for MemorySource {
    fn describe(&self) -> SourceDescription {
        let mut roots = vec![path("d"), path("z")];
        if self.bug == "it_describes_itself_the_same_again" {
            roots.reverse();
        }
        SourceDescription { kind: "memory".to_owned(), name: None, roots }
    }

    fn begin(&self, _: &SourceContext<'_>) -> Result<Box<dyn SourceView>, SourceError> {
        let mut source = self.clone();
        let views = self.asked.fetch_add(1, Ordering::Relaxed);
        if self.bug == "two_views_show_the_same" && views % 2 == 1 {
            // The clock of whoever looks, instead of the file's.
            source.files.get_mut(&path("z")).unwrap().0.modified = Timestamp::from_secs(9_999);
        }
        Ok(Box::new(source))
    }

    fn target(&self, _: &TargetOptions) -> Result<Box<dyn RestoreTarget>, SourceError> {
        Ok(Box::new(MemoryPlace::new(self)))
    }
}

impl SourceView for MemorySource {
    fn entries(&self) -> Box<dyn Iterator<Item = Result<Entry, EntryError>> + Send + '_> {
        let mut entries: Vec<Entry> = self.files.values().map(|(entry, _)| entry.clone()).collect();
        match self.bug {
            // As a walk that goes by kinds: what is no directory first.
            "entries_stand_in_canonical_order" => entries[3..=4].reverse(),
            "directories_stand_before_what_is_in_them" => drop(entries.remove(0)),
            _ => {}
        }
        Box::new(entries.into_iter().map(Ok))
    }

    fn open(&self, entry: &mut Entry) -> Result<Box<dyn EntryReader>, EntryError> {
        let mut bytes = self.files[&entry.path].1.clone();
        if self.bug == "content_is_as_long_as_its_entry_says" && entry.path == path("d/other") {
            bytes.truncate(3);
        }
        Ok(Box::new(Reader { bytes, at: 0, hasty: self.bug == "small_reads_give_the_same" }))
    }

    fn load(&self, _: &mut Entry) -> Result<(), EntryError> {
        Ok(())
    }
}

struct Reader {
    bytes: Vec<u8>,
    at: usize,
    hasty: bool,
}

impl EntryReader for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = buffer.len().min(self.bytes.len() - self.at);
        buffer[..len].copy_from_slice(&self.bytes[self.at..self.at + len]);
        self.at += len;
        // A byte is lost between a full buffer and the next.
        if self.hasty && len > 0 && self.at < self.bytes.len() {
            self.at += 1;
        }
        Ok(len)
    }

    fn stability(&mut self) -> io::Result<Stability> {
        Ok(Stability::Stable)
    }
}

static PLACES: AtomicUsize = AtomicUsize::new(0);

/// A place in memory that takes entries.
pub(super) struct MemoryPlace {
    bug: &'static str,
    files: Arc<Mutex<Files>>,
}

impl MemoryPlace {
    pub(super) fn count() -> usize {
        PLACES.load(Ordering::Relaxed)
    }

    fn new(source: &MemorySource) -> Self {
        PLACES.fetch_add(1, Ordering::Relaxed);
        let place = Self { bug: source.bug, files: Arc::default() };
        if source.bug == "an_empty_place_has_nothing" {
            place.files.lock().unwrap().extend(source.files.clone());
        }
        place
    }

    fn insert(&self, entry: &Entry, bytes: Vec<u8>) {
        self.files.lock().unwrap().insert(entry.path.clone(), (entry.clone(), bytes));
    }
}

impl RestoreTarget for MemoryPlace {
    fn inspect(&self, path: &EntryPath) -> Result<Option<Entry>, EntryError> {
        Ok(self.files.lock().unwrap().get(path).map(|(entry, _)| entry.clone()))
    }

    fn create_directory(&self, entry: &Entry) -> Result<bool, EntryError> {
        self.insert(entry, Vec::new());
        Ok(true)
    }

    fn create_file(&self, entry: &Entry) -> Result<Box<dyn EntryWriter>, EntryError> {
        let there = self.files.lock().unwrap().contains_key(&entry.path);
        match self.bug {
            "a_file_that_is_not_committed_is_not_there" if !there => self.insert(entry, Vec::new()),
            "an_old_file_stays_until_the_commit" if there => self.insert(entry, Vec::new()),
            _ => {}
        }
        let files = Arc::clone(&self.files);
        Ok(Box::new(Writer { bug: self.bug, files, bytes: Mutex::default() }))
    }

    fn create_special(&self, entry: &Entry) -> Result<(), EntryError> {
        self.insert(entry, Vec::new());
        Ok(())
    }

    fn create_hard_link(&self, entry: &Entry, existing: &EntryPath) -> Result<(), EntryError> {
        let bytes = self.files.lock().unwrap()[existing].1.clone();
        self.insert(entry, bytes);
        Ok(())
    }

    fn open_existing(&self, path: &EntryPath) -> Result<Box<dyn ReadAt>, EntryError> {
        let found = self.files.lock().unwrap().get(path).map(|(_, bytes)| bytes.clone());
        let missing = || EntryError::other(path, "cannot open", "it is not there");
        Ok(Box::new(Bytes(found.ok_or_else(missing)?)))
    }

    fn set_metadata(&self, _: &Entry) -> Result<(), EntryError> {
        Ok(())
    }

    fn finish_directory(&self, _: &Entry) -> Result<(), EntryError> {
        Ok(())
    }

    fn remove(&self, path: &EntryPath) -> Result<(), EntryError> {
        let with_all_below = self.bug != "what_is_removed_is_gone";
        self.files.lock().unwrap().retain(|other, _| other != path && !(with_all_below && other.is_within(path)));
        Ok(())
    }

    fn extra_names(&self, directory: &EntryPath, keep: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, EntryError> {
        let files = self.files.lock().unwrap();
        let inside = files.keys().filter(|path| path.parent().as_ref() == Some(directory));
        let names = inside.map(|path| path.name().to_vec());
        // One that begins like a name that is kept is taken for it.
        let kept = |name: &Vec<u8>| match self.bug {
            "extra_names_are_those_that_are_not_kept" => !keep.is_empty(),
            _ => keep.contains(name),
        };
        Ok(names.filter(|name| !kept(name)).collect())
    }

    fn finish(&self) -> Result<(), SourceError> {
        Ok(())
    }
}

struct Writer {
    bug: &'static str,
    files: Arc<Mutex<Files>>,
    bytes: Mutex<Vec<u8>>,
}

impl EntryWriter for Writer {
    fn write_at(&self, offset_bytes: u64, bytes: &[u8]) -> io::Result<()> {
        let from = usize::try_from(offset_bytes).unwrap();
        let mut all = self.bytes.lock().unwrap();
        let len = all.len().max(from + bytes.len());
        all.resize(len, 0);
        all[from..from + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn commit(self: Box<Self>, entry: &Entry) -> Result<(), EntryError> {
        let mut entry = entry.clone();
        if self.bug == "what_is_put_back_is_what_was_captured" {
            entry.modified = Timestamp::EPOCH;
        }
        let mut bytes = self.bytes.lock().unwrap().clone();
        bytes.resize(usize::try_from(entry.size_bytes).unwrap(), 0);
        self.files.lock().unwrap().insert(entry.path.clone(), (entry, bytes));
        Ok(())
    }
}

struct Bytes(Vec<u8>);

impl ReadAt for Bytes {
    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let from = usize::try_from(offset_bytes).unwrap().min(self.0.len());
        let len = buffer.len().min(self.0.len() - from);
        buffer[..len].copy_from_slice(&self.0[from..from + len]);
        Ok(len)
    }
}
