//! Requests and answers of one SFTP session, many of them under way at once.
//!
//! Two tasks serve a session: one sends what is queued, one hands answers to whoever waits for them. They end with the
//! connection, or when the last [`Client`] is gone.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use russh::client::Msg;
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::AbortHandle;

use crate::failure::Failed;
use crate::wire::{self, Packet, Reply, Request};

/// Requests that wait to be sent. What the server has not taken yet stands before everybody else's requests, so there are
/// few of them.
const MAX_UNSENT: usize = 4;

/// Requests besides those for cleaning up what was given up, whose sender can't wait.
const MAX_CLEANUPS: usize = 1 << 10;

/// The longest packet that is accepted: OpenSSH sends up to 256 KiB, and what else asks for more is no SFTP.
const MAX_PACKET_BYTES: usize = 1 << 20;

/// One SFTP session.
#[derive(Debug)]
pub(crate) struct Client {
    outgoing: mpsc::Sender<Frame>,
    waiting: Arc<Waiting>,
    next_id: Arc<AtomicU32>,
}

/// A packet on its way out.
#[derive(Debug)]
struct Frame {
    parts: [Bytes; 2],
    /// Given back once it is sent.
    _room: Option<OwnedSemaphorePermit>,
}

/// Who waits for which answer.
#[derive(Debug)]
struct Waiting {
    state: Mutex<State>,
    /// Told when nobody waits any more.
    settled: Notify,
    /// Closed when the session is over, so that nobody waits to send.
    room: Arc<Semaphore>,
    /// Ends the task that sends: it may wait for the server to take more, and a connection that ends wakes it not.
    sending: OnceLock<AbortHandle>,
}

#[derive(Debug, Default)]
struct State {
    waiters: HashMap<u32, Waiter>,
    /// Why no more answers come.
    ended: Option<String>,
}

#[derive(Debug)]
enum Waiter {
    Caller(oneshot::Sender<Result<Reply, Failed>>),
    /// Nobody waits any more: a handle is to be closed, and a file that was made is to be removed.
    Nobody(Abandoned),
    /// Nobody ever waited: something is cleaned up.
    Cleanup,
}

/// What becomes of a file or directory whose opening nobody waits for any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Abandoned {
    /// It is closed.
    Close,
    /// It is closed and removed.
    CloseAndRemove(String),
}

/// How long a session that gets no further calls may take to clean up after those that were given up.
const SETTLE_WITHIN: Duration = Duration::from_secs(10);

impl Waiting {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes out who waits for an answer.
    fn take(&self, id: u32) -> Option<Waiter> {
        let mut state = self.state();
        let waiter = state.waiters.remove(&id);
        if state.waiters.is_empty() {
            self.settled.notify_waiters();
        }
        waiter
    }

    fn end(&self, why: &str) {
        let mut state = self.state();
        state.ended.get_or_insert_with(|| why.to_owned());
        let waiters = std::mem::take(&mut state.waiters);
        drop(state);
        self.room.close();
        if let Some(sending) = self.sending.get() {
            sending.abort();
        }
        self.settled.notify_waiters();
        for waiter in waiters.into_values() {
            if let Waiter::Caller(caller) = waiter {
                // Whoever gave up meanwhile needs no answer.
                let _ = caller.send(Err(Failed::Lost(why.to_owned())));
            }
        }
    }
}

impl Client {
    /// Greets the server on a channel that speaks SFTP; the names of its extensions.
    pub(crate) async fn greet(channel: Channel<Msg>) -> Result<(Self, Vec<Bytes>), Failed> {
        let (mut incoming, outgoing) = channel.split();
        outgoing.data_bytes(wire::hello()).await.map_err(|error| Failed::Lost(error.to_string()))?;
        let mut buffer = BytesMut::new();
        let extensions = match next_packet(&mut incoming, &mut buffer).await? {
            Packet::Hello(extensions) => extensions.into_iter().map(|(name, _)| name).collect(),
            Packet::Reply(..) => return Err(wire::Malformed("an answer before the greeting").into()),
        };
        let (sender, receiver) = mpsc::channel(MAX_UNSENT + MAX_CLEANUPS);
        let client = Self {
            outgoing: sender,
            waiting: Arc::new(Waiting {
                state: Mutex::default(),
                settled: Notify::new(),
                room: Arc::new(Semaphore::new(MAX_UNSENT)),
                sending: OnceLock::new(),
            }),
            next_id: Arc::new(AtomicU32::new(1)),
        };
        let sending = tokio::spawn(send_all(outgoing, receiver, Arc::clone(&client.waiting)));
        // It was not set before.
        let _ = client.waiting.sending.set(sending.abort_handle());
        let receiver = Receiver {
            waiting: Arc::clone(&client.waiting),
            outgoing: client.outgoing.downgrade(),
            next_id: Arc::clone(&client.next_id),
        };
        tokio::spawn(receiver.receive_all(incoming, buffer));
        Ok((client, extensions))
    }

