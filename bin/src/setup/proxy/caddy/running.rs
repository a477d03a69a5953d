//! Caddy's configuration in force, from its admin API, or from a file: JSON, or a Caddyfile, which `caddy adapt` makes JSON of.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::process::Command;
use tokio::time::timeout;

use crate::exit::{Exit, Failure};
use crate::render;
use crate::setup::external;
use crate::setup::proxy::text;

/// Where Caddy is asked unless the variable says otherwise, as for Caddy's own commands.
const ADMIN: (&str, &str) = ("CADDY_ADMIN", "localhost:2019");

/// How long Caddy may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// Bytes of an answer that are read.
const READ: u64 = 64 << 20;

/// The configuration of the Caddy that runs here.
pub(super) async fn asked() -> Result<Value, Failure> {
    let address = std::env::var(ADMIN.0).ok().filter(|address| !address.is_empty());
    let address = address.unwrap_or_else(|| ADMIN.1.to_owned());
    let answer = timeout(ANSWER_LIMIT, get(&address)).await;
    let answer = answer.unwrap_or_else(|_| Err(format!("no answer within {}", render::span(ANSWER_LIMIT))));
    answer.and_then(|text| body(&text)).map_err(|reason| {
        let message = format!(
            "Caddy does not tell its configuration at {}: {}",
            render::word(&address),
            render::sentence(&reason)
        );
        Failure::new(Exit::Unexpected, message).help(
            "CADDY_ADMIN is where its admin API listens; or give a file: `nodesockd proxy caddy --check /etc/caddy/Caddyfile`",
        )
    })
}

/// What Caddy answers. HTTP/1.0, whose answers come as they are; a unix socket has no host.
async fn get(address: &str) -> Result<String, String> {
    let reason = |error: std::io::Error| error.to_string();
    if let Some(path) = address.strip_prefix("unix/") {
        let stream = UnixStream::connect(path).await.map_err(reason)?;
        return ask(stream, "GET /config/ HTTP/1.0\r\n\r\n").await.map_err(reason);
    }
    let address = address.strip_prefix("tcp/").unwrap_or(address);
    let stream = TcpStream::connect(address).await.map_err(reason)?;
    ask(stream, &format!("GET /config/ HTTP/1.0\r\nHost: {address}\r\n\r\n")).await.map_err(reason)
}

async fn ask(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> std::io::Result<String> {
    stream.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::new();
    stream.take(READ).read_to_end(&mut bytes).await?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The JSON in an answer.
fn body(answer: &str) -> Result<Value, String> {
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("this is no answer of HTTP")?;
    let status = head.lines().next().unwrap_or_default();
    if status.split(' ').nth(1) != Some("200") {
        return Err(status.to_owned());
    }
    serde_json::from_str(body).map_err(|error| format!("the answer is not JSON: {error}"))
}

/// The configuration in a file, or on standard input.
pub(super) async fn given(file: &Path) -> Result<Value, Failure> {
    let help = "give it Caddy's JSON: `curl localhost:2019/config/ | nodesockd proxy caddy --check -`";
    let text = text(file, help)?;
    // A Caddyfile may begin with a brace as well.
    let error = match serde_json::from_str(&text) {
        Ok(config) => return Ok(config),
        Err(error) => error,
    };
    if file == Path::new("-") {
        let message = format!("standard input is not JSON: {error}");
        return Err(Failure::new(Exit::InvalidConfig, message).help(help));
    }
    adapted(file).await
}

/// What a Caddyfile means.
async fn adapted(file: &Path) -> Result<Value, Failure> {
    let shown = render::path(file);
    let mut command = Command::new("caddy");
    command.args(["adapt", "--adapter", "caddyfile", "--config"]).arg(file);
    let answer = external::ask(&mut command, ANSWER_LIMIT).await.map_err(|reason| {
        Failure::new(
            Exit::Unexpected,
            format!("{shown} is no JSON, and `caddy adapt` cannot be run: {reason}"),
        )
        .help("run it where Caddy is installed, or give it JSON")
    })?;
    let refused = |reason: &str| {
        let reason = render::sentence(reason);
        Failure::new(Exit::InvalidConfig, format!("Caddy refuses {shown}: {reason}"))
            .help("it has to be a Caddyfile, or Caddy's JSON")
    };
    if !answer.status.success() {
        return Err(refused(answer.stderr.lines().last().unwrap_or("it does not say why")));
    }
    serde_json::from_str(&answer.stdout).map_err(|error| refused(&error.to_string()))
}
