//! A line that starts something: wrappers are taken off until the program is left that they run.

use super::files::Files;
use super::{Puzzle, bun_deno};

/// How often a script may lead to another.
const DEEPEST: usize = 8;

/// What a line runs in the end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Start {
    /// The program and its arguments.
    pub(super) words: Vec<String>,
    /// Variables that the line gives it.
    pub(super) env: Vec<(String, String)>,
    /// What was taken off, and why.
    pub(super) notes: Vec<String>,
}

/// Programs that run their arguments, without options of their own that matter here.
const PLAIN: [&str; 8] = ["exec", "env", "cross-env", "cross-env-shell", "npx", "bunx", "nice", "time"];

/// Programs that run another one that is installed for the app alone.
const ENVIRONMENTS: [&str; 4] = ["poetry", "uv", "pipenv", "rye"];

/// Supervisors, whose work nodesockd does.
const SUPERVISORS: [&str; 3] = ["pm2", "pm2-runtime", "forever"];

/// Programs that run several others at a time.
const MANY: [&str; 7] = ["concurrently", "npm-run-all", "run-p", "run-s", "turbo", "nx", "lerna"];

/// Resolves `line`, which stands in `place`.
pub(super) fn resolve(line: &str, place: &str, files: &Files) -> Result<Start, Puzzle> {
    let mut start = Start::default();
    let words = last_command(line, place, &mut start.notes)?;
    unwrap(start, words, place, files)
}

/// Takes wrappers off `words`, and adds to `start` what they are worth.
pub(super) fn unwrap(
    mut start: Start,
    mut words: Vec<String>,
    place: &str,
    files: &Files,
) -> Result<Start, Puzzle> {
    for _ in 0..DEEPEST {
        while let Some((name, value)) = words.first().and_then(|word| assignment(word)) {
            start.env.push((name, value));
            words.remove(0);
        }
        let Some(next) = unwrapped(&words, place, files, &mut start.notes)? else { break };
        words = next;
    }
    if words.is_empty() {
        return Err(Puzzle::new(format!("{place} runs nothing"), HELP));
    }
    start.words = words;
    Ok(start)
}

/// What to do where a line cannot be resolved.
pub(super) const HELP: &str = "name the app's own script as `script`, or its program as `command`";

/// The words of the last command of a line of shell. What comes before has to be done before.
fn last_command(line: &str, place: &str, notes: &mut Vec<String>) -> Result<Vec<String>, Puzzle> {
    let shell = || Puzzle::new(format!("{place} needs a shell: {line}"), HELP);
    let (before, command) = line.rsplit_once("&&").or_else(|| line.rsplit_once(';')).unwrap_or(("", line));
    if command.contains(['|', '<', '>', '`', '(', '&']) {
        return Err(shell());
    }
    if !before.trim().is_empty() {
        notes.push(format!(
            "{place} does something before, which the daemon does not: `{}`; do it when you build or deploy",
            before.trim()
        ));
    }
    split(command).ok_or_else(shell)
}

/// Words as a shell splits them, quotes resolved; nothing if one is not closed.
fn split(command: &str) -> Option<Vec<String>> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in command.chars() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

/// `NAME=value`
fn assignment(word: &str) -> Option<(String, String)> {
    let (name, value) = word.split_once('=')?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (!name.is_empty() && name.chars().all(plain) && !name.starts_with(|c: char| c.is_ascii_digit()))
        .then(|| (name.to_owned(), value.to_owned()))
}

