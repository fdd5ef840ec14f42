//! A server with TLS that reads requests, lets faults happen to them and asks a vendor's half for the reply.

use std::fmt::Debug;
use std::io;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::stream::{self, BoxStream, StreamExt};
use http::header::{CONTENT_LENGTH, HOST, HeaderValue};
use http::request::Parts;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use crate::background::Background;
use crate::certificate::Certificate;
use crate::fault::{Effect, Faults};
use crate::gate::Gate;
use crate::message::{Reply, Request};
use crate::trace::{Exchange, Trace};

/// The longest body that is read, which is kept in memory: more than any client sends in one request.
const MAX_BODY_BYTES: usize = 256 << 20;

/// Connections that are open at once: more than any test makes.
const MAX_CONNECTIONS: usize = 512;

/// A reply's body is handed on in pieces of this size.
const PIECE_BYTES: usize = 64 << 10;

/// How often what was sent is given the chance to leave before a connection is cut.
const YIELDS_BEFORE_CUT: usize = 16;

/// One vendor's half of an emulator: everything in memory, so that no answer waits for anything.
pub(crate) trait Vendor: Send + Sync + 'static {
    /// What only this vendor can do wrong.
    type Fault: Clone + Debug + Send + Sync + 'static;

    /// Answers a request that arrived as a whole.
    fn answer(&self, request: &Request, fault: Option<&Self::Fault>) -> Reply;

    /// Takes note of a request whose body ended early; nobody hears an answer.
    fn cut(&self, request: &Request);
}

/// A vendor's half on a port of the loopback interface. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Server<V: Vendor> {
    port: u16,
    certificate: Certificate,
    shared: Arc<Shared<V>>,
    _background: Background,
}

#[derive(Debug)]
struct Shared<V: Vendor> {
    vendor: Arc<V>,
    faults: Faults<V::Fault>,
    trace: Trace,
}

type ReplyBody = StreamBody<BoxStream<'static, io::Result<Frame<Bytes>>>>;

impl<V: Vendor> Server<V> {
    /// Listens on a port that is free.
    ///
    /// # Panics
    /// When the system gives no port or no thread.
    pub(crate) fn start(vendor: Arc<V>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        listener.set_nonblocking(true).expect("a socket can be made not to block");
        let certificate = Certificate::make();
        let acceptor = TlsAcceptor::from(Arc::clone(&certificate.server));
        let shared = Arc::new(Shared { vendor, faults: Faults::default(), trace: Trace::default() });
        let serving = Arc::clone(&shared);
        let background = Background::start("emulator", move || serve(listener, acceptor, serving));
        Self { port, certificate, shared, _background: background }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn ca_file(&self) -> &Path {
        self.certificate.ca_file()
    }

    pub(crate) fn faults(&self) -> &Faults<V::Fault> {
        &self.shared.faults
    }

    pub(crate) fn trace(&self) -> &Trace {
        &self.shared.trace
    }
}

async fn serve<V: Vendor>(listener: TcpListener, acceptor: TlsAcceptor, shared: Arc<Shared<V>>) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("the runtime takes a socket that doesn't block");
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let slot = Arc::clone(&slots).acquire_owned().await.expect("nobody closes it");
        // A connection that is gone before it was accepted is the client's matter.
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (acceptor, shared) = (acceptor.clone(), Arc::clone(&shared));
        tokio::spawn(async move {
            // Who trusts nobody or goes away is heard of at the other end.
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let service = service_fn(|request| exchange(&shared, request));
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            drop(slot);
        });
    }
}

/// The connection is to be closed without a reply.
#[derive(Debug)]
struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the connection is cut")
    }
}

impl std::error::Error for Cut {}

async fn exchange<V: Vendor>(
    shared: &Shared<V>,
    request: hyper::Request<Incoming>,
) -> Result<hyper::Response<ReplyBody>, Cut> {
    let (parts, body) = request.into_parts();
    let mut request = begun(&parts);
    let mut running = shared.trace.begin(exchange_of(&request));
    let effect = shared.faults.effect(&request);
    let limit = match &effect {
        Some(Effect::CutRequest { after_bytes }) => *after_bytes,
        _ => MAX_BODY_BYTES,
    };
    let is_whole = read(body, limit, &mut request).await;
    running.exchange.request_bytes = request.body.len() as u64;
    if !is_whole || matches!(effect, Some(Effect::CutRequest { .. })) {
        shared.vendor.cut(&request);
        return Err(Cut);
    }
    let (reply, end) = answer(shared, &request, effect).await?;
    running.exchange.status = Some(reply.status.as_u16());
    running.exchange.reply_bytes = reply.body.len() as u64;
    Ok(response(reply, end))
}

