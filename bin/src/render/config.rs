//! `config`, for people.

use std::fmt::Write;

use nodesockd_core::text::escape;

use super::DIM;
use crate::out::Style;
use crate::view::ConfigView;

/// Characters of a line that are shown.
const LINE: usize = 4000;

/// The configuration in force as TOML, after the files it came from.
#[must_use]
pub fn config(view: &ConfigView, style: Style) -> String {
    let mut text = String::new();
    for (index, file) in view.files.iter().enumerate() {
        let how = if index == 0 { "from" } else { "which extends" };
        let _ = writeln!(text, "{}", style.paint(DIM, &format!("# {how} {}", escape(file, LINE))));
    }
    let mut listed = view.config.clone();
    without_nulls(&mut listed);
    match toml::to_string_pretty(&listed) {
        Ok(toml) => toml.lines().for_each(|line| {
            let _ = writeln!(text, "{}", escape(line, LINE));
        }),
        // A number that TOML cannot express, from some other daemon.
        Err(_) => {
            let _ = writeln!(text, "{}", super::json_line(&serde_json::Value::Object(listed).to_string()));
        }
    }
    text
}

/// TOML has no null: what is not set is not listed.
fn without_nulls(table: &mut serde_json::Map<String, serde_json::Value>) {
    table.retain(|_, value| !value.is_null());
    for value in table.values_mut() {
        if let serde_json::Value::Object(inner) = value {
            without_nulls(inner);
        }
    }
}