    /// Why the session is over, if it is.
    pub(crate) fn ended(&self) -> Option<String> {
        self.waiting.state().ended.clone()
    }

    /// Queues a request; waits as long as too many are unsent.
    pub(crate) async fn send(&self, request: Request) -> Result<Answer, Failed> {
        self.queue(request, None).await
    }

    /// Queues a request that opens something, and says what becomes of that where nobody waits for it any more.
    pub(crate) async fn send_open(&self, request: Request, abandoned: Abandoned) -> Result<Answer, Failed> {
        self.queue(request, Some(abandoned)).await
    }

    async fn queue(&self, request: Request, abandoned: Option<Abandoned>) -> Result<Answer, Failed> {
        // Closed when the session is over; then what follows says why.
        let room = Arc::clone(&self.waiting.room).acquire_owned().await.ok();
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (caller, reply) = oneshot::channel();
        {
            let mut state = self.waiting.state();
            if let Some(why) = &state.ended {
                return Err(Failed::Lost(why.clone()));
            }
            state.waiters.insert(id, Waiter::Caller(caller));
        }
        let answer = Answer { id, reply, waiting: Arc::clone(&self.waiting), abandoned, is_done: false };
        let frame = Frame { parts: request.encode(id), _room: room };
        match self.outgoing.try_send(frame) {
            Ok(()) => Ok(answer),
            // The session ended this moment; or very much is being given up at once, which alone can fill it.
            Err(_) => {
                self.waiting.take(id);
                Err(Failed::Lost(self.ended().unwrap_or_else(|| "too much is being given up at once".to_owned())))
            }
        }
    }

    /// Sends a request and waits for its answer.
    pub(crate) async fn ask(&self, request: Request) -> Result<Reply, Failed> {
        self.send(request).await?.await
    }

    /// Sends a request whose answer nobody waits for; nothing is sent where the session is over.
    pub(crate) fn tell(&self, request: Request) {
        tell(&self.outgoing, &self.waiting, &self.next_id, request);
    }

    /// Waits until everything that was asked is answered, as long as that may take.
    pub(crate) async fn settle(&self) {
        let all_answered = async {
            loop {
                let settled = self.waiting.settled.notified();
                if self.waiting.state().waiters.is_empty() {
                    return;
                }
                settled.await;
            }
        };
        // What is not cleaned up by then is swept later.
        let _ = tokio::time::timeout(SETTLE_WITHIN, all_answered).await;
    }
}

fn tell(outgoing: &mpsc::Sender<Frame>, waiting: &Waiting, next_id: &AtomicU32, request: Request) {
    let id = next_id.fetch_add(1, Ordering::Relaxed);
    {
        let mut state = waiting.state();
        if state.ended.is_some() {
            return;
        }
        state.waiters.insert(id, Waiter::Cleanup);
    }
    if outgoing.try_send(Frame { parts: request.encode(id), _room: None }).is_err() {
        // What can't be cleaned up now is swept later.
        waiting.take(id);
    }
}

/// An answer that is still to come. Dropped, it leaves nothing open on the server.
#[derive(Debug)]
pub(crate) struct Answer {
    id: u32,
    reply: oneshot::Receiver<Result<Reply, Failed>>,
    waiting: Arc<Waiting>,
    abandoned: Option<Abandoned>,
    is_done: bool,
}

