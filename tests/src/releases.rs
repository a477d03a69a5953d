//! An app in two releases behind a `current` symlink.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use crate::App;

/// `app` in two releases, `releases/1` and `releases/2`, of which the first is the current one.
///
/// # Panics
///
/// When its folder is not as it was made.
#[must_use]
pub fn laid_out(app: App) -> App {
    let run = app.run().display().to_string();
    let app = app.set("tmpDir", run);
    release(&app, 1);
    release(&app, 2);
    switch(&app, 1);
    app
}

/// Lays out release `number` of an app: its script and its configuration.
///
/// # Panics
///
/// When its folder is not as it was made.
pub fn release(app: &App, number: u32) {
    let folder = app.path(&format!("releases/{number}"));
    fs::create_dir_all(&folder).expect("the app's own folder");
    app.save();
    for file in ["app.js", "nodesockd.toml"] {
        fs::copy(app.path(file), folder.join(file)).expect("the app's own folder");
    }
}

/// Makes `current` name a release, in one step.
///
/// # Panics
///
/// When the app's folder is not as it was made.
pub fn switch(app: &App, number: u32) {
    symlink(format!("releases/{number}"), app.path("next")).expect("the app's own folder");
    fs::rename(app.path("next"), app.path("current")).expect("the app's own folder");
}

/// What `current` names.
///
/// # Panics
///
/// When there is no such symlink.
#[must_use]
pub fn current(app: &App) -> PathBuf {
    fs::read_link(app.path("current")).expect("a symlink")
}
