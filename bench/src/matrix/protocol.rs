//! What an app speaks on its socket, and what a front has to be told for it.

use std::time::Duration;

use nodesockd_tests::fronts::{Front, Kind};
use nodesockd_tests::load::Caller;
use nodesockd_tests::{App, Load, grpc};

/// What an app speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1, as `nodesockd proxy` prints it.
    Http,
    /// HTTP/2 without TLS.
    Http2,
    /// gRPC: HTTP/2 without TLS, from the client on.
    Grpc,
    /// `FastCGI`, all requests to `index.php` in the app's folder.
    FastCgi,
}

impl Protocol {
    /// A front for an app that speaks this.
    pub fn behind(self, kind: Kind, app: &App) -> Front {
        let index = app.path("index.php").display().to_string();
        let args: &[&str] = if self == Self::FastCgi { &["--fastcgi", &index] } else { &[] };
        kind.printed_with(app, args, |text| match self {
            Self::Http | Self::FastCgi => text,
            Self::Http2 => to_workers(kind, &text),
            Self::Grpc => from_clients(kind, &to_workers(kind, &text)),
        })
    }

    /// Clients that speak with the front as those of such an app do.
    pub fn load(self, front: &Front, clients: usize, rest: Duration) -> Load {
        let front = front.front();
        match self {
            Self::Http | Self::Http2 | Self::FastCgi => Load::gently(&front, clients, rest),
            Self::Grpc => {
                let caller =
                    |_| -> Box<dyn Caller> { Box::new(grpc::Client::new(&front, "/Numbers/Answer")) };
                Load::by((0..clients).map(caller).collect(), rest)
            }
        }
    }
}

/// HTTP/2 between the front and its workers.
fn to_workers(kind: Kind, text: &str) -> String {
    match kind {
        Kind::Nginx => replaced(text, "proxy_pass http://app", "grpc_pass grpc://app"),
        Kind::Caddy => replaced(text, "transport http {\n", "transport http {\n      versions h2c\n"),
        Kind::Haproxy => replaced(text, "  retries 3\n", "  retries 3\n  default-server proto h2\n"),
    }
}

/// HTTP/2 without TLS between clients and the front. The stage's Caddy takes it from whoever speaks it.
fn from_clients(kind: Kind, text: &str) -> String {
    match kind {
        Kind::Nginx => replaced(text, "front.sock;", "front.sock http2;"),
        Kind::Caddy => text.to_owned(),
        Kind::Haproxy => replaced(text, "front.sock\n", "front.sock proto h2\n"),
    }
}

fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from:?} is not in {text}");
    text.replacen(from, to, 1)
}