/// What the first word runs, if it is a wrapper.
fn unwrapped(
    words: &[String],
    place: &str,
    files: &Files,
    notes: &mut Vec<String>,
) -> Result<Option<Vec<String>>, Puzzle> {
    let Some(first) = words.first() else { return Ok(None) };
    let program = first.rsplit('/').next().unwrap_or(first);
    let rest = &words[1..];
    if PLAIN.contains(&program) {
        return Ok(Some(without_options(rest)));
    }
    if MANY.contains(&program) {
        return Err(Puzzle::new(
            format!("{place} runs several programs at a time, by {program}"),
            "name the one that serves as `script` or `command`; have others run by the service manager",
        ));
    }
    if SUPERVISORS.contains(&program) {
        return supervised(program, rest, place, notes).map(Some);
    }
    if ENVIRONMENTS.contains(&program) && rest.first().is_some_and(|word| word == "run") {
        notes.push(format!(
            "{program} would stand between the daemon and the app: the program itself is named, which has to be in the service's PATH; \
             `{program} run which PROGRAM` says where it is"
        ));
        return Ok(Some(without_options(&rest[1..])));
    }
    if matches!(program, "dotenv" | "env-cmd" | "dotenvx") {
        notes.push(format!(
            "{program} would stand between the daemon and the app: name its file as `envFile` instead"
        ));
        let at = rest.iter().position(|word| word == "--");
        return Ok(Some(at.map_or_else(|| without_options(rest), |at| rest[at + 1..].to_vec())));
    }
    if let Some(run) = executed(program, rest) {
        return Ok(Some(run));
    }
    if program == "deno" && rest.first().is_some_and(|word| word == "task") {
        let Some((name, line)) = rest.get(1).and_then(|name| Some((name, bun_deno::task(name, files)?)))
        else {
            return Err(Puzzle::new(format!("{place} runs a task that deno.json does not name"), HELP));
        };
        let mut next = last_command(&line, &format!("the task `{name}`"), notes)?;
        next.extend_from_slice(&rest[2..]);
        return Ok(Some(next));
    }
    if let Some((script, arguments)) = named_script(program, rest, files) {
        let Some(line) = files.script(&script) else {
            let found = format!("{place} runs the script {script}, which is not in package.json");
            return Err(Puzzle::new(found, HELP));
        };
        let mut next = last_command(line, &format!("`{script}` in package.json"), notes)?;
        next.extend(arguments);
        return Ok(Some(next));
    }
    Ok(watched(program, words, notes))
}

/// Arguments after options. An option's value is not known to be one, unless it follows `=`.
fn without_options(words: &[String]) -> Vec<String> {
    words.iter().skip_while(|word| word.starts_with('-')).cloned().collect()
}

/// What a package manager is to run that is no script of package.json.
fn executed(program: &str, rest: &[String]) -> Option<Vec<String>> {
    let verb = rest.first()?.as_str();
    let runs = match program {
        "npm" => matches!(verb, "exec" | "x"),
        "pnpm" | "yarn" => matches!(verb, "exec" | "dlx"),
        "bun" => verb == "x",
        _ => false,
    };
    runs.then(|| without_options(&rest[1..]))
}

/// The script of package.json that a package manager is to run.
fn named_script(program: &str, rest: &[String], files: &Files) -> Option<(String, Vec<String>)> {
    if !matches!(program, "npm" | "yarn" | "pnpm" | "bun") {
        return None;
    }
    let rest: Vec<String> =
        rest.iter().filter(|word| !matches!(word.as_str(), "-s" | "--silent" | "--")).cloned().collect();
    let (verb, rest) = rest.split_first()?;
    match verb.as_str() {
        "start" if program != "bun" => Some(("start".to_owned(), rest.to_vec())),
        "run" | "run-script" => {
            let (name, rest) = rest.split_first()?;
            let known = program != "bun" || files.script(name).is_some();
            known.then(|| (name.clone(), rest.to_vec()))
        }
        name if program != "npm" && files.script(name).is_some() => Some((name.to_owned(), rest.to_vec())),
        _ => None,
    }
}

/// What is left without a wrapper that starts a program again when a file changes.
fn watched(program: &str, words: &[String], notes: &mut Vec<String>) -> Option<Vec<String>> {
    let instead: (&str, Vec<String>) = match program {
        "nodemon" => ("node", without_options(&words[1..])),
        "ts-node-dev" | "tsnd" => ("ts-node", without_options(&words[1..])),
        "tsx" if words.get(1).is_some_and(|word| word == "watch") => ("tsx", without_options(&words[2..])),
        "node" | "bun" | "tsx" => {
            let kept: Vec<String> = words[1..]
                .iter()
                .filter(|word| !matches!(word.as_str(), "--watch" | "--hot"))
                .cloned()
                .collect();
            if kept.len() == words.len() - 1 {
                return None;
            }
            (program, kept)
        }
        _ => return None,
    };
    notes.push(format!("watching files is for development, and left out of `{}`", words.join(" ")));
    Some(std::iter::once(instead.0.to_owned()).chain(instead.1).collect())
}

