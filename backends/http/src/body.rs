//! The body of a request: shared pieces whose length is known.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::task::AtomicWaker;
use http_body::{Body, Frame, SizeHint};

/// Bytes handed over at once: so often it is seen that a connection takes more.
const FRAME_BYTES: usize = 128 << 10;

/// Bytes in pieces, sent in order with a `Content-Length` and without being copied together.
#[derive(Debug, Clone, Default)]
pub struct Pieces {
    pieces: VecDeque<Bytes>,
    left_bytes: u64,
    /// Woken whenever the connection takes more.
    progress: Arc<AtomicWaker>,
}

impl Pieces {
    /// A body of pieces; empty ones are left out.
    pub fn new(pieces: impl IntoIterator<Item = Bytes>) -> Self {
        let pieces: VecDeque<Bytes> = pieces.into_iter().filter(|piece| !piece.is_empty()).collect();
        let left_bytes = pieces.iter().map(|piece| piece.len() as u64).sum();
        Self { pieces, left_bytes, progress: Arc::default() }
    }

    pub(crate) fn progress(&self) -> Arc<AtomicWaker> {
        Arc::clone(&self.progress)
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(first) = self.pieces.front_mut() else { return Poll::Ready(None) };
        let piece = first.split_to(first.len().min(FRAME_BYTES));
        if first.is_empty() {
            self.pieces.pop_front();
        }
        self.left_bytes -= piece.len() as u64;
        self.progress.wake();
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left_bytes)
    }
}
