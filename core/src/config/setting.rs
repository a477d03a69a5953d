//! The types of settings: what each accepts, how it is written, what its JSON Schema is.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value as Json, json};

use super::tree::{Entry, Node, Span, Value};
use super::{
    DevAddress, Env, Listen, LogFormat, MAX_WORKERS, MetricsAddress, Ready, StopSignal, Symlinks, Upgrade,
    suggest,
};
use crate::env_file::EnvFile;
use crate::text;

/// The type of a setting.
pub(super) trait Setting: Sized {
    /// What it accepts, to follow "must be".
    fn expected() -> String;
    /// Reads a value.
    ///
    /// # Errors
    ///
    /// Every place in it that does not fit.
    fn read(node: &Node) -> Result<Self, Vec<Misfit>>;
    /// As it would be written in a file.
    fn json(&self) -> Json;
    /// The JSON Schema of what is accepted.
    fn schema() -> Json;
}

/// Something that does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Misfit {
    pub span: Span,
    /// Which kind of part of the value it is, and what all of that kind must be; none, if it is the value itself.
    pub part: Option<(&'static str, &'static str)>,
    /// What is there instead, to follow "not".
    pub found: String,
    /// What to do, where that is not obvious.
    pub help: Option<String>,
}

impl Misfit {
    fn of(node: &Node) -> Self {
        Self { span: node.span.clone(), part: None, found: node.value.describe(), help: None }
    }

    fn part_of(node: &Node, part: &'static str, expected: &'static str) -> Self {
        Self { part: Some((part, expected)), ..Self::of(node) }
    }
}

pub(super) fn misfit<T>(node: &Node) -> Result<T, Vec<Misfit>> {
    Err(vec![Misfit::of(node)])
}

/// As [`misfit`], for what should be a number or a bool: says so if it is one in quotes.
fn unquoted<T>(node: &Node) -> Result<T, Vec<Misfit>> {
    let quoted = |text: &str| text.parse::<i64>().is_ok() || matches!(text, "true" | "false");
    let help = node.value.as_text().is_some_and(quoted).then(|| "remove the quotes".to_owned());
    Err(vec![Misfit { help, ..Misfit::of(node) }])
}

/// A text that is not empty and can be handed to the kernel.
impl Setting for String {
    fn expected() -> String {
        "a non-empty string".to_owned()
    }

    fn read(node: &Node) -> Result<Self, Vec<Misfit>> {
        let text = node.value.as_text().filter(|text| !text.is_empty() && !text.contains('\0'));
        text.map_or_else(|| misfit(node), |text| Ok(text.to_owned()))
    }

    fn json(&self) -> Json {
        self.as_str().into()
    }

    fn schema() -> Json {
        json!({ "type": "string", "minLength": 1 })
    }
}

/// Arguments of a program: any texts that can be handed to the kernel.
impl Setting for Vec<String> {
    fn expected() -> String {
        "a list of strings".to_owned()
    }

    fn read(node: &Node) -> Result<Self, Vec<Misfit>> {
        strings(node, "a string", |text| !text.contains('\0'))
    }

    fn json(&self) -> Json {
        self.as_slice().into()
    }

    fn schema() -> Json {
        json!({ "type": "array", "items": { "type": "string" } })
    }
}

/// A program and its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Command(pub Vec<String>);

impl Setting for Command {
    fn expected() -> String {
        "a list of strings that starts with a program".to_owned()
    }

    fn read(node: &Node) -> Result<Self, Vec<Misfit>> {
        let words = Vec::read(node)?;
        if words.first().is_some_and(|program| !program.is_empty()) { Ok(Self(words)) } else { misfit(node) }
    }

    fn json(&self) -> Json {
        self.0.json()
    }

    fn schema() -> Json {
        json!({ "type": "array", "items": { "type": "string" }, "minItems": 1 })
    }
}

fn strings(
    node: &Node,
    expected: &'static str,
    fits: impl Fn(&str) -> bool,
) -> Result<Vec<String>, Vec<Misfit>> {
    let read = |item: &Node| {
        let text = item.value.as_text().filter(|text| fits(text));
        text.map(str::to_owned).ok_or_else(|| vec![Misfit::part_of(item, "item", expected)])
    };
    match &node.value {
        Value::List(items) => collect(items, read),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Text(_) | Value::Table(_) | Value::Other(_) => {
            misfit(node)
        }
    }
}

