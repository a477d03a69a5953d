//! The npm package in the app: is it there, and does it fit the daemon?

use std::path::{Path, PathBuf};

use nodesockd_core::config::{Config, Program, Ready};
use semver::Version;
use serde::Deserialize;

use super::Finding;
use crate::VERSION;
use crate::render;

#[derive(Deserialize)]
struct Package {
    version: String,
}

/// The library that the script would load, or that there is none.
pub(crate) fn look(config: &Config) -> Option<Finding> {
    let Program::Script { script, .. } = &config.program else { return None };
    // Readiness can be seen from outside; without that somebody has to report it.
    installed(config).or_else(|| {
        (config.options.ready == Ready::Report).then(|| {
            Finding::warning(
                format!("there is no node_modules/nodesockd for {}", render::path(script)),
                "npm install nodesockd, or say by `options.ready` how a worker shows that it is ready",
            )
        })
    })
}

/// The library that the script would load, if it is there.
pub(crate) fn installed(config: &Config) -> Option<Finding> {
    let Program::Script { script, .. } = &config.program else { return None };
    let manifest = find(script)?;
    let shown = render::path(&manifest);
    let package = std::fs::read_to_string(&manifest).ok();
    let package = package.and_then(|text| serde_json::from_str::<Package>(&text).ok());
    let version = package.and_then(|package| Version::parse(&package.version).ok());
    let (Some(library), Ok(daemon)) = (version, Version::parse(VERSION)) else {
        return Some(Finding::warning(
            format!("{shown} does not tell the library's version"),
            "npm install nodesockd",
        ));
    };
    Some(if library.major < daemon.major {
        Finding::warning(
            format!(
                "the library in {shown} is {library}: without `nodesockd.listen()`, requests on kept connections can get lost"
            ),
            format!("npm install nodesockd@{}", daemon.major),
        )
    } else if (library.major, library.minor) > (daemon.major, daemon.minor) {
        Finding::warning(
            format!("the library in {shown} is {library}, newer than this nodesockd, {daemon}"),
            "upgrade nodesockd, and the daemon by `nodesockd restart --upgrade`",
        )
    } else {
        Finding::good(format!("the library is nodesockd {library}"))
    })
}

/// As Node looks for it: in `node_modules` beside the script, and upwards.
fn find(script: &Path) -> Option<PathBuf> {
    let script = std::fs::canonicalize(script).ok()?;
    let manifests =
        script.ancestors().skip(1).map(|folder| folder.join("node_modules/nodesockd/package.json"));
    manifests.into_iter().find(|manifest| manifest.is_file())
}
