//! The systemd unit that runs a daemon: found among the unit files, read as systemd would read it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nodesockd_core::config::Config;
use tokio::process::Command;

use crate::setup::external::ask;

/// Where units are looked for, the strongest first (`systemd.unit(5)`).
const FOLDERS: [&str; 5] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

/// How long systemctl may take.
const SYSTEMCTL_LIMIT: Duration = Duration::from_secs(5);

/// A service: its settings, as far as they are set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// `shop.service`
    pub name: String,
    /// What `[Service]` says; the last of each, lists joined by spaces.
    settings: BTreeMap<String, String>,
}

/// Settings that add up; an empty one begins anew.
const LISTS: [&str; 3] = ["Environment", "ExecStart", "RuntimeDirectory"];

impl Unit {
    /// The unit that runs a daemon with this configuration.
    pub async fn of(config: &Config) -> Option<Self> {
        let units = all().into_iter().filter(|unit| unit.get("ExecStart").contains("nodesockd"));
        let unit = units.into_iter().find(|unit| unit.is_for(config))?;
        Some(unit.loaded().await)
    }

    /// The unit of this name.
    pub fn named(name: &str) -> Option<Self> {
        all().into_iter().find(|unit| unit.name == name)
    }

    /// A setting; empty where it is not set.
    #[must_use]
    pub fn get(&self, key: &str) -> &str {
        self.settings.get(key).map_or("", String::as_str)
    }

    /// Whether a setting is on.
    #[must_use]
    pub fn is(&self, key: &str) -> bool {
        matches!(self.get(key), "yes" | "true" | "on" | "1")
    }

    /// A span of time; `None` where it is not set, or endless.
    #[must_use]
    pub fn span(&self, key: &str) -> Option<Duration> {
        span(self.get(key))
    }

    /// A variable of the environment that the unit sets.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<String> {
        let words = words(self.get("Environment"));
        words.iter().rev().find_map(|word| word.strip_prefix(name)?.strip_prefix('=').map(Into::into))
    }

    /// The words of the first command of `ExecStart`, without what may be in front of the program's path.
    #[must_use]
    pub fn command(&self) -> Vec<String> {
        let mut words = words(self.get("ExecStart"));
        if let Some(program) = words.first_mut() {
            *program = program.trim_start_matches(['@', '-', ':', '+', '!', '|']).to_owned();
        }
        words
    }

    fn is_for(&self, config: &Config) -> bool {
        let real = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let folder = self.get("WorkingDirectory").trim_start_matches('-');
        let words = self.command();
        let given = words.iter().enumerate().find_map(|(index, word)| match word.as_str() {
            "-c" | "--config" => words.get(index + 1).map(String::as_str),
            word => word.strip_prefix("--config="),
        });
        match (given, config.files.first()) {
            (Some(given), Some(file)) => real(&Path::new(folder).join(given)) == real(file),
            _ => !folder.is_empty() && real(Path::new(folder)) == real(&config.cwd),
        }
    }

    /// The same with what systemd has made of it, if systemd runs here and has loaded it.
    async fn loaded(mut self) -> Self {
        const ASKED: [&str; 6] =
            ["KillMode", "OOMPolicy", "Restart", "PrivateTmp", "RuntimeDirectoryPreserve", "User"];
        let mut command = Command::new("systemctl");
        command.args(["show", "--no-pager", "-p", &format!("{},LoadState", ASKED.join(","))]).arg(&self.name);
        let Ok(answer) = ask(&mut command, SYSTEMCTL_LIMIT).await else { return self };
        let settings: BTreeMap<&str, &str> =
            answer.stdout.lines().filter_map(|line| line.split_once('=')).collect();
        if settings.get("LoadState") == Some(&"loaded") {
            for key in ASKED {
                if let Some(value) = settings.get(key) {
                    self.settings.insert(key.to_owned(), (*value).to_owned());
                }
            }
        }
        self
    }
}

/// All services that unit files describe.
fn all() -> Vec<Unit> {
    let mut files: BTreeMap<String, PathBuf> = BTreeMap::new();
    let mut instances = Vec::new();
    for folder in FOLDERS {
        for path in entries(Path::new(folder)) {
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            if name.ends_with(".service") {
                files.entry(name.to_owned()).or_insert(path);
            } else if name.ends_with(".wants") {
                let wanted = entries(&path);
                instances.extend(wanted.filter_map(|path| path.file_name()?.to_str().map(str::to_owned)));
            }
        }
    }
    let plain = files.keys().filter(|name| !name.contains("@.")).cloned();
    let templates = instances.into_iter().filter(|name| name.ends_with(".service") && name.contains('@'));
    plain.chain(templates).filter_map(|name| read(&files, name)).collect()
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}

