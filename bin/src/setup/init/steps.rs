//! What is left to do, step by step.

use std::fmt::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anstyle::Style as Paint;
use nodesockd_core::config::Config;
use nodesockd_os::accounts::{Account, group_name};

use super::app::App;
use super::recognise::{Recipe, Way};
use crate::out::Style;
use crate::render;
use crate::setup::plain;

/// A step: what it is for, and lines to type or to write.
struct Step {
    title: String,
    lines: Vec<String>,
}

/// Who is going to type, and how nodesockd is called.
pub(super) struct Caller {
    /// The command.
    pub(super) command: &'static str,
    /// Whom the daemon is to run as.
    pub(super) user: String,
    /// What is in front of it where it has to run as that user; empty if that is who types.
    pub(super) become_user: String,
}

/// The steps that remain for this app.
pub(super) fn text(app: &App, config: &Config, caller: &Caller, style: Style) -> String {
    let mut text = String::from("\nNext:\n");
    for (index, step) in steps(app, config, caller).iter().enumerate() {
        let number = style.paint(Paint::new().bold(), &format!("{}.", index + 1));
        let _ = writeln!(text, "\n  {number} {}\n", step.title);
        for line in &step.lines {
            let indent = if line.is_empty() { "" } else { "       " };
            let _ = writeln!(text, "{indent}{}", style.paint(render::CYAN, line));
        }
    }
    text
}

fn steps(app: &App, config: &Config, caller: &Caller) -> Vec<Step> {
    let Caller { command, user, become_user } = caller;
    let name = plain::name(&config.name, '-');
    let step = |title: &str, lines: &[String]| Step { title: title.to_owned(), lines: lines.to_vec() };
    let mut steps = Vec::new();
    match app.recipe().map(|recipe| (recipe, recipe.way)) {
        None => steps
            .push(step("Say in the configuration what starts the app, where it has a question mark.", &[])),
        Some((recipe, Way::Listen | Way::Register)) => {
            if !app.depends {
                steps.push(step("Install the library:", &["npm install nodesockd".into()]));
            }
            if !app.integrated && recipe.way == Way::Listen {
                steps.push(integration(app, recipe));
            }
        }
        Some((_, Way::Variable(lines))) if !lines.is_empty() => {
            let lines: Vec<String> = lines.iter().map(|&line| line.to_owned()).collect();
            steps.push(step("Listen on the worker's socket, unless the app does so already:", &lines));
        }
        Some((_, Way::Variable(_) | Way::Told)) => {}
    }
    steps.push(step(
        "Try it, without nginx, on http://localhost:8000:",
        &[format!("{become_user}{command} daemon --dev-server")],
    ));
    let nginx =
        format!("{command} nginx --server-name shop.example | sudo tee /etc/nginx/conf.d/{name}.conf");
    steps.push(step(
        "Let nginx pass requests to it, under your own server name:",
        &[nginx, "sudo nginx -t && sudo nginx -s reload".into()],
    ));
    if config.tmp_dir.starts_with("/run") && is_systemd() {
        steps.push(at_boot(config, &name));
    }
    steps.push(step("Have the daemon started, now and at boot:", &service(command, user, &name)));
    steps.push(step("See whether everything is as it should be:", &[format!("sudo {command} doctor")]));
    steps
}

fn service(command: &str, user: &str, name: &str) -> Vec<String> {
    if !is_systemd() {
        return vec![format!("{command} service --help")];
    }
    vec![
        format!("{command} service systemd --user {user} | sudo tee /etc/systemd/system/{name}.service"),
        format!("sudo systemctl enable --now {name}"),
    ]
}

/// systemd runs where its folder is (`sd_booted(3)`).
fn is_systemd() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

fn integration(app: &App, recipe: &Recipe) -> Step {
    let import = if app.esm {
        "import nodesockd from 'nodesockd';"
    } else {
        "const nodesockd = require('nodesockd');"
    };
    let listen = if app.esm { "await nodesockd.listen(app, 3000);" } else { "nodesockd.listen(app, 3000);" };
    let script = recipe.script().unwrap_or("the app");
    Step {
        title: format!(
            "In {}, listen through nodesockd instead of `app.listen(3000)`:",
            render::word(script)
        ),
        lines: vec![import.into(), String::new(), listen.into()],
    }
}

/// `/run` is emptied at boot.
fn at_boot(config: &Config, name: &str) -> Step {
    let folder = render::path(&config.tmp_dir);
    let line = match std::fs::metadata(&config.tmp_dir) {
        Ok(found) => {
            let owner = Account::numbered(found.uid(), found.gid()).name;
            format!("d {folder} 2750 {} {} -", render::word(&owner), group_name(found.gid()))
        }
        Err(_) => format!("d {folder} 2750 {name} www-data -"),
    };
    Step {
        title: format!("Have {folder} made again at boot, when /run is empty:"),
        lines: vec![format!("echo '{line}' | sudo tee /etc/tmpfiles.d/{name}.conf")],
    }
}
