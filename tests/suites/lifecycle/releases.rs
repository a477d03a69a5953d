//! An app in two releases behind a `current` symlink.

use nodesockd_tests::{App, http};

pub use nodesockd_tests::releases::{current, laid_out, switch};

/// An app in two releases, of which the first is the current one.
pub fn released() -> App {
    laid_out(App::new())
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
