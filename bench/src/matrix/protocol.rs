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
    /// Whether it is measured behind this front. `HAProxy` can do `FastCGI`, but requests hang there with many clients.
    pub fn is_spoken_by(self, kind: Kind) -> bool {
        (self, kind) != (Self::FastCgi, Kind::Haproxy)
    }

    /// A front for an app that speaks this.
    pub fn behind(self, kind: Kind, app: &App) -> Front {
        let index = app.path("index.php").display().to_string();
        kind.printed(app, |text| match (self, kind) {
            (Self::Http, _) => text,
            (Self::Http2, Kind::Nginx) => replaced(&text, "proxy_pass http://app", "grpc_pass grpc://app"),
            (Self::Http2, Kind::Caddy) => {
                replaced(&text, "transport http {\n", "transport http {\n      versions h2c\n")
            }
            (Self::Http2, Kind::Haproxy) => {
                replaced(&text, "  retries 3\n", "  retries 3\n  default-server proto h2\n")
            }
            (Self::FastCgi, Kind::Nginx) => {
                let params =
                    format!("include /etc/nginx/fastcgi_params; fastcgi_param SCRIPT_FILENAME {index}");
                replaced(&text, "proxy_pass http://app", &format!("fastcgi_pass app; {params}"))
            }
            (Self::FastCgi, Kind::Caddy) => {
                let (before, rest) = text.split_once("transport http {").expect("as printed");
                let (_, after) = rest.split_once('}').expect("as printed");
                format!("{before}transport fastcgi {{\n      env SCRIPT_FILENAME {index}\n    }}{after}")
            }
            (Self::FastCgi, Kind::Haproxy) => unreachable!("not spoken"),
        })
    }
}

fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from:?} is not in {text}");
    text.replacen(from, to, 1)
}
