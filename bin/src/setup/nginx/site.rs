//! What a configuration of nginx means for those it proxies to: groups of servers, who passes requests to them, and how.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::syntax::{Directive, Place};

/// The parts of a configuration that matter here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Site {
    /// `user`: name, and group if it is given.
    pub user: Option<(String, Option<String>)>,
    /// Groups of servers, in `http` and `stream`.
    pub upstreams: Vec<Upstream>,
    /// Where requests are passed on.
    pub passes: Vec<Pass>,
    /// Variables that `map` makes: the name with its `$`, and what it is where the source is empty.
    pub maps: Vec<(String, String)>,
}

/// `upstream`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// Its name.
    pub name: String,
    /// Where.
    pub place: Place,
    /// Its servers.
    pub servers: Vec<Server>,
    /// `keepalive`, if it is set.
    pub keepalive: Option<u32>,
    /// `keepalive_timeout`, if it is set.
    pub keepalive_timeout: Option<Duration>,
}

/// `server` within `upstream`, or the one that `proxy_pass` names itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// The socket's path, if it is a unix socket.
    pub path: Option<PathBuf>,
    /// `max_fails`, if it is set.
    pub max_fails: Option<u32>,
    /// `down`
    pub down: bool,
    /// `backup`
    pub backup: bool,
    /// Where.
    pub place: Place,
}

/// `proxy_pass` and its kin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pass {
    /// To whom.
    pub to: Target,
    /// How, if that is HTTP.
    pub http: Option<Settings>,
    /// What is spoken ends each connection with its request, whatever `keepalive` says.
    pub closes: bool,
    /// Where.
    pub place: Place,
}

/// Whom requests are passed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A group of servers, or a host.
    Named(String),
    /// A unix socket.
    Socket(PathBuf),
    /// Only a request shows.
    Variable,
}

/// What is in force where a request is passed on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// `proxy_http_version`
    pub http_version: Option<String>,
    /// `proxy_set_header`, names in lower case. What an inner block sets replaces all of an outer one.
    pub headers: Option<Vec<(String, String)>>,
    /// `proxy_next_upstream`
    pub next_upstream: Option<Vec<String>>,
    /// `proxy_next_upstream_tries`
    pub tries: Option<u32>,
    /// `fastcgi_keep_conn`
    pub fastcgi_keep_conn: bool,
}

/// Blocks that hold no directives but something else.
const DATA: [&str; 5] = ["types", "geo", "split_clients", "match", "charset_map"];

impl Site {
    /// Reads the directives of a main file, or of a part of `http`.
    #[must_use]
    pub fn of(directives: &[Directive]) -> Self {
        let mut site = Self::default();
        let user = directives.iter().rev().find(|directive| directive.name == "user");
        site.user = user.and_then(|user| Some((user.arg(0)?.to_owned(), user.arg(1).map(Into::into))));
        site.take(directives, &Settings::default(), true);
        site
    }

    /// What a variable that a `map` makes is, where the map's source is empty.
    #[must_use]
    pub fn mapped(&self, variable: &str) -> Option<&str> {
        self.maps.iter().find(|(name, _)| name == variable).map(|(_, value)| value.as_str())
    }

    fn take(&mut self, directives: &[Directive], outer: &Settings, http: bool) {
        let settings = outer.within(directives);
        for directive in directives {
            match directive.name.as_str() {
                "upstream" => self.upstreams.extend(Upstream::of(directive)),
                "map" => self.maps.extend(variable(directive)),
                "stream" => self.take(directive.block.as_deref().unwrap_or_default(), &settings, false),
                "proxy_pass" => {
                    self.passes.extend(Pass::of(directive, http.then(|| settings.clone()), false))
                }
                "fastcgi_pass" => self.passes.extend(Pass::of(directive, None, !settings.fastcgi_keep_conn)),
                "scgi_pass" | "uwsgi_pass" => self.passes.extend(Pass::of(directive, None, true)),
                "grpc_pass" | "memcached_pass" => self.passes.extend(Pass::of(directive, None, false)),
                name if DATA.contains(&name) => {}
                _ => {
                    if let Some(block) = &directive.block {
                        self.take(block, &settings, http);
                    }
                }
            }
        }
    }
}

