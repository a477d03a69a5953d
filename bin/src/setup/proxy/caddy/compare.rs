//! Caddy on one side, what a daemon serves on the other: what differs?

use std::time::Duration;

use super::handlers::Handler;
use super::print::upstream;
use crate::render::{self, span};
use crate::setup::check::Finding;
use crate::setup::proxy::served::{Entry, Served, Words};

/// How Caddy's configuration speaks.
const WORDS: Words =
    Words { front: "Caddy", entry: "upstream", command: "nodesockd proxy caddy", line: upstream };

/// What differs, or that nothing does.
pub(super) fn compare(handlers: &[Handler], served: &Served) -> Vec<Finding> {
    let names_us = |handler: &&Handler| handler.sockets.iter().any(|path| served.is_ours(path));
    let ours: Vec<&Handler> = handlers.iter().filter(names_us).collect();
    if ours.is_empty() {
        let folder = render::path(&served.socket_dir);
        let message =
            format!("Caddy does not pass requests to this app: no `reverse_proxy` names a link in {folder}");
        return vec![Finding::bad(message, "add what `nodesockd proxy caddy` prints, and reload Caddy")];
    }
    ours.into_iter().flat_map(|handler| one(handler, served)).collect()
}

fn one(handler: &Handler, served: &Served) -> Vec<Finding> {
    let place = &handler.place;
    let entries: Vec<Entry<'_>> =
        handler.sockets.iter().map(|path| Entry { path, place: place.clone() }).collect();
    let mut findings = served.differences(&format!("`reverse_proxy` ({place})"), &entries, &WORDS);
    findings.extend(failures(handler));
    findings.extend(retries(handler, served));
    findings.extend(connections(handler, served));
    if findings.is_empty() {
        findings.push(Finding::good(format!("{place} passes requests to all {} slots", served.slots)));
    }
    findings
}

/// Does one failure take a slot out of service?
fn failures(Handler { place, avoids, asks, .. }: &Handler) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !avoids.is_zero() {
        findings.push(Finding::bad(
            format!(
                "{place}: after a failed request Caddy avoids a slot for {}, though another worker has it by then; if all \
                 have failed, every request is answered by 503",
                span(*avoids)
            ),
            "remove `fail_duration`",
        ));
    }
    if *asks {
        findings.push(Finding::warning(
            format!(
                "{place}: Caddy asks each slot by itself, and sends nothing to one that does not answer; while the app is \
                 suspended none does, and requests that could wait are answered by 503"
            ),
            "remove `health_uri` and what belongs to it; the daemon checks its workers (`health.path`)",
        ));
    }
    findings
}

/// Which requests are tried at another slot when one fails?
fn retries(Handler { place, tries, repeats, .. }: &Handler, served: &Served) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !tries && served.slots > 1 {
        findings.push(Finding::warning(
            format!("{place}: a request that one slot cannot take is not tried at another"),
            "add `lb_try_duration 5s`",
        ));
    }
    if *repeats {
        findings.push(Finding::warning(
            format!("{place}: `lb_retry_match` repeats a POST that a worker had begun when it crashed, so it may be done twice"),
            "remove it, or let it match `method GET`",
        ));
    }
    findings
}

/// Are connections kept, and do both sides agree on how long?
fn connections(Handler { place, keeps, .. }: &Handler, served: &Served) -> Option<Finding> {
    let kept = (*keeps)?;
    let long = if kept == Duration::MAX { "for ever".to_owned() } else { format!("for {}", span(kept)) };
    if !served.answers_kept {
        return Some(Finding::warning(
            format!(
                "{place}: Caddy keeps connections to workers that are told to end by SIGTERM; such a worker closes them, and a \
                 POST that Caddy sends at that moment is lost"
            ),
            "add `keepalive off` to `transport http`",
        ));
    }
    let help = "add `keepalive 5s` to `transport http`";
    let (keep_alive, shutdown) = (served.keep_alive, served.shutdown_timeout);
    if kept >= keep_alive {
        Some(Finding::bad(
            format!(
                "{place}: Caddy keeps idle connections {long}, but workers close them after {}: a request sent at that moment \
                 is lost",
                span(keep_alive)
            ),
            help,
        ))
    } else if kept >= shutdown {
        Some(Finding::warning(
            format!(
                "{place}: Caddy keeps idle connections {long}; a worker that retires has to close them before its \
                 `options.shutdownTimeout` of {} is over, maybe while a request is on its way",
                span(shutdown)
            ),
            help,
        ))
    } else {
        None
    }
}
