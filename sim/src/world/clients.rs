//! Operators' clients: what they ask, and that each request gets exactly one final reply.

use std::collections::{BTreeMap, BTreeSet};

use nodesockd_core::asker::Asker;
use nodesockd_core::event::Event;
use nodesockd_core::id::{ConnId, Peer, RequestRef};
use nodesockd_core::wire::{Body, Code, Reply, Request};

use super::agenda::{Happening, Lane};
use super::{World, ms};
use crate::scenario::{Ask, CHECKED};

/// Connections and open requests.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    /// Client's number → its connection.
    connections: BTreeMap<u32, ConnId>,
    opened: u64,
    requests: u64,
    /// Requests that the daemon has heard of.
    heard: u64,
    asked: BTreeMap<RequestRef, Asked>,
    last_answer: Option<Result<(), Code>>,
    /// Connections over which a process claimed to be another worker.
    lies: BTreeSet<ConnId>,
}

/// A request the daemon has heard of.
#[derive(Debug, Clone)]
struct Asked {
    request: Request,
    /// In the order in which the daemon has heard of requests.
    number: u64,
    /// Another operation was in progress.
    overlaps: bool,
    /// How often it was made, by the same id.
    heard: u32,
    finals: u32,
}

impl Clients {
    /// How many requests the daemon has heard of.
    pub fn heard(&self) -> u64 {
        self.heard
    }

    /// Somebody waits for the end of an operation.
    pub fn has_open_operation(&self) -> bool {
        self.asked.values().any(|asked| asked.finals < asked.heard && is_operation(&asked.request))
    }

    /// Somebody waits for the end of an operation that is not a deploy.
    pub fn has_waiting_operation(&self) -> bool {
        let other = |asked: &&Asked| !matches!(asked.request, Request::Deploy(_));
        self.asked
            .values()
            .filter(other)
            .any(|asked| asked.finals < asked.heard && is_operation(&asked.request))
    }

    /// The daemon is dead, and all connections with it.
    pub fn forget_all(&mut self) {
        self.connections.clear();
        self.asked.clear();
    }

    /// A connection over which a process claims to be another worker.
    pub fn open_for_lie(&mut self) -> ConnId {
        let conn = self.open();
        self.lies.insert(conn);
        conn
    }

    pub fn is_lie(&self, conn: ConnId) -> bool {
        self.lies.contains(&conn)
    }

    /// Another connection.
    pub fn open(&mut self) -> ConnId {
        self.opened += 1;
        ConnId(self.opened)
    }
}

impl World {
    /// A client makes a request; on a new connection if it has none.
    pub fn ask(&mut self, client: u32, ask: &Ask, twice: bool, hang_up_ms: Option<u64>) {
        if self.deaths.down {
            self.clients.connections.remove(&client);
            let what = format_args!("{}: there is no daemon", name(ask));
            self.trace.line(self.agenda.now(), format_args!("client {client}"), what);
            return;
        }
        let mut request = ask.request();
        if let (Request::Restart { version, .. }, Ask::Upgrade { .. }) = (&mut request, ask) {
            *version = Some(self.installed_version());
        }
        let (from, event) = self.asks(client, &name(ask), &request);
        let Peer::Client(conn) = from.peer else { return };
        if twice {
            self.tally.count("duplicate request");
            self.deliver(Some(Lane::Client(conn)), ms(0), event);
        }
        if let Some(delay) = hang_up_ms {
            self.after(ms(delay), Happening::HangUp(conn));
        }
    }

    /// A client makes a request, if there is a daemon.
    pub(super) fn request(&mut self, client: u32, words: &str, request: &Request) {
        if !self.deaths.down {
            self.asks(client, words, request);
        }
    }

