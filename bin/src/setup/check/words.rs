//! The words of `command` and the values of `env`: are they what the worker will get?

use std::path::Path;

use nodesockd_core::config::{Config, Listen, Options, Program, Ready, names_slot};
use nodesockd_core::text::escape;

use super::Finding;

/// Programs that read a line of words themselves.
pub(super) const SHELLS: [&str; 7] = ["sh", "bash", "dash", "ash", "zsh", "ksh", "fish"];

pub(crate) fn look(config: &Config) -> Vec<Finding> {
    let mut findings = literal(config);
    findings.extend(slot(config));
    findings.extend(several(config));
    findings
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

/// A standby inherits the sockets of all slots, which a program need not expect.
fn several(config: &Config) -> Option<Finding> {
    let Options { listen, ready, .. } = &config.options;
    let inherits = matches!(config.program, Program::Command(_)) && *listen == Listen::Daemon;
    (inherits && *ready != Ready::Report && config.standby > 0 && config.links().get() > 1).then(|| {
        Finding::warning(
            "a standby gets the sockets of all slots, 3, 4, … (LISTEN_FDS), as it does not know its slot yet; a program that takes \
             a single one refuses that, or serves one slot only",
            "set `standby = 0`, unless the program accepts from all that it is given",
        )
    })
}

/// A program's name without its folder.
pub(super) fn name(word: &str) -> &str {
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
