//! Where a browser brings a person's answer: a listener on this machine that answers one question.

use std::time::Duration;

use backup_core::{Secret, StorageErrorKind};
use futures::stream::{FuturesUnordered, StreamExt};
use oauth2::url::form_urlencoded;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::{Consent, OAuthError};

/// Browsers open connections ahead and use some of them never.
const MAX_CONNECTIONS: usize = 16;

/// The head of a browser's request, cookies of other programs on this machine included.
const MAX_HEAD_BYTES: usize = 32 << 10;

/// How long one connection may take to say something, and to take the page.
const CONNECTION_LIMIT: Duration = Duration::from_secs(10);

/// A listener on 127.0.0.1 for one answer.
#[derive(Debug)]
pub struct Loopback {
    listener: TcpListener,
    port: u16,
}

impl Loopback {
    /// Listens at a port, 0 for any that is free.
    ///
    /// # Errors
    /// `Config` when the port can't be had.
    pub async fn bind(port: u16) -> Result<Self, OAuthError> {
        let failed = |error: std::io::Error| {
            OAuthError::new(StorageErrorKind::Config, format!("can't listen for the browser's answer: {error}"))
        };
        let listener = TcpListener::bind(("127.0.0.1", port)).await.map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        Ok(Self { listener, port })
    }

    /// The address that the service is told to send the browser to.
    pub fn redirect_uri(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    /// Waits for the browser and gives the code that it brings.
    ///
    /// Whatever else comes, an answer to another question included, is turned away.
    ///
    /// # Errors
    /// `PermissionDenied` when the person said no, `Timeout` when nobody came in that time.
    pub async fn wait(self, consent: &Consent, limit: Duration) -> Result<Secret, OAuthError> {
        let answered = tokio::time::timeout(limit, self.answer(consent)).await;
        answered.unwrap_or_else(|_| Err(OAuthError::new(StorageErrorKind::Timeout, "nobody gave consent in time")))
    }

    async fn answer(&self, consent: &Consent) -> Result<Secret, OAuthError> {
        let mut connections = FuturesUnordered::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept(), if connections.len() < MAX_CONNECTIONS => {
                    if let Ok((stream, _)) = accepted {
                        connections.push(tokio::time::timeout(CONNECTION_LIMIT, serve(stream, consent)));
                    }
                }
                Some(served) = connections.next(), if !connections.is_empty() => {
                    if let Ok(Some(answer)) = served {
                        return answer;
                    }
                }
            }
        }
    }
}

/// Reads one request and answers it with a page; `None` where it is no answer to the question.
async fn serve(mut stream: TcpStream, consent: &Consent) -> Option<Result<Secret, OAuthError>> {
    let mut head = Vec::new();
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        if head.len() >= MAX_HEAD_BYTES || stream.read_buf(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    let answer = std::str::from_utf8(&head).ok().and_then(|head| read(head, consent));
    let (status, sentence) = match &answer {
        Some(Ok(_)) => ("200 OK", "Consent was given. You can close this page and go back to the program."),
        Some(Err(_)) => ("200 OK", "Consent was not given. You can close this page."),
        None => ("404 Not Found", "There is nothing here."),
    };
    let page = format!("<!doctype html><title>Backup</title><p>{sentence}</p>\n");
    let reply = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{page}",
        page.len()
    );
    // The answer counts, whether the page is seen or not.
    let _ = stream.write_all(reply.as_bytes()).await;
    let _ = stream.shutdown().await;
    answer
}

fn read(head: &str, consent: &Consent) -> Option<Result<Secret, OAuthError>> {
    let target = head.strip_prefix("GET ")?.split(' ').next()?;
    let query = target.strip_prefix("/?")?;
    let one =
        |name: &str| form_urlencoded::parse(query.as_bytes()).find(|(known, _)| known == name).map(|(_, value)| value);
    if !consent.is_state(&one("state")?) {
        return None;
    }
    if let Some(error) = one("error") {
        let word: String = error.chars().filter(char::is_ascii_graphic).take(40).collect();
        return Some(Err(OAuthError::new(
            StorageErrorKind::PermissionDenied,
            format!("consent was not given ({word})"),
        )));
    }
    Some(Ok(Secret::from(one("code").filter(|code| !code.is_empty())?.into_owned())))
}
