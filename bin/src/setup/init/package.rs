//! What `package.json`, and the files beside it, tell about an app.

use std::path::Path;

use serde_json::Value;

use crate::exit::{Exit, Failure};
use crate::render;

/// Bytes of a file that are looked at.
const READ: usize = 1 << 20;

/// Names that people give to the file that starts an app, in the order of how sure that is.
const USUAL: [&str; 9] = [
    "server.js",
    "app.js",
    "index.js",
    "server.mjs",
    "app.mjs",
    "index.mjs",
    "src/server.js",
    "src/app.js",
    "src/index.js",
];

/// Options of Node that take the next word, too.
const WITH_VALUE: [&str; 8] =
    ["-r", "--require", "--import", "--loader", "--experimental-loader", "-C", "--conditions", "--env-file"];

/// An app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct App {
    /// What to call it.
    pub(super) name: String,
    /// What to run, if that can be told.
    pub(super) entry: Option<Entry>,
    /// Whether its modules are ECMAScript's.
    pub(super) esm: bool,
    /// Whether it depends on the library.
    pub(super) depends: bool,
    /// Whether its script speaks of the library.
    pub(super) integrated: bool,
}

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// The script.
    pub(super) script: String,
    /// Node's own arguments.
    pub(super) node_args: Vec<String>,
    /// Who says so.
    pub(super) source: &'static str,
}

impl App {
    /// The app in `folder`.
    ///
    /// # Errors
    ///
    /// Exit code 1: its `package.json` cannot be read.
    pub(super) fn in_folder(folder: &Path) -> Result<Self, Failure> {
        let package = package(folder)?;
        let text = |key: &str| package[key].as_str();
        let entry = text_at(&package, "/scripts/start")
            .and_then(started)
            .or_else(|| text("main").map(|main| plain(main, "`main` in package.json")))
            .or_else(|| {
                let usual = USUAL.into_iter().find(|name| folder.join(name).is_file());
                usual.map(|name| plain(name, "the name of the file"))
            });
        let of_folder = || folder.file_name().map(|name| name.to_string_lossy().into_owned());
        let name =
            text("name").map(|name| name.rsplit('/').next().unwrap_or(name).to_owned()).or_else(of_folder);
        let script = entry.as_ref().map_or("", |entry| entry.script.as_str());
        let esm = !script.ends_with(".cjs") && (script.ends_with(".mjs") || text("type") == Some("module"));
        let source = std::fs::read(folder.join(script)).unwrap_or_default();
        let integrated = source[..source.len().min(READ)].windows(9).any(|word| word == b"nodesockd");
        let depends =
            ["dependencies", "devDependencies"].iter().any(|kind| !package[kind]["nodesockd"].is_null());
        Ok(Self { name: name.unwrap_or_else(|| "app".into()), entry, esm, depends, integrated })
    }
}

/// `package.json`; null where there is none.
fn package(folder: &Path) -> Result<Value, Failure> {
    let file = folder.join("package.json");
    let text = match std::fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Value::Null),
        Err(error) => {
            return Err(Failure::new(
                Exit::Unexpected,
                format!("cannot read {}: {error}", render::path(&file)),
            ));
        }
    };
    serde_json::from_str(text.trim_start_matches('\u{feff}')).map_err(|error| {
        Failure::new(Exit::Unexpected, format!("{} is not JSON: {error}", render::path(&file)))
            .help("correct it; npm needs it, too")
    })
}

fn text_at<'a>(package: &'a Value, pointer: &str) -> Option<&'a str> {
    package.pointer(pointer)?.as_str()
}

/// What the last command of a line of shell runs with Node, if it does.
fn started(line: &str) -> Option<Entry> {
    let command = line.rsplit(['&', ';']).next()?;
    if command.contains(['"', '\'', '`', '$', '|', '<', '>', '(']) {
        return None;
    }
    let is_assignment = |word: &&str| word.contains('=') && !word.starts_with('-');
    let mut words = command
        .split_whitespace()
        .skip_while(|word| is_assignment(word) || matches!(*word, "exec" | "cross-env"));
    let mut node_args: Vec<String> = match words.next()? {
        "node" | "nodemon" => Vec::new(),
        // What `tsx` itself recommends for those who run Node themselves.
        "tsx" => vec!["--import".into(), "tsx".into()],
        _ => return None,
    };
    let mut words = words.map(str::to_owned);
    while let Some(word) = words.next() {
        if !word.starts_with('-') {
            return Some(Entry { node_args, ..plain(&word, "`start` in package.json") });
        }
        let takes_value = WITH_VALUE.contains(&word.as_str());
        node_args.push(word);
        if takes_value {
            node_args.extend(words.next());
        }
    }
    None
}

fn plain(script: &str, source: &'static str) -> Entry {
    Entry { script: script.trim_start_matches("./").to_owned(), node_args: Vec::new(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(package: &str, files: &[(&str, &str)]) -> App {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("package.json"), package).unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        App::in_folder(folder.path()).unwrap()
    }

    #[test]
    fn entry_point_is_start_then_main_then_usual_name() {
        let script = |package, files: &[&str]| {
            let files: Vec<_> = files.iter().map(|name| (*name, "")).collect();
            app(package, &files).entry.map(|entry| entry.script)
        };
        let start = r#"{"scripts":{"start":"npm run build && NODE_ENV=production node ./dist/server.js"},"main":"a.js"}"#;
        assert_eq!(script(start, &["app.js"]).as_deref(), Some("dist/server.js"));
        assert_eq!(
            script(r#"{"main":"./a.js","scripts":{"start":"next start"}}"#, &[]).as_deref(),
            Some("a.js")
        );
        assert_eq!(script("{}", &["index.js", "app.js"]).as_deref(), Some("app.js"));
        assert_eq!(script("{}", &[]), None);
        assert_eq!(script("[]", &[]), None);
    }

    #[test]
    fn node_arguments_are_kept() {
        let args = |line| started(line).map(|entry| (entry.node_args.join(" "), entry.script));
        let said = |args: &str, script: &str| Some((args.to_owned(), script.to_owned()));
        assert_eq!(
            args("node --enable-source-maps -r dotenv/config a.js --port 3"),
            said("--enable-source-maps -r dotenv/config", "a.js")
        );
        assert_eq!(args("cross-env A=1 tsx src/a.ts"), said("--import tsx", "src/a.ts"));
        assert_eq!(
            [args("node"), args("nest start"), args("node a.js | tee log"), args("")],
            [None, None, None, None]
        );
    }

    #[test]
    fn module_kind_and_library_are_recognised() {
        let modern = app(
            r#"{"name":"@acme/shop","type":"module","dependencies":{"nodesockd":"3"}}"#,
            &[("app.js", "")],
        );
        assert_eq!(
            (modern.name.as_str(), modern.esm, modern.depends, modern.integrated),
            ("shop", true, true, false)
        );
        let classic = app(r#"{"type":"module","main":"a.cjs"}"#, &[("a.cjs", "require('nodesockd')")]);
        assert_eq!((classic.esm, classic.depends, classic.integrated), (false, false, true));
        assert!(app(r#"{"main":"a.mjs"}"#, &[]).esm);
    }

    #[test]
    fn broken_package_json_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("package.json"), "{").unwrap();
        assert!(App::in_folder(folder.path()).unwrap_err().to_string().contains("package.json is not JSON"));
    }
}
