//! Files in npm packages, found as Node finds them (its documentation, "Modules: Packages").

use super::tree::{Entry, Value};
use super::yaml;

/// The conditions of `exports` that hold for `require.resolve()` in Node.
const CONDITIONS: [&str; 3] = ["node", "require", "default"];

/// What a specifier names: a package, and what of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct InPackage<'a> {
    /// The package's name, with its scope.
    pub name: &'a str,
    /// What of it, as `exports` spells it: `.`, or a path that starts with `./`.
    subpath: String,
}

impl<'a> InPackage<'a> {
    /// Reads `@acme/shop/base.yml` or `shop`; `None` if no package can have this name.
    pub(super) fn parse(specifier: &'a str) -> Option<Self> {
        let parts = if specifier.starts_with('@') { 2 } else { 1 };
        let end = specifier.match_indices('/').nth(parts - 1).map_or(specifier.len(), |(at, _)| at);
        let (name, rest) = specifier.split_at(end);
        let whole = name.split('/').count() == parts;
        let named = name.split('/').all(|part| !part.trim_start_matches('@').is_empty());
        (whole && named).then(|| Self { name, subpath: format!(".{rest}") })
    }

    /// The files, relative to the package's folder, that the package's manifest (its package.json) names for this; the
    /// likeliest first. Empty if the manifest names none, or is not JSON.
    pub(super) fn files(&self, manifest: &str) -> Vec<String> {
        // JSON is YAML, and this reader keeps the order of the keys, in which conditions are tried.
        match yaml::parse(manifest).map(|manifest| manifest.value) {
            Ok(Value::Table(entries)) => self.files_of(&entries),
            Ok(_) | Err(_) => Vec::new(),
        }
    }

    fn files_of(&self, manifest: &[Entry]) -> Vec<String> {
        if let Some(exports) = entry(manifest, "exports") {
            return self.exported(exports).into_iter().collect();
        }
        if self.subpath != "." {
            return Vec::new();
        }
        let main = entry(manifest, "main").and_then(Value::as_text);
        main.map_or_else(
            || vec!["index.json".to_owned()],
            |main| vec![main.to_owned(), format!("{main}.json")],
        )
    }

    /// The file that `exports` maps this to.
    fn exported(&self, exports: &Value) -> Option<String> {
        match exports {
            Value::Table(entries) if entries.iter().any(|entry| entry.key.starts_with('.')) => {
                self.exported_path(entries)
            }
            Value::Null
            | Value::Bool(_)
            | Value::Int(_)
            | Value::Text(_)
            | Value::List(_)
            | Value::Table(_)
            | Value::Other(_) => self.exported_whole(exports),
        }
    }

    /// `exports` that maps the package itself and nothing else.
    fn exported_whole(&self, exports: &Value) -> Option<String> {
        if self.subpath == "." { target(exports, "") } else { None }
    }

    /// The file that `exports`, a table of paths, maps this to.
    fn exported_path(&self, entries: &[Entry]) -> Option<String> {
        if let Some(Entry { node, .. }) = entries.iter().find(|entry| entry.key == self.subpath) {
            return target(&node.value, "");
        }
        let patterns = entries.iter().filter_map(|entry| {
            let (before, after) = entry.key.split_once('*')?;
            let rest = self.subpath.strip_prefix(before)?.strip_suffix(after)?;
            (!rest.is_empty()).then_some((before.len(), &entry.node.value, rest))
        });
        // The longest fixed beginning wins.
        let (_, value, rest) = patterns.max_by_key(|(fixed, ..)| *fixed)?;
        target(value, rest)
    }
}

/// The file that a target of `exports` names, `rest` in the place of each `*`.
fn target(value: &Value, rest: &str) -> Option<String> {
    match value {
        Value::Text(path) => path.starts_with("./").then(|| path.replace('*', rest)),
        Value::List(items) => items.iter().find_map(|item| target(&item.value, rest)),
        Value::Table(entries) => {
            let holds = |entry: &&Entry| CONDITIONS.contains(&entry.key.as_str());
            entries.iter().filter(holds).find_map(|entry| target(&entry.node.value, rest))
        }
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Other(_) => None,
    }
}

fn entry<'v>(entries: &'v [Entry], key: &str) -> Option<&'v Value> {
    entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(specifier: &str, manifest: &str) -> Vec<String> {
        InPackage::parse(specifier).unwrap().files(manifest)
    }

    #[test]
    fn a_specifier_is_a_name_and_a_path() {
        let parsed = |text| InPackage::parse(text).map(|it| (it.name, it.subpath.clone()));
        assert_eq!(parsed("shop"), Some(("shop", ".".to_owned())));
        assert_eq!(parsed("shop/a/b.yml"), Some(("shop", "./a/b.yml".to_owned())));
        assert_eq!(parsed("@acme/shop"), Some(("@acme/shop", ".".to_owned())));
        assert_eq!(parsed("@acme/shop/b.yml"), Some(("@acme/shop", "./b.yml".to_owned())));
        for none in ["", "/", "@acme", "@/shop", "@acme/", "@"] {
            assert_eq!(parsed(none), None, "{none}");
        }
    }

    #[test]
    fn exports_map_paths_and_the_package_itself() {
        let manifest = r#"{ "main": "old.yml", "exports": {
            ".": { "import": "./no.mjs", "require": "./whole.yml", "default": "./late.yml" },
            "./base": "./config/base.yml",
            "./*": "./all/*",
            "./env/*": "./env/*.yml",
            "./env/secret": null,
            "./either": ["config.yml", { "browser": "./no" }, "./second.yml"]
        } }"#;
        assert_eq!(files("shop", manifest), ["./whole.yml"]);
        assert_eq!(files("shop/base", manifest), ["./config/base.yml"]);
        assert_eq!(files("shop/env/live", manifest), ["./env/live.yml"]);
        assert_eq!(files("shop/env.yml", manifest), ["./all/env.yml"]);
        assert_eq!(files("shop/either", manifest), ["./second.yml"]);
        assert!(files("shop/env/secret", manifest).is_empty());
    }

    #[test]
    fn exports_may_be_about_the_package_alone() {
        for manifest in [r#"{ "exports": "./a.yml" }"#, r#"{ "exports": { "node": "./a.yml" } }"#] {
            assert_eq!(files("shop", manifest), ["./a.yml"]);
            assert!(files("shop/a.yml", manifest).is_empty());
        }
    }

    #[test]
    fn without_exports_main_is_the_package_itself() {
        assert_eq!(files("shop", r#"{ "main": "config.yml" }"#)[0], "config.yml");
        assert_eq!(files("shop", "{\n\t\"name\": \"shop\"\n}"), ["index.json"]);
        assert!(files("shop/a.yml", r#"{ "main": "config.yml" }"#).is_empty());
        assert!(files("shop", "no JSON {").is_empty());
    }
}
