//! A bad line: what goes to a server passes through here and gets cut, held up or changed.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// Bytes read at once: small, so that trouble comes where it is asked for.
const PIECE_BYTES: usize = 16 << 10;

/// A connection that doesn't meet trouble soon does so after this many times as many bytes.
const LATER: u64 = 4;

/// What happens to a connection when so many bytes have passed through it, both ways together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// It is closed, in the middle of whatever it carries.
    Cut,
    /// Nothing passes any more, and it stays open.
    Stall,
    /// One bit of what comes next is another one.
    Flip,
}

/// A proxy in front of a server on the loopback interface.
///
/// Every connection meets trouble once: every n-th soon, after a number of bytes that follows from the seed, the others after some times as
/// many. Whoever goes on trying with smaller amounts gets through in the end.
#[derive(Debug)]
pub struct BadLine {
    port: u16,
    line: Arc<Line>,
}

#[derive(Debug)]
struct Line {
    target: u16,
    trouble: Trouble,
    every: u64,
    within_bytes: u64,
    seed: u64,
    connections: AtomicU64,
    met: AtomicU64,
    /// Whether it is taken down; stalled connections wait for that.
    down: (Mutex<bool>, Condvar),
}

impl BadLine {
    /// A line to a port on which every n-th connection meets trouble within so many bytes, and the others within five times as many. Prints
    /// the seed.
    ///
    /// # Panics
    /// When no port can be had.
    pub fn to(target: u16, trouble: Trouble, every: u64, within_bytes: u64, seed: u64) -> Self {
        eprintln!("bad line: {trouble:?} every {every} within {within_bytes} bytes, seed {seed}");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let (connections, met) = (AtomicU64::new(0), AtomicU64::new(0));
        let down = (Mutex::new(false), Condvar::new());
        let line = Arc::new(Line { target, trouble, every, within_bytes, seed, connections, met, down });
        let serving = Arc::clone(&line);
        // It ends with the process, or with the connection that `drop` makes.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (Ok(stream), false) = (stream, serving.is_down()) else { return };
                let line = Arc::clone(&serving);
                std::thread::spawn(move || line.serve(&stream));
            }
        });
        Self { port, line }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Connections that met trouble so far.
    pub fn met(&self) -> u64 {
        self.line.met.load(Ordering::Relaxed)
    }
}

impl Drop for BadLine {
    fn drop(&mut self) {
        *self.line.down.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.line.down.1.notify_all();
        // Wakes the thread that listens; it ends with the process otherwise.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Line {
    fn is_down(&self) -> bool {
        *self.down.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, client: &TcpStream) {
        let Ok(server) = TcpStream::connect(("127.0.0.1", self.target)) else { return };
        let number = self.connections.fetch_add(1, Ordering::Relaxed);
        let within = self.within_bytes.max(1);
        let soon = mix(self.seed.wrapping_add(number)) % within;
        let until = if number % self.every == self.every - 1 { soon } else { LATER * within + soon };
        let passed = AtomicU64::new(0);
        let done = AtomicBool::new(false);
        let server = &server;
        std::thread::scope(|scope| {
            scope.spawn(|| self.pass(client, server, until, &passed, &done));
            self.pass(server, client, until, &passed, &done);
        });
    }

    /// Passes bytes on until one side is closed or trouble comes.
    fn pass(&self, from: &TcpStream, to: &TcpStream, until: u64, passed: &AtomicU64, done: &AtomicBool) {
        let (mut reader, mut writer) = (from, to);
        let mut piece = vec![0; PIECE_BYTES];
        while let Ok(read @ 1..) = reader.read(&mut piece) {
            let before = passed.fetch_add(read as u64, Ordering::Relaxed);
            let is_due = before + read as u64 > until;
            if is_due && !done.swap(true, Ordering::Relaxed) {
                self.met.fetch_add(1, Ordering::Relaxed);
                match self.trouble {
                    Trouble::Cut => {
                        let _ = writer.write_all(&piece[..read / 2]);
                        let _ = from.shutdown(Shutdown::Both);
                        let _ = to.shutdown(Shutdown::Both);
                        return;
                    }
                    Trouble::Stall => {
                        self.wait_until_down();
                        break;
                    }
                    Trouble::Flip => piece[read / 2] ^= 0x10,
                }
            } else if done.load(Ordering::Relaxed) && self.trouble == Trouble::Stall {
                self.wait_until_down();
                break;
            }
            if writer.write_all(&piece[..read]).is_err() {
                break;
            }
        }
        // Whoever is at the other end hears that nothing comes any more; a side that is gone already hears nothing.
        let _ = to.shutdown(Shutdown::Write);
    }

    fn wait_until_down(&self) {
        let down = self.down.0.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.down.1.wait_while(down, |down| !*down));
    }
}

/// SplitMix64's finaliser: neighbouring numbers become far ones.
fn mix(mut x: u64) -> u64 {
    x = x.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
