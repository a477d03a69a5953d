//! As a page for a browser. It needs nothing else from anywhere.

use std::borrow::Cow;
use std::fmt::Write;

use crate::time::Time;

use super::{Page, lines};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The page as HTML. `reloads`: the page watches whether a worker can answer, and reloads itself then. One that answers a form must
/// not: the browser would ask whether to send the form again.
#[must_use]
pub fn html(page: &Page, now: Time, reloads: bool) -> String {
    let mut main = String::new();
    for words in page.failure().into_iter().chain([page.next(now)]) {
        let _ = writeln!(main, "<p>{}</p>", marked(&words));
    }
    if let (Some(heading), Some(worker)) = (page.heading(), &page.worker) {
        let _ = writeln!(main, "<h2>{}</h2>", safe(&heading));
        if !worker.lines.is_empty() {
            let lines: Vec<String> = lines(worker).map(|line| safe(&line).into_owned()).collect();
            let _ = writeln!(main, "<pre>{}</pre>", lines.join("\n"));
        }
    }
    let (name, title) = (page.name(), page.title());
    let (name, title) = (safe(&name), safe(&title));
    let (head, foot) = if reloads {
        (
            "<noscript><meta http-equiv=\"refresh\" content=\"2\"></noscript>\n",
            format!(
                "<footer>This page reloads itself when a worker can answer.</footer>\n<script>\n{SCRIPT}</script>\n"
            ),
        )
    } else {
        ("", "<footer>Reload this page to send the request again.</footer>\n".to_owned())
    };
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\" data-page=\"{name}\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<link rel=\"icon\" href=\"data:,\">\n\
         <title>{title}</title>\n{head}<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <header><h1>{title}</h1><span class=\"status\">503 Service Unavailable</span></header>\n\
         <main>\n{main}</main>\n{foot}</body>\n</html>\n"
    )
}

/// With commands, which stand between backticks, set apart.
fn marked(words: &str) -> String {
    let parts = words.split('`').enumerate();
    parts
        .map(|(nth, part)| match nth % 2 {
            0 => safe(part),
            _ => format!("<code>{}</code>", safe(part)).into(),
        })
        .collect()
}

/// Characters that mean something in HTML, as what they look like.
fn safe(words: &str) -> Cow<'_, str> {
    if !words.contains(['&', '<', '>', '"', '\'']) {
        return words.into();
    }
    let mut safe = String::with_capacity(words.len() + 16);
    for c in words.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe.into()
}