    fn asks(&mut self, client: u32, words: &str, request: &Request) -> (RequestRef, Event) {
        let clients = &mut self.clients;
        let conn = *clients.connections.entry(client).or_insert_with(|| {
            clients.opened += 1;
            ConnId(clients.opened)
        });
        clients.requests += 1;
        let from = RequestRef { peer: Peer::Client(conn), id: format!("r{}", clients.requests) };
        self.trace.line(self.agenda.now(), format_args!("client {client}"), words);
        let asker = Some(Asker { pid: Some(client), ..Asker::default() });
        let event = Event::Requested { from: from.clone(), asker, request: request.clone() };
        self.deliver(Some(Lane::Client(conn)), ms(0), event.clone());
        (from, event)
    }

    pub(super) fn hang_up(&mut self, conn: ConnId) {
        let Some((client, _)) = self.clients.connections.iter().find(|(_, open)| **open == conn) else {
            return;
        };
        let client = *client;
        self.clients.connections.remove(&client);
        self.tally.count("client hangs up");
        self.trace.line(self.agenda.now(), format_args!("client {client}"), "hangs up");
        self.deploy_left(Peer::Client(conn));
        self.deliver(Some(Lane::Client(conn)), ms(0), Event::Disconnected { conn });
    }

    pub(super) fn heard_request(&mut self, from: &RequestRef, request: &Request) {
        let overlaps = is_operation(request) && self.clients.has_open_operation();
        self.clients.heard += 1;
        let number = self.clients.heard;
        let asked = self.clients.asked.entry(from.clone()).or_insert_with(|| Asked {
            request: request.clone(),
            number,
            overlaps,
            heard: 0,
            finals: 0,
        });
        asked.heard += 1;
        if is_operation(request) {
            self.deploy_overtaken(from);
        }
        if let Request::Deploy(options) = request {
            self.may_go();
            self.deploy_asked(from, options);
            self.migration_asked(from, options);
        } else if is_operation(request) {
            self.may_go();
            self.releases.ask();
            self.oracle.unfinished = None;
        }
        if overlaps {
            self.tally.count("overlapping commands");
        }
        self.promise_on_request(number, request);
    }

    /// The daemon replies.
    pub fn replied(&mut self, to: &RequestRef, reply: &Reply) {
        if let Some(Body::Answer { id, pid, .. }) = &reply.body {
            let named = self.processes.named(*id).and_then(|worker| self.processes.get(worker));
            if named.is_none_or(|process| process.process.pid != *pid) {
                self.violated(format_args!("{} gets an answer that is not from who was asked", to.id));
            }
        }
        self.check_last_lines(reply);
        if let Some(Body::Metrics(metrics)) = &reply.body {
            self.told_metrics(metrics);
        }
        if let Some(Body::Deploy(news)) = &reply.body {
            self.deploy_news(to, news);
        }
        let Some(asked) = self.clients.asked.get_mut(to) else {
            self.violated(format_args!("a reply to {}, which nobody asked", to.id));
            return;
        };
        if asked.finals >= asked.heard {
            self.violated(format_args!("a reply to {} after its final one", to.id));
            return;
        }
        if !reply.done {
            return;
        }
        asked.finals += 1;
        let (request, number, overlaps) = (asked.request.clone(), asked.number, asked.overlaps);
        self.mark_reply(&request, overlaps, reply);
        self.deploy_ended(to, reply);
        self.clients.last_answer = Some(reply.code.map_or(Ok(()), Err));
        // The history says so a moment later.
        self.oracle.at_once |= reply.code == Some(Code::NotRolledBack);
        let who = self.peer(&to.peer);
        let outcome = match reply.code {
            None if reply.errors.is_empty() => "done".to_owned(),
            None => format!("failed: {}", self.readable(reply.errors.join("; "))),
            Some(code) => format!("failed, {code:?}: {}", self.readable(reply.errors.join("; "))),
        };
        self.trace.line(
            self.agenda.now(),
            "daemon",
            format_args!("reply to {who}, {}: {outcome}", kind(&request)),
        );
        let leaves = matches!(reply.body, Some(Body::Daemon { upgrading: true, .. }));
        if leaves {
            self.ask_successor(request.clone());
        }
        // Workers that another operation has started are running: nothing is left to be done.
        let started = self.oracle.wanted || self.oracle.lifting > 1;
        let idle = overlaps && started && matches!(request, Request::Start(_));
        self.oracle.may_be_started |= idle && reply.errors.is_empty();
        // The app is resumed, whether or not every worker has confirmed it.
        let unconfirmed = request == Request::Resume && reply.code == Some(Code::TimeOut);
        let done = reply.errors.is_empty() || unconfirmed;
        self.promise_on_reply(number, &request, done && !leaves && !idle);
        if let Request::Deploy(options) = &request {
            self.migration_answered(to, options, reply);
        }
    }

