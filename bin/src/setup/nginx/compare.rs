//! nginx on one side, what a daemon serves on the other: what differs?

use std::time::Duration;

use super::Version;
use super::site::{Pass, Server, Settings, Site, Upstream};
use super::syntax::Place;
use crate::render::{self, span};
use crate::setup::check::Finding;
use crate::setup::proxy::served::{Entry, Served, Words};

/// How nginx's configuration speaks.
const WORDS: Words =
    Words { front: "nginx", entry: "`server`", command: "nodesockd nginx", line: super::print::server };

/// nginx's own `keepalive_timeout` of an upstream.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(60);

/// Since then, connections to upstreams are kept, and HTTP/1.1 is spoken, unless told otherwise.
const KEEPS_BY_DEFAULT: Version = Version(1, 29, 7);

/// What differs, or that nothing does. `version` is nginx's, if it is known.
#[must_use]
pub fn compare(site: &Site, served: &Served, version: Option<Version>) -> Vec<Finding> {
    let own: Vec<Upstream> = site.passes.iter().filter_map(Pass::own_upstream).collect();
    let names_us = |upstream: &&Upstream| {
        let mut paths = upstream.servers.iter().filter_map(|server| server.path.as_deref());
        paths.any(|path| served.is_ours(path))
    };
    let ours: Vec<&Upstream> = site.upstreams.iter().chain(&own).filter(names_us).collect();
    if ours.is_empty() {
        return vec![nobody(site, served)];
    }
    let modern = version.is_some_and(|version| version >= KEEPS_BY_DEFAULT);
    let mut findings = Vec::new();
    for upstream in ours {
        let before = findings.len();
        let passes = site.passes.iter().filter(|pass| pass.leads_to(upstream));
        let group = Group { site, served, upstream, passes: passes.collect(), modern };
        group.slots(&mut findings);
        group.failures(&mut findings);
        group.connections(&mut findings);
        group.retries(&mut findings);
        if findings.len() == before {
            findings.push(Finding::good(format!(
                "{} passes requests to all {} slots",
                group.name(),
                served.slots
            )));
        }
    }
    findings
}

/// No group of servers is ours; perhaps one was meant to be.
fn nobody(site: &Site, served: &Served) -> Finding {
    let folder = render::path(&served.socket_dir);
    let servers = site
        .upstreams
        .iter()
        .flat_map(|upstream| upstream.servers.iter().map(move |server| (upstream, server)));
    let alike = servers
        .filter_map(|(upstream, server)| Some((upstream, server.path.as_deref()?, &server.place)))
        .find(|(_, path, _)| served.named(path).is_some());
    let message = format!("nginx does not pass requests to this app: no `upstream` names a link in {folder}");
    match alike {
        Some((upstream, path, place)) => Finding::bad(
            message,
            format!(
                "`{}` names {} ({place}); if it is meant for this app, correct it, or `tmpDir`",
                render::word(&upstream.name),
                render::path(path),
            ),
        ),
        None => Finding::bad(message, "add what `nodesockd nginx` prints, and reload nginx"),
    }
}

/// One group of servers that is ours.
struct Group<'a> {
    site: &'a Site,
    served: &'a Served,
    upstream: &'a Upstream,
    passes: Vec<&'a Pass>,
    modern: bool,
}

