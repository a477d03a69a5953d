//! An app in two releases behind a `current` symlink.

use std::os::unix::fs::symlink;

use nodesockd_tests::{App, http};

/// Lays out release `number` of an app: its script and its configuration.
pub fn release(app: &App, number: u32) {
    let folder = app.path(&format!("releases/{number}"));
    std::fs::create_dir_all(&folder).unwrap();
    app.save();
    for file in ["app.js", "nodesockd.toml"] {
        std::fs::copy(app.path(file), folder.join(file)).unwrap();
    }
}

/// An app in two releases, of which the first is the current one.
pub fn released() -> App {
    laid_out(App::new())
}

/// `app` in two releases, of which the first is the current one.
pub fn laid_out(app: App) -> App {
    let run = app.run().display().to_string();
    let app = app.set("tmpDir", run);
    release(&app, 1);
    release(&app, 2);
    switch(&app, 1);
    app
}

/// Makes `current` name a release, in one step.
pub fn switch(app: &App, number: u32) {
    symlink(format!("releases/{number}"), app.path("next")).unwrap();
    std::fs::rename(app.path("next"), app.path("current")).unwrap();
}

/// Which release the worker in slot 0 runs: of its script and of its working directory.
pub fn running(app: &App) -> [String; 2] {
    let page = http::get(&app.link(0), "/").json();
    ["script", "folder"].map(|key| page[key].as_str().unwrap().to_owned())
}

pub fn expected(app: &App, number: u32) -> [String; 2] {
    let folder = app.path(&format!("releases/{number}"));
    [folder.join("app.js"), folder].map(|path| path.display().to_string())
}
