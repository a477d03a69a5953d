//! `HAProxy` on one side, what a daemon serves on the other: what differs?

use std::path::Path;

use super::backends::{Backend, Server, Site};
use super::print::server;
use crate::render;
use crate::setup::check::Finding;
use crate::setup::proxy::served::{Entry, Served, Words};

/// How `HAProxy`'s configuration speaks.
const WORDS: Words =
    Words { front: "HAProxy", entry: "`server`", command: "nodesockd proxy haproxy", line: first };

fn first(link: &Path) -> String {
    server(0, &link.display().to_string()).replacen("slot0", "NAME", 1)
}

/// What differs, or that nothing does.
pub(super) fn compare(site: &Site, served: &Served) -> Vec<Finding> {
    let is_ours = |server: &Server| server.socket.as_deref().is_some_and(|path| served.is_ours(path));
    let ours: Vec<&Backend> =
        site.backends.iter().filter(|backend| backend.servers.iter().any(is_ours)).collect();
    if ours.is_empty() {
        let folder = render::path(&served.socket_dir);
        let message =
            format!("HAProxy does not pass requests to this app: no `backend` names a link in {folder}");
        return vec![Finding::bad(message, "add what `nodesockd proxy haproxy` prints, and reload HAProxy")];
    }
    let mut findings: Vec<Finding> = out_of_reach(site, served).into_iter().collect();
    findings.extend(ours.into_iter().flat_map(|backend| one(backend, served)));
    findings
}

/// Within a `chroot`, paths lead elsewhere.
fn out_of_reach(site: &Site, served: &Served) -> Option<Finding> {
    let chroot = site.chroot.as_deref()?;
    let inside = chroot.join(served.socket_dir.strip_prefix("/").unwrap_or(&served.socket_dir));
    (!inside.is_dir()).then(|| {
        Finding::bad(
            format!(
                "HAProxy looks for the sockets below its `chroot`, in {}, which is not there: every request is answered by 503",
                render::path(&inside)
            ),
            "remove `chroot` from `global`",
        )
    })
}

fn one(backend: &Backend, served: &Served) -> Vec<Finding> {
    let group = format!("backend `{}` ({})", render::word(&backend.name), backend.place);
    let entries = backend
        .servers
        .iter()
        .filter_map(|server| Some(Entry { path: server.socket.as_deref()?, place: server.place.clone() }));
    let entries: Vec<Entry<'_>> = entries.collect();
    let mut findings = served.differences(&group, &entries, &WORDS);
    findings.extend(backend.servers.iter().filter_map(out_of_service));
    findings.extend(judged(backend));
    findings.extend(retries(backend, served));
    if backend.keeps() && !served.answers_kept {
        findings.push(Finding::warning(
            format!(
                "{}: HAProxy keeps connections to workers that are told to end by SIGTERM; such a worker closes them, and a \
                 request that HAProxy sends at that moment is lost",
                backend.place
            ),
            "add `option http-server-close`",
        ));
    }
    if backend.keeps_by_fastcgi() {
        findings.push(Finding::warning(
            format!(
                "{}: HAProxy keeps connections by FastCGI; a process of php-fpm serves one connection at a time, so when all processes \
                 have one, requests on others hang; and a worker that retires closes them, so that requests are lost",
                backend.place
            ),
            "add `no option keep-conn` to its `fcgi-app`",
        ));
    }
    if !backend.used {
        findings.push(Finding::warning(
            format!("nothing passes requests to {group}"),
            format!("add `default_backend {}` to a frontend", render::word(&backend.name)),
        ));
    }
    if findings.is_empty() {
        findings.push(Finding::good(format!("{group} passes requests to all {} slots", served.slots)));
    }
    findings
}

/// Whether a slot gets no requests by its own options.
fn out_of_service(server: &Server) -> Option<Finding> {
    let place = &server.place;
    if server.has("disabled") || server.value("weight") == Some("0") {
        return Some(Finding::bad(
            format!("{place}: HAProxy sends nothing to this server: it is `disabled`, or its `weight` is 0"),
            "remove that",
        ));
    }
    server.has("backup").then(|| {
        Finding::warning(
            format!("{place}: this server gets requests only when others fail: it is marked `backup`"),
            "remove `backup`; spare workers are what `standby` is for",
        )
    })
}

/// Does a failure take a slot out of service?
fn judged(backend: &Backend) -> Option<Finding> {
    let judged = |server: &&Server| server.has("check") || server.value("observe").is_some();
    let first = backend.servers.iter().find(judged)?;
    Some(Finding::warning(
        format!(
            "{}: HAProxy judges slots by itself (`check`, `observe`), and sends nothing to one that fails, though another worker \
             has it by then; if all have failed, every request is answered by 503",
            first.place
        ),
        "remove `check` and `observe`; the daemon checks its workers (`health.path`)",
    ))
}

/// Which requests are tried at another slot when one fails?
fn retries(backend: &Backend, served: &Served) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !backend.redispatches() && served.slots > 1 {
        findings.push(Finding::warning(
            format!("{}: a request that one slot cannot take is not tried at another", backend.place),
            "add `option redispatch 1`, and leave `retries` at 3",
        ));
    }
    if backend.repeats() {
        findings.push(Finding::warning(
            format!("{}: `retry-on` repeats a POST that a worker had begun when it crashed, so it may be done twice", backend.place),
            "leave `retry-on` at `conn-failure`, or add `http-request disable-l7-retry unless METH_GET`",
        ));
    }
    findings
}
