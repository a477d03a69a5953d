//! The services of the example's compose file, on a host of their own.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::sys::signal::Signal;
use nodesockd_tests::{Visitors, http, wait};

use crate::compose::{Compose, Service};
use crate::container::{Container, Published};
use crate::host::Host;
use crate::image::{Built, Image, example};

/// What nginx's image says: its command, its port, and the signal that ends it (`STOPSIGNAL`).
const NGINX: [&str; 3] = ["nginx", "-g", "daemon off;"];
const PORT: u16 = 8080;
pub const NGINX_STOPS_BY: Signal = Signal::SIGQUIT;

pub struct Stage {
    pub host: Host,
    pub compose: Compose,
    pub built: Arc<Built>,
    nginx: Image,
}

impl Stage {
    /// `None` where no container can run.
    pub fn set() -> Option<Self> {
        let Some(built) = Image::of_example() else {
            println!("skipped: only root can run containers");
            return None;
        };
        let host = Host::start()?;
        let compose = Compose::read();
        for volume in ["blue", "green"] {
            host.volume(volume, compose.volume(volume));
        }
        let nginx = Image::base(&host.folder("nginx"), &[("nginx", 101, 101)]);
        Some(Self { host, compose, built, nginx })
    }

    /// Runs a service of the app.
    pub fn run(&self, service: &Service) -> Container {
        self.command(service, &self.built.image.command)
    }

    /// Runs a service of the app, but for its command.
    pub fn command(&self, service: &Service, command: &[String]) -> Container {
        Container::run(&self.host, &self.built.image, service, command, |what| self.host.folder(what))
    }

    /// Runs a service of the app, and waits until it is healthy.
    pub fn start(&self, name: &str) -> Container {
        let container = self.run(&self.compose.service(name));
        container.healthy();
        container
    }

    /// The names in a volume that end like this.
    pub fn names(&self, volume: &str, ending: &str) -> Vec<String> {
        let entries = fs::read_dir(self.host.reach(&self.host.folder(volume))).unwrap().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| name.ends_with(ending)).collect()
    }

    /// Runs nginx, and publishes its port.
    pub fn front(&self) -> Front {
        self.front_of(&self.compose.service("nginx"))
    }

    /// The same for another service than that of the compose file.
    pub fn front_of(&self, service: &Service) -> Front {
        let files = |what: &str| match what.strip_prefix("./") {
            Some(file) => example().join(file),
            None => self.host.folder(what),
        };
        let container = Container::run(&self.host, &self.nginx, service, &NGINX.map(str::to_owned), files);
        let socket = self.host.folder("front").join("socket");
        let published = container.publish(PORT, &socket);
        let answers = || http::try_get(&socket, "/").ok().filter(|answer| answer.status == 200);
        wait::found("nginx answers", answers, || container.log());
        Front { container, socket, _published: published }
    }
}

/// nginx, as it is reached from outside.
pub struct Front {
    pub container: Container,
    pub socket: PathBuf,
    _published: Published,
}

impl Front {
    /// How many connections it has to the sockets in folders of this name. The kernel lists them in the network that they were made in.
    pub fn connections(&self, folder: &str) -> usize {
        let table = fs::read_to_string(format!("/proc/{}/net/unix", self.container.init().pid)).unwrap();
        table.lines().filter(|line| line.contains(" 03 ") && line.contains(folder)).count()
    }

    /// Some who ask again and again, half of them by POST, and want an answer each time.
    pub fn visitors(&self) -> Visitors {
        let socket = self.socket.clone();
        Visitors::start(4, move |who| {
            let answer = if who.is_multiple_of(2) { http::try_get(&socket, "/") } else { post(&socket) };
            assert!(answer.as_ref().is_ok_and(|answer| answer.status == 200), "{answer:?}");
        })
    }
}

fn post(socket: &Path) -> io::Result<http::Answer> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(wait::limit()))?;
    stream.write_all(b"POST / HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: 1\r\n\r\n1")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok(http::Answer { status: status.ok_or(io::ErrorKind::InvalidData)?, body: text })
}
