//! Sections of a file: tables whose keys are known.
//!
//! `section!` lists the keys of one, each with its name, type, default and description. Reading, laying one file over
//! another, writing back, suggestions and the JSON Schema follow from that list.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::problem::{Place, Problem};
use super::setting::{Misfit, Setting};
use super::source::Source;
use super::suggest;
use super::tree::{Entry, Node, Value};

/// What was found while files were read.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// The paths of all keys there are.
    pub keys: Vec<String>,
    pub problems: Vec<Problem>,
    /// The paths of keys that somebody seems to have meant: no need to say that they are missing.
    pub meant: BTreeSet<String>,
    /// Whether a file, or the rest of the chain, could not be read: what it says is not known.
    pub unread: bool,
}

/// What a key holds: a [`Given`], or a section.
pub(super) trait Field: Default {
    /// The paths of the slots here, `path` being this field's own.
    fn paths(path: &str) -> Vec<String>;
    /// Takes over what `node` says, and reports what is wrong with it.
    fn read(&mut self, path: &str, node: &Node, source: &Source, report: &mut Report);
    /// `self` where it says something, `base` elsewhere.
    #[must_use]
    fn over(self, base: Self) -> Self;
    /// As it would be written in a file, if it says anything.
    fn json(&self) -> Option<Json>;
    /// The JSON Schema of what may be written, with `self` as default.
    fn schema(&self) -> Json;
}

/// A setting that may have been made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Given<T> {
    /// No file says anything.
    #[default]
    Unset,
    /// A file says something wrong, which has been reported.
    Bad,
    /// A file, or the default, says this.
    Set(Set<T>),
}

/// A setting and where it was made; nowhere, if it is a default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Set<T> {
    pub value: T,
    pub place: Option<Place>,
}

impl<T> Given<T> {
    /// The setting, if it was made and is right.
    pub(super) fn get(self) -> Option<Set<T>> {
        match self {
            Self::Set(set) => Some(set),
            Self::Unset | Self::Bad => None,
        }
    }

    /// The value, if it was set and is right.
    pub(super) fn value(self) -> Option<T> {
        self.get().map(|set| set.value)
    }

    pub(super) fn is_unset(&self) -> bool {
        matches!(self, Self::Unset)
    }
}

impl<T> From<T> for Given<T> {
    fn from(value: T) -> Self {
        Self::Set(Set { value, place: None })
    }
}

impl<T: Setting> Field for Given<T> {
    fn paths(path: &str) -> Vec<String> {
        vec![path.to_owned()]
    }

    fn read(&mut self, path: &str, node: &Node, source: &Source, report: &mut Report) {
        *self = match T::read(node) {
            Ok(value) => Self::Set(Set { value, place: Some(source.place(&node.span)) }),
            Err(misfits) => {
                report.problems.extend(misfits.into_iter().map(|Misfit { span, part, found, help }| {
                    let message = match part {
                        None => format!("`{path}` must be {}, not {found}", T::expected()),
                        Some((part, expected)) => {
                            format!("each {part} of `{path}` must be {expected}, not {found}")
                        }
                    };
                    source.problem(&span, message, help)
                }));
                Self::Bad
            }
        };
    }

    fn over(self, base: Self) -> Self {
        if self.is_unset() { base } else { self }
    }

    fn json(&self) -> Option<Json> {
        match self {
            Self::Set(set) => Some(set.value.json()),
            Self::Unset | Self::Bad => None,
        }
    }

    fn schema(&self) -> Json {
        let mut schema = T::schema();
        annotate(&mut schema, "default", self.json());
        schema
    }
}