impl Settings {
    /// What is in force in a block that says `directives`.
    fn within(&self, directives: &[Directive]) -> Self {
        let last = |name: &str| directives.iter().rev().find(|directive| directive.name == name);
        let mut settings = self.clone();
        if let Some(version) = last("proxy_http_version") {
            settings.http_version = version.arg(0).map(Into::into);
        }
        if let Some(next) = last("proxy_next_upstream") {
            settings.next_upstream = Some(next.args.clone());
        }
        if let Some(tries) = last("proxy_next_upstream_tries") {
            settings.tries = tries.arg(0).and_then(|count| count.parse().ok());
        }
        if let Some(keep) = last("fastcgi_keep_conn") {
            settings.fastcgi_keep_conn = keep.arg(0) == Some("on");
        }
        let headers = directives.iter().filter(|directive| directive.name == "proxy_set_header");
        let headers: Vec<_> =
            headers.filter_map(|set| Some((set.arg(0)?.to_lowercase(), set.arg(1)?.to_owned()))).collect();
        if !headers.is_empty() {
            settings.headers = Some(headers);
        }
        settings
    }

    /// What a request's header is set to.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let set = self.headers.iter().flatten().rev().find(|(known, _)| known == name);
        set.map(|(_, value)| value.as_str())
    }
}

impl Upstream {
    fn of(directive: &Directive) -> Option<Self> {
        let last = |name: &str| {
            let set = directive.inside().rev().find(|inner| inner.name == name)?;
            set.arg(0)
        };
        Some(Self {
            name: directive.arg(0)?.to_owned(),
            place: directive.place.clone(),
            servers: directive.inside().filter(|inner| inner.name == "server").map(Server::of).collect(),
            keepalive: last("keepalive").and_then(|count| count.parse().ok()),
            keepalive_timeout: last("keepalive_timeout").and_then(time),
        })
    }
}

impl Server {
    fn of(directive: &Directive) -> Self {
        let flag = |name: &str| directive.args.iter().skip(1).any(|arg| arg == name);
        let max_fails = directive.args.iter().find_map(|arg| arg.strip_prefix("max_fails="));
        Self {
            path: directive.arg(0).and_then(socket).map(Into::into),
            max_fails: max_fails.and_then(|count| count.parse().ok()),
            down: flag("down"),
            backup: flag("backup"),
            place: directive.place.clone(),
        }
    }
}

impl Pass {
    fn of(directive: &Directive, http: Option<Settings>, closes: bool) -> Option<Self> {
        let url = directive.arg(0)?;
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        let to = if let Some(path) = socket(rest) {
            // What follows the next colon is the URI.
            Target::Socket(path.split(':').next().unwrap_or_default().into())
        } else if rest.contains('$') {
            Target::Variable
        } else {
            Target::Named(rest.split('/').next().unwrap_or_default().to_lowercase())
        };
        Some(Self { to, http, closes, place: directive.place.clone() })
    }

    /// Whether it passes requests to this upstream.
    #[must_use]
    pub fn leads_to(&self, upstream: &Upstream) -> bool {
        matches!(&self.to, Target::Named(name) if *name == upstream.name.to_lowercase())
    }

    /// The group of one server that nginx makes of a socket's path.
    #[must_use]
    pub fn own_upstream(&self) -> Option<Upstream> {
        let Target::Socket(path) = &self.to else { return None };
        let place = self.place.clone();
        let server = Server {
            path: Some(path.clone()),
            max_fails: None,
            down: false,
            backup: false,
            place: place.clone(),
        };
        let name = Path::new("unix:").join(path).display().to_string();
        Some(Upstream { name, place, servers: vec![server], keepalive: None, keepalive_timeout: None })
    }
}

fn socket(address: &str) -> Option<&str> {
    let (scheme, path) = address.split_at_checked("unix:".len())?;
    scheme.eq_ignore_ascii_case("unix:").then_some(path)
}

/// The variable that a `map` makes, and what it is where the map's source is empty.
fn variable(map: &Directive) -> Option<(String, String)> {
    let value = |key: &str| map.inside().find(|entry| entry.name == key)?.arg(0);
    Some((map.arg(1)?.to_owned(), value("").or_else(|| value("default")).unwrap_or_default().to_owned()))
}

