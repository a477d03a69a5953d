//! What `nginx -T` prints: every file of the configuration, each after a line that names it. Or a single file.

use std::path::Path;
use std::rc::Rc;

use glob::{MatchOptions, Pattern};

use super::syntax::{Directive, SyntaxError, parse};

/// Files within files. nginx has accepted what it printed; whoever wrote a file by hand may have made a circle.
const DEEPEST: usize = 16;

/// A configuration, with what it includes in its places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dump {
    /// What the main file holds.
    pub directives: Vec<Directive>,
    /// What it includes and the text does not have.
    pub missing: Vec<String>,
}

/// Reads `text`, which is called `name` if it does not say so itself.
///
/// # Errors
///
/// The first mistake in any of the files.
pub fn read(name: &str, text: &str) -> Result<Dump, SyntaxError> {
    let files = files(name, text)?;
    let mut missing = Vec::new();
    let main = files.first().map(|file| file.name.clone()).unwrap_or_default();
    let root = Path::new(&*main).parent().unwrap_or(Path::new("")).to_owned();
    let mut includes = Includes { files: &files, root: &root, missing: &mut missing };
    let directives = files.first().map(|file| includes.resolve(&file.directives, 0)).unwrap_or_default();
    Ok(Dump { directives, missing })
}

struct File {
    name: Rc<str>,
    directives: Vec<Directive>,
}

fn files(name: &str, text: &str) -> Result<Vec<File>, SyntaxError> {
    let mut parts: Vec<(Rc<str>, String)> = Vec::new();
    for line in text.split_inclusive('\n') {
        let marker =
            line.trim_end().strip_prefix("# configuration file ").and_then(|rest| rest.strip_suffix(':'));
        match (marker, parts.last_mut()) {
            (Some(file), _) => parts.push((file.into(), String::new())),
            (None, Some((_, text))) => text.push_str(line),
            (None, None) => parts.push((name.into(), line.to_owned())),
        }
    }
    // What nginx says of its test is no part of a file.
    if parts.len() > 1 && &*parts[0].0 == name {
        parts.remove(0);
    }
    let parsed = parts.into_iter().map(|(name, text)| {
        let directives = parse(&name, &text)?;
        Ok(File { name, directives })
    });
    parsed.collect()
}

struct Includes<'a> {
    files: &'a [File],
    /// The folder of the main file, to which names are relative.
    root: &'a Path,
    missing: &'a mut Vec<String>,
}

impl<'a> Includes<'a> {
    fn resolve(&mut self, directives: &[Directive], depth: usize) -> Vec<Directive> {
        let mut resolved = Vec::new();
        for directive in directives {
            match (directive.name.as_str(), directive.arg(0)) {
                ("include", Some(pattern)) if directive.block.is_none() => {
                    for file in self.named(pattern) {
                        if depth < DEEPEST {
                            resolved.extend(self.resolve(&file.directives, depth + 1));
                        }
                    }
                }
                _ => {
                    let block = directive.block.as_ref().map(|inside| self.resolve(inside, depth));
                    resolved.push(Directive { block, ..directive.clone() });
                }
            }
        }
        resolved
    }

    /// The files that an `include` means, as `glob(3)` would find them.
    fn named(&mut self, name: &str) -> Vec<&'a File> {
        let name = self.root.join(name).display().to_string();
        let is_pattern = name.contains(['*', '?', '[']);
        let pattern = Pattern::new(&name).ok().filter(|_| is_pattern);
        let options = MatchOptions {
            case_sensitive: true,
            require_literal_separator: true,
            require_literal_leading_dot: true,
        };
        let meant = |file: &&File| match &pattern {
            Some(pattern) => pattern.matches_with(&file.name, options),
            None => *file.name == *name,
        };
        let mut found: Vec<_> = self.files.iter().filter(meant).collect();
        found.sort_by(|one, other| one.name.cmp(&other.name));
        if found.is_empty() && !is_pattern {
            self.missing.push(name);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUMP: &str = "\
nginx: configuration file /etc/nginx/nginx.conf test is successful
# configuration file /etc/nginx/nginx.conf:
user www-data;
http {
  include mime.types;
  include /etc/nginx/sites/*.conf;
  include nothing/*;
}
# configuration file /etc/nginx/mime.types:
types { text/html html; }
# configuration file /etc/nginx/sites/b.conf:
server { include ../etc/snippet; }
# configuration file /etc/nginx/sites/a.conf:

upstream a { }
# configuration file /etc/nginx/../etc/snippet:
listen 80;
# configuration file /etc/nginx/sites/deeper/c.conf:
upstream c { }
";

    #[test]
    fn includes_are_expanded_in_place() {
        let dump = read("-", DUMP).unwrap();
        assert_eq!(dump.missing, Vec::<String>::new());
        let http: Vec<_> = dump.directives[1].inside().map(|inner| inner.name.as_str()).collect();
        assert_eq!(http, ["types", "upstream", "server"]);
        let upstream = dump.directives[1].inside().nth(1).unwrap();
        assert_eq!(upstream.place.to_string(), "/etc/nginx/sites/a.conf:2");
        assert_eq!(dump.directives[1].inside().nth(2).unwrap().inside().next().unwrap().name, "listen");
    }

    #[test]
    fn single_file_is_taken_as_it_is() {
        let dump = read("shop.conf", "upstream a { }\ninclude proxy_params;\n").unwrap();
        assert_eq!(dump.directives.len(), 1);
        assert_eq!(dump.directives[0].place.to_string(), "shop.conf:1");
        assert_eq!(dump.missing, ["proxy_params"]);
    }

    #[test]
    fn include_cycle_ends() {
        let text = "# configuration file /a:\ninclude a;\nevents { }\n";
        assert_eq!(read("-", text).unwrap().directives.len(), DEEPEST + 1);
    }
}
