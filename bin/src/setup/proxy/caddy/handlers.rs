//! What Caddy's JSON says of the apps that it passes requests to.
//! <https://caddyserver.com/docs/json/apps/http/servers/routes/handle/reverse_proxy/>

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::setup::nginx::time;

/// Caddy's own time-out of an idle connection, where nothing is said of `keep_alive`.
const IDLE_TIMEOUT: Duration = Duration::from_secs(120);

/// Methods that are not repeated without being told to (RFC 9110, 9.2.2).
const NOT_IDEMPOTENT: [&str; 3] = ["POST", "PATCH", "LOCK"];

/// One `reverse_proxy`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Handler {
    /// Its path in the configuration, as the admin API has it.
    pub(super) place: String,
    /// The unix sockets among its upstreams.
    pub(super) sockets: Vec<PathBuf>,
    /// Whether a connection that cannot be made is tried elsewhere.
    pub(super) tries: bool,
    /// Whether a POST that was sent may be sent again.
    pub(super) repeats: bool,
    /// For how long an upstream that has failed gets nothing; not at all if zero.
    pub(super) avoids: Duration,
    /// Whether upstreams are asked, and left out if they do not answer.
    pub(super) asks: bool,
    /// How long an idle connection is kept, `None` if it is not; for ever if that is the most there is.
    pub(super) keeps: Option<Duration>,
}

/// All of them.
pub(super) fn of(config: &Value) -> Vec<Handler> {
    let mut found = Vec::new();
    collect(&config["apps"]["http"]["servers"], "apps/http/servers", &mut found);
    found
}

/// Handlers are in routes, which may be in handlers.
fn collect(value: &Value, place: &str, found: &mut Vec<Handler>) {
    match value {
        Value::Object(fields) => {
            if value["handler"] == "reverse_proxy" {
                found.push(Handler::new(value, place));
            }
            for (name, inner) in fields {
                collect(inner, &format!("{place}/{name}"), found);
            }
        }
        Value::Array(items) => {
            for (index, inner) in items.iter().enumerate() {
                collect(inner, &format!("{place}/{index}"), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

impl Handler {
    fn new(value: &Value, place: &str) -> Self {
        let dials = value["upstreams"].as_array().into_iter().flatten();
        let socket = |upstream: &Value| Some(PathBuf::from(socket(upstream["dial"].as_str()?)?));
        let balancing = &value["load_balancing"];
        let health = &value["health_checks"];
        let matches = balancing["retry_match"].as_array().map(Vec::as_slice).unwrap_or_default();
        Self {
            place: place.to_owned(),
            sockets: dials.filter_map(socket).collect(),
            tries: !duration(&balancing["try_duration"]).is_zero() || balancing["retries"].as_u64() > Some(0),
            repeats: matches.iter().any(repeats),
            avoids: duration(&health["passive"]["fail_duration"]),
            asks: !health["active"].is_null(),
            keeps: keeps(&value["transport"]),
        }
    }
}

/// `unix//run/a.sock`; since 2.8 maybe with a mode.
fn socket(dial: &str) -> Option<&str> {
    ["unix/", "unix+h2c/"].into_iter().find_map(|network| dial.strip_prefix(network))
}

/// Whether a set of matchers takes a POST.
fn repeats(matchers: &Value) -> bool {
    let Some(methods) = matchers["method"].as_array() else { return true };
    methods.iter().filter_map(Value::as_str).any(|method| NOT_IDEMPOTENT.contains(&method))
}

fn keeps(transport: &Value) -> Option<Duration> {
    // By FastCGI Caddy makes a connection for each request.
    if transport["protocol"] == "fastcgi" {
        return None;
    }
    let keep_alive = &transport["keep_alive"];
    if keep_alive.is_null() {
        return Some(IDLE_TIMEOUT);
    }
    let timeout = duration(&keep_alive["idle_timeout"]);
    let timeout = if timeout.is_zero() { Duration::MAX } else { timeout };
    (keep_alive["enabled"] != false).then_some(timeout)
}

/// Nanoseconds, or text as Go has it.
fn duration(value: &Value) -> Duration {
    let nanoseconds = value.as_u64().map(Duration::from_nanos);
    nanoseconds.or_else(|| time(value.as_str()?)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn handler(value: &Value) -> Handler {
        Handler::new(value, "here")
    }

    #[test]
    fn handlers_are_found_however_deep() {
        let proxy = json!({ "handler": "reverse_proxy", "upstreams": [{ "dial": "unix//run/a.0.sock" }, { "dial": "localhost:1" }] });
        let route = json!({ "handle": [{ "handler": "subroute", "routes": [{ "handle": [proxy] }] }] });
        let config = json!({ "apps": { "http": { "servers": { "srv0": { "routes": [route] } } } } });
        let [found] = of(&config).try_into().unwrap();
        assert_eq!(found.place, "apps/http/servers/srv0/routes/0/handle/0/routes/0/handle/0");
        assert_eq!(found.sockets, [PathBuf::from("/run/a.0.sock")]);
    }

    #[test]
    fn what_is_not_said_is_as_caddy_has_it() {
        let found = handler(&json!({}));
        assert_eq!((found.tries, found.repeats, found.asks), (false, false, false));
        assert_eq!((found.avoids, found.keeps), (Duration::ZERO, Some(Duration::from_secs(120))));
    }

    #[test]
    fn times_are_nanoseconds_or_words() {
        let found = handler(&json!({
            "load_balancing": { "try_duration": 5_000_000_000_u64, "retry_match": [{ "method": ["GET", "PUT"] }] },
            "health_checks": { "passive": { "fail_duration": "1m30s" }, "active": { "uri": "/" } },
            "transport": { "keep_alive": { "idle_timeout": "5s" } },
        }));
        assert_eq!((found.tries, found.repeats, found.asks), (true, false, true));
        assert_eq!((found.avoids.as_secs(), found.keeps), (90, Some(Duration::from_secs(5))));
    }

    #[test]
    fn retry_match_without_methods_takes_a_post() {
        for retry_match in [json!([{ "path": ["/"] }]), json!([{ "method": ["POST"] }])] {
            assert!(handler(&json!({ "load_balancing": { "retry_match": retry_match } })).repeats);
        }
        let off = json!({ "transport": { "keep_alive": { "enabled": false } } });
        assert_eq!(handler(&off).keeps, None);
    }
}
