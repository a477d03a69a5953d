//! The configuration file that is written for an app.

use std::fmt::Write;
use std::path::Path;

use super::app::{App, Start};
use super::recognise::{Puzzle, Recipe, Run, Way};
use crate::setup::plain;

/// A commented `nodesockd.toml`.
pub(super) fn text(app: &App, tmp_dir: &Path) -> String {
    let mut text = format!(
        "# How nodesockd runs this app. `nodesockd check` tells whether it would, `nodesockd config` what is in force.\n\n\
         # Shown in process titles.\nname = {name}\n\n",
        name = quoted(&app.name),
    );
    match &app.start {
        Start::Known(recipe, _) => text += &known(recipe),
        Start::Open(recipes, puzzles) => text += &open(recipes, puzzles),
    }
    let _ = write!(
        text,
        "\n# Sockets of the workers and of the daemon. nginx has to get in, and deploys must not replace it: in production a\n\
         # folder such as /run/{name} is best.\ntmpDir = {tmp_dir}\n\n\
         # How many workers serve at a time; \"auto\" is one for each CPU. nginx lists a server for each.\nworkers = 2\n\n\
         # How many servers nginx lists, if the number of workers is to change without a change of nginx.\n# slots = 8\n\n\
         # How many spare workers wait to take over from one that fails.\n# standby = 1\n\n",
        name = plain::name(&app.name, '-'),
        tmp_dir = quoted(&tmp_dir.to_string_lossy()),
    );
    let env = app.recipe().map(|recipe| recipe.env.as_slice()).unwrap_or_default();
    if env.is_empty() {
        text += "# What workers get from the daemon's environment, besides NODE_ENV, PATH, HOME, LANG and TZ.\n\
                 # env = [\"DATABASE_URL\"]\n\n";
    } else {
        text += "# Variables of the workers, one file with NAME=value lines or several.\n# envFile = \".env\"\n\n";
    }
    text += "# Times are in milliseconds.\n[options]\n";
    if let Some(way) = app.recipe().map(|recipe| recipe.way) {
        text += ready(way);
    }
    let _ = write!(
        text,
        "# Connections wait at a socket of each worker's own, or at the daemon's, where they outlast a worker; the latter is for\n\
         # apps that call nodesockd.listen().\n# listen = \"daemon\"\n\n\
         # From a worker's start until it has to be ready.\n# onlineTimeout = 10000\n\n\
         # For what a worker has begun, when it is replaced.\n# shutdownTimeout = 10000\n\n\
         # Workers write where the daemon writes, which is the journal under systemd. Or into a file:\n\
         # stdout = \"log/{name}.log\"\n",
        name = plain::name(&app.name, '-'),
    );
    if !env.is_empty() {
        text += "\n# What workers get, besides NODE_ENV, PATH, HOME, LANG and TZ of the daemon.\n[env]\n";
        for (name, value) in env {
            let _ = writeln!(text, "{name} = {}", quoted(value));
        }
    }
    text
}

fn known(recipe: &Recipe) -> String {
    let what = match recipe.run {
        Run::Script { .. } => "# The workers' entry point, run with Node.\n",
        Run::Command(_) => "# What a worker runs. `{socket}` and `{release}` are filled in.\n",
    };
    what.to_owned() + &run(recipe)
}

/// The lines that say what is run.
fn run(recipe: &Recipe) -> String {
    match &recipe.run {
        Run::Script { script, node_args } if node_args.is_empty() => format!("script = {}\n", quoted(script)),
        Run::Script { script, node_args } => {
            format!("script = {}\nnodeArgs = {}\n", quoted(script), list(node_args))
        }
        Run::Command(words) => format!("command = {}\n", list(words)),
    }
}

/// A question mark, with what may take its place.
fn open(recipes: &[Recipe], puzzles: &[Puzzle]) -> String {
    let mut text =
        String::from("# ? What starts this app is not clear. Put it in the place of the question mark");
    if recipes.is_empty() {
        text += ": a script for Node, or instead of it\n# command = [\"PROGRAM\", \"ARGUMENT\"]\n";
    } else {
        text += ":\n";
    }
    for Puzzle { found, help } in puzzles {
        let _ = writeln!(text, "# {}\n#   {}", commented(found), commented(help));
    }
    for recipe in recipes {
        let ready = ready(recipe.way)
            .lines()
            .rfind(|line| line.starts_with("ready"))
            .map(|line| format!(", and {line} below"));
        let _ = writeln!(text, "# {}{}", commented(&recipe.kind), ready.unwrap_or_default());
        for line in run(recipe).lines() {
            let _ = writeln!(text, "#   {line}");
        }
    }
    text + "script = \"?\"\n"
}

/// How a worker shows that it is ready, where it does not report.
fn ready(way: Way) -> &'static str {
    match way {
        Way::Listen | Way::Register => "",
        Way::Told | Way::Variable(_) => {
            "# A worker is ready when it listens on its socket, and told to end by SIGTERM. Where a path answers with 2xx only when\n\
             # the app can serve, say instead:\n\
             # ready = \"http\"\n# readyPath = \"/health\"\n\
             ready = \"listen\"\n\n"
        }
    }
}

/// Without ends of lines, which would end the comment, and other control characters, which TOML has in no comment.
fn commented(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// As a string of TOML.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// As a list of strings of TOML.
fn list(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    format!("[{}]", words.join(", "))
}

#[cfg(test)]
mod tests {
    use super::super::recognise::Files;
    use super::*;

    #[test]
    fn what_a_package_says_of_itself_is_written_as_toml() {
        for (package, name) in [
            (r#"{ "name": "" }"#, "folder"),
            (r#"{ "name": "@acme/" }"#, "folder"),
            (r#"{ "name": "a\u0000b" }"#, "folder"),
            (r#"{ "name": "shop", "scripts": { "start": "serve \u0007\n| log" } }"#, "shop"),
        ] {
            let root = tempfile::tempdir().unwrap();
            let folder = root.path().join("folder");
            std::fs::create_dir(&folder).unwrap();
            std::fs::write(folder.join("package.json"), package).unwrap();
            let app = App::of(&Files::in_folder(&folder).unwrap());
            let written: toml::Table = text(&app, Path::new("run")).parse().unwrap();
            assert_eq!(written["name"].as_str(), Some(name), "{package}");
        }
    }
}