impl Future for Answer {
    type Output = Result<Reply, Failed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.reply).poll(cx).map(|reply| {
            self.is_done = true;
            reply.unwrap_or_else(|_| Err(Failed::Lost("the session is over".to_owned())))
        })
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if self.is_done {
            return;
        }
        match self.abandoned.take() {
            None => {
                self.waiting.take(self.id);
            }
            Some(abandoned) => {
                if let Some(waiter) = self.waiting.state().waiters.get_mut(&self.id) {
                    *waiter = Waiter::Nobody(abandoned);
                }
            }
        }
    }
}

/// Sends packets until there is nobody who could queue one, or the connection ends.
async fn send_all(outgoing: ChannelWriteHalf<Msg>, mut frames: mpsc::Receiver<Frame>, waiting: Arc<Waiting>) {
    while let Some(frame) = frames.recv().await {
        for part in frame.parts {
            if let Err(error) = outgoing.data_bytes(part).await {
                waiting.end(&error.to_string());
                return;
            }
        }
    }
    // Nobody is left to hear of it.
    let _ = outgoing.close().await;
}

/// What hands answers out.
struct Receiver {
    waiting: Arc<Waiting>,
    outgoing: mpsc::WeakSender<Frame>,
    next_id: Arc<AtomicU32>,
}

impl Receiver {
    /// Hands answers out until the connection ends.
    async fn receive_all(self, mut incoming: ChannelReadHalf, mut buffer: BytesMut) {
        let why = loop {
            match next_packet(&mut incoming, &mut buffer).await {
                Ok(Packet::Reply(id, reply)) => self.hand_out(id, reply),
                Ok(Packet::Hello(_)) => break wire::Malformed("a second greeting").to_string(),
                Err(failed) => break failed.to_string(),
            }
        };
        self.waiting.end(&why);
    }

    fn hand_out(&self, id: u32, reply: Reply) {
        let waiter = match &reply {
            // Cleaning up is told before the answer counts as given.
            Reply::Handle(handle) => {
                let abandoned = match self.waiting.state().waiters.get(&id) {
                    Some(Waiter::Nobody(abandoned)) => Some(abandoned.clone()),
                    _ => None,
                };
                if let Some(abandoned) = abandoned {
                    self.close(handle, abandoned);
                }
                self.waiting.take(id)
            }
            _ => self.waiting.take(id),
        };
        // Whoever gave up in this moment needs no answer, but what was opened for them is closed.
        if let Some(Waiter::Caller(caller)) = waiter
            && let Err(Ok(Reply::Handle(handle))) = caller.send(Ok(reply))
        {
            self.close(&handle, Abandoned::Close);
        }
    }

    /// Closes what nobody waits for.
    fn close(&self, handle: &[u8], abandoned: Abandoned) {
        let Some(outgoing) = self.outgoing.upgrade() else { return };
        tell(&outgoing, &self.waiting, &self.next_id, Request::close(handle));
        if let Abandoned::CloseAndRemove(path) = abandoned {
            tell(&outgoing, &self.waiting, &self.next_id, Request::remove(&path));
        }
    }
}

/// The next packet of a channel; `buffer` keeps what came of the ones after it.
async fn next_packet(incoming: &mut ChannelReadHalf, buffer: &mut BytesMut) -> Result<Packet, Failed> {
    loop {
        if let Some(head) = buffer.first_chunk::<4>() {
            let len = usize::try_from(u32::from_be_bytes(*head)).unwrap_or(usize::MAX);
            if len > MAX_PACKET_BYTES {
                // What a login script prints stands before the first packet and reads as a length.
                return Err(wire::Malformed(
                    "a packet of more than 1 MiB, or a text; a login script must print nothing",
                )
                .into());
            }
            if buffer.len() >= 4 + len {
                let packet = buffer.split_to(4 + len).freeze().slice(4..);
                return Ok(wire::decode(packet)?);
            }
            buffer.reserve(4 + len - buffer.len());
        }
        match incoming.wait().await {
            Some(ChannelMsg::Data { data }) => buffer.extend_from_slice(&data),
            Some(ChannelMsg::Failure) => return Err(Failed::NoSftp),
            Some(ChannelMsg::ExitStatus { exit_status }) if exit_status != 0 => {
                return Err(Failed::Lost(format!("the server's SFTP ended with {exit_status}")));
            }
            Some(ChannelMsg::Eof | ChannelMsg::Close) | None => {
                return Err(Failed::Lost("the connection was closed".to_owned()));
            }
            Some(_) => {}
        }
    }
}
