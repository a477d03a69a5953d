//! Values of options and arguments.

use std::num::NonZeroU32;
use std::time::Duration;

use nodesockd_core::config::DevAddress;
use nodesockd_core::timestamp;
use nodesockd_core::wire::Json;

use super::{DevServerArg, Since};

/// A number and a unit of time: `5` and `5s`, `500ms`, `5m` and `5min`, `1h`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = match unit {
        "ms" => Some(Duration::from_millis(1)),
        "" | "s" => Some(Duration::from_secs(1)),
        "m" | "min" => Some(Duration::from_secs(60)),
        "h" => Some(Duration::from_secs(3600)),
        _ => None,
    };
    let count = number.parse::<u32>().ok().filter(|count| *count > 0);
    unit.zip(count).map(|(unit, count)| unit * count).ok_or_else(|| {
        "expected seconds (5 or 5s), milliseconds (500ms), minutes (5m) or hours (1h), more than none".into()
    })
}

/// The path of a GET.
pub(super) fn request_path(text: &str) -> Result<String, String> {
    let wrong =
        || "it must start with `/` and have no spaces or other characters than those of a URL".to_owned();
    nodesockd_core::config::is_request_path(text).then(|| text.to_owned()).ok_or_else(wrong)
}

/// A time that may be none.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    if text == "0" { Ok(Duration::ZERO) } else { duration(text) }
}

/// So long ago, or a point in time.
pub(super) fn since(text: &str) -> Result<Since, String> {
    let ago = duration(text).map(Since::Ago);
    ago.ok().or_else(|| timestamp::parse(text).map(Since::At)).ok_or_else(|| {
        "expected a time from now on back (90s, 30m, 12h), a date (2026-03-01) or a date with a time (2026-03-01T22:00)"
            .into()
    })
}

/// Nothing, or `true` and `false` as in the configuration, or a port or address.
pub(super) fn dev_server(text: &str) -> Result<DevServerArg, String> {
    match text {
        "" | "true" => Ok(DevServerArg::At(DevAddress::DEFAULT_PORT.into())),
        "false" => Ok(DevServerArg::Off),
        text => text.parse().map(DevServerArg::At).map_err(|error| format!("{error}")),
    }
}

pub(super) fn at_least_one(text: &str) -> Result<NonZeroU32, String> {
    text.parse().map_err(|_| "expected a whole number from 1".to_owned())
}

/// How many slots.
pub(super) fn slots(text: &str) -> Result<NonZeroU32, String> {
    if text == "0" {
        return Err("there is at least one slot; `nodesockd stop` stops all workers".to_owned());
    }
    at_least_one(text)
}

/// JSON, passed on as it was typed.
pub(super) fn json(text: &str) -> Result<Json, String> {
    // Parsed from a line of its own, because a frame is one: line ends between tokens become spaces.
    let line: String = text.chars().map(|c| if matches!(c, '\n' | '\r') { ' ' } else { c }).collect();
    Json::parse(line.trim()).map_err(|error| {
        let hint = if line.trim().starts_with(['"', '{', '[']) {
            ""
        } else {
            "; a string needs double quotes inside the shell's quotes: '\"text\"'"
        };
        format!("not JSON: {error}{hint}")
    })
}
