//! A program that stands between the daemon and the app.

use std::path::Path;

use nodesockd_core::config::{Config, Program, Ready};

use super::Finding;
use super::words::{SHELLS, name};
use crate::render;
use crate::setup::init::behind;

/// Programs that start what they are given and stay. Others become what they are given, such as `env`, `poetry run`, `pipenv run`
/// and `bundle exec`.
const WRAPPERS: [&str; 18] = [
    "npm",
    "npx",
    "yarn",
    "yarnpkg",
    "pnpm",
    "pnpx",
    "bunx",
    "corepack",
    "cross-env",
    "cross-env-shell",
    "dotenv",
    "dotenvx",
    "env-cmd",
    "nodemon",
    "tsx",
    "uvx",
    "make",
    "time",
];

/// Programs that start what they are given as another user, or elsewhere.
const STRANGERS: [&str; 6] = ["sudo", "su", "doas", "runuser", "docker", "podman"];

/// Folders in which programs of an app alone lie.
const OWN: [&str; 3] = ["node_modules/.bin", ".venv/bin", "venv/bin"];

pub(crate) fn look(config: &Config) -> Option<Finding> {
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
    if !(stays(words, &config.cwd) || shell && !execs) {
        return None;
    }
    let told = if config.options.ready == Ready::Report {
        "the app reports by the control socket"
    } else {
        "SIGTERM goes to the process that listens"
    };
    let message = format!(
        "`{shown}` stands between the daemon and the app; {told}, and `{shown}` costs memory and time"
    );
    let help = if shell {
        "put `exec` before the last command, or give `command` its words without a shell".to_owned()
    } else {
        instead(words, &config.cwd).unwrap_or_else(|| {
            "start the app itself where you can, such as `script = \"server.js\"`".to_owned()
        })
    };
    Some(Finding::warning(message, help))
}

/// Whether the program stays beside what it starts.
fn stays(words: &[String], folder: &Path) -> bool {
    let Some((program, rest)) = words.split_first() else { return false };
    let program = name(program);
    let verb = rest.first().map_or("", String::as_str);
    match program {
        // `bun server.js` and `bun run server.js` are the app itself.
        "bun" => verb == "x" || behind(words, folder).is_some() || runs_installed(rest, folder),
        "deno" => verb == "task",
        "uv" => matches!(verb, "run" | "tool"),
        _ => WRAPPERS.contains(&program),
    }
}

/// Whether `bun run` is to run a program that a package has brought.
fn runs_installed(rest: &[String], folder: &Path) -> bool {
    let name = rest.iter().find(|word| *word != "run" && !word.starts_with('-'));
    name.is_some_and(|name| !folder.join(name).exists() && folder.join(OWN[0]).join(name).exists())
}

/// What to write instead, where it is clear what the program runs.
fn instead(words: &[String], folder: &Path) -> Option<String> {
    let (mut words, names) = behind(words, folder)?;
    if words[0].ends_with(".py") {
        words.insert(0, "python".to_owned());
    }
    if let Some(own) =
        OWN.iter().map(|own| format!("{own}/{}", words[0])).find(|own| folder.join(own).exists())
    {
        words[0] = own;
    }
    let key = match words.as_slice() {
        [node, script] if node == "node" && !script.starts_with('-') => format!("script = {script:?}"),
        _ => format!("command = {words:?}"),
    };
    let env = if names.is_empty() { String::new() } else { format!(", with {} in `env`", names.join(", ")) };
    Some(render::sentence(&format!("start the app itself: `{key}`{env}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let package = r#"{"scripts":{"start":"PORT=1 node dist/a.js","next":"next start"}}"#;
        let files = [("package.json", package), ("node_modules/.bin/next", ""), (".venv/bin/python", "")];
        for (name, text) in files {
            let file = folder.path().join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }
        folder
    }

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn programs_that_stay_are_told_from_those_that_become_the_app() {
        let folder = folder();
        for line in [
            "npm start",
            "npm exec next start",
            "npx next start",
            "pnpm start",
            "yarn start",
            "bun run start",
            "bun start",
            "bun x next",
            "bun run next",
            "bunx next",
            "deno task start",
            "uv run main.py",
            "/usr/bin/uvx uvicorn",
            "tsx a.ts",
        ] {
            assert!(stays(&words(line), folder.path()), "{line}");
        }
        for line in [
            "node a.js",
            "bun run server.js",
            "bun server.js",
            "bun run --smol server.js",
            "deno run a.ts",
            "poetry run python a.py",
            "pipenv run python a.py",
            "bundle exec puma",
            "env A=1 node a.js",
            "uv",
        ] {
            assert!(!stays(&words(line), folder.path()), "{line}");
        }
    }

    #[test]
    fn what_they_run_is_shown() {
        let folder = folder();
        for (line, shown) in [
            ("npm start", "`script = \"dist/a.js\"`, with PORT in `env`"),
            ("bun run start", "`script = \"dist/a.js\"`, with PORT in `env`"),
            ("yarn next", "`command = [\"node_modules/.bin/next\", \"start\"]`"),
            ("npx next start", "`command = [\"node_modules/.bin/next\", \"start\"]`"),
            ("uv run main.py", "`command = [\".venv/bin/python\", \"main.py\"]`"),
        ] {
            let help = instead(&words(line), folder.path()).unwrap();
            assert_eq!(help, format!("start the app itself: {shown}"), "{line}");
        }
        assert_eq!(instead(&words("npm run nothing"), folder.path()), None);
    }
}
