//! Finding and reading configuration files, one on top of the other.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::layer::Layer;
use super::package::InPackage;
use super::paths::{Surroundings, join, plain, shown};
use super::problem::{Place, Problem};
use super::section::{Field, Given, Report};
use super::source::Source;
use super::tree::{Node, SyntaxError, Value};
use super::{Config, build, toml, yaml};

/// Reads files for the loader.
pub trait Sources {
    /// The whole text of the file at `path`, which is absolute.
    ///
    /// # Errors
    ///
    /// `NotFound` and `NotADirectory` say that there is no such file, and the search goes on; `InvalidData` that it
    /// is not UTF-8. Those and all others end up in a [`Problem`].
    fn read(&mut self, path: &Path) -> io::Result<String>;
}

/// Where to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start<'a> {
    /// At the first file that exists of those that are looked for in the working directory.
    Search,
    /// At this file, relative to the working directory.
    File(&'a Path),
}

/// Names that are looked for, the strongest first.
const STEMS: [&str; 4] = [".nodesockd.local", "nodesockd.local", ".nodesockd", "nodesockd"];

/// Endings of each name, the strongest first.
const ENDINGS: [(&str, Syntax); 3] = [("toml", toml::parse), ("yml", yaml::parse), ("yaml", yaml::parse)];

/// The names of configuration files that are looked for, the strongest first.
pub fn file_names() -> impl Iterator<Item = String> {
    STEMS.into_iter().flat_map(|stem| ENDINGS.map(|(ending, _)| format!("{stem}.{ending}")))
}

type Syntax = fn(&str) -> Result<Node, Vec<SyntaxError>>;

/// A file larger than this is not a configuration: it is refused before it is parsed.
const MAX_BYTES: usize = 256 << 10;

/// So many files in a row are a circle, even if their paths all differ because symlinks lead back.
const MAX_FILES: usize = 32;

/// How many problems are told. Of a file that is something else altogether there may be thousands, and an answer has to fit into a
/// frame.
const TOLD: usize = 50;

/// Loads the configuration: finds the first file, follows `extends`, lays each file over those it extends, and fills in
/// the defaults.
///
/// # Errors
///
/// What is wrong, in the order of files and lines: all of it, or the beginning and how much more there is.
pub fn load(
    start: Start<'_>,
    around: &Surroundings,
    sources: &mut dyn Sources,
) -> Result<Config, Vec<Problem>> {
    let mut chain = Chain::new(around, sources, |_, _| None);
    chain.follow(start).map_err(|problem| vec![problem])?;
    let (layer, files, mut report) = chain.whole();
    let config = build::config(layer, &files, around, &mut report);
    match config {
        Some(config) if report.problems.is_empty() => Ok(config),
        _ => Err(in_order(report.problems, &files, around)),
    }
}

/// What the files say together, however much is wrong with them; `readable` is what can be read of one that is not in
/// its syntax. `None` if there is no first file.
pub(super) fn layers(
    start: Start<'_>,
    around: &Surroundings,
    sources: &mut dyn Sources,
    readable: Readable,
) -> Option<(Layer, Vec<PathBuf>)> {
    let mut chain = Chain::new(around, sources, readable);
    chain.follow(start).ok()?;
    let (layer, files, _) = chain.whole();
    Some((layer, files))
}

/// What can be read of the file at a path, which is not in its syntax.
type Readable = fn(&Path, &str) -> Option<Node>;

/// The files read so far, each extending the next.
struct Chain<'a> {
    around: &'a Surroundings,
    sources: &'a mut dyn Sources,
    readable: Readable,
    files: Vec<PathBuf>,
    layers: Vec<Layer>,
    report: Report,
}

impl<'a> Chain<'a> {
    fn new(around: &'a Surroundings, sources: &'a mut dyn Sources, readable: Readable) -> Self {
        let (files, layers, report) =
            (Vec::new(), Vec::new(), Report { keys: Layer::paths(""), ..Report::default() });
        Self { around, sources, readable, files, layers, report }
    }

