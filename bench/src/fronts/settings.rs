//! The settings that are compared.

use std::fmt;

use nodesockd_tests::fronts::Kind;
use nodesockd_tests::{App, Server};

/// A front, and how what `nodesockd proxy` prints for it is changed.
#[derive(Debug)]
pub struct Setting {
    /// Which front.
    pub front: Kind,
    /// What is in the workers.
    workers: Workers,
    /// The change in words; empty if there is none.
    pub words: &'static str,
    /// Each of these texts is replaced by the other.
    edits: &'static [(&'static str, &'static str)],
}

/// What is in the workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Workers {
    /// `nodesockd.listen()`
    Library,
    /// The same, with a server of HTTP/2.
    Http2,
    /// Plain Node, told to end by SIGTERM.
    Sigterm,
}

const TRIES: &str = "    lb_policy round_robin\n    lb_try_duration 5s\n    lb_try_interval 50ms\n";
const POLICY: &str = "    lb_policy round_robin\n";
const REDISPATCH: &str = "  option redispatch 1\n";
const AGAIN: &str =
    "  retry-on conn-failure empty-response\n  http-request disable-l7-retry unless METH_GET\n";
const RETRIES: &str = "  retries 3\n";

/// All settings, those of one front beside each other.
pub const SETTINGS: &[Setting] = &[
    printed(Kind::Nginx, Workers::Library),
    library(Kind::Nginx, "without `max_fails=0`", &[(" max_fails=0", "")]),
    printed(Kind::Nginx, Workers::Sigterm),
    sigterm(
        Kind::Nginx,
        "with `keepalive 16`",
        &[("\"\" close;", "\"\" \"\";"), ("}\n\nserver {\n", "  keepalive 16;\n}\n\nserver {\n")],
    ),
    printed(Kind::Caddy, Workers::Library),
    library(Kind::Caddy, "without `lb_try_duration`", &[(TRIES, POLICY)]),
    library(Kind::Caddy, "without `lb_policy` (random)", &[(POLICY, "")]),
    library(
        Kind::Caddy,
        "with `fail_duration 10s`",
        &[(POLICY, "    lb_policy round_robin\n    fail_duration 10s\n")],
    ),
    library(Kind::Caddy, "without `keepalive` (2 min)", &[("      keepalive 5s\n", "")]),
    library(Kind::Caddy, "with `keepalive off`", &[("      keepalive 5s\n", "      keepalive off\n")]),
    Setting {
        front: Kind::Caddy,
        workers: Workers::Http2,
        words: "with `versions h2c`",
        edits: &[("      keepalive 5s\n", "      keepalive 5s\n      versions h2c\n")],
    },
    printed(Kind::Caddy, Workers::Sigterm),
    sigterm(Kind::Caddy, "without `keepalive off`", &[("      keepalive off\n", "")]),
    printed(Kind::Haproxy, Workers::Library),
    library(Kind::Haproxy, "without `option redispatch`", &[(REDISPATCH, "")]),
    library(Kind::Haproxy, "with `retry-on conn-failure` alone", &[(AGAIN, "")]),
    library(Kind::Haproxy, "with `check`", &[(RETRIES, "  retries 3\n  default-server check\n")]),
    library(
        Kind::Haproxy,
        "with `observe layer4`, `on-error mark-down`",
        &[(RETRIES, "  retries 3\n  default-server check observe layer4 error-limit 1 on-error mark-down\n")],
    ),
    library(Kind::Haproxy, "with `http-reuse always`", &[(RETRIES, "  retries 3\n  http-reuse always\n")]),
    library(Kind::Haproxy, "with `http-reuse never`", &[(RETRIES, "  retries 3\n  http-reuse never\n")]),
    library(
        Kind::Haproxy,
        "with `option http-server-close`",
        &[(RETRIES, "  retries 3\n  option http-server-close\n")],
    ),
    Setting {
        front: Kind::Haproxy,
        workers: Workers::Http2,
        words: "with `proto h2`",
        edits: &[(RETRIES, "  retries 3\n  default-server proto h2\n")],
    },
    printed(Kind::Haproxy, Workers::Sigterm),
    sigterm(Kind::Haproxy, "without `option http-server-close`", &[("  option http-server-close\n", "")]),
    sigterm(
        Kind::Haproxy,
        "with `http-reuse never` instead",
        &[("  option http-server-close\n", "  http-reuse never\n")],
    ),
];

const fn printed(front: Kind, workers: Workers) -> Setting {
    Setting { front, workers, words: "", edits: &[] }
}

const fn library(front: Kind, words: &'static str, edits: &'static [(&str, &str)]) -> Setting {
    Setting { front, workers: Workers::Library, words, edits }
}

const fn sigterm(front: Kind, words: &'static str, edits: &'static [(&str, &str)]) -> Setting {
    Setting { front, workers: Workers::Sigterm, words, edits }
}

impl Setting {
    /// Its row's first cells.
    pub fn name(&self) -> String {
        let words = if self.is_printed() { "as printed" } else { self.words };
        format!("{} | {} | {words}", self.front.name(), self.workers)
    }

    /// Whether nothing is changed.
    pub fn is_printed(&self) -> bool {
        self.edits.is_empty()
    }

    /// An app with such workers, which gives every request its number back.
    pub fn app(&self) -> App {
        let app = match self.workers {
            Workers::Library => library_app(),
            Workers::Http2 => library_app().env("INTEGRATION", "http2"),
            Workers::Sigterm => Server::Node.app(),
        };
        // Restarts overlap: retired workers wait until the front closes its connections.
        app.workers(2).set("options.retiring", 64)
    }

    /// What was printed, changed.
    pub fn edited(&self, text: String) -> String {
        self.edits.iter().fold(text, |text, (from, to)| {
            assert!(text.contains(from), "{}: {from:?} is not in {text}", self.name());
            text.replace(from, to)
        })
    }
}

fn library_app() -> App {
    App::new().script("echo.js").env("UPSTREAM_KEEP_ALIVE", "5000")
}

impl fmt::Display for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Library => "library",
            Self::Http2 => "library, HTTP/2",
            Self::Sigterm => "SIGTERM",
        })
    }
}
