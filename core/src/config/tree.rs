//! What a file says, whatever its syntax: a tree whose every value knows its place.

use std::ops::Range;

/// A range of bytes in a file's text.
pub(super) type Span = Range<usize>;

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub value: Value,
    pub span: Span,
}

/// What can be written in every syntax.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Text(String),
    List(Vec<Node>),
    Table(Vec<Entry>),
    /// Something no key accepts; this is what to call it.
    Other(&'static str),
}

/// One key of a table.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub key: String,
    pub key_span: Span,
    pub node: Node,
}

/// Where and why a text is not in its syntax.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SyntaxError {
    pub message: String,
    pub span: Span,
}

impl Value {
    pub(super) fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(value) = self { Some(*value) } else { None }
    }

    pub(super) fn as_int(&self) -> Option<i64> {
        if let Self::Int(value) = self { Some(*value) } else { None }
    }

    pub(super) fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The value in words, for "must be …, not …".
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Int(value) => value.to_string(),
            Self::Text(text) if text.is_empty() => "an empty string".to_owned(),
            Self::Text(text) => format!("the string \"{}\"", crate::text::escape(text, 60)),
            Self::List(items) if items.is_empty() => "an empty list".to_owned(),
            Self::List(_) => "a list".to_owned(),
            Self::Table(_) => "a table".to_owned(),
            Self::Other(name) => (*name).to_owned(),
        }
    }
}
