//! The words of `command` and the values of `env`: is a wrapper among them, are they what the worker will get?

use std::path::Path;

use nodesockd_core::config::{Config, Program, Ready, names_slot};
use nodesockd_core::text::escape;

use super::Finding;
use crate::render;

/// Programs that start what they are given and stay.
const WRAPPERS: [&str; 17] = [
    "npm",
    "npx",
    "yarn",
    "pnpm",
    "bun",
    "bunx",
    "corepack",
    "cross-env",
    "dotenv",
    "nodemon",
    "ts-node",
    "tsx",
    "pipenv",
    "poetry",
    "uv",
    "make",
    "time",
];

/// Programs that start what they are given as another user, or elsewhere.
const STRANGERS: [&str; 6] = ["sudo", "su", "doas", "runuser", "docker", "podman"];

const SHELLS: [&str; 7] = ["sh", "bash", "dash", "ash", "zsh", "ksh", "fish"];

pub(crate) fn look(config: &Config) -> Vec<Finding> {
    let mut findings: Vec<Finding> = wrapper(config).into_iter().collect();
    findings.extend(literal(config));
    findings.extend(slot(config));
    findings
}

/// A program that stands between the daemon and the app.
fn wrapper(config: &Config) -> Option<Finding> {
    let Program::Command(words) = &config.program else { return None };
    let program = name(words.first()?);
    let shown = render::word(program);
    if STRANGERS.contains(&program) {
        return Some(Finding::warning(
            format!(
                "`{shown}` stands between the daemon and the app, and the daemon cannot see who serves: SIGTERM goes to \
                 `{shown}`, which may or may not pass it on"
            ),
            "run the daemon itself as that user, or in that container, and start the app without it",
        ));
    }
    let shell = SHELLS.contains(&program) && words.iter().any(|word| word == "-c");
    let execs = words.iter().any(|word| word.split_whitespace().any(|part| part == "exec"));
    // `bun app.ts` is the app itself.
    let runs = program != "bun" || words.get(1).is_some_and(|word| word == "run" || word == "x");
    if !(WRAPPERS.contains(&program) && runs || shell && !execs) {
        return None;
    }
    let told = if config.options.ready == Ready::Report {
        "the app reports by the control socket"
    } else {
        "SIGTERM goes to the process that listens"
    };
    Some(Finding::warning(
        format!(
            "`{shown}` stands between the daemon and the app; {told}, and `{shown}` costs memory and time"
        ),
        if shell {
            "put `exec` before the last command, or give `command` its words without a shell"
        } else {
            "start the app itself where you can, such as `script = \"server.js\"`"
        },
    ))
}

/// Variables of ours that nobody will replace: no shell reads the words.
fn literal(config: &Config) -> Vec<Finding> {
    let mut texts: Vec<(&str, &str)> =
        config.env.set.iter().map(|(_, value)| ("env", value.as_str())).collect();
    if let Program::Command(words) = &config.program
        && !words.first().is_some_and(|word| SHELLS.contains(&name(word)))
    {
        texts.extend(words.iter().map(|word| ("command", word.as_str())));
    }
    let found = texts.into_iter().filter_map(|(key, text)| Some((key, variable(text)?)));
    found
        .map(|(key, variable)| {
            let help = match variable {
                "NODESOCKD_SOCKET_PATH" => "write `{socket}`",
                _ => "let the app read it from its environment; `{socket}`, `{slot}` and `{release}` are filled in",
            };
            Finding::warning(
                format!("`{key}` has `${}`, which the worker gets as it stands: no shell reads it", escape(variable, 60)),
                help,
            )
        })
        .collect()
}

/// The variable of ours that a text names with a dollar sign.
fn variable(text: &str) -> Option<&str> {
    let at =
        text.find("$NODESOCKD_").map(|at| at + 1).or_else(|| text.find("${NODESOCKD_").map(|at| at + 2))?;
    let end = text[at..].find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    Some(&text[at..end.map_or(text.len(), |end| at + end)])
}

/// A standby does not know its slot when it is started.
fn slot(config: &Config) -> Option<Finding> {
    let words = if let Program::Command(words) = &config.program { words.as_slice() } else { &[] };
    let named = words.iter().any(|word| names_slot(word))
        || config.env.set.iter().any(|(_, value)| names_slot(value));
    (named && config.standby > 0).then(|| {
        Finding::warning(
            "`{slot}` is `standby` for standbys, also when one takes over a slot later",
            "use `{socket}` where every worker needs a name of its own, or set `standby = 0`",
        )
    })
}

fn name(word: &str) -> &str {
    Path::new(word).file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_ours_are_found() {
        assert_eq!(variable("--uds=$NODESOCKD_SOCKET_PATH.x"), Some("NODESOCKD_SOCKET_PATH"));
        assert_eq!(variable("${NODESOCKD_WORKER_ID}"), Some("NODESOCKD_WORKER_ID"));
        assert_eq!(variable("$HOME NODESOCKD_WORKER_ID"), None);
    }
}