/// A span of time as nginx spells it: `5s`, `1m 30s`, `500ms`; a bare number is seconds.
pub(in crate::setup) fn time(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text.trim();
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let count: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let millis = match &rest[..letters] {
            "ms" => 1,
            "" | "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 604_800_000,
            "M" => 2_592_000_000,
            "y" => 31_536_000_000,
            _ => return None,
        };
        total = total.checked_add(Duration::from_millis(count.checked_mul(millis)?))?;
        rest = rest[letters..].trim_start();
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::nginx::dump;

    fn site(text: &str) -> Site {
        Site::of(&dump::read("f", text).unwrap().directives)
    }

    #[test]
    fn blocks_inherit_settings_and_replace_headers() {
        let site = site(
            "proxy_http_version 1.1; proxy_set_header A a; proxy_set_header Connection ''; proxy_next_upstream off;
             server {
               location / { proxy_pass http://shop/x; }
               location /b { proxy_set_header B b; proxy_http_version 1.0; if ($x) { proxy_pass http://SHOP; } }
             }
             upstream Shop { server unix:/a; }",
        );
        let [first, second] = site.passes.as_slice() else { panic!("{site:?}") };
        assert!(first.leads_to(&site.upstreams[0]) && second.leads_to(&site.upstreams[0]));
        let (first, second) = (first.http.clone().unwrap(), second.http.clone().unwrap());
        assert_eq!((first.http_version.as_deref(), first.header("connection")), (Some("1.1"), Some("")));
        assert_eq!((second.http_version.as_deref(), second.header("connection")), (Some("1.0"), None));
        assert_eq!(second.next_upstream, Some(vec!["off".into()]));
    }

    #[test]
    fn upstream_servers_have_their_parameters() {
        let site = site(
            "upstream a {
               server unix:/run/a.0.sock max_fails=0 weight=2;
               server 'unix:/run/a b' backup; server 127.0.0.1:80 down;
               keepalive 8; keepalive_timeout 90s;
             }",
        );
        let upstream = &site.upstreams[0];
        assert_eq!(upstream.servers[0].path.as_deref(), Some(Path::new("/run/a.0.sock")));
        assert_eq!(upstream.servers[0].max_fails, Some(0));
        assert!(upstream.servers[1].backup && upstream.servers[2].down);
        assert_eq!(upstream.servers[2].path, None);
        assert_eq!((upstream.keepalive, upstream.keepalive_timeout), (Some(8), time("1m30s")));
    }

    #[test]
    fn proxy_pass_targets_are_classified() {
        let site = site(
            "stream { server { proxy_pass shop; } }
             server { proxy_pass http://unix:/run/a.sock:/uri/; }
             server { proxy_pass $scheme://$host; } server { grpc_pass grpc://shop; }",
        );
        let targets: Vec<_> = site.passes.iter().map(|pass| (&pass.to, pass.http.is_some())).collect();
        assert_eq!(targets[0], (&Target::Named("shop".into()), false));
        assert_eq!(targets[1], (&Target::Socket("/run/a.sock".into()), true));
        assert_eq!(targets[2], (&Target::Variable, true));
        assert_eq!(targets[3], (&Target::Named("shop".into()), false));
        assert_eq!(site.passes[1].own_upstream().unwrap().servers.len(), 1);
    }

    #[test]
    fn connections_end_with_requests_by_protocol() {
        let site = site(
            "server { location /a { fastcgi_pass a; } location /b { uwsgi_pass a; } location /c { grpc_pass grpc://a; } }
             server { fastcgi_keep_conn on; location / { fastcgi_pass a; } }",
        );
        let closes: Vec<bool> = site.passes.iter().map(|pass| pass.closes).collect();
        assert_eq!(closes, [true, true, false, false]);
    }

    #[test]
    fn map_gives_value_for_plain_request() {
        let site = site(
            "map $http_upgrade $a { default upgrade; '' close; } map $x $b { default c; } map $x $d { 1 2; }
             user shop www-data;",
        );
        assert_eq!(
            [site.mapped("$a"), site.mapped("$b"), site.mapped("$d")],
            [Some("close"), Some("c"), Some("")]
        );
        assert_eq!(site.user, Some(("shop".into(), Some("www-data".into()))));
    }

    #[test]
    fn times_are_parsed_as_by_nginx() {
        let millis = |text| time(text).map(|time| time.as_millis());
        assert_eq!(
            ["5", "5s", "1m30s", "1h 1ms", "250ms"].map(millis),
            [5000, 5000, 90_000, 3_600_001, 250].map(Some)
        );
        assert_eq!(["x", "5q", "5s!", "99999999999y"].map(millis), [None; 4]);
    }
}