impl Group<'_> {
    fn name(&self) -> String {
        format!("upstream `{}` ({})", render::word(&self.upstream.name), self.upstream.place)
    }

    /// Is every slot named, and nothing else?
    fn slots(&self, findings: &mut Vec<Finding>) {
        let named = self.upstream.servers.iter().filter_map(|server| {
            let path = server.path.as_deref()?;
            Some((server, Entry { path, place: server.place.to_string() }))
        });
        let (servers, entries): (Vec<_>, Vec<_>) = named.unzip();
        findings.extend(self.served.differences(&self.name(), &entries, &WORDS));
        for (server, entry) in servers.into_iter().zip(&entries) {
            findings.extend(self.served.slot(entry.path).and_then(|slot| self.out_of_service(server, slot)));
        }
    }

    fn out_of_service(&self, server: &Server, slot: u32) -> Option<Finding> {
        let place = &server.place;
        if server.down {
            return Some(Finding::bad(
                format!("{place}: nginx sends nothing to slot {slot}, which is marked `down`"),
                "remove `down`",
            ));
        }
        let alone = self.upstream.servers.iter().all(|server| server.backup);
        (server.backup && !alone).then(|| {
            Finding::warning(
                format!("{place}: slot {slot} gets requests only when others fail: it is marked `backup`"),
                "remove `backup`; spare workers are what `standby` is for",
            )
        })
    }

    /// Does one failure take a slot out of service? With a single server nginx pays no attention to `max_fails`.
    fn failures(&self, findings: &mut Vec<Finding>) {
        let counted = |server: &&Server| server.path.is_some() && server.max_fails != Some(0);
        let counting: Vec<&Place> =
            self.upstream.servers.iter().filter(counted).map(|server| &server.place).collect();
        if self.upstream.servers.len() > 1 && !counting.is_empty() {
            findings.push(Finding::bad(
                format!(
                    "{}: after a failed request nginx avoids a slot for ten seconds, though another worker has it by \
                     then; if all have failed, every request is answered by 502",
                    places(&counting)
                ),
                "add `max_fails=0` to each `server`",
            ));
        }
    }

    /// Are connections kept, and do both sides agree on how long?
    fn connections(&self, findings: &mut Vec<Finding>) {
        let keeps = self.upstream.keepalive.map_or(self.modern, |count| count > 0);
        if !keeps {
            return;
        }
        if !self.served.answers_kept {
            findings.extend(self.kept());
            return;
        }
        findings.extend(self.closing());
        let timeout = self.upstream.keepalive_timeout.unwrap_or(KEEPALIVE_TIMEOUT);
        let (keep_alive, shutdown) = (self.served.keep_alive, self.served.shutdown_timeout);
        let help = "set `keepalive_timeout 5s;` in it";
        if timeout >= keep_alive {
            findings.push(Finding::bad(
                format!(
                    "{} keeps idle connections for {}, but workers close them after {}: a request sent at that moment \
                     is lost",
                    self.name(),
                    span(timeout),
                    span(keep_alive)
                ),
                help,
            ));
        } else if timeout >= shutdown {
            findings.push(Finding::warning(
                format!(
                    "{} keeps idle connections for {}; a worker that retires has to close them before its \
                     `options.shutdownTimeout` of {} is over, maybe while a request is on its way",
                    self.name(),
                    span(timeout),
                    span(shutdown)
                ),
                help,
            ));
        }
    }

    /// Whether a connection ends with its request.
    fn closes(&self, settings: &Settings) -> bool {
        let version = settings.http_version.as_deref().unwrap_or(if self.modern { "1.1" } else { "1.0" });
        let connection = match settings.header("connection") {
            Some(variable) if variable.starts_with('$') => self.site.mapped(variable).unwrap_or_default(),
            Some(value) => value,
            None if self.modern => "",
            None => "close",
        };
        version == "1.0" || connection.eq_ignore_ascii_case("close")
    }

    /// Where connections are kept to workers that close them when they are told to end.
    fn kept(&self) -> Option<Finding> {
        let closes = |pass: &Pass| pass.http.as_ref().is_some_and(|settings| self.closes(settings));
        let keeps = |pass: &&&Pass| !pass.closes && !closes(pass);
        let kept: Vec<&Place> = self.passes.iter().filter(keeps).map(|pass| &pass.place).collect();
        (!kept.is_empty()).then(|| {
            Finding::warning(
                format!(
                    "{}: nginx keeps connections to workers that are told to end by SIGTERM; such a worker closes them, and a \
                     request that nginx sends at that moment is lost, unless it is a GET and there is another slot",
                    places(&kept)
                ),
                format!(
                    "remove `keepalive` from upstream `{}`, and add `proxy_set_header Connection close;`, or for WebSockets as \
                     well what `nodesockd nginx` prints",
                    render::word(&self.upstream.name)
                ),
            )
        })
    }

    /// Where connections are closed after each request although they could be kept.
    fn closing(&self) -> Option<Finding> {
        let closes = |pass: &&&Pass| pass.http.as_ref().is_some_and(|settings| self.closes(settings));
        let closing: Vec<&Place> = self.passes.iter().filter(closes).map(|pass| &pass.place).collect();
        (!closing.is_empty()).then(|| {
            Finding::warning(
                format!("{}: each connection is closed after one request, in spite of `keepalive`", places(&closing)),
                "add `proxy_http_version 1.1;` and `proxy_set_header Connection \"\";`, or for WebSockets as well what \
                 `nodesockd nginx` prints",
            )
        })
    }

    /// Which requests are tried at another slot when one fails?
    fn retries(&self, findings: &mut Vec<Finding>) {
        let unknown = self.site.passes.iter().any(|pass| pass.to == super::site::Target::Variable);
        let own = self.upstream.name.starts_with("unix:");
        if self.passes.is_empty() && !unknown && !own {
            findings.push(Finding::warning(
                format!("nothing passes requests to {}", self.name()),
                format!("add `proxy_pass http://{};` to a location", render::word(&self.upstream.name)),
            ));
        }
        let http = self.passes.iter().filter_map(|pass| Some((pass.http.as_ref()?, &pass.place)));
        let (mut never, mut twice) = (Vec::new(), Vec::new());
        for (settings, place) in http {
            let next = settings.next_upstream.as_deref().unwrap_or_default();
            let has = |word: &str| next.iter().any(|known| known == word);
            if settings.tries == Some(1) || has("off") || !(next.is_empty() || has("error")) {
                never.push(place);
            } else if has("non_idempotent") {
                twice.push(place);
            }
        }
        if !never.is_empty() && self.served.slots > 1 {
            findings.push(Finding::warning(
                format!("{}: a request that one slot cannot take is not tried at another", places(&never)),
                "leave `proxy_next_upstream` at `error timeout`, nginx's default, and `proxy_next_upstream_tries` at 0",
            ));
        }
        if !twice.is_empty() {
            findings.push(Finding::warning(
                format!(
                    "{}: `non_idempotent` repeats a POST that a worker had begun when it crashed, so it may be done \
                     twice",
                    places(&twice)
                ),
                "remove it, unless your app can tell repeated requests",
            ));
        }
    }
}

