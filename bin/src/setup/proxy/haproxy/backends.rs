//! What `HAProxy`'s sections say of the apps that it passes requests to.

use std::path::{Path, PathBuf};

use super::syntax::{Line, Section};

/// The backends of a file, and what holds for all of them.
#[derive(Debug)]
pub(super) struct Site {
    /// The folder that `HAProxy` takes for `/`.
    pub(super) chroot: Option<PathBuf>,
    /// All of them.
    pub(super) backends: Vec<Backend>,
}

/// A `backend`, or a `listen`, which is one with its own frontend.
#[derive(Debug)]
pub(super) struct Backend {
    /// Its name.
    pub(super) name: String,
    /// Where it begins.
    pub(super) place: String,
    /// Its servers.
    pub(super) servers: Vec<Server>,
    /// Its lines, after those of its `defaults`.
    lines: Vec<Line>,
    /// The lines of the `fcgi-app` that it uses: `FastCGI` is spoken.
    fastcgi: Option<Vec<Line>>,
    /// Whether requests come here.
    pub(super) used: bool,
}

/// A server.
#[derive(Debug)]
pub(super) struct Server {
    /// Where it is named.
    pub(super) place: String,
    /// Its unix socket.
    pub(super) socket: Option<PathBuf>,
    /// What follows its address, after what `default-server` says.
    options: Vec<String>,
}

impl Site {
    /// What the sections of `file` say.
    pub(super) fn of(sections: &[Section], file: &str) -> Self {
        let global = sections.iter().filter(|section| section.head.is(&["global"]));
        let chroot = global.flat_map(|section| &section.lines).find(|line| line.is(&["chroot"]));
        let mut backends = Vec::new();
        let mut defaults: Vec<&Section> = Vec::new();
        for section in sections {
            match section.head.word(0) {
                "defaults" => defaults.push(section),
                "backend" | "listen" => {
                    let base = defaults_of(&section.head, &defaults);
                    backends.push(Backend::new(section, base, file, sections));
                }
                _ => {}
            }
        }
        Self { chroot: chroot.map(|line| line.word(1).into()), backends }
    }
}

/// Those that are named, or the last ones before.
fn defaults_of<'a>(head: &Line, defaults: &[&'a Section]) -> &'a [Line] {
    let named = head.words.iter().position(|word| word == "from").map(|at| head.word(at + 1));
    let found = match named {
        Some(name) => defaults.iter().find(|section| section.head.word(1) == name),
        None => defaults.last(),
    };
    found.map(|section| section.lines.as_slice()).unwrap_or_default()
}

/// Whether a frontend may choose this backend. What is worked out for each request is not known.
fn is_used(backend: &Section, sections: &[Section]) -> bool {
    let chosen = |line: &Line| {
        (line.is(&["use_backend"]) || line.is(&["default_backend"]))
            && (line.word(1) == backend.head.word(1) || line.word(1).contains("%["))
    };
    backend.head.is(&["listen"]) || sections.iter().flat_map(|section| &section.lines).any(chosen)
}

/// The lines of the `fcgi-app` that a backend uses.
fn fastcgi(backend: &[Line], sections: &[Section]) -> Option<Vec<Line>> {
    let used = backend.iter().rfind(|line| line.is(&["use-fcgi-app"]))?;
    let app = sections.iter().find(|section| section.head.is(&["fcgi-app", used.word(1)]))?;
    Some(app.lines.clone())
}

impl Backend {
    fn new(section: &Section, base: &[Line], file: &str, sections: &[Section]) -> Self {
        let lines: Vec<Line> = base.iter().chain(&section.lines).cloned().collect();
        let place = |line: &Line| format!("{}:{}", nodesockd_core::text::escape(file, 4096), line.number);
        let default: Vec<String> = lines
            .iter()
            .filter(|line| line.is(&["default-server"]))
            .flat_map(|line| line.words[1..].iter().cloned())
            .collect();
        let servers = section.lines.iter().filter(|line| line.is(&["server"])).map(|line| Server {
            place: place(line),
            socket: socket(line.word(2)),
            options: default.iter().chain(line.words.iter().skip(3)).cloned().collect(),
        });
        Self {
            name: section.head.word(1).to_owned(),
            place: place(&section.head),
            servers: servers.collect(),
            fastcgi: fastcgi(&lines, sections),
            used: is_used(section, sections),
            lines,
        }
    }

    /// The last line that begins with these words, unless it is taken back afterwards.
    fn last(&self, words: &[&str]) -> Option<&Line> {
        let taken_back: Vec<&str> = ["no"].into_iter().chain(words.iter().copied()).collect();
        let said = self.lines.iter().rfind(|line| line.is(words) || line.is(&taken_back));
        said.filter(|line| line.is(words))
    }

    /// Whether a request that one server cannot take is tried at another.
    pub(super) fn redispatches(&self) -> bool {
        let retries = self.last(&["retries"]).is_none_or(|line| line.word(1) != "0");
        retries && self.last(&["option", "redispatch"]).is_some_and(|line| line.word(2) != "0")
    }

    /// Whether a POST that was sent may be sent again.
    pub(super) fn repeats(&self) -> bool {
        let safe = ["retry-on", "none", "conn-failure"];
        let again = self
            .last(&["retry-on"])
            .is_some_and(|line| line.words.iter().any(|word| !safe.contains(&word.as_str())));
        again && self.last(&["http-request", "disable-l7-retry"]).is_none()
    }

    /// Whether a connection to a server outlives its request, by `FastCGI`.
    pub(super) fn keeps_by_fastcgi(&self) -> bool {
        let keep =
            |line: &&Line| line.is(&["option", "keep-conn"]) || line.is(&["no", "option", "keep-conn"]);
        let Some(lines) = &self.fastcgi else { return false };
        lines.iter().rfind(keep).is_none_or(|line| line.is(&["option"]))
    }

    /// The same by HTTP. Of the options, the last one counts.
    pub(super) fn keeps(&self) -> bool {
        if self.fastcgi.is_some() {
            return false;
        }
        let modes = ["http-keep-alive", "http-server-close", "httpclose", "forceclose"];
        let mode = self.lines.iter().rfind(|line| line.is(&["option"]) && modes.contains(&line.word(1)));
        mode.is_none_or(|line| line.is(&["option", "http-keep-alive"]))
    }
}

impl Server {
    /// Whether an option is set.
    pub(super) fn has(&self, option: &str) -> bool {
        let off = format!("no-{option}");
        let said = self.options.iter().rfind(|word| **word == option || **word == off);
        said.is_some_and(|word| word == option)
    }

    /// What follows an option.
    pub(super) fn value(&self, option: &str) -> Option<&str> {
        let at = self.options.iter().rposition(|word| word == option)?;
        self.options.get(at + 1).map(String::as_str)
    }
}

/// `unix@/run/a.sock`, or the path by itself.
fn socket(address: &str) -> Option<PathBuf> {
    let path = address.strip_prefix("unix@").unwrap_or(address);
    path.starts_with('/').then(|| Path::new(path).to_owned())
}