/// All that `read` makes of `items`, or all that does not fit.
fn collect<I, T>(items: &[I], read: impl Fn(&I) -> Result<T, Vec<Misfit>>) -> Result<Vec<T>, Vec<Misfit>> {
    let mut all = Vec::with_capacity(items.len());
    let mut misfits = Vec::new();
    for item in items {
        match read(item) {
            Ok(value) => all.push(value),
            Err(found) => misfits.extend(found),
        }
    }
    if misfits.is_empty() { Ok(all) } else { Err(misfits) }
}

impl Setting for bool {
    fn expected() -> String {
        "`true` or `false`".to_owned()
    }

    fn read(node: &Node) -> Result<Self, Vec<Misfit>> {
        node.value.as_bool().map_or_else(|| unquoted(node), Ok)
    }

    fn json(&self) -> Json {
        (*self).into()
    }

    fn schema() -> Json {
        json!({ "type": "boolean" })
    }
}

/// How many, none included.
impl Setting for u32 {
    fn expected() -> String {
        format!("a whole number from 0 to {MAX_WORKERS}")
    }

    fn read(node: &Node) -> Result<Self, Vec<Misfit>> {
        count(node).map_or_else(|| unquoted(node), Ok)
    }

    fn json(&self) -> Json {
        (*self).into()
    }

    fn schema() -> Json {
        json!({ "type": "integer", "minimum": 0, "maximum": MAX_WORKERS })
    }
}

/// How many, at least one.
impl Setting for NonZeroU32 {
    fn expected() -> String {
        format!("a whole number from 1 to {MAX_WORKERS}")
    }

    fn read(node: &Node) -> Result<Self, Vec<Misfit>> {
        count(node).and_then(Self::new).map_or_else(|| unquoted(node), Ok)
    }

    fn json(&self) -> Json {
        self.get().into()
    }

    fn schema() -> Json {
        json!({ "type": "integer", "minimum": 1, "maximum": MAX_WORKERS })
    }
}

fn count(node: &Node) -> Option<u32> {
    whole(node).filter(|count| *count <= MAX_WORKERS)
}

fn whole(node: &Node) -> Option<u32> {
    node.value.as_int().and_then(|value| value.try_into().ok())
}

/// `workers`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Workers {
    /// As many as there are usable CPUs.
    Auto,
    Count(NonZeroU32),
}

impl Setting for Workers {
    fn expected() -> String {
        format!("{}, or \"auto\"", NonZeroU32::expected())
    }

    fn read(node: &Node) -> Result<Self, Vec<Misfit>> {
        if node.value.as_text() == Some("auto") {
            return Ok(Self::Auto);
        }
        NonZeroU32::read(node).map(Self::Count)
    }

    fn json(&self) -> Json {
        match self {
            Self::Auto => "auto".into(),
            Self::Count(count) => count.json(),
        }
    }

    fn schema() -> Json {
        json!({ "anyOf": [NonZeroU32::schema(), { "const": "auto" }] })
    }
}

/// A length of time in whole milliseconds; as long as Node's own timers can be, 24 days.
impl Setting for Duration {
    fn expected() -> String {
        format!("a whole number of milliseconds from 0 to {}", i32::MAX)
    }

    fn read(node: &Node) -> Result<Self, Vec<Misfit>> {
        match whole(node) {
            Some(ms) if i32::try_from(ms).is_ok() => Ok(Self::from_millis(ms.into())),
            _ => unquoted(node),
        }
    }

    fn json(&self) -> Json {
        u64::try_from(self.as_millis()).unwrap_or(u64::MAX).into()
    }

    fn schema() -> Json {
        json!({ "type": "integer", "minimum": 0, "maximum": i32::MAX })
    }
}

/// `devServer`: where it listens, if there is to be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DevServer(pub Option<DevAddress>);

impl Setting for DevServer {
    fn expected() -> String {
        format!("`true`, `false`, {}", DevAddress::EXPECTED)
    }

