//! Apps for Node: what `package.json` says, after the frameworks that have a way of their own.

use super::files::Files;
use super::line::{self, HELP, Start};
use super::{Guesses, Puzzle, REGISTER, Recipe, Run, Way, bun_deno, frameworks};

/// Names that people give to the file that starts an app, in the order of how sure that is.
const USUAL: [&str; 9] = [
    "server.js",
    "app.js",
    "index.js",
    "server.mjs",
    "app.mjs",
    "index.mjs",
    "src/server.js",
    "src/app.js",
    "src/index.js",
];

/// Options of Node that take the next word, too.
const WITH_VALUE: [&str; 8] =
    ["-r", "--require", "--import", "--loader", "--experimental-loader", "-C", "--conditions", "--env-file"];

/// Folders of what a compiler or bundler makes: nobody edits a file there.
const BUILT: [&str; 6] = ["dist/", "build/", "out/", "lib/", ".output/", ".next/"];

/// Programs that build or show a site of files.
const STATIC: [&str; 11] = [
    "vite",
    "react-scripts",
    "ng",
    "gatsby",
    "vue-cli-service",
    "parcel",
    "serve",
    "http-server",
    "vitepress",
    "docusaurus",
    "eleventy",
];

pub(super) fn look(files: &Files) -> Guesses {
    if files.package.is_null() {
        return weak(files);
    }
    if let Some(guesses) = frameworks::look(files) {
        return guesses;
    }
    let started = ["start", "start:prod", "serve"].iter().find_map(|name| Some((*name, files.script(name)?)));
    if let Some((name, line)) = started {
        let place = format!("`{name}` in package.json");
        return match line::resolve(line, &place, files).and_then(|start| read(start, &place, files)) {
            Ok(recipe) => recipe.into(),
            Err(puzzle) => puzzle.into(),
        };
    }
    let built =
        ["vite", "react-scripts", "@angular/cli", "gatsby"].into_iter().find(|name| files.depends(name));
    let main =
        files.package["main"].as_str().filter(|main| files.has(main) || files.has(&format!("{main}.js")));
    match (main, built) {
        (Some(main), _) if !main.ends_with(".ts") => {
            let weak = vec![script(main, Vec::new(), "`main` in package.json", files)];
            Guesses { weak, ..Guesses::default() }
        }
        // With a server beside, its own files say so.
        (_, Some(name)) => Guesses { doubts: vec![makes_files("package.json", name)], ..Guesses::default() },
        (_, None) => weak(files),
    }
}

/// What makes files, or shows them.
fn makes_files(place: &str, program: &str) -> Puzzle {
    Puzzle::new(
        format!("{place} runs {program}, which makes or shows files: there is nothing to supervise"),
        "let nginx serve the files (`root`); if there is a server as well, name it as `script`",
    )
}

/// What goes by the name of a file alone.
fn weak(files: &Files) -> Guesses {
    let usual = USUAL.into_iter().find(|name| files.has_file(name));
    let recipe = usual.map(|name| script(name, Vec::new(), "the name of the file", files));
    Guesses { weak: recipe.into_iter().collect(), ..Guesses::default() }
}

/// What a start line comes to.
fn read(start: Start, place: &str, files: &Files) -> Result<Recipe, Puzzle> {
    let Start { words, env, notes } = start;
    let program = words[0].rsplit('/').next().unwrap_or_default();
    let rest = &words[1..];
    let mut recipe = match program {
        "node" | "nodejs" => node(rest, Vec::new(), place, files)?,
        // What `tsx` itself recommends for those who run Node themselves.
        "tsx" => node(rest, vec!["--import".into(), "tsx".into()], place, files)?
            .note("`tsx` would be a process between: Node runs the script itself, with tsx loaded"),
        "ts-node" if files.package["type"] != "module" => {
            node(rest, vec!["-r".into(), "ts-node/register".into()], place, files)?.note(
                "`ts-node` would be a process between: Node runs the script itself, with ts-node loaded",
            )
        }
        "ts-node" | "ts-node-esm" => {
            return Err(Puzzle::new(
                format!(
                    "{place} runs TypeScript as an ECMAScript module by ts-node, which needs a process between"
                ),
                "use tsx (`nodeArgs = [\"--import\", \"tsx\"]`), or compile, and name the compiled file as `script`",
            ));
        }
        "bun" | "deno" => bun_deno::words(&words, place, files),
        "fastify" => {
            let words: Vec<&str> =
                ["node"].into_iter().chain(REGISTER).chain(["node_modules/fastify-cli/cli.js"]).collect();
            let mut all: Vec<String> = words.into_iter().map(str::to_owned).collect();
            all.extend(
                rest.iter()
                    .filter(|word| !matches!(word.as_str(), "-w" | "--watch" | "-P" | "--pretty-logs"))
                    .cloned(),
            );
            Recipe::new("Fastify, by fastify-cli", place, Run::Command(all), Way::Register)
        }
        program if STATIC.contains(&program) => return Err(makes_files(place, program)),
        program => {
            let known =
                ["gunicorn", "uvicorn", "puma", "php", "docker", "docker-compose", "make", "go", "cargo"];
            let what =
                if known.contains(&program) { "which is no Node program" } else { "which is not known here" };
            return Err(Puzzle::new(format!("{place} runs {program}, {what}: {}", words.join(" ")), HELP));
        }
    };
    recipe.env = env;
    recipe.notes.splice(0..0, notes);
    Ok(recipe)
}

