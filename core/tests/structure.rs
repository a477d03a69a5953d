//! The structure of the core: a file depends on no file that depends on it, each type is written in one file, and one file
//! mediates. See ARCHITECTURE.md.
#![expect(clippy::unwrap_used, reason = "sources that cannot be read are a failure")]
#![expect(clippy::disallowed_methods, reason = "this test reads the sources")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The path of a module: `["supervisor", "pool"]`.
type Module = Vec<String>;

/// The sources by module, without comments and tests.
fn sources() -> BTreeMap<Module, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.into_iter().map(|file| (module(file.strip_prefix(&root).unwrap()), stripped(&file))).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            files.push(path);
        }
    }
}

fn module(file: &Path) -> Module {
    let mut module: Module =
        file.with_extension("").components().map(|part| part.as_os_str().to_string_lossy().into()).collect();
    module.pop_if(|last| last == "mod" || last == "lib");
    module
}

fn stripped(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let lines = code.lines().map(|line| line.split("//").next().unwrap_or_default());
    // What may see an item is no dependency of the item.
    lines
        .collect::<Vec<_>>()
        .join("\n")
        .replace("pub(in crate::supervisor)", "pub")
        .replace("pub(super)", "pub")
}

/// All paths that an import names, its braces resolved.
fn imports(tree: &str) -> Vec<String> {
    let Some((prefix, inside)) = tree.split_once('{') else { return vec![tree.trim().to_owned()] };
    let inside = inside.trim_end().strip_suffix('}').unwrap_or(inside);
    let (mut depth, mut parts) = (0, vec![String::new()]);
    for letter in inside.chars() {
        match letter {
            ',' if depth == 0 => parts.push(String::new()),
            _ => {
                depth += i32::from(letter == '{') - i32::from(letter == '}');
                parts.last_mut().unwrap().push(letter);
            }
        }
    }
    let named = parts.iter().map(|part| part.trim()).filter(|part| !part.is_empty());
    named.flat_map(|part| imports(&format!("{}{part}", prefix.trim()))).collect()
}

/// The module that a path leads to, seen from another one.
fn target(path: &str, from: &Module, modules: &BTreeMap<Module, String>) -> Option<Module> {
    let mut parts = path.split("::").map(str::trim).peekable();
    let mut at = match parts.peek().copied()? {
        "crate" => {
            parts.next();
            Vec::new()
        }
        "super" => {
            let mut at = from.clone();
            while parts.next_if_eq(&"super").is_some() {
                at.pop();
            }
            at
        }
        child => {
            let mut at = from.clone();
            at.push(child.to_owned());
            modules.contains_key(&at).then(|| from.clone())?
        }
    };
    for part in parts {
        at.push(part.to_owned());
        if !modules.contains_key(&at) {
            at.pop();
            break;
        }
    }
    Some(at)
}

/// Which modules each module depends on. To re-export a child is none.
fn dependencies(modules: &BTreeMap<Module, String>) -> BTreeMap<Module, BTreeSet<Module>> {
    let of = |(from, text): (&Module, &String)| {
        let mut targets = BTreeSet::new();
        for statement in text.split(';') {
            let Some((before, tree)) = statement.rsplit_once("use ") else { continue };
            let exports = before.ends_with("pub ");
            let paths = imports(&tree.replace('\n', " ")).into_iter();
            let found = paths.filter_map(|path| target(&path, from, modules));
            targets.extend(found.filter(|to| to != from && !(exports && to.starts_with(from))));
        }
        (from.clone(), targets)
    };
    modules.iter().map(of).collect()
}

#[test]
fn no_file_depends_on_a_file_that_depends_on_it() {
    let modules = sources();
    let mut left = dependencies(&modules);
    assert!(left.values().map(BTreeSet::len).sum::<usize>() > 100, "imports are not understood any more");
    // Whoever depends on nothing that is left is in no cycle.
    loop {
        let free: Vec<Module> = left
            .iter()
            .filter(|(_, on)| on.iter().all(|to| !left.contains_key(to)))
            .map(|(of, _)| of.clone())
            .collect();
        if free.is_empty() {
            break;
        }
        free.iter().for_each(|module| drop(left.remove(module)));
    }
    let story: Vec<String> = left
        .iter()
        .map(|(of, on)| {
            let on = on.iter().filter(|to| left.contains_key(*to)).map(|to| to.join("::"));
            format!("{} → {}", of.join("::"), on.collect::<Vec<_>>().join(", "))
        })
        .collect();
    assert!(story.is_empty(), "in a cycle, or above one:\n{}", story.join("\n"));
}

/// How many functions end because something is absent: `let … else { return }`, in whatever lines.
fn ends_by_absence(code: &str) -> usize {
    let code = code.split_whitespace().collect::<Vec<_>>().join(" ");
    // After a block, `else` is that of an `if`.
    code.match_indices(" else { return").filter(|(at, _)| !code[..*at].ends_with('}')).count()
}

#[test]
fn few_functions_end_because_something_is_absent() {
    assert_eq!(ends_by_absence("let Some(a) = b else {\n    return;\n}; if c { d } else { return }"), 1);
    let ends = |(module, code): (&Module, &String)| (module.join("::"), ends_by_absence(code));
    let found: Vec<(String, usize)> = sources().iter().map(ends).filter(|(_, ends)| *ends > 0).collect();
    let all: usize = found.iter().map(|(_, ends)| ends).sum();
    assert!(
        all < 12,
        "{all} functions end by `let … else {{ return }}`. A mistake in the core shows as something that is absent, and such an end \
         hides the mistake. Resolve an id where it comes in, and pass what was found; look a worker up that must be there by \
         `Workers::known`, which asserts that; let a match or an outcome name the case in which something may be absent.\n\
         {found:#?}"
    );
}

#[test]
fn methods_of_a_type_are_in_one_file() {
    let mut written: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (module, text) in &sources() {
        for line in text.lines().filter(|line| line.starts_with("impl ") && !line.contains(" for ")) {
            let of = line.trim_start_matches("impl ").trim_end_matches(" {");
            // In another module there may be another type of the same name.
            let place = module.first().cloned().unwrap_or_default();
            written.entry(format!("{place}: {of}")).or_default().insert(module.join("::"));
        }
    }
    assert!(written.contains_key("supervisor: Supervisor"));
    let scattered: Vec<_> = written.iter().filter(|(_, files)| files.len() > 1).collect();
    assert!(scattered.is_empty(), "{scattered:#?}");
}
