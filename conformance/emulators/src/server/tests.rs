use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use reqwest::{Certificate as Trusted, Client, Error, Proxy};

use super::*;
use crate::connect_proxy::ConnectProxy;
use crate::fault::Rule;

/// Says what it was sent; the fault makes it shout.
#[derive(Debug, Default)]
struct Echo {
    answered: AtomicUsize,
    cut: Mutex<Vec<Bytes>>,
}

impl Vendor for Echo {
    type Fault = char;

    fn answer(&self, request: &Request, fault: Option<&char>) -> Reply {
        self.answered.fetch_add(1, Ordering::SeqCst);
        let mut body = request.body.to_vec();
        body.extend(fault.map(|c| *c as u8));
        Reply::new(200).header("x-host", &request.host).body("text/plain", body)
    }

    fn cut(&self, request: &Request) {
        self.cut.lock().unwrap_or_else(PoisonError::into_inner).push(request.body.clone());
    }
}

fn started() -> (Server<Echo>, Client, String) {
    let (server, client, url, _) = started_with_echo();
    (server, client, url)
}

/// An emulator, a client that trusts it and nobody else, and its address.
fn started_with_echo() -> (Server<Echo>, Client, String, Arc<Echo>) {
    let echo = Arc::new(Echo::default());
    let server = Server::start(Arc::clone(&echo));
    let trusted = Trusted::from_pem(&std::fs::read(server.ca_file()).unwrap()).unwrap();
    let client = Client::builder().tls_certs_only([trusted]).no_proxy().build().unwrap();
    let url = format!("https://localhost:{}/x", server.port());
    (server, client, url, echo)
}

async fn post(client: &Client, url: &str, body: &'static [u8]) -> Result<(u16, Bytes), Error> {
    let reply = client.post(url).body(body).send().await?;
    Ok((reply.status().as_u16(), reply.bytes().await?))
}

#[tokio::test]
async fn requests_are_answered_and_traced() {
    let (server, client, url) = started();
    assert_eq!(post(&client, &format!("{url}?a=b%20c"), b"hello").await.unwrap(), (200, Bytes::from_static(b"hello")));
    let wanted = Exchange {
        host: "localhost".to_owned(),
        method: "POST".to_owned(),
        path: "/x".to_owned(),
        query: "a=b%20c".to_owned(),
        content_range: None,
        request_bytes: 5,
        status: Some(200),
        reply_bytes: 5,
    };
    assert_eq!(server.trace().exchanges(), [wanted]);
    assert_eq!(server.trace().most_at_once(), 1);
}

#[tokio::test]
async fn nobody_else_vouches_for_it() {
    let (_server, _, url) = started();
    let error = Client::builder().no_proxy().build().unwrap().get(&url).send().await.unwrap_err();
    assert!(format!("{error:?}").to_lowercase().contains("certificate"), "{error:?}");
}

#[tokio::test]
async fn vendors_own_hosts_are_reached_through_the_proxy_and_nothing_else_is() {
    let (server, _, _) = started();
    let proxy = ConnectProxy::to(server.port());
    let trusted = Trusted::from_pem(&std::fs::read(server.ca_file()).unwrap()).unwrap();
    let through = Proxy::all(proxy.url()).unwrap();
    let client = Client::builder().tls_certs_only([trusted]).proxy(through).build().unwrap();
    for host in ["www.googleapis.com", "content.dropboxapi.com"] {
        let reply = client.post(format!("https://{host}/x")).body("b").send().await.unwrap();
        assert_eq!(reply.headers()["x-host"], host);
    }
    // The certificate doesn't name it; it is this emulator that was reached all the same.
    client.get("https://example.org/").send().await.unwrap_err();
    assert_eq!(proxy.asked(), ["www.googleapis.com:443", "content.dropboxapi.com:443", "example.org:443"]);
    let plain = client.get("http://example.org/").send().await.unwrap();
    assert_eq!(plain.status(), 405);
    assert_eq!(server.trace().exchanges().len(), 2);
}

#[tokio::test]
async fn faults_happen_to_the_requests_that_their_rules_pick() {
    let (server, client, url) = started();
    let faults = server.faults();
    let busy = faults.add(Rule::once(Effect::Answer(Reply::new(503))).method("POST").path("/x").after(1).times(2));
    let statuses = async || {
        let mut seen = Vec::new();
        for _ in 0..4 {
            seen.push(post(&client, &url, b"b").await.unwrap().0);
        }
        seen
    };
    assert_eq!(statuses().await, [200, 503, 503, 200]);
    assert_eq!(faults.met(busy), 2);
    let always = faults.add(Rule::always(Effect::DoAndAnswer(Reply::new(500))).query("never"));
    assert_eq!(statuses().await, [200, 200, 200, 200]);
    assert_eq!(faults.met(always), 0);
    let third = faults.add(Rule::always(Effect::Answer(Reply::new(503))).after(1).every(3));
    assert_eq!(statuses().await, [200, 200, 200, 503]);
    assert_eq!(statuses().await, [200, 200, 503, 200]);
    faults.remove(third);
    faults.add(Rule::once(Effect::Vendor('!')));
    assert_eq!(post(&client, &url, b"b").await.unwrap().1, &b"b!"[..]);
    faults.add(Rule::always(Effect::Answer(Reply::new(400))));
    faults.clear();
    assert_eq!(statuses().await, [200, 200, 200, 200]);
}

