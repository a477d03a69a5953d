//! `devServer`: where the front server for development listens.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A TCP port, of the loopback interface unless an address is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct DevAddress {
    /// The address of the interface; `None` is the loopback interface, by IPv4 and IPv6.
    pub host: Option<IpAddr>,
    /// The port; 0 asks the kernel for a free one, which no configuration can say.
    pub port: u16,
}

impl DevAddress {
    /// The port that is taken where none is given.
    pub const DEFAULT_PORT: u16 = 8000;

    /// What [`FromStr`] accepts, to follow "expected".
    pub const EXPECTED: &str = "a port from 1 to 65535, or an address and a port such as 0.0.0.0:8000";
}

/// The port on the loopback interface.
impl From<u16> for DevAddress {
    fn from(port: u16) -> Self {
        Self { host: None, port }
    }
}

/// Why a text is no [`DevAddress`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAnAddress;

impl fmt::Display for NotAnAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}", DevAddress::EXPECTED)
    }
}

impl std::error::Error for NotAnAddress {}

/// `PORT`, `localhost:PORT` or `ADDRESS:PORT`, an IPv6 address in brackets.
impl FromStr for DevAddress {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        let (host, port) = match text.rsplit_once(':') {
            None => (None, text),
            Some(("localhost", port)) => (None, port),
            Some((_, port)) => {
                let address: SocketAddr = text.parse().map_err(|_| NotAnAddress)?;
                (Some(address.ip()), port)
            }
        };
        // `u16` would take a sign.
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|port| digits && *port > 0).ok_or(NotAnAddress)?;
        Ok(Self { host, port })
    }
}

/// As [`FromStr`] reads it.
impl fmt::Display for DevAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host {
            None => self.port.fmt(f),
            Some(host) => SocketAddr::new(host, self.port).fmt(f),
        }
    }
}

/// How it is written in a hand-off. A port alone is a number, as it was before there were addresses.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Port(u16),
    Address(String),
}

impl From<DevAddress> for Written {
    fn from(address: DevAddress) -> Self {
        match address.host {
            None => Self::Port(address.port),
            Some(_) => Self::Address(address.to_string()),
        }
    }
}

impl TryFrom<Written> for DevAddress {
    type Error = NotAnAddress;

    fn try_from(written: Written) -> Result<Self, NotAnAddress> {
        match written {
            Written::Port(port) => Ok(port.into()),
            Written::Address(text) => text.parse(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_it_is_written() {
        for (text, written) in [
            ("8000", "8000"),
            ("localhost:3000", "3000"),
            ("0.0.0.0:8000", "0.0.0.0:8000"),
            ("[::]:65535", "[::]:65535"),
        ] {
            let address: DevAddress = text.parse().unwrap();
            assert_eq!(address.to_string(), written);
            assert_eq!(written.parse(), Ok(address));
            let json = serde_json::to_string(&address).unwrap();
            assert_eq!(serde_json::from_str::<DevAddress>(&json).unwrap(), address, "{json}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in
            ["", "0", "65536", "+8000", "::1:80", "example.org:80", "0.0.0.0", "0.0.0.0:", "*:80", ":80"]
        {
            assert_eq!(text.parse::<DevAddress>(), Err(NotAnAddress), "{text}");
        }
        let words = "expected a port from 1 to 65535, or an address and a port such as 0.0.0.0:8000";
        assert_eq!(NotAnAddress.to_string(), words);
    }

    #[test]
    fn a_port_alone_stays_a_number_for_programs_that_know_no_address() {
        assert_eq!(serde_json::to_string(&DevAddress::from(8000)).unwrap(), "8000");
    }
}
