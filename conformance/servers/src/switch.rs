//! A line with a switch: whatever goes over it is cut when a test says so, until it says that all is well again.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

/// Bytes read at once: small, so that trouble comes where it is asked for.
const PIECE_BYTES: usize = 4 << 10;

/// What is left to pass on a line that is well.
const WELL: i64 = i64::MAX / 2;

/// A proxy in front of a server on the loopback interface that can be cut and mended.
#[derive(Debug)]
pub struct SwitchedLine {
    port: u16,
    left_bytes: Arc<AtomicI64>,
    is_down: Arc<AtomicBool>,
}

impl SwitchedLine {
    /// A line to a port, which is well.
    ///
    /// # Panics
    /// When no port can be had.
    pub fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let left_bytes = Arc::new(AtomicI64::new(WELL));
        let is_down = Arc::new(AtomicBool::new(false));
        let (left, down) = (Arc::clone(&left_bytes), Arc::clone(&is_down));
        // It ends with the process, or with the connection that `drop` makes.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (Ok(stream), false) = (stream, down.load(Ordering::Acquire)) else { return };
                let left = Arc::clone(&left);
                std::thread::spawn(move || serve(&stream, target, &left));
            }
        });
        Self { port, left_bytes, is_down }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Everything is cut after so many bytes more, over all connections and both ways together; new connections, too.
    pub fn cut_after(&self, bytes: u32) {
        self.left_bytes.store(i64::from(bytes), Ordering::Release);
    }

    /// From now on connections live again.
    pub fn mend(&self) {
        self.left_bytes.store(WELL, Ordering::Release);
    }
}

impl Drop for SwitchedLine {
    fn drop(&mut self) {
        self.is_down.store(true, Ordering::Release);
        // Wakes the thread that listens; it ends with the process otherwise.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn serve(client: &TcpStream, target: u16, left: &AtomicI64) {
    if left.load(Ordering::Acquire) <= 0 {
        return;
    }
    let Ok(server) = TcpStream::connect(("127.0.0.1", target)) else { return };
    let server = &server;
    // Requests of a few bytes are not to wait for company.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    std::thread::scope(|scope| {
        scope.spawn(|| pass(client, server, left));
        pass(server, client, left);
    });
}

/// Passes bytes on until one side is closed or the line is cut.
fn pass(from: &TcpStream, to: &TcpStream, left: &AtomicI64) {
    let (mut reader, mut writer) = (from, to);
    let mut piece = vec![0; PIECE_BYTES];
    while let Ok(read @ 1..) = reader.read(&mut piece) {
        let bytes = i64::try_from(read).unwrap_or(i64::MAX);
        if left.fetch_sub(bytes, Ordering::AcqRel) - bytes <= 0 {
            let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
            return;
        }
        if writer.write_all(&piece[..read]).is_err() {
            break;
        }
    }
    // Whoever is at the other end hears that nothing comes any more; a side that is gone already hears nothing.
    let _ = to.shutdown(Shutdown::Write);
}