fn supervised(
    program: &str,
    rest: &[String],
    place: &str,
    notes: &mut Vec<String>,
) -> Result<Vec<String>, Puzzle> {
    let mut rest = without_options(rest);
    if rest.first().is_some_and(|word| word == "start") {
        rest = without_options(&rest[1..]);
    }
    match rest.first() {
        Some(script) if !script.contains("ecosystem") && script.contains(".js") => {
            notes.push(format!("{program} is left out: its work is nodesockd's"));
            Ok(vec!["node".to_owned(), script.clone()])
        }
        _ => Err(Puzzle::new(
            format!("{place} runs the app by {program}"),
            "name the script that it runs as `script`; docs/09-from-pm2.md says what corresponds to what",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(package: &str) -> (tempfile::TempDir, Files) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("package.json"), package).unwrap();
        let files = Files::in_folder(folder.path()).unwrap();
        (folder, files)
    }

    fn resolved(line: &str) -> Result<String, String> {
        let package =
            r#"{"scripts":{"start":"npm run prod","prod":"A=1 node dist/a.js","loop":"npm run loop"}}"#;
        let (folder, files) = files(package);
        std::fs::write(folder.path().join("deno.json"), r#"{ "tasks": { "serve": "deno run a.ts" } }"#)
            .unwrap();
        let start = resolve(line, "`start`", &files).map_err(|puzzle| puzzle.found)?;
        Ok(start.words.join(" "))
    }

    #[test]
    fn wrappers_are_taken_off() {
        for (line, words) in [
            ("node a.js", "node a.js"),
            ("npm start", "node dist/a.js"),
            ("yarn prod --port 3", "node dist/a.js --port 3"),
            ("cross-env A=1 B=2 node a.js", "node a.js"),
            ("npx tsx watch --clear-screen=false src/a.ts", "tsx src/a.ts"),
            ("nodemon src/a.js", "node src/a.js"),
            ("node --watch a.js", "node a.js"),
            ("dotenv -e .env -- node 'a b.js'", "node a b.js"),
            ("uv run uvicorn main:app", "uvicorn main:app"),
            ("bun run prod", "node dist/a.js"),
            ("bun prod", "node dist/a.js"),
            ("bun run a.js", "bun run a.js"),
            ("npm exec -- next start", "next start"),
            ("pnpm exec next start", "next start"),
            ("bun x next start", "next start"),
            ("deno task serve --port 3", "deno run a.ts --port 3"),
            ("pm2-runtime start app.js -i max", "node app.js"),
            ("npm run build && exec node a.js", "node a.js"),
        ] {
            assert_eq!(resolved(line).as_deref(), Ok(words), "{line}");
        }
    }

    #[test]
    fn what_cannot_be_resolved_says_why() {
        for (line, reason) in [
            ("node a.js | tee log", "needs a shell"),
            ("node 'a.js", "needs a shell"),
            ("concurrently \"npm:a\" \"npm:b\"", "several programs"),
            ("pm2 start ecosystem.config.js", "by pm2"),
            ("npm run nothing", "not in package.json"),
            ("deno task nothing", "does not name"),
            ("", "runs nothing"),
        ] {
            let found = resolved(line).unwrap_err();
            assert!(found.contains(reason), "{line}: {found}");
        }
        assert_eq!(resolved("npm run loop").as_deref(), Ok("npm run loop"));
    }

    #[test]
    fn variables_and_what_is_left_out_are_kept() {
        let (_folder, files) = files("{}");
        let start = resolve("tsc && NODE_ENV=production nodemon a.js", "`start`", &files).unwrap();
        assert_eq!(start.env, [("NODE_ENV".to_owned(), "production".to_owned())]);
        assert_eq!(start.notes.len(), 2, "{:?}", start.notes);
    }
}