    fn read(node: &Node) -> Result<Self, Vec<Misfit>> {
        if let Some(on) = node.value.as_bool() {
            return Ok(Self(on.then_some(DevAddress::DEFAULT_PORT.into())));
        }
        let port = whole(node).and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
        // A port alone is a number: `"8000"` is more often a slip.
        let address = node.value.as_text().filter(|text| text.contains(':'));
        let address = address.and_then(|text| text.parse().ok()).or(port.map(DevAddress::from));
        address.map_or_else(|| unquoted(node), |address| Ok(Self(Some(address))))
    }

    fn json(&self) -> Json {
        self.0.map_or(false.into(), |address| json!(address))
    }

    fn schema() -> Json {
        json!({ "anyOf": [
            { "type": "boolean" },
            { "type": "integer", "minimum": 1, "maximum": u16::MAX },
            { "type": "string", "pattern": ":[0-9]+$" },
        ] })
    }
}

/// `metrics`: where they are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Metrics(pub String);

impl Setting for Metrics {
    fn expected() -> String {
        MetricsAddress::EXPECTED.to_owned()
    }

    fn read(node: &Node) -> Result<Self, Vec<Misfit>> {
        let text = node.value.as_text().ok_or_else(|| vec![Misfit::of(node)])?;
        let is_name = !text.is_empty() && !text.contains([':', '\0']) && !text.ends_with('/');
        // A port alone: nobody calls a socket that.
        let is_port = text.bytes().all(|byte| byte.is_ascii_digit());
        if MetricsAddress::tcp(text).is_some() || is_name && !is_port {
            return Ok(Self(text.to_owned()));
        }
        let help = is_port.then(|| format!("say which interface: \"127.0.0.1:{text}\""));
        Err(vec![Misfit { help: help.filter(|_| !text.is_empty()), ..Misfit::of(node) }])
    }

    fn json(&self) -> Json {
        self.0.json()
    }

    fn schema() -> Json {
        json!({ "type": "string", "minLength": 1 })
    }
}

/// `stdout`, `stderr`: where output goes, if not where the daemon's goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum OutputTo {
    Discard,
    File(String),
}

impl Setting for OutputTo {
    fn expected() -> String {
        "a path, \"discard\" or null".to_owned()
    }

    fn read(node: &Node) -> Result<Self, Vec<Misfit>> {
        if node.value == Value::Null || node.value.as_text() == Some("discard") {
            return Ok(Self::Discard);
        }
        String::read(node).map(Self::File)
    }

    fn json(&self) -> Json {
        match self {
            Self::Discard => "discard".into(),
            Self::File(path) => path.json(),
        }
    }

    fn schema() -> Json {
        json!({ "type": ["string", "null"], "minLength": 1 })
    }
}

impl Setting for Env {
    fn expected() -> String {
        "a list of names, or a table of names and strings".to_owned()
    }

    fn read(node: &Node) -> Result<Self, Vec<Misfit>> {
        if let Value::Table(entries) = &node.value {
            return Ok(Self { pass: Vec::new(), set: collect(entries, variable)? });
        }
        Ok(Self { pass: strings(node, VARIABLE, is_name)?, set: Vec::new() })
    }

    fn json(&self) -> Json {
        if self.set.is_empty() {
            return self.pass.json();
        }
        let variable = |(name, value): &(String, String)| (name.clone(), value.as_str().into());
        Json::Object(self.set.iter().map(variable).collect())
    }

    fn schema() -> Json {
        json!({ "anyOf": [
            { "type": "array", "items": { "type": "string", "pattern": "^[^=]+$" } },
            {
                "type": "object",
                "propertyNames": { "pattern": "^[^=]+$" },
                "additionalProperties": { "type": "string" },
            },
        ] })
    }
}

/// `envFile`: paths as they are written, with `-` before those that may be missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EnvFiles(pub Vec<String>);

impl From<&Vec<EnvFile>> for EnvFiles {
    fn from(files: &Vec<EnvFile>) -> Self {
        let written = |file: &EnvFile| {
            let mark = if file.optional { "-" } else { "" };
            format!("{mark}{}", file.path.to_string_lossy())
        };
        Self(files.iter().map(written).collect())
    }
}

