//! An app: its name, and what starts it.

use super::ask;
use super::recognise::{Files, Puzzle, Recipe, Recognised, Run, recognise};
use crate::render::sentence;
use crate::setup::check::{Finding, Verdict};

/// An app.
#[derive(Debug)]
pub(super) struct App {
    /// What to call it.
    pub(super) name: String,
    /// What starts it.
    pub(super) start: Start,
    /// Whether its modules are ECMAScript's.
    pub(super) esm: bool,
    /// Whether it depends on the library.
    pub(super) depends: bool,
    /// Whether its script speaks of the library.
    pub(super) integrated: bool,
}

/// What starts an app.
#[derive(Debug)]
pub(super) enum Start {
    /// This does.
    Known(Box<Recipe>, Vec<Puzzle>),
    /// A person has to say; these are proposals, and what was found instead of one.
    Open(Vec<Recipe>, Vec<Puzzle>),
}

impl App {
    /// The app whose files these are. Whoever sits at a terminal is asked what is not clear.
    pub(super) fn of(files: &Files) -> Self {
        let start = match recognise(files) {
            Recognised::One(recipe, aside) => Start::Known(recipe, aside),
            Recognised::Several(recipes) => Start::Open(recipes, Vec::new()),
            Recognised::Unclear(puzzles) => Start::Open(Vec::new(), puzzles),
        };
        let text = |key: &str| files.package[key].as_str();
        let name = text("name")
            .map(|name| name.rsplit('/').next().unwrap_or(name).to_owned())
            .filter(|name| !name.is_empty() && !name.contains(char::is_control))
            .or_else(|| files.folder_name());
        let script = match &start {
            Start::Known(recipe, _) => recipe.script().unwrap_or_default().to_owned(),
            Start::Open(..) => String::new(),
        };
        let is_deno = matches!(&start, Start::Known(recipe, _) if recipe.words().starts_with("deno "));
        let esm = !script.ends_with(".cjs")
            && (script.ends_with(".mjs") || text("type") == Some("module") || is_deno);
        Self {
            name: name.unwrap_or_else(|| "app".into()),
            integrated: !script.is_empty() && files.text(&script).contains("nodesockd"),
            depends: files.depends("nodesockd"),
            start,
            esm,
        }
    }

    /// What a person at a terminal says to what is not clear.
    pub(super) fn asked(&mut self) {
        if let Start::Open(recipes, puzzles) = &self.start
            && let Some(recipe) = ask::start(recipes, puzzles)
        {
            self.start = Start::Known(Box::new(recipe), Vec::new());
        }
    }

    /// What starts it, if that is known.
    pub(super) fn recipe(&self) -> Option<&Recipe> {
        match &self.start {
            Start::Known(recipe, _) => Some(recipe),
            Start::Open(..) => None,
        }
    }

    /// What was written into `file`, and what a person should know or has to decide.
    pub(super) fn findings(&self, file: &str) -> Vec<Finding> {
        match &self.start {
            Start::Known(recipe, aside) => {
                let mut findings = vec![Finding::good(format!(
                    "wrote {file}: it runs {}, {}, going by {}",
                    sentence(&recipe.words()),
                    recipe.kind,
                    sentence(&recipe.source)
                ))];
                let note = |note: &String| Finding {
                    verdict: Verdict::Warning,
                    message: sentence(note),
                    help: None,
                };
                findings.extend(recipe.notes.iter().map(note));
                let left = |puzzle: &Puzzle| {
                    Finding::warning(
                        format!("left aside: {}", sentence(&puzzle.found)),
                        sentence(&puzzle.help),
                    )
                };
                findings.extend(aside.iter().map(left));
                findings
            }
            Start::Open(recipes, puzzles) => open(file, recipes, puzzles),
        }
    }
}

impl Recipe {
    /// The script that Node runs.
    pub(super) fn script(&self) -> Option<&str> {
        match &self.run {
            Run::Script { script, .. } => Some(script),
            Run::Command(_) => None,
        }
    }
}

/// What to decide where it is not clear what starts an app.
fn open(file: &str, recipes: &[Recipe], puzzles: &[Puzzle]) -> Vec<Finding> {
    let wrote = format!("wrote {file} with a question mark: what starts this app is not clear");
    if !recipes.is_empty() {
        let ways: Vec<String> =
            recipes.iter().map(|recipe| format!("{} ({})", recipe.words(), recipe.source)).collect();
        let help = format!("choose in {file} one of: {}", sentence(&ways.join("; ")));
        return vec![Finding::warning(format!("{wrote}; {} ways fit", recipes.len()), help)];
    }
    if puzzles.is_empty() {
        return vec![Finding::warning(
            wrote,
            format!("name it in {file} as `script`, for Node, or as `command`"),
        )];
    }
    let finding = |puzzle: &Puzzle| {
        Finding::warning(format!("{wrote}; {}", sentence(&puzzle.found)), sentence(&puzzle.help))
    };
    puzzles.iter().map(finding).collect()
}