fn exchange_of(request: &Request) -> Exchange {
    Exchange {
        host: request.host.clone(),
        method: request.method.to_string(),
        path: request.path.clone(),
        query: request.query.clone(),
        content_range: request.header("content-range").map(str::to_owned),
        request_bytes: 0,
        status: None,
        reply_bytes: 0,
    }
}

/// What is known of a request before its body has come.
fn begun(parts: &Parts) -> Request {
    let named = parts.headers.get(HOST).and_then(|host| host.to_str().ok());
    let authority = named.or(parts.uri.authority().map(http::uri::Authority::as_str)).unwrap_or_default().to_owned();
    let host = authority.rsplit_once(':').map_or(authority.as_str(), |(host, _)| host).to_ascii_lowercase();
    Request {
        method: parts.method.clone(),
        host,
        authority,
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers.clone(),
        body: Bytes::new(),
    }
}

/// Reads a body up to a limit; false when there is more than that, or the client went away.
async fn read(mut body: Incoming, limit: usize, request: &mut Request) -> bool {
    let mut kept = BytesMut::new();
    let mut is_whole = true;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            is_whole = false;
            break;
        };
        let Ok(data) = frame.into_data() else { continue };
        let room = limit - kept.len();
        kept.extend_from_slice(&data[..data.len().min(room)]);
        if data.len() > room {
            is_whole = false;
            break;
        }
    }
    request.body = kept.freeze();
    is_whole
}

/// How a reply ends.
#[derive(Debug)]
enum End {
    Whole,
    Cut(usize),
    Stall(usize, Gate),
}

async fn answer<V: Vendor>(
    shared: &Shared<V>,
    request: &Request,
    effect: Option<Effect<V::Fault>>,
) -> Result<(Reply, End), Cut> {
    let done = || shared.vendor.answer(request, None);
    Ok(match effect {
        None => (done(), End::Whole),
        Some(Effect::Answer(reply)) => (reply, End::Whole),
        Some(Effect::DoAndAnswer(reply)) => {
            done();
            (reply, End::Whole)
        }
        Some(Effect::DoAndCut) => {
            done();
            return Err(Cut);
        }
        Some(Effect::CutRequest { .. }) => return Err(Cut),
        Some(Effect::CutReply { after_bytes }) => (done(), End::Cut(after_bytes)),
        Some(Effect::StallReply { after_bytes, gate }) => (done(), End::Stall(after_bytes, gate)),
        Some(Effect::ShortenReply { to_bytes }) => {
            let mut reply = done();
            reply.body.truncate(to_bytes);
            (reply, End::Whole)
        }
        Some(Effect::FlipReply { at_byte }) => {
            let mut reply = done();
            let mut bytes = BytesMut::from(&reply.body[..]);
            if let Some(byte) = bytes.get_mut(at_byte) {
                *byte ^= 0x10;
            }
            reply.body = bytes.freeze();
            (reply, End::Whole)
        }
        Some(Effect::Hold(gate)) => {
            if !gate.pass().await {
                return Err(Cut);
            }
            (done(), End::Whole)
        }
        Some(Effect::DoAndHold(gate)) => {
            let reply = done();
            if !gate.pass().await {
                return Err(Cut);
            }
            (reply, End::Whole)
        }
        Some(Effect::Vendor(fault)) => (shared.vendor.answer(request, Some(&fault)), End::Whole),
    })
}

fn response(reply: Reply, end: End) -> hyper::Response<ReplyBody> {
    let len = reply.body.len();
    let (kept, gate) = match end {
        End::Whole => (len, None),
        End::Cut(after) => (after.min(len), None),
        End::Stall(after, gate) => (after.min(len), Some(gate)),
    };
    let is_cut = kept < len || gate.is_some();
    let body = reply.body.slice(..kept);
    let pieces: Vec<_> = (0..kept).step_by(PIECE_BYTES).map(|at| body.slice(at..kept.min(at + PIECE_BYTES))).collect();
    let sent = stream::iter(pieces).map(|piece| Ok(Frame::data(piece)));
    let last = stream::once(async move {
        if let Some(gate) = gate {
            gate.pass().await;
        }
        for _ in 0..YIELDS_BEFORE_CUT {
            tokio::task::yield_now().await;
        }
        Err(io::Error::new(io::ErrorKind::ConnectionAborted, Cut))
    });
    let last = stream::iter(is_cut.then_some(last)).flatten();
    let mut response = hyper::Response::new(StreamBody::new(sent.chain(last).boxed()));
    *response.status_mut() = reply.status;
    *response.headers_mut() = reply.headers;
    // A 204 has no length, nor has a 304; everything else says how much is to come, also when less does.
    if !matches!(reply.status.as_u16(), 204 | 304) {
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(len));
    }
    response
}

#[cfg(test)]
mod tests;
