//! A source of which one file is read only as far as a test lets it.

use std::io;
use std::sync::{Arc, Mutex, mpsc};

use backup_core::{
    Entry, EntryError, EntryPath, EntryReader, RestoreTarget, Snapshotter, SourceContext, SourceDescription,
    SourceError, SourceView, Stability, TargetOptions,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::CHUNK_BYTES;
use super::source::{MemorySource, Tree, path};

/// Readers wait here before each read of at most [`CHUNK_BYTES`].
#[derive(Debug)]
struct Gate {
    asked: UnboundedSender<()>,
    opened: Mutex<mpsc::Receiver<()>>,
}

/// The test's side; once it is dropped, nobody waits any more.
#[derive(Debug)]
pub(crate) struct Gatekeeper {
    asked: UnboundedReceiver<()>,
    open: mpsc::Sender<()>,
}

impl Gatekeeper {
    /// Waits until a reader waits.
    pub(crate) async fn asked(&mut self) {
        self.asked.recv().await.unwrap();
    }

    /// Lets a reader read once.
    pub(crate) fn open(&self) {
        self.open.send(()).unwrap();
    }

    /// Lets so many reads happen, and waits until the next one is asked for.
    pub(crate) async fn let_read(&mut self, count: usize) {
        for _ in 0..count {
            self.asked().await;
            self.open();
        }
        self.asked().await;
    }
}

/// The source.
#[derive(Debug)]
pub(crate) struct GatedSource {
    inner: MemorySource,
    file: EntryPath,
    gate: Arc<Gate>,
}

impl GatedSource {
    /// A source with a tree in which one file is behind a gate.
    pub(crate) fn new(tree: Tree, file: &str) -> (Arc<Self>, Gatekeeper) {
        let (asking, asked) = unbounded_channel();
        let (open, opened) = mpsc::channel();
        let gate = Arc::new(Gate { asked: asking, opened: Mutex::new(opened) });
        let source = Self { inner: MemorySource::new("test", tree), file: path(file), gate };
        (Arc::new(source), Gatekeeper { asked, open })
    }
}

impl Snapshotter for GatedSource {
    fn describe(&self) -> SourceDescription {
        self.inner.describe()
    }

    fn begin(&self, context: &SourceContext<'_>) -> Result<Box<dyn SourceView>, SourceError> {
        let (inner, file, gate) = (self.inner.begin(context)?, self.file.clone(), Arc::clone(&self.gate));
        Ok(Box::new(GatedView { inner, file, gate }))
    }

    fn target(&self, options: &TargetOptions) -> Result<Box<dyn RestoreTarget>, SourceError> {
        self.inner.target(options)
    }
}

struct GatedView {
    inner: Box<dyn SourceView>,
    file: EntryPath,
    gate: Arc<Gate>,
}

impl SourceView for GatedView {
    fn entries(&self) -> Box<dyn Iterator<Item = Result<Entry, EntryError>> + Send + '_> {
        self.inner.entries()
    }

    fn open(&self, entry: &mut Entry) -> Result<Box<dyn EntryReader>, EntryError> {
        let inner = self.inner.open(entry)?;
        if entry.path != self.file {
            return Ok(inner);
        }
        Ok(Box::new(GatedReader { inner, gate: Arc::clone(&self.gate) }))
    }

    fn load(&self, entry: &mut Entry) -> Result<(), EntryError> {
        self.inner.load(entry)
    }
}

struct GatedReader {
    inner: Box<dyn EntryReader>,
    gate: Arc<Gate>,
}

impl EntryReader for GatedReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // Either fails when the test is no longer interested.
        let _ = self.gate.asked.send(());
        let _ = self.gate.opened.lock().unwrap().recv();
        let room = buffer.len().min(usize::try_from(CHUNK_BYTES).unwrap());
        self.inner.read(&mut buffer[..room])
    }

    fn stability(&mut self) -> io::Result<Stability> {
        self.inner.stability()
    }
}