/// The first place, and how many more there are.
fn places(places: &[&Place]) -> String {
    match places {
        [] => String::new(),
        [one] => one.to_string(),
        [one, more @ ..] => format!("{one} and {} more", more.len()),
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use nodesockd_core::config::SocketPattern;

    use super::*;
    use crate::setup::check::Verdict;
    use crate::setup::nginx::dump;
    use crate::setup::proxy::served::WORKER_KEEP_ALIVE;

    const OLD: Option<Version> = Some(Version(1, 22, 1));
    const NEW: Option<Version> = Some(Version(1, 31, 0));

    fn served() -> Served {
        Served {
            socket_dir: "/run/shop".into(),
            socket_file: SocketPattern::parse("app.{worker}.sock").unwrap(),
            slots: 2,
            slots_key: "workers",
            shutdown_timeout: Duration::from_secs(10),
            keep_alive: WORKER_KEEP_ALIVE,
            answers_kept: true,
        }
    }

    fn found(text: &str, version: Option<Version>) -> Vec<Finding> {
        compare(&Site::of(&dump::read("f", text).unwrap().directives), &served(), version)
    }

    /// The findings of a configuration with this upstream and this location.
    fn said(upstream: &str, location: &str, version: Option<Version>) -> String {
        said_of(&served(), upstream, location, version)
    }

    /// The same, of other workers.
    fn said_of(served: &Served, upstream: &str, location: &str, version: Option<Version>) -> String {
        let text = format!(
            "upstream shop {{\n{upstream} }}\nserver {{ location / {{ proxy_pass http://shop; {location} }} }}"
        );
        let mut lines = String::new();
        let findings = compare(&Site::of(&dump::read("f", &text).unwrap().directives), served, version);
        for finding in findings.iter().filter(|finding| finding.verdict != Verdict::Good) {
            let _ = writeln!(lines, "{:?}: {}", finding.verdict, finding.message);
        }
        lines
    }

    const BOTH: &str =
        "server unix:/run/shop/app.0.sock max_fails=0; server unix:/run/shop/app.1.sock max_fails=0;";
    const KEPT: &str = "proxy_http_version 1.1; proxy_set_header Connection '';";

    #[test]
    fn fitting_configuration_has_no_findings() {
        assert_eq!(said(BOTH, "", OLD), "");
        let quick = format!("{BOTH} keepalive 8; keepalive_timeout 5s;");
        assert_eq!(said(&quick, KEPT, OLD), "");
        assert_eq!(said(&quick, "", NEW), "");
        assert_eq!(said(&format!("{BOTH} keepalive 0;"), "", NEW), "");
    }

    #[test]
    fn missing_and_extra_slots_are_found() {
        assert!(
            said("server unix:/run/shop/app.0.sock;", "", OLD)
                .contains("does not name slot 1, which gets no")
        );
        let extra = said(&format!("{BOTH}\nserver unix:/run/shop/app.2.sock max_fails=0;"), "", OLD);
        assert_eq!(
            extra,
            "Bad: f:3: nginx tries slot 2, but `workers` is 2, so there are slots 0 to 1 only\n"
        );
        let elsewhere = said(&format!("{BOTH} server unix:/run/old/app.2.sock max_fails=0;"), "", OLD);
        assert!(
            elsewhere.contains("/run/old/app.2.sock is not in /run/shop, where the links are"),
            "{elsewhere}"
        );
        let id = "3f2a1c9e-5b7d-4e8f-9a0b-1c2d3e4aaaa1";
        let socket = said(&format!("{BOTH} server unix:/run/shop/app.{id}.sock max_fails=0;"), "", OLD);
        assert!(socket.contains("is no slot's link"), "{socket}");
        assert!(said(&BOTH.replacen(";", " down;", 1), "", OLD).contains("marked `down`"));
        assert!(said(&BOTH.replacen(";", " backup;", 1), "", OLD).contains("marked `backup`"));
    }

    #[test]
    fn upstream_of_another_folder_is_found() {
        let findings = found("upstream x { server unix:/run/old/app.0.sock; }", OLD);
        assert_eq!(findings.len(), 1);
        assert!(
            findings[0].help.as_deref().unwrap().starts_with("`x` names /run/old/app.0.sock (f:1)"),
            "{findings:?}"
        );
        let findings = found("upstream x { server 127.0.0.1:80; }", OLD);
        assert!(findings[0].help.as_deref().unwrap().contains("nodesockd nginx"), "{findings:?}");
        let findings = found("server { proxy_pass http://unix:/run/shop/app.0.sock:/; }", OLD);
        assert!(findings[0].message.contains("does not name slot 1"), "{findings:?}");
    }

    #[test]
    fn max_fails_is_found() {
        let counting = BOTH.replace(" max_fails=0", "");
        assert!(said(&counting, "", OLD).starts_with("Bad: f:2 and 1 more: after a failed request"));
    }

    #[test]
    fn one_sided_keep_alive_is_found() {
        let kept = format!("{BOTH} keepalive 8; keepalive_timeout 5s;");
        for location in ["", "proxy_http_version 1.1;", "proxy_set_header Connection '';"] {
            assert!(said(&kept, location, OLD).contains("in spite of `keepalive`"), "{location}");
        }
        let slow = |timeout: &str, version| said(&format!("{BOTH} keepalive 8; {timeout}"), KEPT, version);
        assert!(
            slow("", OLD).starts_with("Warning")
                && slow("", OLD).contains("for 1 min; a worker that retires")
        );
        assert!(slow("keepalive_timeout 75s;", OLD).contains("is lost"));
        assert!(said(BOTH, "", NEW).contains("a worker that retires"), "connections are kept by default");
    }

    #[test]
    fn kept_connections_to_workers_that_close_them_are_found() {
        let served = Served { answers_kept: false, ..served() };
        let closed = "proxy_http_version 1.1; proxy_set_header Connection close;";
        let kept = format!("{BOTH} keepalive 8;");
        let said = |upstream: &str, location, version| said_of(&served, upstream, location, version);
        assert!(
            said(&kept, KEPT, OLD)
                .starts_with("Warning: f:3: nginx keeps connections to workers that are told")
        );
        assert!(said(BOTH, "", NEW).contains("is lost"), "connections are kept by default");
        for (upstream, location, version) in
            [(BOTH, "", OLD), (BOTH, closed, NEW), (&kept, closed, OLD), (&kept, "", OLD)]
        {
            assert_eq!(said(upstream, location, version), "", "{upstream} {location}");
        }
    }

    #[test]
    fn retries_of_non_idempotent_requests_are_found() {
        for location in
            ["proxy_next_upstream off;", "proxy_next_upstream_tries 1;", "proxy_next_upstream timeout;"]
        {
            assert!(said(BOTH, location, OLD).contains("is not tried at another"), "{location}");
        }
        let twice = said(BOTH, "proxy_next_upstream error timeout non_idempotent;", OLD);
        assert!(twice.contains("may be done twice"), "{twice}");
        assert_eq!(said(BOTH, "proxy_next_upstream error timeout http_503;", OLD), "");
    }

    #[test]
    fn unused_upstream_is_found() {
        let unused = format!("upstream shop {{ {BOTH} }}");
        assert!(found(&unused, OLD)[0].message.starts_with("nothing passes requests to upstream `shop`"));
        let dynamic = format!("{unused} server {{ set $to shop; proxy_pass http://$to; }}");
        assert_eq!(found(&dynamic, OLD)[0].verdict, Verdict::Good);
    }
}
