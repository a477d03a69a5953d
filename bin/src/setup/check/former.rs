//! What was written for 2.x and means something else now, as far as it can be seen from here.

use std::path::Path;

use nodesockd_core::config::{Config, Output, file_names};
use serde::Deserialize;

use super::Finding;
use crate::render;
use crate::setup::doctor::service;
use crate::setup::doctor::unit::Unit;

/// Where programs in containers find that they are in one.
const CONTAINERS: [&str; 2] = ["/.dockerenv", "/run/.containerenv"];

/// What starts 2.x by its own path.
const OLD_PROGRAM: &str = "nodesockd/dist/";

/// Only what is different.
pub(super) async fn look(config: &Config) -> Vec<Finding> {
    let mut findings = not_read(config);
    findings.extend(discarded(config));
    findings.extend(scripts(&config.cwd.join("package.json")));
    findings.extend(out_of_reach(config, CONTAINERS.iter().any(|file| Path::new(file).exists())));
    if let Some(unit) = Unit::of(config).await {
        findings.extend(service::of_2x(&unit));
    }
    findings
}

/// 2.x knew no TOML, so a file in YAML was read that is not any more.
fn not_read(config: &Config) -> Vec<Finding> {
    let Some(first) = config.files.first() else { return Vec::new() };
    let same_stem = |name: &String| Path::new(name).file_stem() == first.file_stem();
    let chosen = first.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    // A file that was named by --config hides no other.
    if !file_names().any(|name| name == chosen) {
        return Vec::new();
    }
    let others = file_names().filter(same_stem).map(|name| first.with_file_name(name));
    others
        .filter(|path| path.exists() && !config.files.contains(path))
        .map(|path| {
            Finding::warning(
                format!("{} is not read: {} wins", render::path(&path), render::path(first)),
                "2.x read files in YAML only; keep one of both, or let one extend the other",
            )
        })
        .collect()
}

/// `discard` was the name of a file.
fn discarded(config: &Config) -> Option<Finding> {
    let folder = config.files.first()?.parent()?;
    let file = folder.join("discard");
    let outputs = [&config.options.stdout, &config.options.stderr];
    (outputs.contains(&&Output::Discard) && file.is_file()).then(|| {
        Finding::warning(
            format!("\"discard\" throws the workers' output away; 2.x wrote it to {}", render::path(&file)),
            "write \"./discard\" if the file is meant",
        )
    })
}

#[derive(Deserialize)]
struct Package {
    #[serde(default)]
    scripts: std::collections::BTreeMap<String, String>,
}

/// Scripts of the app's package that call a file of 2.x's package.
fn scripts(manifest: &Path) -> Vec<Finding> {
    let package = std::fs::read_to_string(manifest).ok();
    let package = package.and_then(|text| serde_json::from_str::<Package>(&text).ok());
    let scripts = package.map(|package| package.scripts).unwrap_or_default();
    scripts
        .iter()
        .filter(|(_, command)| command.contains(OLD_PROGRAM))
        .map(|(name, _)| {
            Finding::warning(
                format!(
                    "the script \"{}\" in {} runs a file of 2.x's package, which is not there any more",
                    render::word(name),
                    render::path(manifest)
                ),
                "call `nodesockd` instead: npm finds it for scripts, node_modules/.bin has it for others",
            )
        })
        .collect()
}

/// 2.x's dev server listened on all interfaces.
fn out_of_reach(config: &Config, in_container: bool) -> Option<Finding> {
    let address = config.dev_server.filter(|address| in_container && address.host.is_none())?;
    Some(Finding::warning(
        format!(
            "the dev server listens on port {address} of the loopback interface, which cannot be reached from outside of \
             this container"
        ),
        format!("devServer = \"0.0.0.0:{address}\""),
    ))
}

/// Whether the program is a file of 2.x's package.
pub(crate) fn is_of_2x(words: &[String]) -> bool {
    words.iter().any(|word| word.contains(OLD_PROGRAM))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::check::Verdict;

    #[test]
    fn scripts_that_run_the_old_program_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let manifest = folder.path().join("package.json");
        let write =
            |scripts: &str| std::fs::write(&manifest, format!("{{ \"scripts\": {scripts} }}")).unwrap();
        write(
            r#"{ "serve": "node node_modules/nodesockd/dist/cli/cli.js daemon", "restart": "nodesockd restart" }"#,
        );
        let found = scripts(&manifest);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].verdict, Verdict::Warning);
        assert!(found[0].message.starts_with("the script \"serve\" in "), "{found:?}");
        write(r#"{ "build": "tsc --outDir dist" }"#);
        assert_eq!(scripts(&manifest), []);
        assert_eq!(scripts(&folder.path().join("none.json")), []);
    }
}