    /// What all files say together, on top of the defaults.
    fn whole(self) -> (Layer, Vec<PathBuf>, Report) {
        let mut defaults = Layer::defaults();
        if let Some(node) = &self.around.node {
            defaults.node = node.clone().into();
        }
        let layer = self.layers.into_iter().rev().fold(defaults, |base, layer| layer.on_top_of(base));
        (layer, self.files, self.report)
    }

    /// Reads all files, from the first to the last one extended; fails if there is no first one.
    fn follow(&mut self, start: Start<'_>) -> Result<(), Problem> {
        let (path, text) = match start {
            Start::Search => self.search()?,
            Start::File(path) => {
                let path = join(&self.around.cwd, path);
                let text = self.sources.read(&path).map_err(|error| self.unreadable(&path, &error))?;
                (path, text)
            }
        };
        let mut next = Some((path, text));
        while let Some((path, text)) = next {
            next = self.take(path, text);
        }
        Ok(())
    }

    fn search(&mut self) -> Result<(PathBuf, String), Problem> {
        for name in file_names() {
            let path = join(&self.around.cwd, Path::new(&name));
            match self.sources.read(&path) {
                Err(error) if is_absent(&error) => {}
                Err(error) => return Err(self.unreadable(&path, &error)),
                Ok(text) => return Ok((path, text)),
            }
        }
        let folder = crate::text::escape(&self.around.cwd.to_string_lossy(), 4096);
        let mut problem = Problem::general(format!("there is no configuration file in {folder}"));
        let names = STEMS.join("`, `");
        let endings = ENDINGS.map(|(ending, _)| format!(".{ending}")).join("`, `");
        problem.help = Some(format!(
            "`nodesockd init` writes one; looked for `{names}`, each with `{endings}`; or give a file with --config"
        ));
        Err(problem)
    }

    /// Reads one file into a layer; returns the file that it extends.
    fn take(&mut self, path: PathBuf, text: String) -> Option<(PathBuf, String)> {
        self.files.push(path.clone());
        let source = Source::new(shown(&path, self.around), text);
        let mut layer = Layer::default();
        match parse(&path, &source) {
            Ok(node) => layer.read("", &node, &source, &mut self.report),
            Err(problems) => {
                self.report.problems.extend(problems);
                self.report.unread = true;
                if let Some(node) = (self.readable)(&path, source.text()) {
                    layer.read("", &node, &source, &mut self.report);
                }
            }
        }
        let extends = std::mem::take(&mut layer.extends);
        self.layers.push(layer);
        let extends = match extends {
            Given::Set(extends) => extends,
            Given::Bad => {
                self.report.unread = true;
                return None;
            }
            Given::Unset => return None,
        };
        match self.extended(&path, Path::new(&extends.value)) {
            Ok(found) => Some(found),
            Err(mut problem) => {
                problem.place = extends.place;
                self.report.problems.push(problem);
                self.report.unread = true;
                None
            }
        }
    }

    /// The file that `from` extends.
    fn extended(&mut self, from: &Path, path: &Path) -> Result<(PathBuf, String), Problem> {
        let candidates = self.candidates(from, path);
        for candidate in &candidates {
            if self.files.len() == MAX_FILES || self.files.iter().any(|file| plain(file) == plain(candidate))
            {
                return Err(self.circle(candidate));
            }
            match self.sources.read(candidate) {
                Err(error) if is_absent(&error) || error.kind() == ErrorKind::IsADirectory => {}
                Err(error) => {
                    let problem = self.unreadable(candidate, &error);
                    return Err(Problem::general(format!("`extends`: {}", problem.message)));
                }
                Ok(text) => return Ok((candidate.clone(), text)),
            }
        }
        let mut problem = Problem::general("`extends` names a file that does not exist");
        let tried: Vec<_> =
            candidates.iter().map(|path| shown(path, self.around).display().to_string()).collect();
        problem.help = Some(format!("looked for {}", crate::text::escape(&tried.join(", "), 500)));
        Err(problem)
    }

