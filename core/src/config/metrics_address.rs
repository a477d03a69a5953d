//! `metrics`: where the numbers are served.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Where Prometheus finds the numbers, by HTTP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MetricsAddress {
    /// A TCP port of an interface.
    Tcp(SocketAddr),
    /// A unix socket: an absolute path.
    Unix(PathBuf),
}

impl MetricsAddress {
    /// What a text may be, to follow "must be".
    pub const EXPECTED: &str = "an address and a port such as \"127.0.0.1:9464\", or the name of a socket in `tmpDir` such as \"metrics.sock\"";

    /// The address in `text`, if it says one: `ADDRESS:PORT`, an IPv6 address in brackets, or `localhost:PORT`.
    #[must_use]
    pub fn tcp(text: &str) -> Option<SocketAddr> {
        let address = match text.strip_prefix("localhost:") {
            Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
                SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse().ok()?))
            }
            Some(_) => return None,
            None => text.parse().ok()?,
        };
        (address.port() > 0).then_some(address)
    }
}

/// As it is written in a configuration.
impl fmt::Display for MetricsAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_from_names() {
        for text in ["127.0.0.1:9464", "[::1]:9464", "0.0.0.0:1"] {
            assert_eq!(MetricsAddress::tcp(text).unwrap().to_string(), text);
        }
        assert_eq!(MetricsAddress::tcp("localhost:9464").unwrap().to_string(), "127.0.0.1:9464");
        for text in ["metrics.sock", "9464", ":9464", "localhost:+1", "localhost:0", "host:9464", "::1:9464"]
        {
            assert_eq!(MetricsAddress::tcp(text), None, "{text}");
        }
    }
}
