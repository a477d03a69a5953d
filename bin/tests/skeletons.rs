//! `nodesockd init` in folders as generators of frameworks make them: right, or a question mark.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The folders, each with the lines of the configuration that say what is run; `?` is a question.
const EXPECTED: [(&str, &str); 46] = [
    ("adonis", r#"script = "build/bin/server.js" + register"#),
    ("astro-node", r#"script = "dist/server/entry.mjs" + register"#),
    ("bun", r#"command = ["bun", "index.ts"], ready = "listen""#),
    ("bun-start", r#"command = ["bun", "src/index.ts"], ready = "listen""#),
    ("create-react-app", "?"),
    ("deno", r#"command = ["deno", "run", "main.ts"]"#),
    ("django", "?"),
    (
        "django-gunicorn",
        r#"command = ["gunicorn", "--bind", "unix:{socket}", "mysite.wsgi:application"], ready = "listen""#,
    ),
    ("django-two-servers", "?"),
    ("docker-start", "?"),
    ("empty", "?"),
    ("express-generator", r#"script = "bin/www""#),
    ("express-npm-init", r#"script = "index.js""#),
    ("express-typescript", r#"script = "dist/index.js" + register"#),
    ("fastapi", r#"command = ["uvicorn", "--uds", "{socket}", "main:app"], ready = "listen""#),
    ("fastapi-package", r#"command = ["uvicorn", "--uds", "{socket}", "app.main:api"], ready = "listen""#),
    (
        "fastify-cli",
        r#"command = ["node", "--import", "nodesockd/register", "node_modules/fastify-cli/cli.js", "start", "-l", "info", "app.js"]"#,
    ),
    ("flask", r#"command = ["gunicorn", "--bind", "unix:{socket}", "app:app"], ready = "listen""#),
    ("go", r#"command = ["{release}/shop"], ready = "listen""#),
    ("go-cmd", r#"command = ["{release}/server"], ready = "listen""#),
    ("go-two-commands", "?"),
    ("hono-node", r#"script = "dist/index.js" + register"#),
    ("koa-nodemon", r#"script = "src/server.js""#),
    ("laravel", "?"),
    ("monorepo", "?"),
    ("nest", r#"script = "dist/main.js" + register"#),
    (
        "next",
        r#"command = ["node", "--import", "nodesockd/register", "node_modules/next/dist/bin/next", "start"]"#,
    ),
    ("next-export", "?"),
    ("next-own-server", r#"script = "server.js""#),
    ("next-standalone", r#"script = ".next/standalone/server.js" + register"#),
    ("npm-run-wrapped", r#"script = "server.js", nodeArgs = ["--enable-source-maps"]"#),
    ("nuxt", r#"script = ".output/server/index.mjs" + register"#),
    ("pm2", "?"),
    ("python-script", "?"),
    ("rack-thin", "?"),
    ("rails", r#"command = ["bundle", "exec", "puma", "--bind", "unix://{socket}"], ready = "listen""#),
    (
        "react-router",
        r#"command = ["node", "--import", "nodesockd/register", "node_modules/.bin/react-router-serve", "./build/server/index.js"]"#,
    ),
    ("rust", r#"command = ["{release}/target/release/shop"], ready = "listen""#),
    ("rust-workspace", "?"),
    ("sinatra", r#"command = ["bundle", "exec", "puma", "--bind", "unix://{socket}"], ready = "listen""#),
    (
        "starlette-hypercorn",
        r#"command = ["hypercorn", "--bind", "unix:{socket}", "asgi:app"], ready = "listen""#,
    ),
    ("sveltekit", "?"),
    ("sveltekit-node", r#"script = "build/index.js" + register"#),
    ("ts-node-start", r#"script = "src/server.ts", nodeArgs = ["-r", "ts-node/register"]"#),
    ("tsx-start", r#"script = "src/server.ts", nodeArgs = ["--import", "tsx"]"#),
    ("vite-react", "?"),
];

fn skeletons() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/skeletons")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// What `init` writes for a folder, and what it says.
fn init(name: &str) -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    let app = folder.path().join(name);
    copy(&skeletons().join(name), &app);
    let output = Command::new(env!("CARGO_BIN_EXE_nodesockd"))
        .args(["init", "--tmp-dir", "run"])
        .current_dir(&app)
        .env("PWD", &app)
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{name}: {said}");
    (fs::read_to_string(app.join("nodesockd.toml")).unwrap(), said)
}

/// The lines that say what is run.
fn run(config: &str) -> String {
    let line = |key: &str| config.lines().find(|line| line.starts_with(&format!("{key} = ")));
    if line("script") == Some("script = \"?\"") {
        return "?".into();
    }
    let lines = ["script", "nodeArgs", "command", "ready"].into_iter().filter_map(line);
    lines
        .collect::<Vec<_>>()
        .join(", ")
        .replace(", nodeArgs = [\"--import\", \"nodesockd/register\"]", " + register")
}

#[test]
fn every_skeleton_is_recognised_or_asked_about() {
    let mut names: Vec<String> = fs::read_dir(skeletons())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, EXPECTED.map(|(name, _)| name));
    let mut wrong = String::new();
    for (name, expected) in EXPECTED {
        let (config, said) = init(name);
        if run(&config) != expected {
            let _ = writeln!(wrong, "{name}: expected {expected}\n  was {}\n{said}", run(&config));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// What a person reads: whatever is not certain comes with a word.
#[test]
fn what_is_said_of_skeletons() {
    let mut text = String::new();
    for (name, _) in EXPECTED {
        let (config, said) = init(name);
        let open = config.lines().filter(|line| !line.is_empty());
        let open =
            open.skip_while(|line| !line.starts_with("# ?")).take_while(|line| *line != "script = \"?\"");
        let env = config.lines().skip_while(|line| *line != "[env]");
        let findings = said.lines().take_while(|line| !line.contains("`tmpDir`"));
        let steps =
            said.lines().skip_while(|line| *line != "Next:").take_while(|line| !line.contains("Try it"));
        let _ = writeln!(text, "=== {name}");
        for line in
            findings.chain(open).chain(env).chain(steps.filter(|line| !line.is_empty() && *line != "Next:"))
        {
            let _ = writeln!(text, "{}", line.trim_end());
        }
    }
    insta::assert_snapshot!(text);
}