/// Declares a section and its keys: `field: "key" => Type = default`.
macro_rules! section {
    (
        $(#[doc = $about:literal])+
        struct $section:ident {
            $( $(#[doc = $doc:literal])+ $field:ident: $name:literal => $type:ty $(= $default:expr)? ),+ $(,)?
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, PartialEq, Eq, Default)]
        pub(super) struct $section {
            $( $(#[doc = $doc])+ pub(super) $field: $type ),+
        }

        impl $section {
            const KEYS: &'static [&'static str] = &[$($name),+];

            /// What holds where no file says anything.
            #[must_use]
            pub(super) fn defaults() -> Self {
                Self { $( $( $field: $default.into(), )? )+ ..Self::default() }
            }
        }

        impl $crate::config::section::Field for $section {
            fn paths(path: &str) -> Vec<String> {
                let mut paths = Vec::new();
                $( paths.extend(<$type>::paths(&$crate::config::section::join(path, $name))); )+
                paths
            }

            fn read(&mut self, path: &str, node: &Node, source: &Source, report: &mut Report) {
                for entry in $crate::config::section::entries(path, node, source, report) {
                    let path = $crate::config::section::join(path, &entry.key);
                    match entry.key.as_str() {
                        $( $name => self.$field.read(&path, &entry.node, source, report), )+
                        _ => $crate::config::section::unknown(&path, entry, Self::KEYS, source, report),
                    }
                }
            }

            fn over(self, base: Self) -> Self {
                Self { $( $field: self.$field.over(base.$field) ),+ }
            }

            fn json(&self) -> Option<serde_json::Value> {
                let keys = [$( ($name, self.$field.json()) ),+];
                let said = keys.into_iter().filter_map(|(name, json)| Some((name.to_owned(), json?)));
                Some(serde_json::Value::Object(said.collect()))
            }

            fn schema(&self) -> serde_json::Value {
                $crate::config::section::object_schema(
                    concat!($($about),+),
                    [$( ($name, concat!($($doc),+), self.$field.schema()) ),+],
                )
            }
        }
    };
}
pub(super) use section;

/// The path of the key `name` of the section at `path`.
pub(super) fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// The entries of a section, if it is a table.
pub(super) fn entries<'n>(path: &str, node: &'n Node, source: &Source, report: &mut Report) -> &'n [Entry] {
    let Value::Table(entries) = &node.value else {
        let name = if path.is_empty() { "the file".to_owned() } else { format!("`{path}`") };
        let message = format!("{name} must be a table of keys and values, not {}", node.value.describe());
        report.problems.push(source.problem(&node.span, message, None));
        report.unread |= path.is_empty();
        return &[];
    };
    entries
}

/// Reports a key that is not among the section's `keys`.
pub(super) fn unknown(path: &str, entry: &Entry, keys: &[&str], source: &Source, report: &mut Report) {
    let help = if let Some(meant) = suggest::key(path, &report.keys) {
        let help = format!("did you mean `{meant}`?");
        report.meant.insert(meant);
        help
    } else {
        // What starts with a dollar sign is for tools.
        let keys: Vec<_> = keys.iter().filter(|key| !key.starts_with('$')).copied().collect();
        format!("known keys here: `{}`", keys.join("`, `"))
    };
    let message = format!("unknown key `{}`", crate::text::escape(path, 100));
    report.problems.push(source.problem(&entry.key_span, message, Some(help)));
}

/// The JSON Schema of a section.
pub(super) fn object_schema<const N: usize>(about: &str, keys: [(&str, &str, Json); N]) -> Json {
    let properties = keys.into_iter().map(|(name, about, mut schema)| {
        annotate(&mut schema, "description", Some(about.trim().into()));
        (name.to_owned(), schema)
    });
    serde_json::json!({
        "type": "object",
        "description": about.trim(),
        "properties": Json::Object(properties.collect()),
        "additionalProperties": false,
    })
}

/// Adds `key` to an object, unless there is nothing to add.
fn annotate(schema: &mut Json, key: &str, value: Option<Json>) {
    if let (Some(schema), Some(value)) = (schema.as_object_mut(), value) {
        schema.insert(key.to_owned(), value);
    }
}
