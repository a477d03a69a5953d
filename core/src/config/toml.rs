//! TOML into a [`Node`], by the `toml` crate.

use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use super::tree::{Entry, Node, SyntaxError, Value};

/// Parses `text`.
///
/// # Errors
///
/// Every place where it is not TOML.
pub(super) fn parse(text: &str) -> Result<Node, Vec<SyntaxError>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        let span = table.span();
        return Ok(Node { value: Value::Table(entries(table.into_inner())), span });
    }
    let place = |error: toml::de::Error| SyntaxError {
        message: error.message().to_owned(),
        span: error.span().unwrap_or(0..0),
    };
    Err(errors.into_iter().map(place).collect())
}

/// What can be read of a text that is not TOML.
pub(super) fn readable(text: &str) -> Node {
    let (table, _) = DeTable::parse_recoverable(text);
    let span = table.span();
    Node { value: Value::Table(entries(table.into_inner())), span }
}

fn entries(table: DeTable<'_>) -> Vec<Entry> {
    let entry = |(key, value): (Spanned<_>, _)| Entry {
        key_span: key.span(),
        key: std::borrow::Cow::into_owned(key.into_inner()),
        node: node(value),
    };
    table.into_iter().map(entry).collect()
}

fn node(value: Spanned<DeValue<'_>>) -> Node {
    let span = value.span();
    let value = match value.into_inner() {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Integer(integer) => int(&integer),
        DeValue::Boolean(value) => Value::Bool(value),
        DeValue::Array(items) => Value::List(items.into_iter().map(node).collect()),
        DeValue::Table(table) => Value::Table(entries(table)),
        DeValue::Float(_) => Value::Other("a fraction"),
        DeValue::Datetime(_) => Value::Other("a date"),
    };
    Node { value, span }
}

fn int(integer: &DeInteger<'_>) -> Value {
    i64::from_str_radix(integer.as_str(), integer.radix()).map_or(Value::Other("a huge number"), Value::Int)
}
