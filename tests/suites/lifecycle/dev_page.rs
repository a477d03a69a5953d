//! What the dev server answers while no worker can: to a browser, to curl, and to programs.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use nodesockd_tests::http::{Port, ask_port};
use nodesockd_tests::{App, Browser, Daemon, browser, wait};
use serde_json::{Value, json};

/// An app that fails before it is ready, and its daemon.
fn failing(fixture: &str) -> (App, Daemon, Port) {
    let port = Port::claim();
    let app = App::new().script(fixture).set("name", "shop").set("devServer", i64::from(port.number));
    let daemon = app.launch().spawn();
    daemon.until_so("the dev server listens", || listens(&port));
    (app, daemon, port)
}

fn listens(port: &Port) -> bool {
    TcpStream::connect(("127.0.0.1", port.number)).is_ok()
}

fn url(port: &Port) -> String {
    format!("http://127.0.0.1:{}/", port.number)
}

/// What curl prints, with the head of the answer before its body.
fn curl(port: &Port, args: &[&str]) -> String {
    let output = Command::new("curl").args(["--silent", "--include"]).args(args).arg(url(port)).output();
    let output = output.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{:?} {args:?}: {text}", output.status);
    text
}

#[test]
fn a_browser_shows_why_and_reloads_itself_when_the_app_is_repaired() {
    let (app, _daemon, port) = failing("fails.js");
    let browser = Browser::open(&url(&port));
    browser.until_shown("shop: no worker can answer");
    app.deploy("repaired.js");
    assert_eq!(app.cli(&["restart"]).code, 0);
    browser.until_shown("repaired");
    // A worker that goes waits for connections that a browser keeps.
    drop(browser);
    assert_eq!(app.cli(&["stop"]).code, 0);
    let browser = Browser::open(&url(&port));
    browser.until_shown("shop: no worker can answer");
    assert_eq!(app.cli(&["start"]).code, 0);
    browser.until_shown("repaired");
}

#[test]
fn what_a_worker_wrote_is_words_for_a_browser() {
    let (_app, _daemon, port) = failing("markup.js");
    let page = browser::elements(&url(&port));
    assert!(page.contains("<title>shop: no worker can answer</title>"), "{page}");
    assert!(page.contains("failed: it exited with status 7.</p>"), "{page}");
    assert!(
        page.contains(
            "&lt;/pre&gt;&lt;script&gt;document.title = 'taken over'&lt;/script&gt;\n&lt;img src=x"
        ),
        "{page}"
    );
    assert_eq!(page.matches("<script").count(), 1, "the page's own: {page}");
    assert!(!page.contains("<img"), "{page}");
}

#[test]
fn each_client_is_answered_in_the_form_that_it_asks_for() {
    let (_app, _daemon, port) = failing("fails.js");
    let text = curl(&port, &[]);
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    for field in [
        "HTTP/1.1 503 ",
        "\r\nRetry-After: ",
        "\r\nCache-Control: no-store\r\n",
        "\r\nNodesockd-Page: failing-",
    ] {
        assert!(head.contains(field), "{field:?} in {head}");
    }
    assert!(head.contains("\r\nContent-Type: text/plain; charset=utf-8\r\n"), "{head}");
    assert!(body.starts_with("shop: no worker can answer\n"), "{body}");
    assert!(body.contains("failed: it exited with status 3."), "{body}");
    assert!(body.ends_with("  the migration is missing\n  giving up\n"), "{body}");

    let json = curl(&port, &["--header", "Accept: application/json"]);
    let (head, body) = json.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("\r\nContent-Type: application/json\r\n"), "{head}");
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["error"], "no worker can answer");
    assert_eq!((&body["app"], &body["state"]), (&json!("shop"), &json!("failing")));
    assert_eq!(
        (&body["worker"]["idx"], &body["worker"]["reason"]),
        (&json!(0), &json!("it exited with status 3"))
    );
    assert_eq!(body["worker"]["lines"], json!(["the migration is missing", "giving up"]));

    let head = curl(&port, &["--head", "--header", "Accept: text/html"]);
    assert!(head.contains("\r\nContent-Type: text/html; charset=utf-8\r\n"), "{head}");
    assert!(head.ends_with("\r\n\r\n"), "{head}");
}

#[test]
fn a_request_that_nobody_reads_to_its_end_is_answered() {
    let (app, _daemon, port) = failing("fails.js");
    let upload = app.path("upload");
    fs::write(&upload, vec![b'x'; 8 << 20]).unwrap();
    // All of it is sent before the answer is read.
    let mut client = TcpStream::connect(("127.0.0.1", port.number)).unwrap();
    client.set_read_timeout(Some(wait::limit())).unwrap();
    write!(client, "POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: {}\r\n\r\n", 8 << 20).unwrap();
    client.write_all(&fs::read(&upload).unwrap()).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.ends_with("  giving up\n"), "{answer}");

    let form = format!("@{}", upload.display());
    let page = curl(&port, &["--data-binary", &form, "--header", "Accept: text/html"]);
    assert!(page.contains("503 Service Unavailable"), "{page}");
    assert!(!page.contains("<script"), "a form is not sent again without being asked: {page}");
}

#[test]
fn what_is_no_request_is_refused() {
    let (_app, _daemon, port) = failing("fails.js");
    let say = |bytes: &[u8]| {
        let mut client = TcpStream::connect(("127.0.0.1", port.number)).unwrap();
        client.set_read_timeout(Some(wait::limit())).unwrap();
        client.write_all(bytes).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        answer
    };
    assert!(say(b"\x16\x03\x01\x02\x00").starts_with("HTTP/1.1 400 "));
    let long = format!("GET / HTTP/1.1\r\nCookie: {}\r\n\r\n", "x".repeat(64 << 10));
    assert!(say(long.as_bytes()).starts_with("HTTP/1.1 431 "));
    assert!(say(b"GET / HTTP/1.1\r\nHost:").starts_with("HTTP/1.1 408 "));
}

#[test]
fn the_end_of_a_file_is_shown_that_workers_write_to() {
    let port = Port::claim();
    let app = App::new()
        .script("fails.js")
        .set("devServer", i64::from(port.number))
        .set("options.stderr", "err.log");
    let daemon = app.launch().spawn();
    daemon.until_so("the dev server listens", || listens(&port));
    let answer = ask_port(port.number, "/").unwrap().answer().unwrap();
    let end = format!("The end of {}:\n", app.path("err.log").display());
    assert!(answer.body.contains(&end) && answer.body.ends_with("  giving up\n"), "{answer:?}");
}

#[test]
fn a_socket_that_the_daemon_keeps_leads_nobody_to_wait_for_workers_that_fail() {
    let port = Port::claim();
    let app = App::new().set("options.listen", "daemon").set("devServer", i64::from(port.number));
    let daemon = app.start();
    app.deploy("fails.js");
    daemon.status().slot(0).process().signal(Signal::SIGKILL);
    // One that comes before it is known that they fail waits in the kernel.
    let page = || {
        let mut client = TcpStream::connect(("127.0.0.1", port.number)).ok()?;
        client.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
        client.write_all(b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n").ok()?;
        let mut answer = String::new();
        client.read_to_string(&mut answer).ok()?;
        answer.starts_with("HTTP/1.1 503 ").then_some(answer)
    };
    let answer = wait::found("the page", page, || daemon.log());
    assert!(answer.ends_with("  giving up\n"), "{answer}");
}
