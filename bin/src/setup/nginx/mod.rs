//! `nginx`: prints the configuration of nginx that fits, or compares the one there is.

mod compare;
mod dump;
mod installed;
mod print;
mod site;
pub mod syntax;

use std::path::Path;

pub use compare::compare;
pub use installed::Installed;
pub use site::Site;
pub(in crate::setup) use site::time;

use crate::cli::FrontArgs;
use crate::configuration;
use crate::exit::{Exit, Failure};
use crate::out::Console;
use crate::render;
use crate::setup::check::{self, Finding};
use crate::setup::proxy;
use crate::setup::proxy::served::Served;

/// A version of nginx.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32, pub u32);

/// What is known of an nginx: its configuration, as far as it was given, and its version.
#[derive(Debug)]
pub struct Known {
    /// What its configuration means.
    pub site: Site,
    /// Files that it includes and nobody has read.
    pub missing: Vec<String>,
    /// Its version.
    pub version: Option<Version>,
}

/// Prints the configuration, or what differs: exit code 0, or 3 if something is wrong.
///
/// # Errors
///
/// Exit code 3 if the configuration of nodesockd or nginx is invalid, 1 if that of nginx cannot be read.
pub async fn run(args: &FrontArgs, console: &mut Console) -> Result<Exit, Failure> {
    let around = configuration::surroundings()?;
    let config = configuration::read(args.config.as_deref(), &around);
    let config = config.map_err(|problems| configuration::invalid(&problems))?;
    let Some(file) = &args.check else {
        console.out.text(&print::print(&config, args))?;
        return Ok(Exit::Done);
    };
    let known = match file {
        Some(file) => given(file)?,
        None => installed().await?,
    };
    let mut findings = compare(&known.site, &Served::by(&config), known.version);
    findings.extend(not_followed(&known.missing));
    check::report(&findings, args.json, console)
}

/// The configuration in `file`, or on standard input: what `nginx -T` has printed, or a file of nginx.
///
/// # Errors
///
/// Exit code 1: it cannot be read; 3: it is no configuration of nginx.
pub fn given(file: &Path) -> Result<Known, Failure> {
    let text =
        proxy::text(file, "give it what `nginx -T` prints: `sudo nginx -T | nodesockd nginx --check -`")?;
    known(&file.display().to_string(), &text, None)
}

/// The configuration of the nginx that is installed here.
///
/// # Errors
///
/// Exit code 1: there is none, or it does not tell; 3: what it tells is no configuration.
pub async fn installed() -> Result<Known, Failure> {
    let pipe = "as a user who may: `sudo nginx -T | nodesockd nginx --check -`";
    let Some(nginx) = Installed::find().await else {
        return Err(Failure::new(Exit::Unexpected, "nginx is not found").help(
            "install it, or give its configuration from where it runs: `nodesockd nginx --check FILE`",
        ));
    };
    let printed = nginx.configuration().await.map_err(|reason| {
        let reason = render::sentence(&reason);
        Failure::new(Exit::Unexpected, format!("nginx does not print its configuration: {reason}")).help(pipe)
    })?;
    known("nginx.conf", &printed, nginx.version)
}

fn known(name: &str, text: &str, version: Option<Version>) -> Result<Known, Failure> {
    let dump = dump::read(name, text).map_err(|error| {
        Failure::new(Exit::InvalidConfig, format!("{}: {}", error.place, error.message))
            .help("it has to be what `nginx -T` prints, or a file of nginx's configuration")
    })?;
    Ok(Known { site: Site::of(&dump.directives), missing: dump.missing, version })
}

/// A single file may include others, which can change what it means.
pub(crate) fn not_followed(missing: &[String]) -> Option<Finding> {
    let first = missing.first()?;
    Some(Finding::warning(
        format!("what is in {} is not known", render::word(first)),
        "give it what `nginx -T` prints, which has all files",
    ))
}