    /// How the last request that was answered ended.
    pub fn last_answer(&self) -> Option<Result<(), Code>> {
        self.clients.last_answer
    }

    fn mark_reply(&mut self, request: &Request, overlaps: bool, reply: &Reply) {
        let ended = reply.errors.iter().any(|words| words.contains("was ended by"));
        let failure = match reply.code {
            Some(Code::Busy) if ended => Some("a command is pre-empted"),
            Some(Code::Busy) => Some("a command is refused while another is in progress"),
            Some(Code::Usage) => Some("a request that makes no sense is refused"),
            Some(Code::StartFailed) => Some("a start fails"),
            Some(Code::InvalidConfig) => Some("a bad configuration is refused"),
            Some(_) | None => None,
        };
        if let Some(failure) = failure {
            self.marks.count(failure);
        }
        if !reply.errors.is_empty() {
            return;
        }
        let suspended = self.oracle.suspended;
        if let Request::Restart { options, .. } = request {
            if overlaps && options.wait {
                self.marks.count("a restart waits for its turn");
            }
            if options.suspended {
                self.marks.count("a suspended restart is done");
            } else if suspended {
                self.marks.count("a suspended app is replaced");
            }
        } else if suspended && *request == Request::Resume {
            self.marks.count("a suspended app is resumed");
            self.check_resumed();
        }
    }

    fn peer(&self, peer: &Peer) -> String {
        match peer {
            Peer::Client(conn) => {
                let client = self.clients.connections.iter().find(|(_, open)| *open == conn);
                client
                    .map_or_else(|| "a client that is gone".into(), |(client, _)| format!("client {client}"))
            }
            Peer::Worker(id) => self.processes.named(*id).map_or_else(|| id.to_string(), |w| w.to_string()),
        }
    }

    /// `text` with the workers' names that people know from the trace.
    fn readable(&self, text: String) -> String {
        self.processes.iter().fold(text, |text, (worker, process)| {
            let (id, short) = (process.id.to_string(), process.id.short());
            // The name ends with its short form.
            if text.contains(&short) {
                text.replace(&id, &worker.to_string()).replace(&short, &worker.to_string())
            } else {
                text
            }
        })
    }

    pub(super) fn reachable(&self, peer: &Peer) -> bool {
        match peer {
            Peer::Client(conn) => self.clients.connections.values().any(|open| open == conn),
            Peer::Worker(id) => self
                .processes
                .named(*id)
                .and_then(|worker| self.processes.get(worker))
                .is_some_and(|process| process.has_own_channel()),
        }
    }

    /// Requests that wait for their final reply although whoever asked is still there.
    pub fn unanswered(&self) -> Vec<String> {
        let mute = self.has_mute_workers();
        self.clients
            .asked
            .iter()
            .filter(|(from, asked)| asked.finals < asked.heard && self.reachable(&from.peer))
            .filter(|(_, asked)| !(mute && matches!(asked.request, Request::SendRequest { .. })))
            .map(|(from, asked)| format!("{} of {}", kind(&asked.request), self.peer(&from.peer)))
            .collect()
    }
}