impl Setting for EnvFiles {
    fn expected() -> String {
        "a path or a list of paths, each with a `-` before it if the file may be missing".to_owned()
    }

    fn read(node: &Node) -> Result<Self, Vec<Misfit>> {
        let names_a_file = |text: &str| !matches!(text, "" | "-") && !text.contains('\0');
        match node.value.as_text() {
            Some(text) if names_a_file(text) => Ok(Self(vec![text.to_owned()])),
            Some(_) => misfit(node),
            None => strings(node, "a path", names_a_file).map(Self),
        }
    }

    fn json(&self) -> Json {
        if let [only] = self.0.as_slice() { only.json() } else { self.0.json() }
    }

    fn schema() -> Json {
        let path = json!({ "type": "string", "pattern": "^(-.|[^-])" });
        json!({ "anyOf": [path, { "type": "array", "items": path }] })
    }
}

const VARIABLE: &str = "the name of a variable, without `=`";

/// Whether the environment can have a variable of this name.
fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0'])
}

fn variable(entry: &Entry) -> Result<(String, String), Vec<Misfit>> {
    let Entry { key, key_span, node } = entry;
    if !is_name(key) {
        let found = format!("\"{}\"", text::escape(key, 60));
        return Err(vec![Misfit {
            span: key_span.clone(),
            part: Some(("key", VARIABLE)),
            found,
            help: None,
        }]);
    }
    if let Some(text) = node.value.as_text().filter(|text| !text.contains('\0')) {
        return Ok((key.clone(), text.to_owned()));
    }
    let plain = node.value.as_int().is_some() || node.value.as_bool().is_some();
    let help = plain.then(|| "put it in quotes".to_owned());
    Err(vec![Misfit { help, ..Misfit::part_of(node, "value", "a string") }])
}

/// A setting that is one of a few words; they are the names under which serde knows them.
trait Choice: Serialize + Copy + 'static {
    const ALL: &'static [Self];

    fn word(self) -> Json {
        serde_json::to_value(self).unwrap_or_default()
    }
}

impl Choice for Symlinks {
    const ALL: &'static [Self] = &[Self::Relative, Self::Absolute];
}

impl Choice for Upgrade {
    const ALL: &'static [Self] = &[Self::Exec, Self::Respawn];
}

impl Choice for Listen {
    const ALL: &'static [Self] = &[Self::Worker, Self::Daemon];
}

impl Choice for StopSignal {
    const ALL: &'static [Self] =
        &[Self::Term, Self::Int, Self::Quit, Self::Hup, Self::Usr1, Self::Usr2, Self::Winch];
}

impl Choice for LogFormat {
    const ALL: &'static [Self] = &[Self::Text, Self::Json];
}

impl Choice for Ready {
    const ALL: &'static [Self] = &[Self::Report, Self::Listen, Self::Notify, Self::Http];
}

/// What is called `text`; otherwise the question whether something else was meant.
fn chosen<T: Choice>(text: &str) -> Result<T, Option<String>> {
    let named = T::ALL.iter().find(|choice| choice.word() == text);
    named.copied().ok_or_else(|| {
        let words: Vec<_> = T::ALL.iter().map(|choice| choice.word()).collect();
        let meant = suggest::word(text, words.iter().filter_map(Json::as_str));
        meant.map(|meant| format!("did you mean \"{meant}\"?"))
    })
}

impl<T: Choice> Setting for T {
    fn expected() -> String {
        let words: Vec<_> = T::ALL.iter().map(|choice| choice.word().to_string()).collect();
        words.join(" or ")
    }

    fn read(node: &Node) -> Result<Self, Vec<Misfit>> {
        match &node.value {
            Value::Text(text) => chosen(text).map_err(|help| vec![Misfit { help, ..Misfit::of(node) }]),
            Value::Null
            | Value::Bool(_)
            | Value::Int(_)
            | Value::List(_)
            | Value::Table(_)
            | Value::Other(_) => misfit(node),
        }
    }

    fn json(&self) -> Json {
        self.word()
    }

    fn schema() -> Json {
        json!({ "enum": T::ALL.iter().map(|choice| choice.word()).collect::<Vec<_>>() })
    }
}
