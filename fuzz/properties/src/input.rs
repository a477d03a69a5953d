//! Bytes, read as choices. When they are used up every choice is the first one.

use arbitrary::Unstructured;
use nodesockd_core::wire::Json;

/// The bytes that are left.
#[derive(Debug)]
pub(crate) struct Input<'a>(pub Unstructured<'a>);

impl Input<'_> {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        self.0.arbitrary().unwrap_or_default()
    }

    pub fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// One in so many.
    pub fn rarely(&mut self, one_in: u8) -> bool {
        self.byte() % one_in == one_in - 1
    }

    pub fn number(&mut self) -> u32 {
        self.0.arbitrary().unwrap_or_default()
    }

    /// Less than `count`, which is not 0.
    pub fn below(&mut self, count: usize) -> usize {
        usize::from(self.byte()) % count
    }

    /// One of `items`, if there is one.
    pub fn one<T: Clone>(&mut self, items: &[T]) -> Option<T> {
        if items.is_empty() { None } else { items.get(self.below(items.len())).cloned() }
    }

    /// As many as are left of that many.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        let length = length.min(self.0.len());
        self.0.bytes(length).unwrap_or_default().to_vec()
    }

    /// A text; short, unless the first byte says otherwise.
    pub fn text(&mut self) -> String {
        let length = match self.byte() {
            255 => return "\u{1}long".repeat(200),
            length => usize::from(length % 48),
        };
        String::from_utf8_lossy(&self.bytes(length)).into_owned()
    }

    pub fn maybe_text(&mut self) -> Option<String> {
        self.flag().then(|| self.text())
    }

    pub fn texts(&mut self) -> Vec<String> {
        (0..self.below(3)).map(|_| self.text()).collect()
    }

    /// JSON as it can stand in a line: a text that is JSON, or else that text as a string of JSON. No numbers like 9e999,
    /// which are passed on as they are, but which those who look at the line cannot hold.
    pub fn json(&mut self) -> Option<Json> {
        let text = self.maybe_text()?;
        let legible = !text.contains('\n') && serde_json::from_str::<serde_json::Value>(&text).is_ok();
        Some(Json::parse(&text).ok().filter(|_| legible).unwrap_or_else(|| Json::of(&text)))
    }
}