/// What arguments of Node come to.
fn node(words: &[String], mut node_args: Vec<String>, place: &str, files: &Files) -> Result<Recipe, Puzzle> {
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if !word.starts_with('-') {
            let mut recipe = script(word, node_args, place, files);
            let arguments: Vec<String> = words.cloned().collect();
            if !arguments.is_empty() {
                recipe.run = with_arguments(recipe.run, &arguments);
            }
            return Ok(recipe);
        }
        node_args.push(word.clone());
        if WITH_VALUE.contains(&word.as_str()) {
            node_args.extend(words.next().cloned());
        }
    }
    Err(Puzzle::new(format!("{place} runs Node without a script"), HELP))
}

/// A `script` takes no arguments of its own, a `command` does.
fn with_arguments(run: Run, arguments: &[String]) -> Run {
    match run {
        Run::Script { script, node_args } => {
            let words = std::iter::once("node".to_owned()).chain(node_args).chain([script]);
            Run::Command(words.chain(arguments.iter().cloned()).collect())
        }
        Run::Command(_) => run,
    }
}

/// A script of Node: one that is built is served as it is, others call the library.
fn script(name: &str, mut node_args: Vec<String>, source: &str, files: &Files) -> Recipe {
    let name = name.trim_start_matches("./").to_owned();
    let speaks =
        files.text(&name).contains("nodesockd") || node_args.iter().any(|arg| arg.contains("nodesockd"));
    let is_built = BUILT.iter().any(|folder| name.starts_with(folder));
    let way = if is_built && !speaks { Way::Register } else { Way::Listen };
    if way == Way::Register {
        node_args.extend(REGISTER.map(str::to_owned));
    }
    Recipe::new("an app for Node", source, Run::Script { script: name, node_args }, way)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::init::recognise::{Recognised, recognise};

    fn told(package: &str, names: &[&str]) -> String {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("package.json"), package).unwrap();
        for name in names {
            std::fs::create_dir_all(folder.path().join(name).parent().unwrap()).unwrap();
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        match recognise(&Files::in_folder(folder.path()).unwrap()) {
            Recognised::One(recipe, _) => recipe.words(),
            Recognised::Several(_) => "several".into(),
            Recognised::Unclear(puzzles) => {
                format!("? {}", puzzles.first().map_or("", |puzzle| puzzle.found.as_str()))
            }
        }
    }

    #[test]
    fn entry_point_is_start_then_main_then_usual_name() {
        let start = r#"{"scripts":{"start":"NODE_ENV=production node ./server.js"},"main":"a.js"}"#;
        assert_eq!(told(start, &["app.js", "a.js"]), "server.js");
        assert_eq!(told(r#"{"main":"./a.js"}"#, &["a.js", "index.js"]), "a.js");
        assert_eq!(told(r#"{"main":"index.js"}"#, &["app.js"]), "app.js");
        assert_eq!(told("{}", &["index.js", "app.js"]), "app.js");
        assert_eq!(told("{}", &[]), "? ");
        assert_eq!(told("[]", &[]), "? ");
    }

    #[test]
    fn arguments_are_kept() {
        let line = |line: &str| told(&format!("{{\"scripts\":{{\"start\":{line:?}}}}}"), &[]);
        assert_eq!(
            line("node --enable-source-maps -r dotenv/config a.js --port 3"),
            "node --enable-source-maps -r dotenv/config a.js --port 3"
        );
        assert_eq!(line("tsx src/a.ts"), "node --import tsx src/a.ts");
        assert_eq!(line("ts-node src/a.ts"), "node -r ts-node/register src/a.ts");
        assert_eq!(line("node dist/a.js"), "node --import nodesockd/register dist/a.js");
        assert!(line("node").starts_with("? `start` in package.json runs Node without a script"));
        assert!(line("strapi start").starts_with("? `start` in package.json runs strapi"));
    }
}
