//! YAML into a [`Node`], by serde-saphyr: the only module that knows it.
//!
//! Files written for 2.x were read by js-yaml 4, so scalars mean what they mean there: `yes` is a string, `010` is ten,
//! `"3"` stays a string; duplicate keys are errors and `<<` merges.

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::NonFiniteFloatPolicy;
use serde_saphyr::{Location, Spanned, budget, options};

use super::tree::{Entry, Node, Span, SyntaxError, Value};

/// Parses `text`; an empty one is an empty table.
///
/// # Errors
///
/// The first place where it is not YAML, or where aliases make more of it than any configuration needs.
pub(super) fn parse(text: &str) -> Result<Node, Vec<SyntaxError>> {
    let options = options! {
        strict_booleans: true,
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        with_snippet: false,
        budget: budget! { max_depth: 32, max_nodes: 10_000 },
    };
    let root: Option<Spanned<Tree>> =
        serde_saphyr::from_str_with_options(text, options).map_err(|error| {
            let span = error.location().map_or(0..0, |location| error_span(location, text));
            vec![SyntaxError { message: message(&error), span }]
        })?;
    Ok(root.map_or(Node { value: Value::Table(Vec::new()), span: 0..0 }, node))
}

/// The error in words for the author of the file, without the place, which is shown apart.
#[expect(clippy::wildcard_enum_match_arm, reason = "only what is worded for programmers needs other words")]
fn message(error: &serde_saphyr::Error) -> String {
    match error.without_snippet() {
        serde_saphyr::Error::DuplicateMappingKey { .. } => "duplicate key".to_owned(),
        serde_saphyr::Error::MultipleDocuments { .. } => "a second document begins here".to_owned(),
        serde_saphyr::Error::Budget { .. } | serde_saphyr::Error::AliasError { .. } => {
            "too large, too deep or too many aliases".to_owned()
        }
        error => {
            let text = error.to_string();
            let text = text.lines().next().unwrap_or_default();
            crate::text::escape(text.rsplit_once(" at line ").map_or(text, |(text, _)| text), 300)
        }
    }
}

/// The bytes at which an error lies; the parser's own errors count in characters.
fn error_span(location: Location, text: &str) -> Span {
    if location.span().byte_offset().is_some() {
        return span(location);
    }
    let offset = usize::try_from(location.span().offset()).unwrap_or(usize::MAX);
    let start = text.char_indices().nth(offset).map_or(text.len(), |(start, _)| start);
    start..start
}

struct Tree(Value);

fn node(tree: Spanned<Tree>) -> Node {
    Node { value: tree.value.0, span: span(tree.defined) }
}

fn span(location: Location) -> Span {
    let span = location.span();
    let start = span.byte_offset().and_then(|offset| usize::try_from(offset).ok()).unwrap_or(0);
    let length = span.byte_len().and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
    start..start.saturating_add(length)
}

/// As in JavaScript, a key is a string whatever it looks like.
fn key(key: Tree) -> String {
    if let Value::Text(text) = key.0 { text } else { key.0.describe() }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor).map(Self)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(i64::try_from(value).map_or(Value::Other("a huge number"), Value::Int))
    }

    /// JavaScript has one type of numbers: `1e3` is as whole as `1000`.
    #[expect(clippy::cast_possible_truncation, reason = "whole and small enough to be exact")]
    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        let whole = value.fract() == 0.0 && value.abs() < f64::from(u32::MAX);
        Ok(if whole { Value::Int(value as i64) } else { Value::Other("a fraction") })
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(node(item));
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut table = Vec::new();
        while let Some((name, value)) = entries.next_entry::<Spanned<Tree>, _>()? {
            table.push(Entry { key_span: span(name.defined), key: key(name.value), node: node(value) });
        }
        Ok(Value::Table(table))
    }
}
