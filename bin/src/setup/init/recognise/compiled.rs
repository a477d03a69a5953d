//! Programs in Go and Rust: what their build makes is run.

use super::files::Files;
use super::line::HELP;
use super::{Guesses, Puzzle, Recipe, Run, Way};

/// How a server in Go listens on its worker's socket.
const GO: &[&str] = &[
    "listener, err := net.Listen(\"unix\", os.Getenv(\"NODESOCKD_SOCKET_PATH\"))",
    "// On SIGTERM: server.Shutdown(context.Background())",
    "server.Serve(listener)",
];

/// How one in Rust does, with axum for instance.
const RUST: &[&str] = &[
    "let listener = tokio::net::UnixListener::bind(std::env::var(\"NODESOCKD_SOCKET_PATH\")?)?;",
    "axum::serve(listener, app).with_graceful_shutdown(sigterm).await?;",
];

pub(super) fn go(files: &Files) -> Guesses {
    if !files.has_file("go.mod") {
        return Guesses::default();
    }
    let module = files.text("go.mod");
    let module = module.lines().find_map(|line| line.trim().strip_prefix("module ")).unwrap_or("app").trim();
    let name = module.rsplit('/').next().unwrap_or(module);
    let is_main = |folder: &str| {
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        files.names(if folder.is_empty() { "." } else { folder }).iter().any(|file| {
            file.ends_with(".go")
                && files.text(&format!("{prefix}{file}")).lines().any(|line| line.trim() == "package main")
        })
    };
    if is_main("") {
        return program(name, "go.mod", &format!("go build -o {name} ."), &format!("{{release}}/{name}"), GO)
            .into();
    }
    let commands: Vec<String> =
        files.names("cmd").into_iter().filter(|name| is_main(&format!("cmd/{name}"))).collect();
    if commands.is_empty() {
        return Puzzle::new("go.mod is there, but no `package main` here or in cmd", HELP).into();
    }
    let recipe = |name: &String| {
        let build = format!("go build -o {name} ./cmd/{name}");
        program(name, &format!("cmd/{name}"), &build, &format!("{{release}}/{name}"), GO)
    };
    Guesses { recipes: commands.iter().map(recipe).collect(), ..Guesses::default() }
}

pub(super) fn rust(files: &Files) -> Guesses {
    if !files.has_file("Cargo.toml") {
        return Guesses::default();
    }
    let manifest: toml::Table = files.text("Cargo.toml").parse().unwrap_or_default();
    let text = |value: Option<&toml::Value>, key: &str| Some(value?.get(key)?.as_str()?.to_owned());
    let package = manifest.get("package");
    let mut names: Vec<String> = Vec::new();
    if let Some(name) = text(package, "default-run") {
        names.push(name);
    } else {
        let bins = manifest.get("bin").and_then(toml::Value::as_array).into_iter().flatten();
        names.extend(bins.filter_map(|bin| text(Some(bin), "name")));
        let more = files.names("src/bin").into_iter().map(|name| name.trim_end_matches(".rs").to_owned());
        names.extend(more);
        if names.is_empty() || files.has_file("src/main.rs") && manifest.get("bin").is_none() {
            names.extend(text(package, "name").filter(|_| files.has_file("src/main.rs")));
        }
    }
    if names.is_empty() {
        let found = "Cargo.toml is there, but it names no program: a workspace, or a library";
        return Puzzle::new(found, "name the program as `command = [\"{release}/target/release/NAME\"]`")
            .into();
    }
    let recipe = |name: &String| {
        program(
            name,
            "Cargo.toml",
            "cargo build --release",
            &format!("{{release}}/target/release/{name}"),
            RUST,
        )
    };
    Guesses { recipes: names.iter().map(recipe).collect(), ..Guesses::default() }
}

fn program(name: &str, source: &str, build: &str, path: &str, lines: &'static [&'static str]) -> Recipe {
    let kind = format!("the program {name}");
    let recipe = Recipe::new(&kind, source, Run::command(&[path]), Way::Variable(lines));
    recipe.note(format!("`{build}` makes it"))
}
