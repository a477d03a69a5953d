//! What starts an app, told from what lies in its folder. One file for each family; each says what it recognises, or why it
//! is not clear.

mod bun_deno;
mod compiled;
mod files;
mod frameworks;
mod line;
mod node;
mod php;
mod python;
mod ruby;

use std::path::Path;

pub(super) use files::Files;

/// How a worker can be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Recipe {
    /// What it was recognised as.
    pub(super) kind: String,
    /// What says so.
    pub(super) source: String,
    /// What is run.
    pub(super) run: Run,
    /// Variables that it is given.
    pub(super) env: Vec<(String, String)>,
    /// How it comes by its socket.
    pub(super) way: Way,
    /// What a person should know, a sentence each.
    pub(super) notes: Vec<String>,
}

/// What is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Run {
    /// A script, by Node.
    Script {
        /// Its path.
        script: String,
        /// Node's own arguments.
        node_args: Vec<String>,
    },
    /// Any program.
    Command(Vec<String>),
}

/// How a worker comes by its socket, and says that it is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Its code calls `nodesockd.listen()`, or is to.
    Listen,
    /// `node --import nodesockd/register`
    Register,
    /// It is told on its command line, by `{socket}`.
    Told,
    /// Its code reads `NODESOCKD_SOCKET_PATH`, or is to: as these lines do.
    Variable(&'static [&'static str]),
}

/// Something that was recognised, but does not say what to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Puzzle {
    /// What was found, in a sentence.
    pub(super) found: String,
    /// What to do.
    pub(super) help: String,
}

/// What one family makes of a folder.
#[derive(Debug, Default)]
struct Guesses {
    recipes: Vec<Recipe>,
    puzzles: Vec<Puzzle>,
    /// Those that go by the mere name of a file: they count where there is nothing else.
    weak: Vec<Recipe>,
    /// Those of what is beside many a server: they count where there is nothing else.
    doubts: Vec<Puzzle>,
}

/// What starts the app in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Recognised {
    /// One way, and what else was found and left aside.
    One(Box<Recipe>, Vec<Puzzle>),
    /// Several: a person has to choose.
    Several(Vec<Recipe>),
    /// None: a person has to say.
    Unclear(Vec<Puzzle>),
}

/// Looks at a folder.
pub(super) fn recognise(files: &Files) -> Recognised {
    let families =
        [bun_deno::look, node::look, python::look, ruby::look, compiled::go, compiled::rust, php::look];
    let mut all = Guesses::default();
    for guesses in families.map(|look| look(files)) {
        all.recipes.extend(guesses.recipes);
        all.puzzles.extend(guesses.puzzles);
        all.weak.extend(guesses.weak);
        all.doubts.extend(guesses.doubts);
    }
    if all.recipes.is_empty() && all.puzzles.is_empty() {
        (all.recipes, all.puzzles) = (all.weak, all.doubts);
    }
    match all.recipes.len() {
        0 => Recognised::Unclear(all.puzzles),
        1 => Recognised::One(Box::new(all.recipes.remove(0)), all.puzzles),
        _ => Recognised::Several(all.recipes),
    }
}

/// What the program of a command runs that stands between, and the names of the variables that it gives it, by what lies in
/// `folder`.
pub(in crate::setup) fn behind(words: &[String], folder: &Path) -> Option<(Vec<String>, Vec<String>)> {
    let files = Files::in_folder(folder).ok()?;
    let start = line::unwrap(line::Start::default(), words.to_vec(), "`command`", &files).ok()?;
    let names = start.env.into_iter().map(|(name, _)| name).collect();
    (start.words != words).then_some((start.words, names))
}

impl Recipe {
    fn new(kind: &str, source: impl Into<String>, run: Run, way: Way) -> Self {
        let (kind, source) = (kind.to_owned(), source.into());
        Self { kind, source, run, env: Vec::new(), way, notes: Vec::new() }
    }

    fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// What a person has said: a script for Node, or a command.
    pub(super) fn said(line: &str) -> Self {
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_script = [".js", ".mjs", ".cjs"].iter().any(|ending| line.ends_with(ending));
        let (run, way) = if is_script && words.len() == 1 {
            (Run::Script { script: line.to_owned(), node_args: Vec::new() }, Way::Listen)
        } else if line.contains("{socket}") {
            (Run::command(&words), Way::Told)
        } else {
            (Run::command(&words), Way::Variable(&[]))
        };
        Self::new("as you say", "your answer", run, way)
    }

    /// What is run, as one would type it.
    pub(super) fn words(&self) -> String {
        match &self.run {
            Run::Script { script, node_args } if node_args.is_empty() => script.clone(),
            Run::Script { script, node_args } => format!("node {} {script}", node_args.join(" ")),
            Run::Command(words) => words.join(" "),
        }
    }
}

impl Run {
    /// A script that the library serves without a change of its code.
    fn registered(script: impl Into<String>) -> Self {
        Self::Script { script: script.into(), node_args: REGISTER.map(str::to_owned).into() }
    }

    fn command(words: &[&str]) -> Self {
        Self::Command(words.iter().map(|&word| word.to_owned()).collect())
    }
}

/// What makes Node serve the first server on the worker's socket (docs/02-integration.md).
const REGISTER: [&str; 2] = ["--import", "nodesockd/register"];

impl Puzzle {
    fn new(found: impl Into<String>, help: impl Into<String>) -> Self {
        Self { found: found.into(), help: help.into() }
    }
}

impl From<Recipe> for Guesses {
    fn from(recipe: Recipe) -> Self {
        Self { recipes: vec![recipe], ..Self::default() }
    }
}

impl From<Puzzle> for Guesses {
    fn from(puzzle: Puzzle) -> Self {
        Self { puzzles: vec![puzzle], ..Self::default() }
    }
}
