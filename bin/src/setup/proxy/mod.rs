//! `proxy`: prints the configuration of nginx, Caddy or HAProxy that fits, or compares the one there is.

mod caddy;
pub mod fastcgi;
mod haproxy;
pub mod served;
pub(crate) mod site;

use std::io::Read;
use std::path::Path;

use served::Served;
use site::Site;

use crate::cli::{Front, ProxyArgs};
use crate::configuration;
use crate::exit::{Exit, Failure};
use crate::out::Console;
use crate::render;
use crate::setup::check::{self, Finding};
use crate::setup::nginx;

/// Bytes of a configuration that are read.
const READ: u64 = 64 << 20;

/// Prints the configuration, or what differs: exit code 0, or 3 if something is wrong.
///
/// # Errors
///
/// Exit code 3 if the configuration of nodesockd or of the front is invalid, 1 if that of the front cannot be read.
pub async fn run(args: ProxyArgs, console: &mut Console) -> Result<Exit, Failure> {
    let ProxyArgs { front, args } = args;
    let other = match front {
        Front::Nginx => return nginx::run(&args, console).await,
        Front::Caddy => Other::Caddy,
        Front::Haproxy => Other::Haproxy,
    };
    let around = configuration::surroundings()?;
    let config = configuration::read(args.config.as_deref(), &around);
    let config = config.map_err(|problems| configuration::invalid(&problems))?;
    let Some(file) = &args.check else {
        let site = Site::new(&config, &args);
        console.out.text(&other.print(&site)?)?;
        return Ok(Exit::Done);
    };
    check::report(&other.check(file.as_deref(), &Served::by(&config)).await?, args.json, console)
}

/// A front that is not nginx.
#[derive(Debug, Clone, Copy)]
enum Other {
    Caddy,
    Haproxy,
}

impl Other {
    fn print(self, site: &Site) -> Result<String, Failure> {
        match self {
            Self::Caddy => caddy::print(site),
            Self::Haproxy => haproxy::print(site),
        }
    }

    async fn check(self, file: Option<&Path>, served: &Served) -> Result<Vec<Finding>, Failure> {
        match self {
            Self::Caddy => caddy::check(file, served).await,
            Self::Haproxy => haproxy::check(file, served).await,
        }
    }
}

/// The text of a front's configuration, or standard input (`-`).
pub(crate) fn text(file: &Path, help: &str) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let read = if file == Path::new("-") {
        std::io::stdin().take(READ).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(file).and_then(|open| open.take(READ).read_to_end(&mut bytes))
    };
    read.map_err(|error| {
        Failure::new(Exit::Unexpected, format!("cannot read {}: {error}", render::path(file))).help(help)
    })?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
