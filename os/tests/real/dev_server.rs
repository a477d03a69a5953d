//! The dev server.

use nodesockd_core::backend::Backend as _;
use nodesockd_core::config::Symlinks::Relative;
use nodesockd_core::page::{Page, State};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixListener};

use crate::harness::Harness;

/// A worker that answers each connection with its name, and what was said to it.
fn serve(harness: &Harness, name: &'static str) {
    let listener = UnixListener::bind(harness.path(name)).unwrap();
    tokio::spawn(async move {
        while let Ok((mut peer, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut said = String::new();
                peer.read_to_string(&mut said).await.unwrap();
                peer.write_all(format!("{name}: {said}").as_bytes()).await.unwrap();
            });
        }
    });
}

async fn say(port: u16, words: &str) -> String {
    let mut client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    client.write_all(words.as_bytes()).await.unwrap();
    client.shutdown().await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn dev_server_spreads_connections_and_retries_dead_slots() {
    let mut harness = Harness::new();
    serve(&harness, "a");
    serve(&harness, "b");
    let links = ["app.0.sock", "app.1.sock", "app.2.sock"].map(str::to_owned);
    harness.backend.serve_dev(Some(0.into()), &links).await.unwrap();
    harness.backend.publish("app.0.sock", "a", Relative).unwrap();
    harness.backend.publish("app.1.sock", "nobody", Relative).unwrap();
    harness.backend.publish("app.2.sock", "b", Relative).unwrap();
    let port = harness.backend.dev_port().unwrap();
    let mut answers = Vec::new();
    for _ in 0..6 {
        answers.push(say(port, "hello").await);
    }
    assert_eq!(answers, ["a: hello", "b: hello", "b: hello", "a: hello", "b: hello", "b: hello"]);
}

/// A connection made before there is a worker is held, and served by the first one.
#[tokio::test]
async fn dev_server_holds_connection_until_worker_listens() {
    let mut harness = Harness::new();
    harness.backend.serve_dev(Some(0.into()), &["app.0.sock".to_owned()]).await.unwrap();
    let port = harness.backend.dev_port().unwrap();
    let mut client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    client.write_all(b"anybody").await.unwrap();
    // One that does not wait: it must not be in anybody's way.
    drop(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
    harness.backend.publish("app.0.sock", "a", Relative).unwrap();
    serve(&harness, "a");
    // The link named nobody yet when it was made, so this swap is what the connection waits for.
    harness.backend.publish("app.0.sock", "a", Relative).unwrap();
    client.write_all(b" there?").await.unwrap();
    let (mut reader, mut writer) = client.into_split();
    let mut first = [0];
    // The worker answers at the end of the request.
    writer.shutdown().await.unwrap();
    reader.read_exact(&mut first).await.unwrap();
    let mut rest = String::new();
    reader.read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, ": anybody there?");
}

/// A page is for those who ask while it is there; before and after, not a byte of a request is read that a worker does not get.
#[tokio::test]
async fn dev_server_answers_by_itself_as_long_as_there_is_a_page() {
    let mut harness = Harness::new();
    serve(&harness, "a");
    harness.backend.serve_dev(Some(0.into()), &["app.0.sock".to_owned()]).await.unwrap();
    let port = harness.backend.dev_port().unwrap();
    let connect = || TcpStream::connect(("127.0.0.1", port));
    let page = Page { app: "shop".into(), state: State::Stopped, worker: None };

    let mut waiting = connect().await.unwrap();
    waiting.write_all(b"GET / HTTP/1.1\r\nAccept: application/json\r\n\r\n").await.unwrap();
    harness.backend.show_page(Some(&page));
    let mut answer = String::new();
    waiting.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.ends_with("\"state\":\"stopped\"}\n"), "{answer}");

    let mut begun = connect().await.unwrap();
    begun.write_all(b"GET / HTTP/1.1\r\nHo").await.unwrap();
    let silent = connect().await.unwrap();
    // Answered after the two others were accepted.
    assert!(say(port, "GET / HTTP/1.1\r\n\r\n").await.ends_with("starts it.\n"));
    assert!(say(port, "no request\r\n\r\n").await.starts_with("HTTP/1.1 400 "));

    harness.backend.publish("app.0.sock", "a", Relative).unwrap();
    harness.backend.show_page(None);
    for (mut client, rest, whole) in [
        (begun, "st: x\r\n\r\n", "a: GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
        (silent, "no request", "a: no request"),
    ] {
        client.write_all(rest.as_bytes()).await.unwrap();
        client.shutdown().await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, whole);
    }
}

#[tokio::test]
async fn stopped_dev_server_refuses_and_taken_port_fails() {
    let mut harness = Harness::new();
    harness.backend.serve_dev(Some(0.into()), &[]).await.unwrap();
    let port = harness.backend.dev_port().unwrap();
    let mut other = Harness::new();
    let failure = other.backend.serve_dev(Some(port.into()), &[]).await.unwrap_err().0;
    assert!(
        failure.starts_with(&format!("the dev server cannot listen on port {port}: Address already in use"))
    );
    harness.backend.serve_dev(None, &[]).await.unwrap();
    assert_eq!(harness.backend.dev_port(), None);
    while TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
        tokio::task::yield_now().await;
    }
}
