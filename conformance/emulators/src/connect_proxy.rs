//! A proxy for clients that know no other address than the vendor's own.

use std::net::TcpListener;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;

use crate::background::Background;

/// The longest head of a request that is read.
const MAX_HEAD_BYTES: usize = 8 << 10;

/// Requests that are remembered.
const MAX_ASKED: usize = 10_000;

/// An HTTP proxy on the loopback interface that joins every `CONNECT` to one port, whatever host was asked for.
///
/// Nothing goes anywhere else: a client whose only way out it is can't reach the real service.
#[derive(Debug)]
pub struct ConnectProxy {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
    _background: Background,
}

impl ConnectProxy {
    /// A proxy that joins everything to a port of the loopback interface.
    ///
    /// # Panics
    /// When the system gives no port or no thread.
    pub fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        listener.set_nonblocking(true).expect("a socket can be made not to block");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let remembered = Arc::clone(&asked);
        let background = Background::start("connect proxy", move || serve(listener, target, remembered));
        Self { port, asked, _background: background }
    }

    /// What a client is told: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Hosts and ports that clients asked for, in order.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn serve(listener: TcpListener, target: u16, asked: Arc<Mutex<Vec<String>>>) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("the runtime takes a socket that doesn't block");
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        let asked = Arc::clone(&asked);
        // Whoever is cut off hears of it at their end.
        tokio::spawn(async move { splice(client, target, &asked).await.ok() });
    }
}

async fn splice(mut client: TcpStream, target: u16, asked: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut head = Vec::new();
    // Byte by byte: what comes after the head is not ours.
    while !head.ends_with(b"\r\n\r\n") && head.len() < MAX_HEAD_BYTES {
        head.push(client.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head);
    let mut words = head.split(' ');
    let (Some("CONNECT"), Some(host)) = (words.next(), words.next()) else {
        return client.write_all(b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n").await;
    };
    {
        let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.len() < MAX_ASKED {
            asked.push(host.to_owned());
        }
    }
    let mut server = TcpStream::connect(("127.0.0.1", target)).await?;
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    copy_bidirectional(&mut client, &mut server).await.map(|_| ())
}
