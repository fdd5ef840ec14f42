//! A line with a switch: what goes over it is cut, held up, changed or answered otherwise when a test says so, until it says
//! that all is well again.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Bytes read at once: small, so that trouble comes where it is asked for.
const PIECE_BYTES: usize = 4 << 10;

/// Pieces that are shorter than this are left alone where bits are changed: they are requests and not what is stored.
const SHORTEST_CHANGED_BYTES: usize = 1 << 10;

/// Of a request's head, so much is read.
const MAX_HEAD_BYTES: usize = 64 << 10;

/// What goes wrong on a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disturbance {
    /// Everything is cut after so many bytes more, over all connections and both ways together; new connections, too.
    CutAfter(u64),
    /// Nothing passes any more, and connections stay open.
    Stall,
    /// One bit of every larger piece on its way to the server is another one.
    Flip,
    /// The next request of HTTP that changes something gets there, and its answer is cut; then all is well again.
    LoseAnswer,
    /// Every request of HTTP gets this answer, and none gets to the server.
    Answer(&'static str),
}

/// A proxy in front of a server on the loopback interface that can be disturbed and mended.
#[derive(Debug)]
pub struct SwitchedLine {
    port: u16,
    switch: Arc<Switch>,
}

#[derive(Debug, Default)]
struct Switch {
    disturbance: Mutex<Option<Disturbance>>,
    changed: Condvar,
    is_down: AtomicBool,
}

impl SwitchedLine {
    /// A line to a port, which is well.
    ///
    /// # Panics
    /// When no port can be had.
    pub fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let switch = Arc::new(Switch::default());
        let serving = Arc::clone(&switch);
        // It ends with the process, or with the connection that `drop` makes.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (Ok(stream), false) = (stream, serving.is_down.load(Ordering::Acquire)) else { return };
                let switch = Arc::clone(&serving);
                std::thread::spawn(move || switch.serve(&stream, target));
            }
        });
        Self { port, switch }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on this goes wrong.
    pub fn disturb(&self, disturbance: Disturbance) {
        *self.switch.disturbance() = Some(disturbance);
        self.switch.changed.notify_all();
    }

    /// From now on all is well again. Connections that stood still are cut: nobody knows what is missing on them.
    pub fn mend(&self) {
        *self.switch.disturbance() = None;
        self.switch.changed.notify_all();
    }
}

impl Drop for SwitchedLine {
    fn drop(&mut self) {
        self.switch.is_down.store(true, Ordering::Release);
        self.mend();
        // Wakes the thread that listens; it ends with the process otherwise.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// What becomes of a piece.
enum Fate {
    Pass,
    Cut,
    Answered,
}

impl Switch {
    fn disturbance(&self) -> MutexGuard<'_, Option<Disturbance>> {
        self.disturbance.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, client: &TcpStream, target: u16) {
        if *self.disturbance() == Some(Disturbance::CutAfter(0)) {
            return;
        }
        let Ok(server) = TcpStream::connect(("127.0.0.1", target)) else { return };
        let server = &server;
        // Requests of a few bytes are not to wait for company.
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        // Whether the answer that comes next is to be lost.
        let is_lost = &AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| self.pass(client, server, true, is_lost));
            self.pass(server, client, false, is_lost);
        });
    }

    /// Passes bytes on until one side is closed or the line is cut.
    fn pass(&self, from: &TcpStream, to: &TcpStream, to_server: bool, is_lost: &AtomicBool) {
        let (mut reader, mut writer) = (from, to);
        let mut piece = vec![0; PIECE_BYTES];
        while let Ok(read @ 1..) = reader.read(&mut piece) {
            match self.fate(&mut piece[..read], from, to_server, is_lost) {
                Fate::Pass if writer.write_all(&piece[..read]).is_ok() => {}
                Fate::Answered => {}
                Fate::Pass | Fate::Cut => {
                    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
                    return;
                }
            }
        }
        // Whoever is at the other end hears that nothing comes any more; a side that is gone already hears nothing.
        let _ = to.shutdown(Shutdown::Write);
    }

    fn fate(&self, piece: &mut [u8], from: &TcpStream, to_server: bool, is_lost: &AtomicBool) -> Fate {
        let mut disturbance = self.disturbance();
        if !to_server && is_lost.load(Ordering::Acquire) {
            return Fate::Cut;
        }
        match &mut *disturbance {
            None => Fate::Pass,
            Some(Disturbance::CutAfter(left)) => {
                *left = left.saturating_sub(piece.len() as u64);
                if *left == 0 { Fate::Cut } else { Fate::Pass }
            }
            Some(Disturbance::Stall) => {
                let stalls = |now: &mut Option<Disturbance>| *now == Some(Disturbance::Stall);
                drop(self.changed.wait_while(disturbance, stalls));
                Fate::Cut
            }
            Some(Disturbance::Flip) => {
                if to_server && piece.len() >= SHORTEST_CHANGED_BYTES {
                    let middle = piece.len() / 2;
                    piece[middle] ^= 0x10;
                }
                Fate::Pass
            }
            Some(Disturbance::LoseAnswer) => {
                if to_server && ["PUT ", "POST ", "DELETE "].iter().any(|verb| piece.starts_with(verb.as_bytes())) {
                    is_lost.store(true, Ordering::Release);
                    *disturbance = None;
                }
                Fate::Pass
            }
            Some(Disturbance::Answer(answer)) => {
                let answer = *answer;
                drop(disturbance);
                if to_server { answer_once(piece, from, answer) } else { Fate::Pass }
            }
        }
    }
}

/// Takes the rest of a request whose beginning is there, and answers it.
fn answer_once(begun: &[u8], client: &TcpStream, answer: &str) -> Fate {
    let (mut reader, mut writer) = (client, client);
    let mut request = begun.to_vec();
    let mut piece = vec![0; PIECE_BYTES];
    let head = loop {
        if let Some(at) = request.windows(4).position(|end| end == b"\r\n\r\n") {
            break at + 4;
        }
        match reader.read(&mut piece) {
            Ok(read @ 1..) if request.len() < MAX_HEAD_BYTES => request.extend_from_slice(&piece[..read]),
            _ => return Fate::Cut,
        }
    };
    let lines = String::from_utf8_lossy(&request[..head]).to_lowercase();
    let len = lines.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    let mut left = len.unwrap_or(0).saturating_sub(request.len() - head);
    while left > 0 {
        match reader.read(&mut piece) {
            Ok(read @ 1..) => left = left.saturating_sub(read),
            _ => return Fate::Cut,
        }
    }
    match writer.write_all(answer.as_bytes()) {
        Ok(()) => Fate::Answered,
        Err(_) => Fate::Cut,
    }
}