/// A unit from its file, or its template's, and all drop-ins.
fn read(files: &BTreeMap<String, PathBuf>, name: String) -> Option<Unit> {
    let instance = name.split_once('@').and_then(|(_, rest)| rest.strip_suffix(".service")).unwrap_or("");
    let template = name.split_once('@').map(|(stem, _)| format!("{stem}@.service"));
    let file = files.get(&name).or_else(|| files.get(template.as_ref()?))?;
    let mut drop_ins: BTreeMap<std::ffi::OsString, PathBuf> = BTreeMap::new();
    for base in template.iter().chain([&name]) {
        for folder in FOLDERS {
            let found = entries(&Path::new(folder).join(format!("{base}.d")));
            for path in found.filter(|path| path.extension().is_some_and(|ending| ending == "conf")) {
                drop_ins.entry(path.file_name()?.to_owned()).or_insert(path);
            }
        }
    }
    let mut settings = BTreeMap::new();
    for path in std::iter::once(file).chain(drop_ins.values()) {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let text = text.replace("%i", instance).replace("%I", instance).replace("%%", "%");
        service_settings(&text, &mut settings);
    }
    Some(Unit { name, settings })
}

/// Adds what the section `[Service]` says (`systemd.syntax(7)`).
fn service_settings(text: &str, settings: &mut BTreeMap<String, String>) {
    let mut inside = false;
    for line in text.replace("\\\n", " ").lines().map(str::trim) {
        if line.starts_with('[') {
            inside = line == "[Service]";
        }
        let Some((key, value)) = line.split_once('=').filter(|_| inside && !line.starts_with(['#', ';']))
        else {
            continue;
        };
        let (key, value) = (key.trim(), value.trim());
        let known = settings.entry(key.to_owned()).or_default();
        if LISTS.contains(&key) && !value.is_empty() && !known.is_empty() {
            *known = format!("{known} {value}");
        } else {
            value.clone_into(known);
        }
    }
}

/// Words, quoted or not; a backslash protects what follows.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (_, '\\') => word.get_or_insert_default().extend(chars.next()),
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// `90`, `90s`, `1min 30s`, `500ms` (`systemd.time(7)`).
fn span(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let count: f64 = rest[..digits].parse().ok()?;
        rest = rest[digits..].trim_start();
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let seconds = match &rest[..letters] {
            "ms" | "msec" => 0.001,
            "" | "s" | "sec" | "second" | "seconds" => 1.0,
            "m" | "min" | "minute" | "minutes" => 60.0,
            "h" | "hr" | "hour" | "hours" => 3600.0,
            _ => return None,
        };
        total = total.checked_add(Duration::try_from_secs_f64(count * seconds).ok()?)?;
        rest = rest[letters..].trim_start();
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_assignment_wins_and_lists_accumulate() {
        let mut settings = BTreeMap::new();
        let text = "[Unit]\nUser=no\n[Service]\n# User=no\nUser = shop\nEnvironment=A=1\nEnvironment=\"B=2 3\" \\\n  C=4\n";
        service_settings(text, &mut settings);
        service_settings(
            "[Service]\nUser=web\nExecStart=a b\nExecStart=\nExecStart=-/c 'd e' \"f\\\"g\"\n",
            &mut settings,
        );
        let unit = Unit { name: "x.service".into(), settings };
        assert_eq!(unit.get("User"), "web");
        assert_eq!(
            ["A", "B", "C", "D"].map(|name| unit.variable(name)),
            ["1", "2 3", "4", ""].map(|value| (!value.is_empty()).then(|| value.to_owned()))
        );
        assert_eq!(unit.command(), ["/c", "d e", "f\"g"]);
    }

    #[test]
    fn times_are_parsed_as_by_systemd() {
        let millis = |text| span(text).map(|span| span.as_millis());
        assert_eq!(
            ["30", "1min 30s", "2h", "500ms", "1.5s"].map(millis),
            [30_000, 90_000, 7_200_000, 500, 1500].map(Some)
        );
        assert_eq!(["", "infinity", "5 parsecs"].map(millis), [None; 3]);
    }
}
