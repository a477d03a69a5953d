//! What an app speaks on its socket, and what a front has to be told for it.

use nodesockd_tests::App;
use nodesockd_tests::fronts::{Front, Kind};

/// What an app speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1, as `nodesockd proxy` prints it.
    Http,
    /// HTTP/2 without TLS.
    Http2,
    /// `FastCGI`, all requests to `index.php` in the app's folder.
    FastCgi,
}

impl Protocol {
    /// A front for an app that speaks this.
    pub fn behind(self, kind: Kind, app: &App) -> Front {
        let index = app.path("index.php").display().to_string();
        let args: &[&str] = if self == Self::FastCgi { &["--fastcgi", &index] } else { &[] };
        kind.printed_with(app, args, |text| match (self, kind) {
            (Self::Http | Self::FastCgi, _) => text,
            (Self::Http2, Kind::Nginx) => replaced(&text, "proxy_pass http://app", "grpc_pass grpc://app"),
            (Self::Http2, Kind::Caddy) => {
                replaced(&text, "transport http {\n", "transport http {\n      versions h2c\n")
            }
            (Self::Http2, Kind::Haproxy) => {
                replaced(&text, "  retries 3\n", "  retries 3\n  default-server proto h2\n")
            }
        })
    }
}

fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from:?} is not in {text}");
    text.replacen(from, to, 1)
}