/// A request as an operator would type it.
pub(super) fn name(ask: &Ask) -> String {
    match ask {
        Ask::Start { suspended, attempts } => {
            format!("start{}{}", flag(*suspended, " --suspended"), option(*attempts))
        }
        Ask::Restart { suspended, attempts, wait, until_swap } => {
            let (wait, until_swap) = (flag(*wait, " --wait"), flag(*until_swap, " --no-wait"));
            format!("restart{}{}{wait}{until_swap}", flag(*suspended, " --suspended"), option(*attempts))
        }
        Ask::Suspend { after_ms, then } => {
            format!("restart --suspended --for {after_ms}ms --then {}", then.name())
        }
        Ask::Deploy { release, watch_ms } => {
            let release = release.map_or_else(String::new, |number| format!(" --release {number}"));
            format!("deploy{release} --watch {watch_ms}ms")
        }
        Ask::DeployChecked { release, watch_ms } => {
            let release = release.map_or_else(String::new, |number| format!(" --release {number}"));
            format!("deploy{release} --health {CHECKED} --watch {watch_ms}ms")
        }
        Ask::Migrate { release, watch_ms, migrate, revert, limit_ms } => {
            let revert = revert.map_or_else(String::new, |errand| format!(" --revert '{errand}'"));
            let limit = limit_ms.map_or_else(String::new, |limit| format!(" --migrate-timeout {limit}ms"));
            format!("deploy --release {release} --migrate '{migrate}'{revert}{limit} --watch {watch_ms}ms")
        }
        Ask::AttachDeploy => "deploy --attach".to_owned(),
        Ask::Upgrade { suspended } => format!("restart --upgrade{}", flag(*suspended, " --suspended")),
        Ask::SetWorkers(count) => format!("set-workers {count}"),
        Ask::SetStandby(count) => format!("set-standby {count}"),
        Ask::Message { workers } => format!("send-msg{} hello", selector(workers.as_deref())),
        Ask::Request { workers } => format!("send-req{} ping", selector(workers.as_deref())),
        Ask::Status | Ask::Metrics | Ask::Config | Ask::Resume | Ask::Stop | Ask::Reload | Ask::Terminate => {
            kind(&ask.request()).to_owned()
        }
    }
}

/// Whether it changes what runs.
fn is_operation(request: &Request) -> bool {
    match request {
        Request::Start(_)
        | Request::Restart { .. }
        | Request::Deploy(_)
        | Request::Stop
        | Request::SetWorkers { .. }
        | Request::SetStandby { .. }
        | Request::Reload
        | Request::Terminate => true,
        Request::Status
        | Request::Metrics
        | Request::Config
        | Request::AttachDeploy { .. }
        | Request::WatchEvents
        | Request::Resume
        | Request::SendMessage { .. }
        | Request::SendRequest { .. } => false,
    }
}

fn flag(set: bool, text: &'static str) -> &'static str {
    if set { text } else { "" }
}

fn option(attempts: Option<std::num::NonZeroU32>) -> String {
    attempts.map_or_else(String::new, |attempts| format!(" -m {attempts}"))
}

fn selector(workers: Option<&str>) -> String {
    workers.map_or_else(String::new, |workers| format!(" -w {workers}"))
}

fn kind(request: &Request) -> &'static str {
    match request {
        Request::Status => "status",
        Request::Metrics => "metrics",
        Request::Config => "config",
        Request::Start(_) => "start",
        Request::Restart { .. } => "restart",
        Request::Deploy(_) => "deploy",
        Request::AttachDeploy { .. } => "deploy --attach",
        Request::WatchEvents => "events",
        Request::Resume => "resume",
        Request::Stop => "stop",
        Request::SetWorkers { .. } => "set-workers",
        Request::SetStandby { .. } => "set-standby",
        Request::Reload => "reload",
        Request::Terminate => "terminate",
        Request::SendMessage { .. } => "send-msg",
        Request::SendRequest { .. } => "send-req",
    }
}