#[tokio::test]
async fn cut_requests_reach_the_vendor_as_far_as_they_came() {
    let (server, client, url, echo) = started_with_echo();
    server.faults().add(Rule::once(Effect::CutRequest { after_bytes: 3 }));
    server.faults().add(Rule::once(Effect::CutRequest { after_bytes: 0 }));
    for _ in 0..2 {
        post(&client, &url, b"hello").await.unwrap_err();
    }
    assert_eq!(*echo.cut.lock().unwrap(), [&b"hel"[..], b""]);
    assert_eq!(server.trace().count(|exchange| exchange.status.is_none()), 2);
}

#[tokio::test]
async fn replies_are_cut_stalled_shortened_and_changed_on_the_way() {
    let (server, client, url) = started();
    let sent: &[u8] = &[7; 100_000];
    let faults = server.faults();
    faults.add(Rule::once(Effect::CutReply { after_bytes: 70_000 }));
    let mut reply = client.post(&url).body(sent).send().await.unwrap();
    assert_eq!(reply.content_length(), Some(100_000));
    let mut arrived = 0;
    let error = loop {
        match reply.chunk().await {
            Ok(piece) => arrived += piece.expect("it is cut before it ends").len(),
            Err(error) => break error,
        }
    };
    assert_eq!(arrived, 70_000, "{error}");

    faults.add(Rule::once(Effect::DoAndCut));
    post(&client, &url, sent).await.unwrap_err();
    faults.add(Rule::once(Effect::ShortenReply { to_bytes: 10 }));
    assert_eq!(post(&client, &url, sent).await.unwrap().1.len(), 10);
    faults.add(Rule::once(Effect::FlipReply { at_byte: 2 }));
    assert_eq!(post(&client, &url, b"aaaa").await.unwrap().1, &b"aaqa"[..]);

    let gate = Gate::new();
    faults.add(Rule::once(Effect::StallReply { after_bytes: 4, gate: gate.clone() }));
    let mut reply = client.post(&url).body("hello").send().await.unwrap();
    assert_eq!(reply.chunk().await.unwrap().unwrap(), &b"hell"[..]);
    gate.arrived(1).await;
    gate.open();
    reply.chunk().await.unwrap_err();
}

#[tokio::test]
async fn requests_are_done_or_not_as_the_fault_says() {
    let (server, client, url, echo) = started_with_echo();
    let broken = || Reply::new(500);
    let gate = Gate::new();
    gate.open();
    let effects = [
        (Effect::Answer(broken()), 0),
        (Effect::DoAndAnswer(broken()), 1),
        (Effect::DoAndCut, 1),
        (Effect::CutRequest { after_bytes: 1 }, 0),
        (Effect::CutReply { after_bytes: 0 }, 1),
        (Effect::ShortenReply { to_bytes: 0 }, 1),
        (Effect::Hold(gate.clone()), 1),
        (Effect::DoAndHold(gate), 1),
        (Effect::Vendor('x'), 1),
    ];
    for (effect, done) in effects {
        let before = echo.answered.load(Ordering::SeqCst);
        server.faults().add(Rule::once(effect.clone()));
        let told = post(&client, &url, b"hello").await;
        assert_eq!(echo.answered.load(Ordering::SeqCst) - before, done, "{effect:?}: {told:?}");
    }
}

#[tokio::test]
async fn requests_are_held_until_the_gate_opens() {
    let (server, client, url, echo) = started_with_echo();
    let gate = Gate::new();
    server.faults().add(Rule::once(Effect::Hold(gate.clone())));
    server.faults().add(Rule::once(Effect::DoAndHold(gate.clone())));
    let posts = [0, 1].map(|_| {
        let (client, url) = (client.clone(), url.clone());
        tokio::spawn(async move { post(&client, &url, b"b").await })
    });
    gate.arrived(2).await;
    assert_eq!(server.trace().exchanges().len(), 0);
    assert_eq!(echo.answered.load(Ordering::SeqCst), 1);
    gate.open();
    for post in posts {
        assert_eq!(post.await.unwrap().unwrap().0, 200);
    }
    assert_eq!(server.trace().most_at_once(), 2);
}

#[tokio::test]
async fn requests_that_nobody_waits_for_any_more_are_traced() {
    let (server, client, url) = started();
    let gate = Gate::new();
    server.faults().add(Rule::once(Effect::DoAndHold(gate.clone())));
    let waiting = tokio::spawn(async move { post(&client, &url, b"b").await });
    gate.arrived(1).await;
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    // Its end is nobody's event but the emulator's; that ends with the emulator at the latest.
    let trace = server.trace().clone();
    drop(server);
    let seen = trace.exchanges();
    assert_eq!((seen.len(), seen[0].request_bytes, seen[0].status), (1, 1, None));
}

#[test]
fn nobody_listens_when_it_was_dropped() {
    let (server, _, _) = started();
    let port = server.port();
    std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    drop(server);
    std::net::TcpStream::connect(("127.0.0.1", port)).unwrap_err();
}
