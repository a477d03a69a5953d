//! Bun and Deno.

use super::files::Files;
use super::line::{self, HELP};
use super::{Guesses, Puzzle, Recipe, Run, Way};

/// How an app for Bun listens on its worker's socket. Under Bun, `nodesockd.listen` is refused.
const BUN: &[&str] = &[
    "const unix = process.env.NODESOCKD_SOCKET_PATH;",
    "Bun.serve({ ...(unix ? { unix } : { port: 3000 }), fetch });",
];

/// Deno's configuration files.
const CONFIGURATION: [&str; 2] = ["deno.json", "deno.jsonc"];

pub(super) fn look(files: &Files) -> Guesses {
    match files.first(&CONFIGURATION) {
        Some((name, _)) if files.script("start").is_none() => deno_tasks(name, files),
        _ => bun(files),
    }
}

/// An app whose package names no `start`, as `bun init` makes it.
fn bun(files: &Files) -> Guesses {
    let is_bun = files.has("bun.lock") || files.has("bun.lockb") || files.has("bunfig.toml");
    if !is_bun || files.script("start").is_some() {
        return Guesses::default();
    }
    let module = files.package["module"].as_str().or_else(|| files.package["main"].as_str());
    match module {
        Some(module) if files.has_file(module) => {
            words(&["bun".to_owned(), module.to_owned()], "`module` in package.json", files).into()
        }
        _ => Puzzle::new("there is a lock file of Bun, but package.json names no script", HELP).into(),
    }
}

/// A task of Deno's configuration.
pub(super) fn task(name: &str, files: &Files) -> Option<String> {
    let (_, text) = files.first(&CONFIGURATION)?;
    let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let config: serde_json::Value = serde_json::from_str(&code).unwrap_or_default();
    let task = &config["tasks"][name];
    task.as_str().or_else(|| task["command"].as_str()).map(str::to_owned)
}

fn deno_tasks(name: &str, files: &Files) -> Guesses {
    let found =
        ["start", "serve", "prod", "dev"].into_iter().find_map(|name| Some((name, task(name, files)?)));
    if let Some((task, line)) = found {
        let place = format!("the task `{task}` in {name}");
        return match line::resolve(&line, &place, files) {
            Ok(start) if start.words[0] == "deno" => words(&start.words, &place, files).into(),
            Ok(start) => Puzzle::new(format!("{place} runs {}", start.words[0]), HELP).into(),
            Err(puzzle) => puzzle.into(),
        };
    }
    match files.first(&["main.ts", "server.ts", "mod.ts"]) {
        Some((script, _)) => words(&["deno".into(), "run".into(), script.to_owned()], script, files).into(),
        None => Puzzle::new(format!("{name} has no task `start`"), HELP).into(),
    }
}

/// What words of Bun or Deno come to.
pub(super) fn words(words: &[String], source: &str, files: &Files) -> Recipe {
    let watches = |word: &&String| !matches!(word.as_str(), "--watch" | "--hot");
    let words: Vec<String> = words.iter().filter(watches).cloned().collect();
    let script =
        words.iter().find(|word| word.ends_with("ts") || word.ends_with("js")).cloned().unwrap_or_default();
    if words[0] == "bun" {
        let words: Vec<String> = words.into_iter().filter(|word| word != "run").collect();
        let recipe = Recipe::new("an app for Bun", source, Run::Command(words), Way::Variable(BUN));
        return if files.text(&script).contains("NODESOCKD_SOCKET_PATH") {
            recipe
        } else {
            recipe.note(format!("{script} has to listen on NODESOCKD_SOCKET_PATH"))
        };
    }
    if words.iter().any(|word| word == "serve") {
        let recipe = Recipe::new("an app for Deno", source, Run::Command(words), Way::Listen);
        return recipe.note("`deno serve` listens on a port by itself: let the script call `nodesockd.listen`, and use `deno run`");
    }
    let recipe = Recipe::new("an app for Deno", source, Run::Command(words), Way::Listen);
    recipe
        .note("the library needs `--allow-all`, or --allow-env, --allow-read, --allow-write and --allow-net")
}