    /// Where the file that `from` extends as `path` may be: a path that starts with a dot or a slash is one; any other may
    /// lie in a `node_modules` of a folder on the way up, as Node looks for packages, or beside `from`.
    fn candidates(&mut self, from: &Path, path: &Path) -> Vec<PathBuf> {
        let folder = from.parent().unwrap_or(from);
        let beside = join(folder, path);
        let specifier = path.to_string_lossy();
        if specifier.starts_with(['.', '/']) {
            return vec![beside];
        }
        let wanted = InPackage::parse(&specifier);
        let mut candidates = Vec::new();
        for above in folder.ancestors().filter(|folder| !folder.ends_with("node_modules")) {
            let modules = above.join("node_modules");
            if let Some(wanted) = &wanted {
                let package = modules.join(wanted.name);
                // A manifest that cannot be read names nothing.
                let manifest = self.sources.read(&package.join("package.json"));
                let named = manifest.map(|text| wanted.files(&text)).unwrap_or_default();
                candidates.extend(named.iter().map(|file| join(&package, Path::new(file))));
            }
            candidates.push(join(&modules, path));
        }
        candidates.push(beside);
        candidates
    }

    fn circle(&self, back: &Path) -> Problem {
        let mut names: Vec<_> =
            self.files.iter().map(|file| shown(file, self.around).display().to_string()).collect();
        names.push(shown(back, self.around).display().to_string());
        Problem {
            place: None,
            message: "`extends` goes round in a circle".to_owned(),
            help: Some(crate::text::escape(&names.join(" -> "), 500)),
        }
    }

    fn unreadable(&self, path: &Path, error: &io::Error) -> Problem {
        let why = if is_absent(error) {
            "does not exist".to_owned()
        } else if error.kind() == ErrorKind::InvalidData {
            "is not UTF-8 text".to_owned()
        } else {
            format!("cannot be read: {error}")
        };
        let name = shown(path, self.around).display().to_string();
        Problem::general(format!("the configuration file {} {why}", crate::text::escape(&name, 200)))
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn parse(path: &Path, source: &Source) -> Result<Node, Vec<Problem>> {
    let whole = |message: String| Problem { place: Some(Place::whole(source.name())), message, help: None };
    if source.text().len() > MAX_BYTES {
        return Err(vec![whole(format!("the file is larger than {MAX_BYTES} bytes"))]);
    }
    let known = ENDINGS.iter().find(|(ending, _)| path.extension().is_some_and(|its| its == *ending));
    let syntax = known.map_or(yaml::parse as Syntax, |(_, syntax)| *syntax);
    let parsed = syntax(source.text());
    let is_table = matches!(&parsed, Ok(Node { value: Value::Table(_), .. }));
    if known.is_none() && !is_table && toml::parse(source.text()).is_ok() {
        let mut problem = whole("the file is TOML, and is read as YAML because of its name".to_owned());
        problem.help = Some("give it a name that ends in `.toml`".to_owned());
        return Err(vec![problem]);
    }
    parsed.map_err(|errors| {
        let problem = |error: SyntaxError| source.problem(&error.span, error.message, None);
        errors.into_iter().map(problem).collect()
    })
}

/// Sorts problems by file, in the order in which they were read, and place; those without one come last. Tells of the first ones.
fn in_order(mut problems: Vec<Problem>, files: &[PathBuf], around: &Surroundings) -> Vec<Problem> {
    let names: Vec<_> = files.iter().map(|file| shown(file, around)).collect();
    problems.sort_by_key(|problem| {
        problem.place.as_ref().map_or((usize::MAX, 0, 0), |place| {
            let file = names.iter().position(|name| *name == place.file);
            (file.unwrap_or(usize::MAX), place.line, place.column)
        })
    });
    let untold = problems.split_off(problems.len().min(TOLD));
    if let Some(Problem { place, .. }) = untold.first() {
        let message = format!("from here on, {} more problems are not told", untold.len());
        problems.push(Problem { place: place.clone(), message, help: None });
    }
    problems
}

#[cfg(test)]
mod tests;
