//! A real browser, Chromium without a window, that keeps nothing and asks nobody else.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use crate::wait;

/// A browser that shows one page for as long as it lives.
#[derive(Debug)]
pub struct Browser {
    child: Child,
    profile: TempDir,
}

impl Browser {
    /// Opens a page.
    ///
    /// # Panics
    ///
    /// When Chromium is not installed: `tests/run` does that.
    #[must_use]
    pub fn open(url: &str) -> Self {
        let profile = profile();
        let child = chromium(profile.path())
            .args(["--remote-debugging-port=0", url])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("chromium: {error}; `tests/run` installs it"));
        Self { child, profile }
    }

    /// The title of the page that it shows; none, while there is no page yet.
    #[must_use]
    pub fn title(&self) -> Option<String> {
        // The first line is the port at which it answers questions about its pages.
        let told = std::fs::read_to_string(self.profile.path().join("DevToolsActivePort")).ok()?;
        let port = told.lines().next()?;
        let url = format!("http://127.0.0.1:{port}/json/list");
        let list = Command::new("curl").args(["--silent", "--fail", &url]).output().ok()?;
        let pages: Value = serde_json::from_slice(&list.stdout).ok()?;
        let page = pages.as_array()?.iter().find(|page| page["type"] == "page")?;
        Some(page["title"].as_str()?.to_owned())
    }

    /// Waits until it shows a page with this title.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub fn until_shown(&self, title: &str) {
        let shows = || (self.title().as_deref() == Some(title)).then_some(());
        wait::found(&format!("the browser shows `{title}`"), shows, || format!("{:?}", self.title()));
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Ok(id) = i32::try_from(self.child.id()) {
            let _ = killpg(Pid::from_raw(id), Signal::SIGKILL);
        }
        let _ = self.child.wait();
    }
}

/// What a browser makes of a page by the time it is loaded: its elements, as HTML.
///
/// # Panics
///
/// When there is no browser, or it shows nothing.
#[must_use]
pub fn elements(url: &str) -> String {
    let profile = profile();
    let output = chromium(profile.path()).args(["--dump-dom", url]).output();
    let output = output.unwrap_or_else(|error| panic!("chromium: {error}; `tests/run` installs it"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("</html>"), "{}", String::from_utf8_lossy(&output.stderr));
    text
}

fn profile() -> TempDir {
    tempfile::Builder::new().prefix("nsd-browser-").tempdir_in("/tmp").expect("a folder of its own")
}

fn chromium(profile: &Path) -> Command {
    let mut command = Command::new("chromium");
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage",
    ]);
    command.arg(format!("--user-data-dir={}", profile.display())).stdin(Stdio::null());
    command
}
